package quorum_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quoll/jute"
	"quoll/quorum"
	"quoll/tlsconf/tlstest"
	"quoll/zab"
	"quoll/zab/wire"
)

// portOf is the port that a connection was accepted at, host empty, or dialled.
func portOf(conn net.Conn, host string) int {
	at := conn.LocalAddr()
	if host != "" {
		at = conn.RemoteAddr()
	}
	return at.(*net.TCPAddr).Port
}

// TestCloseAmongSilent closes members while the other side of a connection that is being secured says nothing: on the way to the leader, and to a follower that
// would pass an observer on. Nobody's patience would end in the lifetime of the test.
func TestCloseAmongSilent(t *testing.T) {
	for _, at := range []string{"leader", "follower"} {
		t.Run(at, func(t *testing.T) {
			master := freePort(t)
			c := layOut(t, 4, "initLimit=100000", "syncLimit=100000", fmt.Sprintf("observerMasterPort=%d", master))
			silent := map[int]bool{master: true}
			if at == "leader" {
				for _, m := range c.members {
					silent[m.quorum] = true
				}
			}
			var accepted, dialled atomic.Int64
			c.change = func(o *quorum.Options) {
				o.Secure = func(conn net.Conn, host string) (net.Conn, error) {
					if !silent[portOf(conn, host)] {
						return conn, nil
					}
					if host == "" {
						accepted.Add(1)
					} else {
						dialled.Add(1)
					}
					_, err := conn.Read(make([]byte, 1))
					return nil, err
				}
			}
			if at == "follower" { // which must serve before the observer comes
				for _, m := range c.members[:3] {
					m.start()
				}
				c.leader()
				c.listens(master)
				c.members[3].start()
			} else {
				c.start()
			}
			c.eventually("somebody waits on both sides", func() bool { return accepted.Load() > 0 && dialled.Load() > 0 })
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				for _, m := range c.members {
					m.stop()
				}
			}()
			select {
			case <-closed:
			case <-time.After(patience):
				t.Fatal("a member does not close")
			}
		})
	}
}

// TestCloseBeforeTheResponder closes a member while it waits to hear whether the certificate of another is revoked: the wait ends with the member, and not with its own time.
func TestCloseBeforeTheResponder(t *testing.T) {
	asked, end := make(chan struct{}, 100), make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		asked <- struct{}{}
		select { // it does not answer
		case <-q.Context().Done():
		case <-end:
		}
	}))
	defer web.Close()
	defer close(end)
	a := tlstest.New(t, "authority")
	c := secured(t, 2, a, "sslQuorum=true", "ssl.quorum.ocsp=true")
	m := c.members[0]
	m.start()
	c.listens(m.election)
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", m.election))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	other := tls.Client(conn, a.Config(a.Issue("server-2", func(form *x509.Certificate) { form.OCSPServer = []string{web.URL} })))
	go func() { _ = other.Handshake() }()
	<-asked
	m.stop()
	if log := m.log.String(); strings.Contains(log, "does not answer in time") || !strings.Contains(log, "cannot find out whether it is revoked") {
		t.Error("it has waited for the responder when it was to end")
	}
}

// watched is a connection that calls ended when nothing can be read from it any more.
type watched struct {
	net.Conn
	ended func()
}

func (w watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil {
		w.ended()
	}
	return n, err
}

// TestVotesEndFirst is that a leader which closes has left the elections before its links end: who loses one must not hear that it leads.
func TestVotesEndFirst(t *testing.T) {
	c := layOut(t, 3)
	var closing, links atomic.Bool
	votes, goOn := make(chan struct{}, 100), make(chan struct{})
	c.change = func(o *quorum.Options) {
		o.Secure = func(conn net.Conn, host string) (net.Conn, error) {
			ended := func() {
				if closing.Load() {
					votes <- struct{}{}
					<-goOn
				}
			}
			for _, m := range c.members {
				if portOf(conn, host) == m.quorum {
					ended = func() { links.Store(true) }
				}
			}
			return watched{conn, ended}, nil
		}
	}
	c.start()
	leader := c.leader()
	links.Store(false)
	closing.Store(true)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		leader.stop()
	}()
	<-votes
	time.Sleep(50 * time.Millisecond) // it is not due, however long this takes
	if links.Load() {
		t.Error("a link has ended while votes come in")
	}
	close(goOn)
	<-closed
	c.leader()
}

