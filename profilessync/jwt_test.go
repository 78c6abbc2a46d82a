package profilessync

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/youmark/pkcs8"
)

func TestParseKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	plain, _ := x509.MarshalPKCS8PrivateKey(key)
	curve, _ := x509.MarshalPKCS8PrivateKey(other)
	encrypted, err := pkcs8.ConvertPrivateKeyToPKCS8(key, []byte("pass phrase"))
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for _, c := range []struct{ name, pem, passphrase, wrong string }{
		{"PKCS 8", block("PRIVATE KEY", plain), "", ""},
		{"PKCS 1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), "", ""},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", encrypted), "pass phrase", ""},
		{"wrong passphrase", block("ENCRYPTED PRIVATE KEY", encrypted), "another", "does not decrypt"},
		{"no passphrase", block("ENCRYPTED PRIVATE KEY", encrypted), "", "no passphrase is set"},
		{"elliptic", block("PRIVATE KEY", curve), "", "not an RSA"},
		{"public", block("PUBLIC KEY", plain[:9]), "", "not an RSA"},
		{"text", "secret", "", "not a private key in PEM"},
	} {
		got, err := parseKey([]byte(c.pem), c.passphrase)
		if c.wrong == "" && (err != nil || !got.Equal(key)) || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
