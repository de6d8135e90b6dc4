package quorum_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quoll/config"
	"quoll/quorum"
	"quoll/tlsconf/tlstest"
	"quoll/zab"
)

// secured makes servers that have stores. What is set is for all of them. Who is silent on a connection is not closed for that in the lifetime of the test.
func secured(t *testing.T, n int, a *tlstest.Authority, set ...string) *cluster {
	c := layOut(t, n, append(set, "initLimit=1000", "syncLimit=1000")...)
	for _, m := range c.members {
		a.Write(m.file("key.pem"), a.Store(a.Issue(fmt.Sprint("server-", m.id), nil)))
		a.Write(m.file("trust.pem"), a.Trust())
		m.more = append(m.more, "ssl.quorum.keyStore.location="+m.file("key.pem"), "ssl.quorum.trustStore.location="+m.file("trust.pem"))
	}
	return c
}

func (m *member) file(name string) string { return filepath.Join(m.dir, name) }

// says waits until the log of the member has a text.
func (m *member) says(text string) {
	m.c.t.Helper()
	m.c.eventually(fmt.Sprintf("server %d says %q", m.id, text), func() bool { return strings.Contains(m.log.String(), text) })
}

// refuses is that a port takes no connection with a configuration of TLS, or none in plain text.
func refuses(t *testing.T, port int, conf *tls.Config) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if conf != nil {
		conn = tls.Client(conn, conf)
	}
	_, err = conn.Write([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0}) // the beginning of an initial message; either port waits for more
	if err == nil {
		_, err = conn.Read(make([]byte, 1)) // with TLS 1.3 who connects is done before the other side has seen its certificate
	}
	if err == nil || os.IsTimeout(err) {
		t.Errorf("port %d: %v", port, err)
	}
}

// TestCVE2018_8012 is that nobody joins an ensemble without being asked who it is, where the ensemble wants to know: neither in plain text nor without a certificate of its authority, at any
// of its ports. Without sslQuorum whoever reaches them can join, as with ZooKeeper; docs/security.md says so.
func TestCVE2018_8012(t *testing.T) {
	a, other := tlstest.New(t, "ours"), tlstest.New(t, "other")
	c := secured(t, 3, a, "sslQuorum=true")
	c.start()
	leader := c.leader()
	leader.says("accepting election connections") // it may lead by connections of its own before others can come
	for _, port := range []int{leader.quorum, leader.election} {
		refuses(t, port, nil)
		refuses(t, port, a.Config())
		refuses(t, port, other.Config(other.Issue("server-3", nil)))
	}
}

// TestCVE2026_24281 has a certificate for the name that the server's address has in DNS, which whoever controls that zone can choose: it is refused, and nobody is asked.
func TestCVE2026_24281(t *testing.T) {
	asked := atomic.Int64{}
	usual := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		asked.Add(1)
		return nil, errors.New("not in this test")
	}}
	t.Cleanup(func() { net.DefaultResolver = usual })
	a := tlstest.New(t, "ours")
	c := secured(t, 3, a, "sslQuorum=true", "fips-mode=false", "ssl.quorum.allowReverseDnsLookup=true")
	m := c.members[2]
	a.Write(m.file("key.pem"), a.Store(a.Issue("server-3", func(form *x509.Certificate) { form.IPAddresses, form.DNSNames = nil, []string{"localhost"} })))
	c.start()
	c.eventually("two serve", func() bool { return c.members[0].peer.Status().Serving && c.members[1].peer.Status().Serving })
	c.members[0].says("(CN=server-3; [localhost] []) is for none of 127.0.0.1")
	if m.peer.Status().Serving {
		t.Error("the third serves")
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("DNS was asked %d times", n)
	}
}

// TestSaysWhoIsLetIn has the settings that leave a door open, of which a start speaks.
func TestSaysWhoIsLetIn(t *testing.T) {
	ca := tlstest.New(t, "ours")
	dir := t.TempDir()
	ca.Write(dir+"/key.pem", ca.Store(ca.Issue("server", nil)))
	ca.Write(dir+"/trust.pem", ca.Trust())
	for setting, want := range map[string]string{
		"portUnification=false": "", "ssl.quorum.clientAuth=need": "", "portUnification=true": "without TLS", "ssl.quorum.clientAuth=want": "without a certificate", "ssl.quorum.clientAuth=none": "without a certificate",
	} {
		c, _, err := config.Load(config.Sources{Set: []string{
			"dataDir=" + dir, "initLimit=10", "syncLimit=5", "sslQuorum=true", "fips-mode=false", "ssl.quorum.keyStore.location=" + dir + "/key.pem", "ssl.quorum.trustStore.location=" + dir + "/trust.pem", setting,
		}})
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		if err := quorum.Check(c, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %s", setting, got)
		}
	}
}

