package profilessync_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"segsync/internal/pgtest"
	"segsync/profilessync"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // of its certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example Root"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{template, key, filepath.Join(t.TempDir(), "root.pem")}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign returns a certificate for 127.0.0.1, and its key, as PEM.
func (a *authority) sign(t *testing.T) (certificate, key []byte) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, own.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	ownKey, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: ownKey})
}

// ownName returns a name of this machine that is not localhost, and leads to 127.0.0.1.
func ownName(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	if ips, err := net.LookupHost(name); err != nil || !slices.Equal(ips, []string{"127.0.0.1"}) {
		t.Skipf("the name of this machine, %s, does not lead to 127.0.0.1", name)
	}
	return name
}

// To a host that is not localhost by its name the default is TLS.
func TestTLSIsTheDefault(t *testing.T) {
	server, name := pgtest.New(t), ownName(t)
	pgtest.Fill(t, server.URL, "profiles", persons(people(3)))
	raw := with(t, server.URL, func(u *url.URL) { u.Host = net.JoinHostPort(name, u.Port()) })
	_, err := profilessync.Open(t.Context(), raw, "profiles")
	isProblem(t, err, profilessync.TLSFailed, "no connection with TLS: the server has none")
	if _, err := profilessync.Open(t.Context(), raw+"?sslmode=disable", "profiles"); err != nil {
		t.Error(err)
	}
	// A password that looks like the setting is none.
	sneaky := with(t, raw, func(u *url.URL) { u.User = url.UserPassword("postgres", "sslmode=disable") })
	_, err = profilessync.Open(t.Context(), sneaky, "profiles")
	isProblem(t, err, profilessync.TLSFailed)
	certificate, key := newAuthority(t).sign(t)
	server.RequireTLS(t, certificate, key)
	if _, err := profilessync.Open(t.Context(), raw, "profiles"); err != nil {
		t.Error(err)
	}
}

// sslmode means what it means to libpq.
//
// https://www.postgresql.org/docs/current/libpq-ssl.html
func TestTLS(t *testing.T) {
	server := pgtest.New(t)
	pgtest.Fill(t, server.URL, "profiles", persons(people(3)))
	root, other := newAuthority(t), newAuthority(t)
	certificate, key := root.sign(t)
	server.RequireTLS(t, certificate, key)
	for name, test := range map[string]struct {
		host, query string
		want        profilessync.Problem // 0: it is opened
		text        string
	}{
		"nothing said":                    {},
		"require":                         {query: "sslmode=require"},
		"require with a root":             {query: "sslmode=require&sslrootcert=" + root.file},
		"require with another root":       {query: "sslmode=require&sslrootcert=" + other.file, want: profilessync.TLSFailed, text: "unknown authority"},
		"verify-ca":                       {host: "localhost", query: "sslmode=verify-ca&sslrootcert=" + root.file},
		"verify-ca, another root":         {query: "sslmode=verify-ca&sslrootcert=" + other.file, want: profilessync.TLSFailed, text: "unknown authority"},
		"verify-full":                     {query: "sslmode=verify-full&sslrootcert=" + root.file},
		"verify-full, another root":       {query: "sslmode=verify-full&sslrootcert=" + other.file, want: profilessync.TLSFailed, text: "unknown authority"},
		"verify-full, the system's roots": {query: "sslmode=verify-full", want: profilessync.TLSFailed, text: "unknown authority"},
		"verify-full, another name":       {host: "localhost", query: "sslmode=verify-full&sslrootcert=" + root.file, want: profilessync.TLSFailed, text: "localhost"},
		"disable":                         {query: "sslmode=disable", want: profilessync.LoginRefused, text: "no encryption"},
		"no such root":                    {query: "sslmode=verify-full&sslrootcert=/nowhere", want: profilessync.InvalidURL, text: "unable to read CA file"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := with(t, server.URL, func(u *url.URL) {
				if u.RawQuery = test.query; test.host != "" {
					u.Host = net.JoinHostPort(test.host, u.Port())
				}
			})
			w, err := profilessync.Open(t.Context(), raw, "profiles")
			if test.want != 0 {
				isProblem(t, err, test.want, test.text)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			equal(t, len(collect(t, w.Profiles(t.Context(), everything))), 3)
		})
	}
}
