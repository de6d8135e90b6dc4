package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quoll/config"
)

func settings() config.TLS {
	return config.TLS{
		KeyStore:             config.StoreFile{Location: "testdata/server.p12", Password: "changeit"},
		TrustStore:           config.StoreFile{Location: "testdata/trust-clients.p12", Password: "changeit"},
		HostnameVerification: true,
	}
}

func TestServerSettings(t *testing.T) {
	const gcm = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
	for name, test := range map[string]struct {
		change     func(*config.TLS)
		err        string // or
		min, max   uint16
		clientAuth tls.ClientAuthType
		notes      string
	}{
		"defaults":    {func(*config.TLS) {}, "", tls.VersionTLS13, tls.VersionTLS13, tls.RequireAndVerifyClientCert, ""},
		"protocol":    {func(s *config.TLS) { s.Protocol = "TLSv1.2" }, "", tls.VersionTLS12, tls.VersionTLS12, tls.RequireAndVerifyClientCert, ""},
		"want":        {func(s *config.TLS) { s.ClientAuth = "Want" }, "", tls.VersionTLS13, tls.VersionTLS13, tls.VerifyClientCertIfGiven, ""},
		"none":        {func(s *config.TLS) { s.ClientAuth = "none" }, "", tls.VersionTLS13, tls.VersionTLS13, tls.NoClientCert, ""},
		"maybe":       {func(s *config.TLS) { s.ClientAuth = "maybe" }, `ssl.clientAuth: "maybe" is neither`, 0, 0, 0, ""},
		"both":        {func(s *config.TLS) { s.EnabledProtocols = []string{"TLSv1.3", "TLSv1.2"} }, "", tls.VersionTLS12, tls.VersionTLS13, tls.RequireAndVerifyClientCert, ""},
		"old and new": {func(s *config.TLS) { s.EnabledProtocols = []string{"TLSv1.1", "TLSv1.2"} }, "", tls.VersionTLS12, tls.VersionTLS12, tls.RequireAndVerifyClientCert, "ssl.enabledProtocols: TLSv1.1 is not"},
		"old":         {func(s *config.TLS) { s.Protocol = "TLSv1" }, "ssl.enabledProtocols: none of TLSv1 is spoken", 0, 0, 0, ""},
		"unknown":     {func(s *config.TLS) { s.Protocol = "TLS9" }, `ssl.enabledProtocols: unknown protocol "TLS9"`, 0, 0, 0, ""},
		"suites of 1.2": {func(s *config.TLS) {
			s.EnabledProtocols, s.CipherSuites = []string{"TLSv1.2", "TLSv1.3"}, []string{gcm}
		}, "", tls.VersionTLS12, tls.VersionTLS12, tls.RequireAndVerifyClientCert, ""},
		"of the other":   {func(s *config.TLS) { s.CipherSuites = []string{gcm} }, "ssl.ciphersuites: none of " + gcm, 0, 0, 0, ""},
		"one of 1.3":     {func(s *config.TLS) { s.CipherSuites = []string{"TLS_AES_256_GCM_SHA384"} }, "", tls.VersionTLS13, tls.VersionTLS13, tls.RequireAndVerifyClientCert, "ssl.ciphersuites: those of TLS 1.3"},
		"one that lacks": {func(s *config.TLS) { s.Protocol, s.CipherSuites = "TLSv1.2", []string{gcm, "TLS_DHE_X"} }, "", tls.VersionTLS12, tls.VersionTLS12, tls.RequireAndVerifyClientCert, `ssl.ciphersuites: "TLS_DHE_X" is`},
		"no key":         {func(s *config.TLS) { s.KeyStore.Location = "" }, "ssl.keyStore.location: not set", 0, 0, 0, ""},
		"key missing":    {func(s *config.TLS) { s.KeyStore.Location = "none.p12" }, "ssl.keyStore.location: open none.p12", 0, 0, 0, ""},
		"key of trust":   {func(s *config.TLS) { s.KeyStore = s.TrustStore }, "trust-clients.p12: no private key", 0, 0, 0, ""},
		"trust of key":   {func(s *config.TLS) { s.TrustStore = s.KeyStore }, "ssl.trustStore.location: testdata/server.p12: no trusted", 0, 0, 0, ""},
		"no trust":       {func(s *config.TLS) { s.TrustStore.Location = "" }, "", tls.VersionTLS13, tls.VersionTLS13, tls.RequireAndVerifyClientCert, "ssl.trustStore.location: not set"},
	} {
		t.Run(name, func(t *testing.T) {
			given := settings()
			test.change(&given)
			s, err := NewServer("ssl.", given, slog.Default())
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("%v, want %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c := s.Config()
			if c.MinVersion != test.min || c.MaxVersion != test.max || c.ClientAuth != test.clientAuth || c.ClientCAs == nil {
				t.Errorf("versions %x to %x, client authentication %v, trust %v", c.MinVersion, c.MaxVersion, c.ClientAuth, c.ClientCAs)
			}
			if notes := strings.Join(s.Notes(), "; "); !strings.HasPrefix(notes, test.notes) || (notes == "") != (test.notes == "") {
				t.Errorf("notes %q, want %q", notes, test.notes)
			}
		})
	}
}

// TestDefaultSuites are all there: none of the names is misspelt.
func TestDefaultSuites(t *testing.T) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if notes, err := setProtocols(c, nil, nil); err != nil || len(notes) > 0 || len(c.CipherSuites) != len(defaultSuites)-3 {
		t.Errorf("%v, %v, %d suites", notes, err, len(c.CipherSuites))
	}
}

