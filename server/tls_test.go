package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
	"quoll/tlsconf/tlstest"
)

// clientOf is the configuration of a client, with a certificate of its own if there is a subject.
func clientOf(ca *tlstest.Authority, subject *pkix.Name) *tls.Config {
	if subject == nil {
		return ca.Config()
	}
	return ca.Config(ca.Issue("", func(form *x509.Certificate) { form.Subject = *subject }))
}

// secureServer starts a server whose only port is for TLS, and returns the authority that it trusts and the file of its key.
func secureServer(t testing.TB, settings ...string) (s *Server, ca *tlstest.Authority, keyFile string) {
	t.Helper()
	ca = tlstest.New(t, "ca")
	dir := t.TempDir()
	keyFile = filepath.Join(dir, "key.pem")
	ca.Write(keyFile, ca.Store(ca.Issue("server", nil)))
	trust := filepath.Join(dir, "trust.pem")
	ca.Write(trust, ca.Trust())
	cfg, _, err := config.Load(config.Sources{Set: append([]string{"4lw.commands.whitelist=*", "secureClientPort=0", "ssl.keyStore.location=" + keyFile, "ssl.trustStore.location=" + trust}, settings...)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Config: cfg, InMemory: true}
	if cfg.ClientPortUnification {
		o.Listeners = []net.Listener{l}
	} else {
		o.SecureListener = l
	}
	if s, err = Start(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, ca, keyFile
}

// welcomes reports whether the server answers the request for a session; nil is plain text.
func welcomes(t testing.TB, s *Server, how *tls.Config) bool {
	t.Helper()
	nc, err := net.Dial("tcp", s.SecureAddr()+s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if how != nil {
		nc = tls.Client(nc, how)
	}
	hello := (&jute.ConnectRequest{Timeout: 5000, Password: make([]byte, jute.PasswordLength), HasReadOnly: true}).Append(nil)
	if _, err := nc.Write(append([]byte{0, 0, 0, byte(len(hello))}, hello...)); err != nil {
		return false
	}
	n, err := io.ReadFull(nc, make([]byte, 20))
	if os.IsTimeout(err) {
		t.Fatal("neither an answer nor the end of the connection")
	}
	return n == 20
}

// connectTLS makes a session on the one port there is; nil is plain text.
func connectTLS(t testing.TB, s *Server, how *tls.Config) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	addr := s.SecureAddr() + s.Addr()
	o := client.Options{Timeout: patience}
	if how != nil {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&tls.Dialer{Config: how}).DialContext(ctx, "tcp", addr)
		}
	}
	c, err := client.Connect(ctx, addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// identities are those of the only connection with a session.
func identities(s *Server) []string {
	var ids []string
	for _, c := range s.connections() {
		if c.session.Load() == nil {
			continue
		}
		for _, id := range c.identities() {
			ids = append(ids, id.Scheme+":"+id.ID)
		}
	}
	return ids
}

var bob = pkix.Name{CommonName: "bob", Organization: []string{"My, Inc."}}

const bobsID = `CN=bob,O=My\, Inc.`

// TestClientAuth connects with and without a certificate, to servers that need, want or do not ask for one.
func TestClientAuth(t *testing.T) {
	for _, test := range []struct {
		clientAuth string
		with       string // an identity, or "refused"
		without    bool
	}{{"need", "x509:" + bobsID, false}, {"want", "x509:" + bobsID, true}, {"none", "", true}} {
		t.Run(test.clientAuth, func(t *testing.T) {
			s, ca, _ := secureServer(t, "ssl.clientAuth="+test.clientAuth)
			c := connectTLS(t, s, clientOf(ca, &bob))
			want := []string{"ip:127.0.0.1"}
			if test.with != "" {
				want = append(want, test.with)
			}
			if got := identities(s); !slices.Equal(got, want) {
				t.Errorf("the identities are %q, want %q", got, want)
			}
			c.Close()
			if welcomed := welcomes(t, s, clientOf(ca, nil)); welcomed != test.without {
				t.Errorf("without a certificate: welcomed is %v", welcomed)
			}
			if test.clientAuth == "none" {
				return
			}
			stranger := clientOf(tlstest.New(t, "ca"), &bob) // a client shows nothing to who asks for another name
			stranger.RootCAs = clientOf(ca, nil).RootCAs
			if welcomes(t, s, stranger) {
				t.Error("a certificate of somebody else is accepted")
			}
		})
	}
}

// TestX509 uses the identity in ACLs, as Java's scheme does.
func TestX509(t *testing.T) {
	s, ca, _ := secureServer(t, "X509AuthenticationProvider.superUser=CN=root", "ssl.clientAuth=want")
	c := connectTLS(t, s, clientOf(ca, &bob))
	ctx := t.Context()
	if _, err := c.Create(ctx, "/mine", []byte("x"), []jute.ACL{{Perms: jute.PermAll, Scheme: "auth"}}, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
	acl, _, err := c.GetACL(ctx, "/mine")
	if want := (jute.ACL{Perms: jute.PermAll, Scheme: "x509", ID: bobsID}); err != nil || len(acl) != 1 || acl[0] != want {
		t.Errorf("%+v, %v", acl, err)
	}
	for id, code := range map[string]jute.Code{bobsID: jute.OK, "CN=a;O=b": jute.OK, "bob": jute.ErrInvalidACL, "CN=a<b": jute.ErrInvalidACL} {
		_, err := c.Create(ctx, "/of-"+strings.Map(func(r rune) rune {
			if r < 'A' {
				return '-'
			}
			return r
		}, id), nil, []jute.ACL{{Perms: jute.PermAll, Scheme: "x509", ID: id}}, jute.ModePersistent)
		if got, _ := err.(jute.Code); got != code {
			t.Errorf("an ACL for %q: %v, want %v", id, err, code)
		}
	}
	if err := c.AddAuth(ctx, "x509", nil); err != nil {
		t.Errorf("an auth packet of somebody with a certificate: %v", err)
	}
	if _, _, err := connectTLS(t, s, clientOf(ca, &pkix.Name{CommonName: "eve"})).Get(ctx, "/mine", false); err != jute.ErrNoAuth {
		t.Errorf("another reads it: %v", err)
	}
	if _, _, err := connectTLS(t, s, clientOf(ca, &pkix.Name{CommonName: "root"})).Get(ctx, "/mine", false); err != nil {
		t.Errorf("the super user cannot read it: %v", err)
	}
	nobody := connectTLS(t, s, clientOf(ca, nil))
	if err := nobody.AddAuth(ctx, "x509", nil); err == nil {
		t.Error("an auth packet makes somebody of nobody")
	}
}

// TestEmptySubject is nobody special: not the super user that nobody has configured.
func TestEmptySubject(t *testing.T) {
	s, ca, _ := secureServer(t)
	connectTLS(t, s, clientOf(ca, &pkix.Name{}))
	if got, want := identities(s), []string{"ip:127.0.0.1", "x509:"}; !slices.Equal(got, want) {
		t.Errorf("the identities are %q, want %q", got, want)
	}
}

// TestAddresses refuses a certificate that is not for where its client comes from.
func TestAddresses(t *testing.T) {
	s, ca, _ := secureServer(t, "ssl.clientHostnameVerification=true")
	connectTLS(t, s, clientOf(ca, &bob))
	from := clientOf(ca, &bob)
	nc, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp", s.SecureAddr())
	if err != nil {
		t.Skip("no second address on the loopback interface:", err)
	}
	defer nc.Close()
	if n, err := io.Copy(io.Discard, tls.Client(nc, from)); err != nil && n > 0 {
		t.Error(n, err)
	}
	eventually(t, "a handshake fails", func() bool { return s.stats.authFailed.Load() == 1 })
}

// TestPlainAndSecure speaks plain text and TLS to one port, and plain text to one for TLS.
func TestPlainAndSecure(t *testing.T) {
	s, ca, _ := secureServer(t, "client.portUnification=true", "clientPort=0")
	connectTLS(t, s, clientOf(ca, &bob))
	connectTLS(t, s, nil)
	nc, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := io.WriteString(nc, "ruok"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(nc); string(answer) != "imok" {
		t.Errorf("ruok: %q, %v", answer, err)
	}
	s, _, _ = secureServer(t)
	if welcomes(t, s, nil) {
		t.Error("plain text on the port for TLS")
	}
}

// TestCertReload changes the key of a server under a connection: it goes on, and the next one sees the new certificate.
func TestCertReload(t *testing.T) {
	s, ca, keyFile := secureServer(t, "client.certReload=true")
	c := connectTLS(t, s, clientOf(ca, &bob))
	ca.Write(keyFile, ca.Store(ca.Issue("renewed", nil)))
	eventually(t, "a new connection sees the new certificate", func() bool {
		nc, err := tls.Dial("tcp", s.SecureAddr(), clientOf(ca, &bob))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		return nc.ConnectionState().PeerCertificates[0].Subject.CommonName == "renewed"
	})
	if _, err := c.Create(t.Context(), "/on", nil, client.OpenACL, jute.ModePersistent); err != nil {
		t.Errorf("the old connection: %v", err)
	}
}

// TestPace has more come than may begin: after the first few one begins in the time that one takes, of each turn.
func TestPace(t *testing.T) {
	for _, turns := range []int{1, 4} {
		d, began := &doorstep{turns: make(chan struct{}, turns)}, time.Now()
		now := began
		for range handshakeBurst + 1000*turns {
			now = now.Add(d.pace(now))
		}
		if took := now.Sub(began); took != 1000*handshakeCost {
			t.Errorf("%d turns: %d took %v", turns, handshakeBurst+1000*turns, took)
		}
		now = now.Add(time.Minute)
		for i := range handshakeBurst {
			if wait := d.pace(now); wait != 0 {
				t.Fatalf("%d turns: number %d after a minute waits for %v", turns, i, wait)
			}
		}
		if d.pace(now) == 0 {
			t.Errorf("%d turns: %d at once", turns, handshakeBurst+1)
		}
	}
}

// TestHalfOpen has 10,000 connections hang in their handshakes, many more than there may be, beside a client that works and others that come: the oldest go.
func TestHalfOpen(t *testing.T) {
	s, ca, _ := secureServer(t, "nio.sessionlessCnxnTimeout=600000", "maxClientCnxns=10")
	c := connectTLS(t, s, clientOf(ca, &bob))
	// One client works all the time, first alone and then beside the others. What it notices is in the log of the test; that it is answered is what is asked for.
	worker := connectTLS(t, s, clientOf(ca, &bob))
	p99 := func(until func(n int) bool) time.Duration {
		var took []time.Duration
		for !until(len(took)) {
			began := time.Now()
			if _, err := worker.Exists(t.Context(), "/", false); err != nil {
				t.Error(err)
				return 0
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	alone := p99(func(n int) bool { return n == 20_000 })
	attacked, beside := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		beside <- p99(func(n int) bool {
			select {
			case <-attacked:
				return n > 0
			default:
				return false
			}
		})
	}()
	var hanging []net.Conn
	defer func() {
		for _, nc := range hanging {
			nc.Close()
		}
	}()
	isOpen := func(nc net.Conn) bool {
		if err := nc.SetReadDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		_, err := nc.Read(make([]byte, 1))
		return os.IsTimeout(err)
	}
	for i := range 10_000 {
		nc, err := net.Dial("tcp", s.SecureAddr())
		if err != nil {
			t.Fatal(err)
		}
		hanging = append(hanging, nc)
		// Half of them send the beginning of a hello.
		if i%2 == 0 {
			if _, err := nc.Write([]byte{0x16, 3, 1, 0x10, 0}); err != nil {
				t.Fatal(err)
			}
		}
		if len(hanging) == handshakeLimit+500 {
			// The server is done with the first, whose ends here are in the way of more.
			if _, err := io.ReadAll(hanging[0]); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Fatalf("the oldest is not closed: %v", err)
			}
			for _, nc := range hanging[:400] {
				nc.Close()
			}
			hanging = append([]net.Conn(nil), hanging[400:]...)
		}
		if i%1000 == 500 {
			if _, err := c.Create(t.Context(), "/s-", nil, client.OpenACL, jute.ModePersistentSequential); err != nil {
				t.Fatal(err)
			}
			connectTLS(t, s, clientOf(ca, &bob)).Close()
		}
	}
	close(attacked)
	under := <-beside
	after := p99(func(n int) bool { return n == 20_000 })
	t.Logf("p99 of a client that works: %v alone, %v while 10,000 come that do not end their handshakes, out of this process too, %v while %d of them hang", alone, under, after, handshakeLimit)
	eventually(t, "the handshakes are as many as may be", func() bool { return s.doorstep.count() == handshakeLimit })
	if !isOpen(hanging[len(hanging)-1]) {
		t.Error("the newest is not open")
	}
}

// TestHandshakeRation ends a handshake in which the client sends on and on.
func TestHandshakeRation(t *testing.T) {
	s, _, _ := secureServer(t)
	nc, err := net.Dial("tcp", s.SecureAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// Records of a handshake message of the greatest length that crypto/tls takes for a certificate.
	record := append([]byte{0x16, 3, 1, 0x40, 0}, make([]byte, 0x4000)...)
	copy(record[5:], []byte{1, 0, 0xff, 0xff})
	sent := 0
	for ; sent < 4*handshakeBytes; sent += len(record) {
		if _, err := nc.Write(record); err != nil {
			break
		}
	}
	eventually(t, "the handshake fails", func() bool { return s.doorstep.count() == 0 })
	a, b := net.Pipe()
	defer a.Close()
	go func() {
		_, _ = a.Write(make([]byte, handshakeBytes+1))
		a.Close()
	}()
	turns := make(chan struct{}, 1)
	turns <- struct{}{}
	if n, err := io.Copy(io.Discard, &rationed{Conn: b, left: handshakeBytes, turns: turns}); n != handshakeBytes || err != errLongHandshake {
		t.Errorf("%d bytes, %v", n, err)
	}
	if len(turns) != 1 {
		t.Error("the turn is not taken again after the end")
	}
	b.Close()
}

// FuzzHello sends bytes to a port that takes plain text and TLS. A good client must go on.
func FuzzHello(f *testing.F) {
	s, ca, _ := secureServer(f, "client.portUnification=true", "clientPort=0", "maxClientCnxns=0")
	good := connectTLS(f, s, clientOf(ca, &bob))
	near, far := net.Pipe()
	hello := make(chan []byte, 1)
	go func() {
		b := make([]byte, 4096)
		n, _ := far.Read(b)
		hello <- b[:n]
		far.Close()
	}()
	_ = tls.Client(near, clientOf(ca, &bob)).Handshake() // fails, as far is closed
	f.Add(<-hello)
	f.Add([]byte{0x16, 3, 1, 0xff, 0xff})
	f.Add([]byte("ruok"))
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := net.Pipe()
		defer near.Close()
		s.doorstep.take(far, unified)
		go func() { _, _ = io.Copy(io.Discard, near) }()
		_ = near.SetDeadline(time.Now().Add(patience))
		_, _ = near.Write(data)
		if err := good.Sync(context.Background(), "/"); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLookUp: a client whose certificate is looked up elsewhere is not in the way of others, however long that takes.
func TestLookUp(t *testing.T) {
	s, ca, _ := secureServer(t, "ssl.protocol=TLSv1.2") // whose handshake ends for the client when it does for the server
	looked, found := make(chan struct{}), make(chan struct{})
	d := &doorstep{s: s, tls: s.doorstep.tls, limit: handshakeLimit, turns: make(chan struct{}, 1)}
	// In place of what ssl.crl puts there.
	d.tls.Config().VerifyConnection = func(state tls.ConnectionState) error {
		if state.PeerCertificates[0].Subject.CommonName == "slow" {
			close(looked)
			<-found
		}
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	come := func(name string) <-chan error {
		shakes := make(chan error, 1)
		config := clientOf(ca, &pkix.Name{CommonName: name})
		go func() {
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", l.Addr().String(), config)
			if err == nil {
				conn.Close()
			}
			shakes <- err
		}()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go d.take(conn, secure)
		return shakes
	}
	slow := come("slow")
	<-looked
	if err := <-come("quick"); err != nil {
		t.Errorf("while another is looked up: %v", err)
	}
	close(found)
	if err := <-slow; err != nil {
		t.Errorf("who was looked up: %v", err)
	}
}