// listens waits until somebody takes connections at a port.
func (c *cluster) listens(port int) {
	c.t.Helper()
	c.eventually("somebody listens", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// passedOn waits until a follower has passed the observer of the config on. All followers have the same port here, so that it cannot know which one it was.
func (c *cluster) passedOn() {
	c.t.Helper()
	c.eventually("the observer is passed on", func() bool {
		for _, m := range c.members {
			if strings.Contains(m.log.String(), `msg="an observer is passed on to the leader" sid=4 `) {
				return true
			}
		}
		return false
	})
}

// deaf is a connection whose farewell would never be taken.
type deaf struct {
	net.Conn
	t *testing.T
}

func (d deaf) Close() error {
	d.t.Error("a connection is closed with a farewell")
	return d.Conn.Close()
}

// TestSecuredObserver has an observer reach the leader by a follower, in TLS and with authentication on both halves of the way, and only there: no half would do for the
// other. No connection is closed by TLS, which would wait for the other side.
func TestSecuredObserver(t *testing.T) {
	master := freePort(t)
	c := layOut(t, 4, fmt.Sprintf("observerMasterPort=%d", master))
	conf := selfSigned(t)
	const secret = "one word"
	c.change = func(o *quorum.Options) {
		o.Secure = func(conn net.Conn, host string) (net.Conn, error) {
			secured := tls.Server(conn, conf)
			if host != "" {
				secured = tls.Client(conn, conf)
			}
			return deaf{secured, t}, secured.Handshake()
		}
		o.Authenticate = func(conn net.Conn, r *wire.Reader, sid int64, dialled bool) error {
			said := wire.AuthPacket{Token: fmt.Appendf(nil, "%s %v", secret, dialled)}
			if _, err := conn.Write(said.Append(nil)); err != nil {
				return err
			}
			heard, err := r.AuthPacket()
			if want := fmt.Sprintf("%s %v", secret, !dialled); err == nil && string(heard.Token) != want {
				err = fmt.Errorf("%q is not %q", heard.Token, want)
			}
			return err
		}
	}
	for _, m := range c.members[:3] {
		m.start()
	}
	leader := c.leader()
	c.listens(master)
	o := c.members[3]
	o.start()
	c.leader()
	c.passedOn()
	conn := o.dial()
	c.create(conn, "/from-observer", bytes.Repeat([]byte("d"), 100_000))
	if _, err := conn.Sync("/"); err != nil {
		t.Fatal(err)
	}
	c.same()
	leader.stop()
	c.leader()
	c.create(conn, "/again", nil)
	c.same()
}

// selfSigned is the configuration of both sides of a connection.
func selfSigned(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}}, RootCAs: known, ClientCAs: known,
		ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "127.0.0.1"}
}

// TestNoLongGreeting is that who has not said who it is cannot have the server keep what is longer than such a thing can be, at either port.
func TestNoLongGreeting(t *testing.T) {
	c := layOut(t, 2, "initLimit=1000", "syncLimit=1000") // nobody's time ends
	c.change = func(o *quorum.Options) {
		o.Authenticate = func(conn net.Conn, r *wire.Reader, sid int64, dialled bool) error {
			if dialled {
				_, err := conn.Write((&wire.AuthPacket{}).Append(nil))
				return err
			}
			next, err := r.AuthNext()
			if next {
				_, err = r.AuthPacket()
			}
			return err
		}
	}
	c.start()
	leader := c.leader()
	const most = wire.MaxToken
	packet := func(size int) []byte {
		return (&wire.Packet{Type: wire.TypeObserverInfo, Data: make([]byte, size)}).Append(nil)
	}
	token := func(size int) []byte { return (&wire.AuthPacket{Token: make([]byte, size)}).Append(nil) }
	identities := func(n int) []byte {
		return (&wire.Packet{Type: wire.TypeObserverInfo, AuthInfo: make([]jute.ID, n)}).Append(nil)
	}
	hello := (&wire.InitialMessage{SID: int64(3 - leader.id)}).Append(nil)
	for _, said := range []struct {
		what  string
		port  int
		bytes []byte
	}{
		{"a packet", leader.quorum, packet(most + 1)},
		{"identities", leader.quorum, identities(most)},
		{"a token at the quorum port", leader.quorum, token(most + 1)},
		{"a token at the election port", leader.election, append(hello, token(most+1)...)},
	} {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", said.port))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(said.bytes[:len(said.bytes)-1]) // who waits for the last byte has kept the others
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("%s of too many bytes is not refused: %v", said.what, err)
		}
		conn.Close()
	}
}

// stranger is a connection of somebody who is no member and says that it observes.
type stranger struct {
	net.Conn
	closed atomic.Bool
}

func newStranger(t *testing.T, port int, sid int64) *stranger {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &stranger{Conn: conn}
	observe(t, conn, sid)
	go func() {
		_, _ = io.Copy(io.Discard, conn)
		s.closed.Store(true)
	}()
	return s
}