// TestReload changes files under a server: by another content, by what a link leads to, and by something that is no store.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	link, first, second := filepath.Join(dir, "key.pem"), filepath.Join(dir, "1"), filepath.Join(dir, "2")
	copyTo := func(from, to string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join("testdata", from))
		if err == nil {
			err = os.WriteFile(to, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	point := func(to string) {
		t.Helper()
		_ = os.Remove(link)
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	copyTo("server.pem", first)
	copyTo("client.p12", second)
	point(first)
	given := settings()
	given.KeyStore.Location = link
	s, err := NewServer("ssl.", given, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	name := func() string { return s.Config().Certificates[0].Leaf.Subject.CommonName }
	check := func(changed, fails bool, want string) {
		t.Helper()
		if got, err := s.Reload(); got != changed || (err != nil) != fails || name() != want {
			t.Errorf("reloaded %v, %v, the certificate is %s; want %v, %v, %s", got, err, name(), changed, fails, want)
		}
	}
	check(false, false, "server")
	point(second)
	check(true, false, "client-p12")
	check(false, false, "client-p12")
	if err := os.WriteFile(second, []byte("half of a sto"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(false, true, "client-p12")
	check(false, false, "client-p12")
	copyTo("client.jks", second)
	check(true, false, "client-jks")
}

func TestVerifyPeer(t *testing.T) {
	store, err := Open(config.StoreFile{Location: "testdata/client.p12.pem"})
	if err != nil {
		t.Fatal(err)
	}
	leaf := store.Chain[0] // for 127.0.0.1
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	for _, test := range []struct {
		server, client bool
		from           string
		ok             bool
	}{{true, true, "127.0.0.1", true}, {true, true, "127.0.0.2", false}, {false, true, "127.0.0.2", true}, {true, false, "127.0.0.2", true}} {
		given := settings()
		given.HostnameVerification, given.ClientHostnameVerification = test.server, test.client
		s, err := NewServer("ssl.", given, slog.Default())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.VerifyPeer(state, &net.TCPAddr{IP: net.ParseIP(test.from), Port: 1}); (err == nil) != test.ok {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

func TestSubjectName(t *testing.T) {
	store, err := Open(config.StoreFile{Location: "testdata/client.p12.pem"})
	if err != nil {
		t.Fatal(err)
	}
	if name, err := SubjectName(store.Chain[0].RawSubject); name != "CN=client-p12" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	if name, err := SubjectName([]byte("\x30\x00x")); err == nil {
		t.Errorf("%q with a byte behind it", name)
	}
}

// TestValidName has samples; compat/tls compares many with Java.
func TestValidName(t *testing.T) {
	valid := []string{"", "CN=bob", "cn=bob,1.2.3=#0401ff", `CN="a,b"`, `CN=\41\,`, "CN=a;O=b", "CN=a+O=b", "CN="}
	for _, text := range slices.Concat(valid, []string{"bob", "X=1", "CN=bob,", `CN=\x`, "CN=#zz", "CN=a<b", `CN="a`}) {
		if got := ValidName(text); got != slices.Contains(valid, text) {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// FuzzName reads names in DER and as text.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"\x30\x0e1\x0c0\x0a\x06\x03U\x04\x03\x0c\x03bob", `CN="a,b"+1.2.3=#0401ff,O=\41\,`, "\x30\x0e1\x0c0\x0a\x06\x03U\x04\x03\x14\x03\xed\xa0\x80"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = ValidName(string(data))
		if name, err := SubjectName(data); err == nil && strings.Contains(name, "\x00") {
			t.Errorf("%x: %q", data, name)
		}
	})
}
