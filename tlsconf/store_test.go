package tlsconf

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quoll/config"
)

// TestStores opens what keytool and openssl have made.
func TestStores(t *testing.T) {
	for name, want := range map[string]struct {
		key            bool
		chain, trusted int
	}{
		"server.p12": {true, 1, 0}, "server.pem": {true, 1, 1}, "client.jks": {true, 1, 0}, "trust-clients.p12": {false, 0, 2}, "trust-server.jks": {false, 0, 1},
		"client.p12.pem": {false, 1, 1},
	} {
		f := config.StoreFile{Location: filepath.Join("testdata", name), Password: "changeit"}
		s, err := Open(f)
		if err != nil || (s.Key != nil) != want.key || len(s.Chain) != want.chain || len(s.Trusted) != want.trusted {
			t.Errorf("%s: %+v, %v", name, s, err)
			continue
		}
		if _, err := s.Certificate(); (err == nil) != want.key {
			t.Errorf("%s as a key store: %v", name, err)
		}
		if _, err := s.Pool(); (err == nil) != (want.trusted > 0) {
			t.Errorf("%s as a trust store: %v", name, err)
		}
		if name == "client.p12.pem" {
			continue // has nothing to open
		}
		f.Password = "wrong"
		if _, err := Open(f); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s opens with a wrong password, or the error does not name it: %v", name, err)
		}
		f.PasswordPath = filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(f.PasswordPath, []byte("changeit\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(f); err != nil {
			t.Errorf("%s with the password in a file: %v", name, err)
		}
	}
}

// TestStoreTypes gives stores another type than they have. Between PKCS12 and JKS the content decides, as in Java.
func TestStoreTypes(t *testing.T) {
	for _, test := range []struct{ name, kind, err string }{
		{"server.p12", "JKS", ""},
		{"client.jks", "pkcs12", ""},
		{"server.pem", "pem", ""},
		{"server.pem", "JKS", "the type is JKS, but it is PEM"},
		{"server.p12", "PEM", "the type is PEM, but"},
		{"server.p12", "BCFKS", `unknown type of store "BCFKS"`},
		{"make.sh", "", "neither PEM nor PKCS12 nor JKS"},
	} {
		_, err := Open(config.StoreFile{Location: filepath.Join("testdata", test.name), Password: "changeit", Type: test.kind})
		if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s as %s: %v, want %q", test.name, test.kind, err, test.err)
		}
	}
}

// TestKeyOfAnother refuses a key beside the certificate of another.
func TestKeyOfAnother(t *testing.T) {
	server, err := os.ReadFile("testdata/server.pem")
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile("testdata/client.p12.pem")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Decode(append(other, server...), "", "changeit")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Certificate(); err == nil || !strings.Contains(err.Error(), "not that of the first certificate") {
		t.Errorf("%v", err)
	}
}

// FuzzStore opens bytes that are nearly a store.
func FuzzStore(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil || len(files) < 9 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Contains(data, []byte("\x02\x03")) || bytes.Contains(data, []byte("\x02\x04")) {
			t.Skip("millions of iterations, it may be")
		}
		s, err := Decode(data, "", "changeit")
		if (s == nil) != (err != nil) {
			t.Fatalf("%v and %v", s, err)
		}
		if err == nil {
			_, _ = s.Certificate()
			_, _ = s.Pool()
		}
	})
}
