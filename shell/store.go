package shell

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"
)

// store is the content of a key store or a trust store.
type store struct {
	key          crypto.PrivateKey   // nil if there is none
	certificates []*x509.Certificate // those of the key first, leaf first
}

// storeTypes has a row for each type; the name is also the ending of a file's name.
var storeTypes = map[string]func(data []byte, password string) (*store, error){
	"PEM": openPEM, "PKCS12": openPKCS12, "P12": openPKCS12, "JKS": openJKS,
}

// openStore reads a store. Without a type it is known by the name of the file.
func openStore(name, kind, password string) (*store, error) {
	if kind == "" {
		kind = strings.TrimPrefix(filepath.Ext(name), ".")
	}
	open, ok := storeTypes[strings.ToUpper(kind)]
	if !ok {
		return nil, fmt.Errorf("%s: unknown type of store %q; JKS, PEM and PKCS12 are known", name, kind)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	s, err := open(data, password)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func openPEM(data []byte, password string) (*store, error) {
	s := &store{}
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return s, nil
		}
		data = rest
		switch block.Type {
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, err
			}
			s.certificates = append(s.certificates, c)
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			key, err := parseKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			s.key = key
		case "ENCRYPTED PRIVATE KEY":
			return nil, fmt.Errorf("a private key with a password is only read from PKCS12 and JKS")
		}
	}
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

func openPKCS12(data []byte, password string) (*store, error) {
	key, leaf, others, err := pkcs12.DecodeChain(data, password)
	if err == nil {
		return &store{key, append([]*x509.Certificate{leaf}, others...)}, nil
	}
	certificates, trustErr := pkcs12.DecodeTrustStore(data, password)
	if trustErr != nil {
		return nil, fmt.Errorf("%w; as a trust store: %w", err, trustErr)
	}
	return &store{certificates: certificates}, nil
}

func openJKS(data []byte, password string) (*store, error) {
	// Since version 9 Java writes PKCS12 into files of any name.
	if !bytes.HasPrefix(data, []byte{0xfe, 0xed, 0xfe, 0xed}) {
		return openPKCS12(data, password)
	}
	ks := keystore.New(keystore.WithOrderedAliases())
	if err := ks.Load(bytes.NewReader(data), []byte(password)); err != nil {
		return nil, err
	}
	s := &store{}
	add := func(c keystore.Certificate) error {
		parsed, err := x509.ParseCertificate(c.Content)
		if err == nil {
			s.certificates = append(s.certificates, parsed)
		}
		return err
	}
	for _, alias := range ks.Aliases() {
		if ks.IsPrivateKeyEntry(alias) && s.key == nil {
			entry, err := ks.GetPrivateKeyEntry(alias, []byte(password))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", alias, err)
			}
			if s.key, err = parseKey(entry.PrivateKey); err != nil {
				return nil, fmt.Errorf("%s: %w", alias, err)
			}
			before := s.certificates
			s.certificates = nil
			for _, c := range entry.CertificateChain {
				if err := add(c); err != nil {
					return nil, fmt.Errorf("%s: %w", alias, err)
				}
			}
			s.certificates = append(s.certificates, before...)
		}
		if ks.IsTrustedCertificateEntry(alias) {
			entry, err := ks.GetTrustedCertificateEntry(alias)
			if err == nil {
				err = add(entry.Certificate)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", alias, err)
			}
		}
	}
	return s, nil
}
