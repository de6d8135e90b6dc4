package admin

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
	"quoll/tlsconf"
	"quoll/tlsconf/tlstest"
)

const stores = "../tlsconf/testdata/"

// tlsSettings are the stores of the quorum, and those of the port of clients, which is what knows the scheme x509.
var tlsSettings = func() (list []string) {
	for _, prefix := range []string{"ssl.quorum.", "ssl."} {
		list = append(list, prefix+"keyStore.location="+stores+"server.p12", prefix+"keyStore.password=changeit",
			prefix+"trustStore.location="+stores+"trust-clients.p12", prefix+"trustStore.password=changeit")
	}
	return list
}()

// browser is a client that trusts the server, and has a certificate if it is to.
func browser(t *testing.T, certificate bool) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(stores + "server.p12.pem")
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	c.RootCAs.AppendCertsFromPEM(pem)
	if certificate {
		s, err := tlsconf.Open(config.StoreFile{Location: stores + "client.p12", Password: "changeit"})
		if err != nil {
			t.Fatal(err)
		}
		pair, err := s.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: c}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// get is the status, 0 if there is none.
func get(t *testing.T, c *http.Client, url string, headers ...string) (int, http.Header) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := c.Do(r)
	if err != nil {
		return 0, nil
	}
	_ = answer.Body.Close()
	return answer.StatusCode, answer.Header
}

// TestHTTPS has the keys that switch it on, and who may come then.
func TestHTTPS(t *testing.T) {
	for _, test := range []struct {
		settings                  []string
		plain, secure, withoutOne int
		insecure                  int64
		what                      string
	}{
		{nil, 200, 0, 0, 0, "neither key"},
		{[]string{"admin.forceHttps=true"}, 400, 200, 200, 0, "admin.forceHttps"},
		{[]string{"admin.portUnification=true"}, 200, 200, 200, 1, "admin.portUnification"},
		{[]string{"admin.forceHttps=true", "admin.portUnification=true"}, 400, 200, 200, 0, "both"},
		{[]string{"admin.forceHttps=true", "admin.needClientAuth=true"}, 400, 200, 0, 0, "admin.needClientAuth"},
	} {
		a := start(t, append(test.settings, tlsSettings...)...)
		check := func(what string, got, want int) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %s: %d, not %d", test.what, what, got, want)
			}
		}
		plain, _ := get(t, http.DefaultClient, "http://"+a.Addr()+"/commands/ruok")
		check("http", plain, test.plain)
		secure, headers := get(t, browser(t, true), "https://"+a.Addr()+"/commands/ruok")
		check("https", secure, test.secure)
		if got := headers.Get("Strict-Transport-Security"); secure == 200 && got != "max-age=86400; includeSubDomains" {
			t.Errorf("%s: %q", test.what, got)
		}
		withoutOne, _ := get(t, browser(t, false), "https://"+a.Addr()+"/commands/ruok")
		check("https without a certificate", withoutOne, test.withoutOne)
		if n := a.Server.Metrics().InsecureAdmin.Load(); n != test.insecure {
			t.Errorf("%s: insecure_admin_count is %d", test.what, n)
		}
	}
}

// TestHTTPSReloads has new certificates come while the server runs.
func TestHTTPSReloads(t *testing.T) {
	ca := tlstest.New(t, "ca")
	dir := t.TempDir()
	put := func(name string) {
		t.Helper()
		ca.Write(dir+"/new.pem", ca.Store(ca.Issue(name, nil)))
		if err := os.Rename(dir+"/new.pem", dir+"/server.pem"); err != nil {
			t.Fatal(err)
		}
	}
	put("before")
	ca.Write(dir+"/trust.pem", ca.Trust())
	a := start(t, "admin.forceHttps=true", "sslQuorumReloadCertFiles=true", "ssl.quorum.keyStore.location="+dir+"/server.pem", "ssl.quorum.trustStore.location="+dir+"/trust.pem")
	shown := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", a.Addr(), ca.Config())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := shown(); got != "before" {
		t.Fatalf("the certificate is %q", got)
	}
	put("after")
	for end := time.Now().Add(time.Minute); shown() != "after"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the old certificate is still shown")
		}
	}
}

// TestHTTPSNeedsStores has the error of a configuration that asks for HTTPS and has no key.
func TestHTTPSNeedsStores(t *testing.T) {
	a := start(t)
	cfg := *a.Config
	cfg.AdminForceHTTPS = true
	if _, err := Start(Options{Config: &cfg, Server: a.Server, Logger: a.Logger}); err == nil || !strings.Contains(err.Error(), "ssl.quorum.keyStore.location") {
		t.Error(err)
	}
}

// TestCertificateIsAnIdentity has a root that one certificate may do everything with.
func TestCertificateIsAnIdentity(t *testing.T) {
	a := start(t, append(tlsSettings, "admin.forceHttps=true", "admin.needClientAuth=true", "client.portUnification=true", "admin.rateLimiterIntervalInMS=0")...)
	c, err := client.Connect(t.Context(), a.Server.Addr(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for id, want := range map[string]int{"CN=client-p12": 200, "CN=client-jks": 403} {
		acl := []jute.ACL{{Perms: jute.PermAll, Scheme: "x509", ID: id}, {Perms: jute.PermAdmin, Scheme: "world", ID: "anyone"}}
		if _, err := c.SetACL(t.Context(), "/", acl, -1); err != nil {
			t.Fatal(err)
		}
		if got, _ := get(t, browser(t, true), "https://"+a.Addr()+"/commands/snapshot?streaming=false", "Authorization", "x509"); got != want {
			t.Errorf("%s: %d, not %d", id, got, want)
		}
	}
}

// TestUnifiedPortWaitsForNobody has clients of the port that takes both say nothing.
func TestUnifiedPortWaitsForNobody(t *testing.T) {
	a := start(t, append(tlsSettings, "admin.portUnification=true")...)
	for range 20 {
		c, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for _, scheme := range []string{"http", "https"} {
		if got, _ := get(t, browser(t, false), fmt.Sprintf("%s://%s/commands/ruok", scheme, a.Addr())); got != 200 {
			t.Errorf("%s: %d", scheme, got)
		}
	}
}