// observe says on a connection that it is an observer's, and waits until the leader answers.
func observe(t *testing.T, conn net.Conn, sid int64) {
	t.Helper()
	info := wire.LearnerInfo{SID: sid, ProtocolVersion: wire.ProtocolVersion}
	hello := wire.Packet{Type: wire.TypeObserverInfo, Data: info.Append(nil)}
	if _, err := conn.Write(hello.Append(nil)); err != nil {
		t.Fatal(err)
	}
	r := wire.NewReader(conn, 1<<20)
	if p, err := r.Packet(); err != nil || p.Type != wire.TypeLeaderInfo {
		t.Fatalf("stranger %d gets %+v, %v", sid, p, err)
	}
}

// TestNoiseOfAStranger has one that is no member send what is ignored, again and again: the log does not have a line for each.
func TestNoiseOfAStranger(t *testing.T) {
	c := newCluster(t, 2, "initLimit=1000", "syncLimit=1000", "reconfigEnabled=true")
	leader := c.leader()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", leader.quorum))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	observe(t, conn, 1000)
	say := func(packets ...wire.Packet) {
		t.Helper()
		var b []byte
		for i := range packets {
			b = packets[i].Append(b)
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	r := wire.NewReader(conn, 1<<20)
	until := func(kind wire.Type) (p wire.Packet) {
		t.Helper()
		for p.Type != kind {
			if p, err = r.Packet(); err != nil {
				t.Fatal(err)
			}
			if p.Type == wire.TypeSnap {
				t.Fatal("it gets a snapshot")
			}
		}
		return p
	}
	ack := wire.AckEpoch{CurrentEpoch: 0}
	say(wire.Packet{Type: wire.TypeAckEpoch, Zxid: leader.peer.Status().Applied, Data: ack.Append(nil)})
	epoch := until(wire.TypeNewLeader).Zxid
	say(wire.Packet{Type: wire.TypeAck, Zxid: epoch})
	until(wire.TypeUpToDate)
	noise := make([]wire.Packet, 10_000)
	for i := range noise {
		noise[i].Type = wire.TypeProposal
	}
	question := jute.AppendInt32(jute.AppendInt64(nil, 9), 4000)
	say(append(noise, wire.Packet{Type: wire.TypeRevalidate, Data: question})...)
	until(wire.TypeRevalidate) // the answer comes when everything before was looked at
	lines := strings.Count(leader.log.String(), "which is ignored")
	if lines == 0 || lines > len(noise)/10 {
		t.Errorf("%d lines about %d packets", lines, len(noise))
	}
}

// TestManyStrangers fills the port of a leader, and that on which a follower passes observers on, with learners that are no members: they are kept up to a number, the newest
// ones, and members and the observers of the config come in all the same.
func TestManyStrangers(t *testing.T) {
	const most = 128
	master := freePort(t)
	for _, at := range []string{"leader", "follower"} {
		t.Run(at, func(t *testing.T) {
			set := []string{"initLimit=1000", "syncLimit=1000", "reconfigEnabled=true"}
			if at == "follower" {
				set = append(set, fmt.Sprintf("observerMasterPort=%d", master))
			}
			c := layOut(t, 4, set...)
			for _, m := range c.members[:2] {
				m.start()
			}
			port := c.leader().quorum
			if at == "follower" {
				port = master // only a follower listens there
			}
			c.listens(port)
			var strangers []*stranger
			for i := range int64(most + 50) {
				strangers = append(strangers, newStranger(t, port, 1000+i))
			}
			c.eventually("the oldest ones have to go", func() bool {
				for i, s := range strangers {
					if s.closed.Load() != (i < 50) {
						return false
					}
				}
				return true
			})
			c.members[2].start()
			c.leader()
			c.members[3].start()
			c.leader()
			if at == "follower" {
				c.passedOn()
			}
			conn := c.members[3].dial()
			c.create(conn, "/among-strangers", nil)
			c.same()
			// Those that say nothing are no more.
			var silent atomic.Int64
			for range 2 * most {
				conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				silent.Add(1)
				go func() {
					_, _ = io.Copy(io.Discard, conn)
					silent.Add(-1)
				}()
			}
			c.eventually("there are as many as may be", func() bool { return silent.Load() == most })
			c.create(conn, "/among-silent", nil)
			c.same()
			for _, m := range c.members {
				if role := m.peer.Status().Role; role == zab.Looking {
					t.Errorf("server %d is %v", m.id, role)
				}
			}
		})
	}
}
