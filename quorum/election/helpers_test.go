package election

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab/wire"
)

// patience ends every wait of these tests, whatever the load of the machine.
const patience = 20 * time.Second

type heard struct {
	from int64
	vote wire.Notification
}

// running is a port under test with what it heard.
type running struct {
	*Port
	t     *testing.T
	addr  string
	votes chan heard
}

// start opens a port on a listener of its own; its config has the other members at the given addresses.
func start(t *testing.T, sid int64, members map[int64]string, change func(*Options)) *running {
	t.Helper()
	l := listen(t)
	p := &running{t: t, addr: l.Addr().String(), votes: make(chan heard, 1000)}
	all := map[int64]string{sid: p.addr}
	for other, addr := range members {
		all[other] = addr
	}
	opts := Options{SID: sid, Listeners: []net.Listener{l}, Heard: func(from int64, vote wire.Notification) { p.votes <- heard{from, vote} }}
	if change != nil {
		change(&opts)
	}
	var err error
	if p.Port, err = Open(opts, config(t, all), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// hears waits for the next vote and fails if it is another one.
func (p *running) hears(from, round int64) {
	p.t.Helper()
	select {
	case h := <-p.votes:
		if h.from != from || h.vote.Round != round {
			p.t.Fatalf("heard round %d from %d, want round %d from %d", h.vote.Round, h.from, round, from)
		}
	case <-time.After(patience):
		p.t.Fatalf("nothing heard, want round %d from %d", round, from)
	}
}

// state calls f with the port's lock held.
func (p *Port) state(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// nobody returns an address at which nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l := listen(t)
	l.Close()
	return l.Addr().String()
}

func addr(t *testing.T, s string) ensemble.Addr {
	t.Helper()
	a, err := ensemble.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// config is that of the members; an address may be several, with "|" between them.
func config(t *testing.T, members map[int64]string) *ensemble.Config {
	t.Helper()
	var lines []string
	for sid, addrs := range members {
		var servers []string
		for a := range strings.SplitSeq(addrs, "|") {
			host, port, err := net.SplitHostPort(a)
			if err != nil {
				t.Fatal(err)
			}
			servers = append(servers, fmt.Sprintf("%s:2:%s", host, port))
		}
		lines = append(lines, fmt.Sprintf("server.%d=%s", sid, strings.Join(servers, "|")))
	}
	c, err := ensemble.Parse(strings.Join(lines, "\n") + "\nversion=1")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func round(n int64) wire.Notification { return wire.Notification{Leader: 1, Round: n} }

func hello(sid int64, addrs ...ensemble.Addr) []byte {
	return (&wire.InitialMessage{Version: wire.InitialV1, SID: sid, Addrs: addrs}).Append(nil)
}

var anywhere = ensemble.Addr{Host: "0.0.0.0", Port: 3888}

// remote is the other end of a connection, played by a test.
type remote struct {
	net.Conn
	t *testing.T
	r *wire.Reader
}

func newRemote(t *testing.T, conn net.Conn) *remote {
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return &remote{conn, t, wire.NewReader(conn, wire.MaxToken)}
}

// knock connects to a port and says something.
func knock(t *testing.T, addr string, says ...[]byte) *remote {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	c := newRemote(t, conn)
	for _, b := range says {
		c.says(b)
	}
	return c
}

// answer takes a connection and the initial message that comes with it.
func answer(t *testing.T, l net.Listener) (*remote, wire.InitialMessage) {
	t.Helper()
	l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := newRemote(t, conn)
	m, err := c.r.InitialMessage()
	if err != nil {
		t.Fatalf("initial message: %v", err)
	}
	return c, m
}

// waiting returns the connections that wait to be accepted.
func waiting(t *testing.T, l net.Listener) (list []*remote) {
	t.Helper()
	last := knock(t, l.Addr().String())
	for {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if conn.RemoteAddr().String() == last.LocalAddr().String() {
			conn.Close()
			return list
		}
		list = append(list, newRemote(t, conn))
	}
}

func (c *remote) says(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *remote) votes(n int64) {
	c.t.Helper()
	v := round(n)
	c.says(v.AppendFrame(nil))
}

// gets reads the next vote and fails if it is another one.
func (c *remote) gets(n int64) {
	c.t.Helper()
	frame, err := c.r.Frame()
	if err != nil {
		c.t.Fatalf("reading the vote of round %d: %v", n, err)
	}
	d := jute.NewDecoder(frame)
	var v wire.Notification
	if v.Decode(&d); d.Err() != nil || v.Round != n {
		c.t.Fatalf("got %+v (%v), want round %d", v, d.Err(), n)
	}
}

// isClosed waits until the other side has closed.
func (c *remote) isClosed() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.r); errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatal("the connection is still open")
	}
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("still waiting until %s", what)
		}
		runtime.Gosched()
	}
}

// noneLeft fails if goroutines of this package are still there.
func noneLeft(t *testing.T) {
	t.Helper()
	stacks := func() string {
		b := make([]byte, 1<<20)
		var left []string
		for s := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
			if strings.Contains(s, "quorum/election.(*") && !strings.Contains(s, "testing.tRunner") {
				left = append(left, s)
			}
		}
		return strings.Join(left, "\n\n")
	}
	var left string
	defer func() {
		if left != "" {
			t.Log(left)
		}
	}()
	until(t, "all goroutines have ended", func() bool {
		left = stacks()
		return left == ""
	})
}
