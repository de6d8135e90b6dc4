// Package tlstest has an authority that issues certificates for tests, and says which of them are revoked.
package tlstest

import (
	"crypto"
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
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Authority issues certificates.
type Authority struct {
	t   testing.TB
	own tls.Certificate
}

// New makes an authority, which has its name as common name.
func New(t testing.TB, name string) *Authority {
	a := &Authority{t: t}
	a.own = a.Issue(name, asAuthority(nil))
	return a
}

// Below makes an authority whose certificate this one issues. change is that of Issue.
func (a *Authority) Below(name string, change func(form *x509.Certificate)) *Authority {
	a.t.Helper()
	return &Authority{t: a.t, own: a.Issue(name, asAuthority(change))}
}

func asAuthority(change func(form *x509.Certificate)) func(form *x509.Certificate) {
	return func(form *x509.Certificate) {
		form.IsCA, form.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		if change != nil {
			change(form)
		}
	}
}

// Issue makes a certificate for the loopback address with a common name, good for an hour, or what change makes of it; nil changes nothing. It has no Leaf if crypto/x509 cannot read it.
func (a *Authority) Issue(name string, change func(form *x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if change != nil {
		change(form)
	}
	parent, signer := form, any(key)
	if a.own.Leaf != nil {
		parent, signer = a.own.Leaf, a.own.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, form, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// CRL makes a list of revoked certificates in DER, good for an hour, or what change makes of it; nil changes nothing.
func (a *Authority) CRL(change func(form *x509.RevocationList)) []byte {
	a.t.Helper()
	form := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	if change != nil {
		change(form)
	}
	der, err := x509.CreateRevocationList(rand.Reader, form, a.own.Leaf, a.Signer())
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// OCSP makes the answer of a responder about a certificate of the authority, good for an hour, or what change makes of it. The authority itself has signed it, or who is given.
func (a *Authority) OCSP(of *x509.Certificate, by *tls.Certificate, change func(form *ocsp.Response)) []byte {
	a.t.Helper()
	form := ocsp.Response{SerialNumber: of.SerialNumber, ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	signer := a.own
	if by != nil {
		signer = *by
		form.Certificate = by.Leaf
	}
	if change != nil {
		change(&form)
	}
	der, err := ocsp.CreateResponse(a.own.Leaf, signer.Leaf, form, signer.PrivateKey.(crypto.Signer))
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// Signer is the authority's own key.
func (a *Authority) Signer() crypto.Signer { return a.own.PrivateKey.(crypto.Signer) }

// Leaf is the authority's own certificate.
func (a *Authority) Leaf() *x509.Certificate { return a.own.Leaf }

// Trust is that in PEM, for a trust store.
func (a *Authority) Trust() []byte { return block("CERTIFICATE", a.own.Certificate[0]) }

// Key is the private key of a certificate in PKCS #8.
func (a *Authority) Key(c tls.Certificate) []byte {
	a.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// Store is a certificate and its key in PEM, for a key store.
func (a *Authority) Store(c tls.Certificate) []byte {
	a.t.Helper()
	return append(block("PRIVATE KEY", a.Key(c)), block("CERTIFICATE", c.Certificate[0])...)
}

// Write makes a file that only its owner reads.
func (a *Authority) Write(file string, data []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// Config is that of a client that trusts the authority, with certificates of its own or without.
func (a *Authority) Config(own ...tls.Certificate) *tls.Config {
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1", Certificates: own}
	c.RootCAs.AddCert(a.own.Leaf)
	return c
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
