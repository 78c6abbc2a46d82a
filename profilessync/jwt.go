package profilessync

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/youmark/pkcs8"
)

// jwtLife is how long a token is valid: vendors allow an hour.
const jwtLife = 55 * time.Minute

// signJWT returns a token signed with RS256. Its beginning is a minute ago, for clocks differ.
//
// https://datatracker.ietf.org/doc/html/rfc7519
func signJWT(key *rsa.PrivateKey, keyID string, claims map[string]any, now time.Time) (string, error) {
	header := map[string]any{"alg": "RS256", "typ": "JWT"}
	if keyID != "" {
		header["kid"] = keyID
	}
	claims["iat"], claims["exp"] = now.Add(-time.Minute).Unix(), now.Add(jwtLife).Unix()
	text := ""
	for _, part := range []map[string]any{header, claims} {
		data, err := json.Marshal(part, json.Deterministic(true))
		if err != nil {
			return "", err
		}
		text += base64.RawURLEncoding.EncodeToString(data) + "."
	}
	digest := sha256.Sum256([]byte(text[:len(text)-1]))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	return text + base64.RawURLEncoding.EncodeToString(signature), err
}

// parseKey returns an RSA key of PEM. An encrypted one needs the passphrase. The standard library reads no
// encrypted PKCS #8, hence github.com/youmark/pkcs8. Errors quote nothing of the key.
func parseKey(data []byte, passphrase string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("it is not a private key in PEM")
	}
	var key any
	var err error
	switch {
	case block.Type == "RSA PRIVATE KEY" && block.Headers["DEK-Info"] == "":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case block.Type == "ENCRYPTED PRIVATE KEY" && passphrase == "":
		return nil, errors.New("it is encrypted, and no passphrase is set")
	case block.Type == "ENCRYPTED PRIVATE KEY":
		if key, err = pkcs8.ParsePKCS8PrivateKey(block.Bytes, []byte(passphrase)); err != nil {
			return nil, errors.New("the passphrase does not decrypt it")
		}
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	private, ok := key.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("it is not an RSA private key")
	}
	return private, nil
}