// TestTLS has an ensemble with an observer behind a follower speak TLS and nothing else.
func TestTLS(t *testing.T) {
	a := tlstest.New(t, "ours")
	master := freePort(t)
	c := secured(t, 4, a, "sslQuorum=true", "fips-mode=false", fmt.Sprintf("observerMasterPort=%d", master))
	for _, m := range c.members[:3] {
		m.start()
	}
	leader := c.leader()
	c.listens(master)
	c.members[3].start()
	c.leader()
	c.passedOn()
	conn := c.members[3].dial()
	c.create(conn, "/a", make([]byte, 500_000))
	c.same()
	other := tlstest.New(t, "other")
	for _, port := range []int{leader.quorum, leader.election, master} {
		refuses(t, port, nil)
		refuses(t, port, a.Config())
		refuses(t, port, a.Config(other.Issue("x", nil)))
	}
	leader.says("it does not speak TLS, and portUnification is not set")
	leader.stop()
	c.leader()
	c.create(conn, "/b", nil)
	leader.start() // is sent what it has missed
	c.leader()
	c.same()
}

// TestRefusedCertificates has a server with a certificate that does not do, and one that does not know the authority of the others.
func TestRefusedCertificates(t *testing.T) {
	ours, other := tlstest.New(t, "ours"), tlstest.New(t, "other")
	elsewhere := func(form *x509.Certificate) { form.IPAddresses, form.DNSNames = nil, []string{"elsewhere.example"} }
	for name, test := range map[string]struct {
		set     string
		issuer  *tlstest.Authority
		change  func(form *x509.Certificate)
		refused string // what the others say; empty if they take it
	}{
		"other authority": {"fips-mode=true", other, nil, "certificate signed by unknown authority"},
		"expired":         {"fips-mode=true", ours, func(form *x509.Certificate) { form.NotAfter = time.Now().Add(-time.Minute) }, "certificate has expired"},
		"other host":      {"fips-mode=false", ours, elsewhere, "(CN=server-3; [elsewhere.example] []) is for none of 127.0.0.1"},
		"fips":            {"fips-mode=true", ours, elsewhere, ""},
		"not asked for":   {"ssl.quorum.hostnameVerification=false", ours, elsewhere, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := secured(t, 3, ours, "sslQuorum=true", test.set)
			m := c.members[2]
			test.issuer.Write(m.file("key.pem"), test.issuer.Store(test.issuer.Issue("server-3", test.change)))
			c.start()
			if test.refused == "" {
				c.leader()
				m.says("certificates of servers are not compared with hosts")
				return
			}
			c.eventually("two serve", func() bool { return c.members[0].peer.Status().Serving && c.members[1].peer.Status().Serving })
			// The largest id connects to both; and they to it, since they have votes for it.
			for _, o := range c.members[:2] {
				o.says(`msg="a server cannot connect here with TLS"`)
				o.says(test.refused)
				o.says(`cannot open a channel to a server at its election address" sid=3`)
			}
			if s := m.peer.Status(); s.Role != zab.Looking {
				t.Errorf("server 3 is %v", s.Role)
			}
		})
	}
}

// TestClientCertificates is what of a certificate of who connects is looked at, and when.
func TestClientCertificates(t *testing.T) {
	a := tlstest.New(t, "ours")
	elsewhere := func(form *x509.Certificate) { form.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }
	named := func(form *x509.Certificate) { form.IPAddresses, form.DNSNames = nil, []string{"other.member"} }
	for _, test := range []struct {
		set    []string
		change func(form *x509.Certificate) // nil is no certificate
		taken  bool
	}{
		{[]string{"ssl.quorum.clientAuth=none"}, nil, true},
		{[]string{"ssl.quorum.clientAuth=want", "fips-mode=false"}, nil, true},
		{[]string{"ssl.quorum.clientAuth=need"}, nil, false},
		{[]string{"fips-mode=true"}, elsewhere, true},
		{[]string{"fips-mode=false"}, elsewhere, false},
		{[]string{"fips-mode=false"}, named, true}, // no address of this machine, but a member's name
		{[]string{"fips-mode=false", "ssl.quorum.clientHostnameVerification=false"}, elsewhere, true},
	} {
		// Server 2 is not there, but it has a name.
		c := secured(t, 1, a, append(test.set, "sslQuorum=true", "standaloneEnabled=false", "server.2=other.member:1:2:observer")...)
		c.start()
		m := c.leader()
		conf := a.Config()
		if test.change != nil {
			conf = a.Config(a.Issue("x", test.change))
		}
		if !test.taken {
			refuses(t, m.election, conf)
			continue
		}
		conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", m.quorum), conf)
		if err != nil {
			t.Fatalf("%v: %v", test.set, err)
		}
		observe(t, conn, -1)
		conn.Close()
		c.members[0].stop()
	}
}

