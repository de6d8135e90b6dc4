package tlsconf

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"quoll/config"
)

// Store is the content of a key store or a trust store.
type Store struct {
	// Key is the first private key, nil if there is none, and Chain its certificates, leaf first.
	Key   crypto.PrivateKey
	Chain []*x509.Certificate
	// Trusted are the certificates that stand for themselves. In PEM nothing tells them from a chain, so there they are the same.
	Trusted []*x509.Certificate
}

// Open reads the file of a store. The error names the file.
func Open(f config.StoreFile) (*Store, error) {
	data, err := os.ReadFile(f.Location)
	if err != nil {
		return nil, err
	}
	password := f.Password
	if f.PasswordPath != "" {
		text, err := os.ReadFile(f.PasswordPath)
		if err != nil {
			return nil, fmt.Errorf("passwordPath: %w", err)
		}
		password = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	}
	s, err := Decode(data, f.Type, password)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Location, err)
	}
	return s, nil
}

// Decode reads a store. Its content says what it is: Java too opens a JKS file that is called PKCS12 and the other way round. A type that is not known, or that takes PEM for
// something else or something else for PEM, is an error, as in Java.
func Decode(data []byte, kind, password string) (*Store, error) {
	text := bytes.Contains(data, []byte("-----BEGIN "))
	switch kind = strings.ToUpper(kind); kind {
	case "":
	case "PEM":
		if !text {
			return nil, errors.New("the type is PEM, but there is no -----BEGIN in it")
		}
	case "JKS", "PKCS12", "P12":
		if text {
			return nil, fmt.Errorf("the type is %s, but it is PEM", kind)
		}
	default:
		return nil, fmt.Errorf("unknown type of store %q; JKS, PEM and PKCS12 are known", kind)
	}
	switch {
	case text:
		return decodePEM(data, password)
	case bytes.HasPrefix(data, []byte{0xfe, 0xed, 0xfe, 0xed}):
		return decodeJKS(data, password)
	case bytes.HasPrefix(data, []byte{0x30}):
		return decodePKCS12(data, password)
	}
	return nil, errors.New("neither PEM nor PKCS12 nor JKS")
}

// Certificate is the key with its certificates. The error says what is missing.
func (s *Store) Certificate() (tls.Certificate, error) {
	if s.Key == nil {
		return tls.Certificate{}, errors.New("no private key in it")
	}
	if len(s.Chain) == 0 {
		return tls.Certificate{}, errors.New("no certificate of the private key in it")
	}
	signer, ok := s.Key.(crypto.Signer)
	if !ok {
		return tls.Certificate{}, fmt.Errorf("a key of type %T cannot sign", s.Key)
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(s.Chain[0].PublicKey) {
		return tls.Certificate{}, errors.New("the private key is not that of the first certificate")
	}
	c := tls.Certificate{PrivateKey: s.Key, Leaf: s.Chain[0]}
	for _, one := range s.Chain {
		c.Certificate = append(c.Certificate, one.Raw)
	}
	return c, nil
}

// Pool is the trusted certificates. The error says that there are none.
func (s *Store) Pool() (*x509.CertPool, error) {
	if len(s.Trusted) == 0 {
		return nil, errors.New("no trusted certificate in it")
	}
	pool := x509.NewCertPool()
	for _, c := range s.Trusted {
		pool.AddCert(c)
	}
	return pool, nil
}

func decodePEM(data []byte, password string) (*Store, error) {
	s := &Store{}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		var err error
		switch {
		case block.Type == "CERTIFICATE":
			err = appendCertificate(&s.Chain, block.Bytes)
		case s.Key != nil:
		case block.Type == "ENCRYPTED PRIVATE KEY":
			var der []byte
			if der, err = decryptPKCS8(block.Bytes, password); err == nil {
				s.Key, err = parseKey(der)
			}
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			if block.Headers["DEK-Info"] != "" {
				err = errors.New("a private key that is encrypted in the old way of OpenSSL; openssl pkcs8 -topk8 writes the new one")
			} else {
				s.Key, err = parseKey(block.Bytes)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", block.Type, err)
		}
	}
	if s.Key == nil && s.Chain == nil {
		return nil, errors.New("neither a certificate nor a private key in it")
	}
	s.Trusted = s.Chain
	return s, nil
}

func appendCertificate(list *[]*x509.Certificate, der []byte) error {
	c, err := x509.ParseCertificate(der)
	if err == nil {
		*list = append(*list, c)
	}
	return err
}

func parseKey(der []byte) (crypto.PrivateKey, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return x509.ParsePKCS8PrivateKey(der)
}

func decodePKCS12(data []byte, password string) (*Store, error) {
	key, leaf, others, err := pkcs12.DecodeChain(data, password)
	if err == nil {
		return &Store{Key: key, Chain: chain(leaf, others)}, nil
	}
	trusted, trustErr := pkcs12.DecodeTrustStore(data, password)
	if trustErr != nil {
		return nil, fmt.Errorf("%w; as a trust store: %w", err, trustErr)
	}
	return &Store{Trusted: trusted}, nil
}

// chain puts a leaf's issuers behind it. PKCS12 has them in any order, and others beside them.
func chain(leaf *x509.Certificate, others []*x509.Certificate) []*x509.Certificate {
	sorted := []*x509.Certificate{leaf}
	for last := leaf; len(sorted) <= len(others) && !bytes.Equal(last.RawIssuer, last.RawSubject); {
		next := last
		for _, c := range others {
			if bytes.Equal(c.RawSubject, last.RawIssuer) {
				next = c
			}
		}
		if next == last {
			break
		}
		sorted, last = append(sorted, next), next
	}
	return sorted
}

func decodeJKS(data []byte, password string) (*Store, error) {
	if err := checkJKS(data); err != nil {
		return nil, err
	}
	ks := keystore.New(keystore.WithOrderedAliases())
	if err := ks.Load(bytes.NewReader(data), []byte(password)); err != nil {
		return nil, err
	}
	s := &Store{}
	for _, alias := range ks.Aliases() {
		if err := s.addJKS(&ks, alias, password); err != nil {
			return nil, fmt.Errorf("%s: %w", alias, err)
		}
	}
	return s, nil
}

func (s *Store) addJKS(ks *keystore.KeyStore, alias, password string) error {
	switch {
	case ks.IsTrustedCertificateEntry(alias):
		entry, err := ks.GetTrustedCertificateEntry(alias)
		if err != nil {
			return err
		}
		return appendCertificate(&s.Trusted, entry.Certificate.Content)
	case ks.IsPrivateKeyEntry(alias) && s.Key == nil:
		entry, err := ks.GetPrivateKeyEntry(alias, []byte(password))
		if err != nil {
			return err
		}
		if s.Key, err = parseKey(entry.PrivateKey); err != nil {
			return err
		}
		for _, c := range entry.CertificateChain {
			if err := appendCertificate(&s.Chain, c.Content); err != nil {
				return err
			}
		}
	}
	return nil
}
