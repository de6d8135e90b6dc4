package quorumtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"

	"quoll/compat/peer"
)

const password = "changeit"

// authority issues the certificates of servers, and has a directory for their stores.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("authority", func(form *x509.Certificate) { form.IsCA = true })
	return a
}

// issue makes a certificate for the loopback address, or what change makes of it. The first is the authority's own.
func (a *authority) issue(name string, change func(form *x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	peer.Check(a.t, err)
	form := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	if change != nil {
		change(form)
	}
	parent, signer := form, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, form, parent, key.Public(), signer)
	peer.Check(a.t, err)
	cert, err := x509.ParseCertificate(der)
	peer.Check(a.t, err)
	return cert, key
}

// pem writes a new certificate and who issues it into stores in PEM, and returns the settings that name them.
func (a *authority) pem(name string, change func(form *x509.Certificate)) []string {
	a.t.Helper()
	cert, key := a.issue(name, change)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	peer.Check(a.t, err)
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	return []string{
		"ssl.quorum.keyStore.location=" + a.write(name+".pem", text),
		"ssl.quorum.trustStore.location=" + a.write(name+"-trust.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})),
	}
}

// jks is the same with stores of Java.
func (a *authority) jks(name string, change func(form *x509.Certificate)) []string {
	a.t.Helper()
	cert, key := a.issue(name, change)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	peer.Check(a.t, err)
	own, trust := keystore.New(), keystore.New()
	peer.Check(a.t, own.SetPrivateKeyEntry("key", keystore.PrivateKeyEntry{CreationTime: time.Now(), PrivateKey: der, CertificateChain: []keystore.Certificate{{Type: "X509", Content: cert.Raw}}}, []byte(password)))
	peer.Check(a.t, trust.SetTrustedCertificateEntry("authority", keystore.TrustedCertificateEntry{CreationTime: time.Now(), Certificate: keystore.Certificate{Type: "X509", Content: a.cert.Raw}}))
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
	peer.Check(a.t, os.WriteFile(name, data, 0o600))
	return name
}

// config is what TLS knows of the authority, and of a new certificate of its.
func (a *authority) config(name string) *tls.Config {
	cert, key := a.issue(name, nil)
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	c.RootCAs.AddCert(a.cert)
	return c
}
