package quorumtls

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"

	"quoll/compat/peer"
	"quoll/tlsconf/tlstest"
)

const password = "changeit"

// authority has a directory for the stores of servers.
type authority struct {
	*tlstest.Authority
	t   *testing.T
	dir string
}

func newAuthority(t *testing.T) *authority {
	return &authority{tlstest.New(t, "authority"), t, t.TempDir()}
}

// pem writes a new certificate and who issues it into stores in PEM, and returns the settings that name them.
func (a *authority) pem(name string, change func(form *x509.Certificate)) []string {
	a.t.Helper()
	return []string{
		"ssl.quorum.keyStore.location=" + a.write(name+".pem", a.Store(a.Issue(name, change))),
		"ssl.quorum.trustStore.location=" + a.write(name+"-trust.pem", a.Trust()),
	}
}

// jks is the same with stores of Java.
func (a *authority) jks(name string, change func(form *x509.Certificate)) []string {
	a.t.Helper()
	cert := a.Issue(name, change)
	own, trust := keystore.New(), keystore.New()
	peer.Check(a.t, own.SetPrivateKeyEntry("key", keystore.PrivateKeyEntry{CreationTime: time.Now(), PrivateKey: a.Key(cert), CertificateChain: []keystore.Certificate{{Type: "X509", Content: cert.Certificate[0]}}}, []byte(password)))
	peer.Check(a.t, trust.SetTrustedCertificateEntry("authority", keystore.TrustedCertificateEntry{CreationTime: time.Now(), Certificate: keystore.Certificate{Type: "X509", Content: a.Leaf().Raw}}))
	store := func(file string, ks keystore.KeyStore) string {
		f, err := os.Create(filepath.Join(a.dir, file))
		peer.Check(a.t, err)
		defer f.Close()
		peer.Check(a.t, ks.Store(f, []byte(password)))
		return f.Name()
	}
	return []string{
		"ssl.quorum.keyStore.location=" + store(name+".jks", own), "ssl.quorum.keyStore.passwordPath=" + a.write("password", []byte(password)),
		"ssl.quorum.trustStore.location=" + store(name+"-trust.jks", trust), "ssl.quorum.trustStore.password=" + password,
	}
}

func (a *authority) write(file string, data []byte) string {
	a.t.Helper()
	name := filepath.Join(a.dir, file)
	a.Write(name, data)
	return name
}
