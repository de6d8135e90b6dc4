// Package election_test lets the election port of package quorum/election exchange votes with Apache ZooKeeper.
package election_test

import (
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quoll/compat/peer"
	"quoll/ensemble"
	"quoll/quorum/election"
	"quoll/zab/wire"
)

// patience ends every wait, whatever the load of the machine.
const patience = 2 * time.Minute

// voters are so many that two of them elect nobody.
var voters = []int64{1, 2, 3, 4, 5}

// members is a config of five voters and maybe an observer on free ports.
func members(t *testing.T, observers ...int64) *ensemble.Config {
	t.Helper()
	var lines []string
	for _, sid := range slices.Concat(voters, observers) {
		role := ensemble.Participant
		if slices.Contains(observers, sid) {
			role = ensemble.Observer
		}
		var ports [2]int
		for i := range ports {
			var err error
			if ports[i], err = peer.FreePort(); err != nil {
				t.Fatal(err)
			}
		}
		lines = append(lines, fmt.Sprintf("server.%d=127.0.0.1:%d:%d:%v", sid, ports[0], ports[1], role))
	}
	c, err := ensemble.Parse(strings.Join(lines, "\n") + "\nversion=0")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// java starts a member of the ensemble that is Apache ZooKeeper, with JVM flags. It looks for a leader and finds none.
func java(t *testing.T, c *ensemble.Config, sid int64, flags ...string) *peer.Process {
	t.Helper()
	classpath, err := peer.Classpath("zookeeper")
	peer.Check(t, err)
	dir := t.TempDir()
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{
		"tickTime=2000", "initLimit=10", "syncLimit=5", "admin.enableServer=false",
		"dataDir=" + dir, "clientPort=" + strconv.Itoa(port), "clientPortAddress=127.0.0.1",
	}
	for _, s := range c.Servers {
		lines = append(lines, fmt.Sprintf("server.%d=%v", s.ID, &s))
	}
	cfg := filepath.Join(dir, "zoo.cfg")
	for name, text := range map[string]string{cfg: strings.Join(lines, "\n"), filepath.Join(dir, "myid"): strconv.FormatInt(sid, 10)} {
		if err := os.WriteFile(name, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := &peer.Process{
		Args:    slices.Concat([]string{"java", "-Xmx128m"}, flags, []string{"-cp", classpath, "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg}),
		Dir:     dir,
		LogPath: filepath.Join(dir, "java.log"),
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		peer.ShowLog(t, "java", p)
	})
	return p
}

type heard struct {
	from int64
	vote wire.Notification
}

// port is quoll's election port with all that happens at it.
type port struct {
	*election.Port
	t     *testing.T
	votes chan heard

	mu    sync.Mutex
	conns []*conn
}

// conn is a connection that counts.
type conn struct {
	net.Conn
	dialled bool
	mu      sync.Mutex
	read    int
	closed  bool // by either side
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read += n
	c.closed = c.closed || err != nil
	return n, err
}

func open(t *testing.T, c *ensemble.Config, sid int64, multiAddress bool) *port {
	t.Helper()
	p := &port{t: t, votes: make(chan heard, 1000)}
	var err error
	p.Port, err = election.Open(election.Options{
		SID: sid, MultiAddress: multiAddress,
		Heard: func(from int64, vote wire.Notification) { p.votes <- heard{from, vote} },
		Secure: func(raw net.Conn, host string) (net.Conn, error) {
			c := &conn{Conn: raw, dialled: host != ""}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.conns = append(p.conns, c)
			return c, nil
		},
	}, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// hears waits for a vote of the server for the leader.
func (p *port) hears(from, leader int64) wire.Notification {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case h := <-p.votes:
			if h.from != from {
				p.t.Fatalf("heard %+v from %d", h.vote, h.from)
			}
			if h.vote.Leader == leader {
				return h.vote
			}
		case <-timeout:
			p.t.Fatalf("no vote of %d for %d", from, leader)
		}
	}
}

// kept waits until votes came over one connection that is still open, and fails if that one, or any that brought votes, was opened by the wrong side.
func (p *port) kept(dialled bool) {
	p.t.Helper()
	const doorbell = 100 // bytes; an initial message has less and a vote more
	var open int
	poll(p.t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		open = 0
		for _, c := range p.conns {
			c.mu.Lock()
			if c.read > doorbell && c.dialled != dialled {
				p.t.Error("votes came over a connection of the wrong side")
			}
			if c.read > doorbell && !c.closed {
				open++
			}
			c.mu.Unlock()
		}
		return open == 1
	}, func() string { return fmt.Sprintf("%d connections are open", open) })
}

// vote is one for a leader with a long history, in the first round as of a server that has just started.
func vote(c *ensemble.Config, leader int64) wire.Notification {
	return wire.Notification{Leader: leader, Zxid: 0x100000007, PeerEpoch: 1, Round: 1, Config: c.String()}
}

// TestLarger is quoll with the larger sid: Java rings, is dialled, is heard and takes over a better vote; and after a restart again, by the vote that was sent last.
func TestLarger(t *testing.T) {
	peer.RequireJVM(t)
	c := members(t)
	p := open(t, c, 5, false)
	s := java(t, c, 2)
	first := p.hears(2, 2)
	if first.State != 0 || first.Round != 1 || first.Version != wire.NotificationVersion || first.Config == "" {
		t.Errorf("the first vote is %+v", first)
	}
	p.Notify(2, vote(c, 4))
	p.hears(2, 4)
	p.kept(true)

	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	p.hears(2, 2)
	p.hears(2, 4)
	p.kept(true)
}

// TestSmaller is quoll with the smaller sid: it rings, with both versions of the message, and Java, which had given up for a minute, connects.
func TestSmaller(t *testing.T) {
	peer.RequireJVM(t)
	for _, multiAddress := range []bool{false, true} {
		t.Run(fmt.Sprintf("multiAddress=%v", multiAddress), func(t *testing.T) {
			c := members(t)
			s := java(t, c, 5, "-Dzookeeper.fastleader.minNotificationInterval=60000")
			logs(t, s, "Cannot open channel to 2 ")
			logs(t, s, "accepting connections now")
			p := open(t, c, 2, multiAddress)
			p.Notify(5, vote(c, 4))
			p.hears(5, 5)
			p.hears(5, 4)
			p.kept(false)
			p.Notify(5, vote(c, 3)) // smaller: Java says nothing, and stays
			better := vote(c, 1)
			better.Zxid++
			p.Notify(5, better)
			p.hears(5, 1)
			p.kept(false)
		})
	}
}

// TestStranger is a Java server that is in no config of quoll's and has the smaller sid: it is dialled where it says that it is.
func TestStranger(t *testing.T) {
	peer.RequireJVM(t)
	c := members(t)
	known := without(t, c, 1)
	p := open(t, known, 3, false)
	java(t, c, 1)
	p.hears(1, 1)
	p.Notify(1, vote(known, 4))
	p.hears(1, 4)
	p.kept(true)
}

// TestGenericObserver is a Java observer without a sid of its own, which is in nobody's config but its own.
func TestGenericObserver(t *testing.T) {
	peer.RequireJVM(t)
	c := members(t, math.MaxInt64)
	known := without(t, c, math.MaxInt64)
	p := open(t, known, 3, false)
	java(t, c, math.MaxInt64)
	p.hears(-1, math.MinInt64)
	p.Notify(-1, vote(known, 4))
	p.hears(-1, 4)
	p.kept(false)
}

// without is the config without a member.
func without(t *testing.T, c *ensemble.Config, sid int64) *ensemble.Config {
	t.Helper()
	var lines []string
	for _, s := range c.Servers {
		if s.ID != sid {
			lines = append(lines, fmt.Sprintf("server.%d=%v", s.ID, &s))
		}
	}
	rest, err := ensemble.Parse(strings.Join(lines, "\n") + "\nversion=0")
	if err != nil {
		t.Fatal(err)
	}
	return rest
}

// logs waits until the process has logged something.
func logs(t *testing.T, p *peer.Process, text string) {
	t.Helper()
	poll(t, func() bool { return strings.Contains(p.Log(), text) }, func() string { return "the process has not logged " + strconv.Quote(text) })
}

// poll waits for a condition, and fails with the state if it does not come.
func poll(t *testing.T, ok func() bool, state func() string) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatal(state())
		}
	}
}