// TestPortUnification changes an ensemble to TLS, server by server, with a write after each.
func TestPortUnification(t *testing.T) {
	a := tlstest.New(t, "ours")
	c := secured(t, 3, a)
	c.start()
	c.leader()
	conn := c.members[0].dial()
	n := 0
	for _, set := range [][]string{{"portUnification=true"}, {"portUnification=true", "sslQuorum=true"}, {"sslQuorum=true"}} {
		for _, m := range c.members {
			m.stop()
			m.more = append(m.more[:2:2], set...)
			m.start()
			c.leader()
			n++
			c.create(conn, fmt.Sprint("/", n), nil)
		}
	}
	refuses(t, c.leader().quorum, nil)
	c.same()
	for i := range n {
		if found, _, err := conn.Exists(fmt.Sprint("/", i+1)); !found || err != nil {
			t.Errorf("write %d: %v, %v", i+1, found, err)
		}
	}
}

// TestHalfOpen has a thousand connections to each port of a leader begin to speak TLS, or not even that, and go no further: members come, go and write all the same, there are
// no more of these connections than may be, and those that have said nothing go soon.
func TestHalfOpen(t *testing.T) {
	const most = 128
	for name, begin := range map[string]string{"silent": "", "half": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"} {
		t.Run(name, func(t *testing.T) {
			a := tlstest.New(t, "ours")
			c := secured(t, 3, a, "sslQuorum=true", "portUnification=true", "ssl.quorum.handshakeDetectionTimeoutMillis=100000")
			for _, m := range c.members[1:] {
				m.start()
			}
			leader := c.leader()
			var open [2]atomic.Int64
			for i, port := range []int{leader.quorum, leader.election} {
				for range 1000 {
					conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { conn.Close() })
					_, _ = io.WriteString(conn, begin)
					open[i].Add(1)
					go func() {
						_, _ = io.Copy(io.Discard, conn)
						open[i].Add(-1)
					}()
				}
			}
			c.eventually("there are as many as may be", func() bool { return open[0].Load() == most && open[1].Load() == most })
			c.members[0].start()
			c.leader()
			c.create(c.members[0].dial(), "/a", nil)
			c.same()
			c.members[0].stop()
			c.members[0].start()
			c.leader()
			if open[0].Load() < most-2 {
				t.Errorf("%d are left", open[0].Load())
			}
		})
	}
	t.Run("time", func(t *testing.T) {
		c := secured(t, 1, tlstest.New(t, "ours"), "standaloneEnabled=false", "server.2=other.member:1:2:observer", "sslQuorum=true", "ssl.quorum.handshakeDetectionTimeoutMillis=1")
		c.start()
		for _, port := range []int{c.leader().quorum, c.members[0].election} {
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
				t.Errorf("port %d: %v", port, err)
			}
		}
	})
}

// TestReloadCertificates changes the authority of an ensemble that runs: first both are trusted, then all have certificates of the new one, and then the old one is trusted no more.
func TestReloadCertificates(t *testing.T) {
	before, after := tlstest.New(t, "before"), tlstest.New(t, "after")
	c := secured(t, 3, before, "sslQuorum=true", "sslQuorumReloadCertFiles=true")
	c.start()
	leader := c.leader()
	shown := func(m *member) (name string) {
		conf := before.Config()
		conf.RootCAs.AddCert(after.Leaf())
		conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", m.election), conf)
		if err == nil {
			name = conn.ConnectionState().PeerCertificates[0].Issuer.CommonName
			conn.Close()
		}
		return name
	}
	both := append(before.Trust(), after.Trust()...)
	for _, m := range c.members {
		after.Write(m.file("trust.pem"), both)
	}
	reloads := func(n int) {
		t.Helper()
		c.eventually("all have read the stores again", func() bool {
			for _, m := range c.members {
				if strings.Count(m.log.String(), "read the stores of TLS again") < n {
					return false
				}
			}
			return true
		})
	}
	reloads(1)
	for _, m := range c.members {
		after.Write(m.file("key.pem"), after.Store(after.Issue(fmt.Sprint("server-", m.id), nil)))
	}
	for _, m := range c.members {
		c.eventually("it shows the new certificate", func() bool { return shown(m) == "after" })
	}
	for _, m := range c.members {
		after.Write(m.file("trust.pem"), after.Trust())
	}
	reloads(3)
	refuses(t, leader.quorum, before.Config(before.Issue("x", nil)))
	if leader != c.leader() {
		t.Error("the leader has changed")
	}
	leader.stop()
	c.leader()
	leader.start()
	c.leader()
	c.create(leader.dial(), "/a", nil)
	c.same()
}
