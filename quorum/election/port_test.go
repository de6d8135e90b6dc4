package election

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab/wire"
)

// TestLarger is the rule for a server with a larger sid: its connection is kept, and takes the place of the one before.
func TestLarger(t *testing.T) {
	p := start(t, 2, map[int64]string{3: nobody(t)}, nil)
	c := knock(t, p.addr, hello(3, anywhere))
	c.votes(1)
	p.hears(3, 1)
	p.Notify(3, round(2))
	c.gets(2)

	again := knock(t, p.addr, hello(3, anywhere))
	c.isClosed()
	again.gets(2)
	again.votes(3)
	p.hears(3, 3)
	if !p.Connected(3) || p.Connected(4) {
		t.Errorf("it is connected with 3: %v, and with 4, which nobody knows: %v", p.Connected(3), p.Connected(4))
	}
	_ = again.Close()
	until(t, "the connection has ended", func() bool { return !p.Connected(3) })
}

// TestSmaller is the rule for a server with a smaller sid: it only rings, and is dialled.
func TestSmaller(t *testing.T) {
	one := listen(t)
	p := start(t, 2, map[int64]string{1: one.Addr().String()}, nil)
	p.Notify(1, round(1))
	c, m := answer(t, one)
	if want := []ensemble.Addr{addr(t, p.addr)}; m.SID != 2 || m.Version != wire.InitialV1 || !slices.Equal(m.Addrs, want) {
		t.Fatalf("the initial message is %+v", m)
	}
	c.gets(1)
	c.votes(2)
	p.hears(1, 2)

	// It rings although there is a connection: it has none any more.
	knock(t, p.addr, hello(1, addr(t, one.Addr().String()))).isClosed()
	c.isClosed()
	c, _ = answer(t, one)
	c.gets(1)
	c.votes(3)
	p.hears(1, 3)
}

// TestOldMessage is that of 3.4, the sid alone, from both sides.
func TestOldMessage(t *testing.T) {
	one := listen(t)
	p := start(t, 2, map[int64]string{1: one.Addr().String(), 3: nobody(t)}, nil)
	c := knock(t, p.addr, jute.AppendInt64(nil, 3))
	c.votes(1)
	p.hears(3, 1)
	knock(t, p.addr, jute.AppendInt64(nil, 1)).isClosed()
	answer(t, one)
}

// TestGenericObserver is that observers without a sid get one each, and are heard and answered.
func TestGenericObserver(t *testing.T) {
	p := start(t, 2, nil, nil)
	first := knock(t, p.addr, hello(math.MaxInt64, anywhere))
	first.votes(1)
	p.hears(-1, 1)
	second := knock(t, p.addr, hello(math.MaxInt64, anywhere))
	second.votes(2)
	p.hears(-2, 2)
	p.Notify(-1, round(3))
	p.Notify(-2, round(4))
	first.gets(3)
	second.gets(4)
}

// TestRefused are the greetings that end the connection, and end nothing else.
func TestRefused(t *testing.T) {
	text := func(s string) []byte {
		return jute.AppendString(jute.AppendInt64(jute.AppendInt64(nil, wire.InitialV1), 3), s)
	}
	for name, says := range map[string][]byte{
		"own sid":             hello(2, anywhere),
		"own sid as from 3.4": jute.AppendInt64(nil, 2),
		"negative sid":        hello(-7, anywhere),
		"unknown version":     append(jute.AppendInt64(nil, -65534), make([]byte, 100)...),
		"no address":          text(""),
		"too many addresses":  text(strings.Repeat("x:1|", 600)),
		"no port":             text("localhost"),
		"port of letters":     text("localhost:port"),
		"garbage":             []byte("\xffET / HTTP/1.1\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, 2, map[int64]string{3: nobody(t)}, nil)
			member := knock(t, p.addr, hello(3, anywhere))
			member.votes(1)
			p.hears(3, 1)
			knock(t, p.addr, says).isClosed()
			p.state(func() {
				if len(p.peers) != 1 {
					t.Errorf("%d peers", len(p.peers))
				}
			})
			member.votes(2)
			p.hears(3, 2)
		})
	}
}

// TestSilent is that who is greeted too slowly is closed.
func TestSilent(t *testing.T) {
	p := start(t, 2, nil, func(o *Options) { o.HandshakeTimeout = time.Millisecond })
	knock(t, p.addr, hello(3, anywhere)[:15]).isClosed()
	knock(t, p.addr).isClosed()
	until(t, "the list of greetings is empty", func() (empty bool) {
		p.state(func() { empty = len(p.greetings) == 0 })
		return empty
	})
}

// TestDialBack is where a server that rings is dialled.
func TestDialBack(t *testing.T) {
	for _, test := range []struct {
		name         string
		member, told string // where: "right" is the one that must be dialled, "wrong" must not be
	}{
		{"a member where the config says", "right", "wrong"},
		{"a member where it says itself when nobody is there", "nobody", "right"},
		{"a member that names a wildcard", "right", "wildcard"},
		{"a member that names an unknown host", "right", "unknown"},
		{"a stranger where it says", "", "right"},
	} {
		t.Run(test.name, func(t *testing.T) {
			right, wrong := listen(t), listen(t)
			where := map[string]string{
				"right": right.Addr().String(), "wrong": wrong.Addr().String(), "nobody": nobody(t), "wildcard": "0.0.0.0:1", "unknown": "no.such.host.invalid:1",
			}
			members := map[int64]string{}
			if test.member != "" {
				members[1] = where[test.member]
			}
			p := start(t, 2, members, nil)
			knock(t, p.addr, hello(1, addr(t, where[test.told]))).isClosed()
			c, m := answer(t, right)
			if m.SID != 2 {
				t.Fatalf("the initial message is %+v", m)
			}
			c.votes(1)
			p.hears(1, 1)
			p.Notify(1, round(2))
			c.gets(2)
			if n := len(waiting(t, wrong)); n != 0 {
				t.Error("the other address was dialled too")
			}
		})
	}
}

// TestDialNowhere is that a stranger that names no address is forgotten.
func TestDialNowhere(t *testing.T) {
	p := start(t, 2, nil, nil)
	for _, a := range []ensemble.Addr{anywhere, {Host: "::", Port: 1}, {Host: "", Port: 1}} {
		knock(t, p.addr, hello(1, a)).isClosed()
		p.state(func() {
			if len(p.peers) != 0 {
				t.Errorf("the stranger at %v is still known", a)
			}
		})
	}
	knock(t, p.addr, hello(1, addr(t, nobody(t)))).isClosed()
	until(t, "the stranger that nobody answers for is forgotten", func() (gone bool) {
		p.state(func() { gone = len(p.peers) == 0 })
		return gone
	})
}

// TestUnsent is the queue of one: the newest vote is the one that is sent.
func TestUnsent(t *testing.T) {
	p := start(t, 2, map[int64]string{3: nobody(t)}, nil)
	for n := range int64(5) {
		p.Notify(3, round(n))
	}
	c := knock(t, p.addr, hello(3, anywhere))
	c.gets(4)
	p.Notify(3, round(5))
	c.gets(5)
}

// TestLastAgain is that the last vote is sent again on a new connection, unless there is a newer one.
func TestLastAgain(t *testing.T) {
	p := start(t, 2, map[int64]string{3: nobody(t)}, nil)
	c := knock(t, p.addr, hello(3, anywhere))
	p.Notify(3, round(1))
	c.gets(1)
	for range 3 {
		c.Close()
		c = knock(t, p.addr, hello(3, anywhere))
		c.gets(1)
	}
	c.Close()
	until(t, "the connection is lost", func() (lost bool) {
		p.state(func() { lost = p.peers[3].link == nil })
		return lost
	})
	p.Notify(3, round(2))
	c = knock(t, p.addr, hello(3, anywhere))
	c.gets(2)
}

// TestRing is that a larger server is asked for a connection, and not again before it could answer.
func TestRing(t *testing.T) {
	three := listen(t)
	p := start(t, 2, map[int64]string{3: three.Addr().String()}, nil)
	p.Notify(3, round(1))
	c, m := answer(t, three)
	if m.SID != 2 {
		t.Fatalf("the initial message is %+v", m)
	}
	c.isClosed()
	until(t, "it has rung", func() (done bool) {
		p.state(func() {
			done = !p.peers[3].dialling
			p.peers[3].rang = time.Now().Add(time.Hour) // the pause does not end while the test looks
		})
		return done
	})
	p.Notify(3, round(2))
	p.state(func() {
		pe := p.peers[3]
		if pe.dialling {
			t.Error("rang again at once")
		}
		pe.rang = time.Now().Add(-ringPause)
	})
	p.Notify(3, round(3))
	c, _ = answer(t, three)
	c.isClosed()
	knock(t, p.addr, hello(3, anywhere)).gets(3)
}

// TestOneDial is that there is one dial at a time.
func TestOneDial(t *testing.T) {
	hold := make(chan struct{})
	one := listen(t)
	p := start(t, 2, map[int64]string{1: one.Addr().String()}, func(o *Options) {
		o.Secure = func(conn net.Conn, host string) (net.Conn, error) {
			if host != "" {
				<-hold
			}
			return conn, nil
		}
	})
	for n := range int64(20) {
		p.Notify(1, round(n))
		knock(t, p.addr, hello(1, addr(t, one.Addr().String()))).isClosed()
	}
	close(hold)
	c, _ := answer(t, one)
	c.gets(19)
	if n := len(waiting(t, one)); n != 0 {
		t.Error("there was more than one dial")
	}
}

// TestForgottenDial is that a connection to who is no member any more when it is there is closed, also if the sid has come back.
func TestForgottenDial(t *testing.T) {
	holds := make(chan chan struct{})
	one, other := listen(t), listen(t)
	p := start(t, 2, map[int64]string{1: one.Addr().String()}, func(o *Options) {
		o.Secure = func(conn net.Conn, host string) (net.Conn, error) {
			if host != "" {
				hold := make(chan struct{})
				holds <- hold
				<-hold
			}
			return conn, nil
		}
	})
	p.Notify(1, round(1))
	first := <-holds
	p.Configure(config(t, map[int64]string{2: p.addr, 1: other.Addr().String()}), nil)
	p.Notify(1, round(2))
	second := <-holds
	close(second)
	c, _ := answer(t, other)
	c.gets(2)
	close(first)
	conn, err := one.Accept()
	if err != nil {
		t.Fatal(err)
	}
	newRemote(t, conn).isClosed()
	c.votes(3)
	p.hears(1, 3)
}

// TestSilentCrowd is that connections that say nothing do not keep a member out.
func TestSilentCrowd(t *testing.T) {
	p := start(t, 2, map[int64]string{3: nobody(t)}, func(o *Options) { o.HandshakeTimeout = time.Hour })
	const crowd = 1000
	var silent []*remote
	for range crowd {
		silent = append(silent, knock(t, p.addr))
	}
	c := knock(t, p.addr, hello(3, anywhere))
	c.votes(1)
	p.hears(3, 1)
	p.Notify(3, round(2))
	c.gets(2)
	for _, s := range silent[:crowd-maxGreetings] {
		s.isClosed()
	}
	p.state(func() {
		if len(p.greetings) >= maxGreetings {
			t.Errorf("%d connections wait for their greeting", len(p.greetings))
		}
	})
}

// from is a connection from an address, as far as crowding looks.
type from struct {
	net.Conn
	ip string
}

func (f from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.ip)} }

func TestCrowding(t *testing.T) {
	conns := []net.Conn{from{ip: "10.0.0.1"}, from{ip: "10.0.0.2"}, from{ip: "10.0.0.3"}, from{ip: "10.0.0.2"}, from{ip: "10.0.0.3"}, from{ip: "10.0.0.3"}}
	if i := Crowding(conns); i != 2 {
		t.Errorf("connection %d has to go, want 2", i)
	}
	if i := Crowding(conns[:3]); i != 0 {
		t.Errorf("connection %d has to go, want 0", i)
	}
}

// TestStrangers is that servers that are no members are heard and answered, are few, and displace no member.
func TestStrangers(t *testing.T) {
	p := start(t, 2, map[int64]string{3: nobody(t)}, nil)
	member := knock(t, p.addr, hello(3, anywhere))
	member.votes(1)
	p.hears(3, 1)
	var strangers []*remote
	for i := range int64(2 * maxStrangers) {
		c := knock(t, p.addr, hello(100+i, anywhere))
		c.votes(i)
		p.hears(100+i, i)
		p.Notify(100+i, round(i))
		c.gets(i)
		strangers = append(strangers, c)
	}
	for _, c := range strangers[:maxStrangers] {
		c.isClosed()
	}
	strangers[maxStrangers].votes(77)
	p.hears(100+maxStrangers, 77)
	member.votes(2)
	p.hears(3, 2)
	p.Notify(999, round(1)) // to nobody
	p.state(func() {
		if len(p.peers) != 1+maxStrangers {
			t.Errorf("%d peers", len(p.peers))
		}
	})
	for _, c := range strangers {
		c.Close()
	}
	until(t, "all strangers are forgotten", func() (gone bool) {
		p.state(func() { gone = len(p.peers) == 1 })
		return gone
	})
}

// TestRefuseStrangers is the option that turns them away.
func TestRefuseStrangers(t *testing.T) {
	p := start(t, 2, map[int64]string{3: nobody(t)}, func(o *Options) { o.RefuseStrangers = true })
	for _, sid := range []int64{1, 4, math.MaxInt64} {
		knock(t, p.addr, hello(sid, addr(t, p.addr))).isClosed()
	}
	c := knock(t, p.addr, hello(3, anywhere))
	c.votes(1)
	p.hears(3, 1)
}

// TestMovedMember has a member of a config that does not change ring from elsewhere: it is dialled at an election port, and nobody is at another one.
func TestMovedMember(t *testing.T) {
	home := addr(t, nobody(t))
	p := start(t, 2, map[int64]string{1: home.String()}, func(o *Options) { o.RefuseStrangers = true })
	moved, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", home.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { moved.Close() })
	other := listen(t)
	for _, l := range []net.Listener{other, moved} {
		knock(t, p.addr, hello(1, addr(t, l.Addr().String()))).isClosed()
		if l == moved {
			answer(t, moved)
		}
		until(t, "it is dialled no more", func() (over bool) {
			p.state(func() { over = p.peers[1] == nil || !p.peers[1].dialling })
			return over
		})
	}
	if n := len(waiting(t, other)); n != 0 {
		t.Error("the port of somebody else was dialled")
	}
}

// TestFrames is which frames are dropped, and which end the connection.
func TestFrames(t *testing.T) {
	p := start(t, 2, map[int64]string{3: nobody(t)}, nil)
	frame := func(body []byte) []byte { return append(jute.AppendInt32(nil, int32(len(body))), body...) }
	v := round(9)
	whole := v.AppendFrame(nil)[4:]
	c := knock(t, p.addr, hello(3, anywhere))
	for n, body := range [][]byte{whole[:1], whole[:27], whole[:36], append(slices.Clone(whole[:40]), 0xff, 0xff, 0xff, 0xff), append(slices.Clone(whole[:40]), 0, 0, 1, 0)} {
		c.says(frame(body))
		c.votes(int64(n))
		p.hears(3, int64(n)) // and not the one before
	}
	for _, length := range []int32{0, -1, wire.MaxFrame + 1, math.MaxInt32, math.MinInt32} {
		c := knock(t, p.addr, hello(3, anywhere), jute.AppendInt32(nil, length))
		c.isClosed()
	}
	big := wire.Notification{Round: 5, Config: strings.Repeat("#", wire.MaxFrame-44)}
	c = knock(t, p.addr, hello(3, anywhere))
	c.says(big.AppendFrame(nil))
	p.hears(3, 5)
	p.Notify(3, big)
	c.gets(5)
	big.Config += "#"
	p.Notify(3, big) // cannot be sent
	p.state(func() {
		if pe := p.peers[3]; pe.unsent != nil || len(pe.last) != 4+wire.MaxFrame {
			t.Errorf("a vote of %d bytes is to be sent, behind one of %d", len(pe.unsent), len(pe.last))
		}
	})
	p.Notify(3, round(6))
	c.gets(6)
}

// TestStuck is that who does not read holds up nobody, and is cut off.
func TestStuck(t *testing.T) {
	p := start(t, 2, map[int64]string{3: nobody(t), 4: nobody(t)}, func(o *Options) { o.HandshakeTimeout = time.Second })
	stuck := knock(t, p.addr, hello(3, anywhere))
	stuck.votes(1)
	p.hears(3, 1)
	other := knock(t, p.addr, hello(4, anywhere))
	other.votes(1)
	p.hears(4, 1)
	big := wire.Notification{Config: strings.Repeat("#", wire.MaxFrame-44)}
	for n := int64(1); ; n++ {
		p.Notify(3, big)
		p.Notify(4, round(n))
		other.gets(n)
		cut := false
		p.state(func() { cut = p.peers[3].link == nil })
		if cut {
			break
		}
	}
}

// TestConfigure is what a new config does to connections.
func TestConfigure(t *testing.T) {
	one, moved := listen(t), listen(t)
	p := start(t, 2, map[int64]string{1: one.Addr().String(), 3: nobody(t), 4: nobody(t)}, nil)
	at := func(members map[int64]string) *ensemble.Config {
		members[2] = p.addr
		return config(t, members)
	}
	p.Notify(1, round(1))
	smaller, _ := answer(t, one)
	smaller.gets(1)
	three, four, five := knock(t, p.addr, hello(3, anywhere)), knock(t, p.addr, hello(4, anywhere)), knock(t, p.addr, hello(5, anywhere))
	for sid, c := range map[int64]*remote{3: three, 4: four, 5: five} {
		c.votes(1)
		p.hears(sid, 1)
	}

	// 3 goes, 1 moves, 5 comes; 4 is only in the last seen config.
	committed := map[int64]string{1: moved.Addr().String(), 5: nobody(t)}
	lastSeen := map[int64]string{1: moved.Addr().String(), 4: p.addrs(4)[0].String()}
	p.Configure(at(committed), at(lastSeen))
	three.isClosed()
	smaller.isClosed()
	four.votes(2)
	p.hears(4, 2)
	five.votes(2)
	p.hears(5, 2)

	knock(t, p.addr, hello(1, anywhere)).isClosed()
	smaller, _ = answer(t, moved)
	smaller.gets(1)
	p.Notify(1, round(2))
	smaller.gets(2)
	p.Notify(3, round(3)) // a stranger without a connection
	c := knock(t, p.addr, hello(3, anywhere))
	c.votes(3)
	p.hears(3, 3)
	p.Notify(3, round(4))
	c.gets(4)
}

// TestRebind is that a server follows its own address.
func TestRebind(t *testing.T) {
	three := listen(t)
	p := start(t, 2, map[int64]string{1: nobody(t), 3: three.Addr().String()}, nil)
	for range 2 { // the second time from an address that it bound itself
		old := p.addr
		p.addr = nobody(t)
		p.Configure(config(t, map[int64]string{2: p.addr, 3: three.Addr().String()}), nil)
		until(t, "it listens at the new address", func() bool {
			conn, err := net.Dial("tcp", p.addr)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
		if conn, err := net.Dial("tcp", old); err == nil {
			conn.Close()
			t.Error("it still listens at the old address")
		}
	}
	c := knock(t, p.addr, hello(3, anywhere))
	c.votes(1)
	p.hears(3, 1)
	// Who is removed stays where it is.
	p.Configure(config(t, map[int64]string{3: three.Addr().String()}), nil)
	c.votes(2)
	p.hears(3, 2)
	knock(t, p.addr, hello(3, anywhere)).votes(3)
	p.hears(3, 3)
}

// TestBindRetries is how often an address is tried that somebody else has.
func TestBindRetries(t *testing.T) {
	taken, free := listen(t), listen(t)
	var log bytes.Buffer
	failed := make(chan error, 2)
	open := func(addrs string, retries int) *Port {
		p := newPort(Options{
			SID: 2, BindRetries: retries, BindFailed: func(err error) { failed <- err }, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		}, config(t, map[int64]string{2: addrs}), nil)
		p.bindWait = time.Millisecond
		p.state(p.bind)
		return p
	}
	p := open(taken.Addr().String(), 3)
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "3 attempts") {
		t.Errorf("it failed with %v", err)
	}
	p.Close()
	if n := strings.Count(log.String(), "cannot listen"); n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}

	// One address of two is enough.
	free.Close()
	p = open(taken.Addr().String()+"|"+free.Addr().String(), 1)
	until(t, "it listens", func() bool {
		conn, err := net.Dial("tcp", free.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	until(t, "the other address is given up", func() (done bool) {
		p.state(func() { done = p.listening.left == 1 })
		return done
	})
	p.Close()

	p = open(taken.Addr().String(), 0)
	taken.Close()
	until(t, "it listens at last", func() bool {
		conn, err := net.Dial("tcp", taken.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	p.Close()
	select {
	case err := <-failed:
		t.Errorf("it failed again: %v", err)
	default:
	}
	noneLeft(t)
}

func TestBindAddrs(t *testing.T) {
	for _, test := range []struct {
		own  string
		all  bool
		want string
	}{
		{"a:1", false, "a:1"},
		{"a:1|b:1", true, ":1"},
		{"a:1|a:2", false, "a:1 a:2"},
		{"0.0.0.0:1", false, ":1"},
		{"[::1]:1", false, "[::1]:1"},
		{":1", false, "localhost:1"},
	} {
		var own []ensemble.Addr
		for s := range strings.SplitSeq(test.own, "|") {
			own = append(own, addr(t, s))
		}
		if got := strings.Join(bindAddrs(own, test.all), " "); got != test.want {
			t.Errorf("bindAddrs(%s, %v) = %s, want %s", test.own, test.all, got, test.want)
		}
	}
}

// TestOpenError is that a server must be in its config.
func TestOpenError(t *testing.T) {
	if _, err := Open(Options{SID: 2}, config(t, map[int64]string{1: "a:1"}), nil); err == nil {
		t.Error("opened without an address")
	}
}

// TestTwoPorts is two ports that know only each other, whoever speaks first.
func TestTwoPorts(t *testing.T) {
	for _, first := range []int64{1, 2} {
		a, b := nobody(t), nobody(t)
		c := config(t, map[int64]string{1: a, 2: b})
		ports := make(map[int64]*Port)
		votes := map[int64]chan heard{1: make(chan heard, 10), 2: make(chan heard, 10)}
		for _, sid := range []int64{1, 2} {
			p, err := Open(Options{SID: sid, Heard: func(from int64, vote wire.Notification) { votes[sid] <- heard{from, vote} }}, c, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			ports[sid] = p
			until(t, "it listens", func() (up bool) {
				p.state(func() { up = len(p.listening.listeners) == 1 })
				return up
			})
		}
		second := 3 - first
		ports[first].Notify(second, round(1))
		if h := <-votes[second]; h.from != first || h.vote.Round != 1 {
			t.Fatalf("heard %+v", h)
		}
		ports[second].Notify(first, round(2))
		if h := <-votes[first]; h.from != second || h.vote.Round != 2 {
			t.Fatalf("heard %+v", h)
		}
		var accepted net.Addr
		ports[1].state(func() { accepted = ports[1].peers[2].link.raw.LocalAddr() })
		if accepted.String() != a {
			t.Errorf("with %d first the connection is at %s of the smaller server, want its election address %s", first, accepted, a)
		}
		ports[1].Close()
		ports[2].Close()
	}
	noneLeft(t)
}

// TestMultiAddress is that all addresses are told, and all are tried.
func TestMultiAddress(t *testing.T) {
	one := listen(t)
	p := start(t, 2, map[int64]string{1: nobody(t) + "|" + one.Addr().String() + "|" + nobody(t)}, func(o *Options) { o.MultiAddress = true })
	p.Configure(config(t, map[int64]string{1: nobody(t) + "|" + one.Addr().String(), 2: p.addr + "|" + nobody(t)}), nil)
	p.Notify(1, round(1))
	c, m := answer(t, one)
	if m.Version != wire.InitialV2 || len(m.Addrs) != 2 {
		t.Fatalf("the initial message is %+v", m)
	}
	c.gets(1)

	// One connection is enough.
	other := listen(t)
	conn, host, err := p.connectAny(t.Context(), []ensemble.Addr{addr(t, one.Addr().String()), addr(t, other.Addr().String())})
	if err != nil || host != "127.0.0.1" {
		t.Fatalf("connected to %q: %v", host, err)
	}
	conn.Close()
	for _, c := range append(waiting(t, one), waiting(t, other)...) {
		c.isClosed()
	}

	// More than fit are not told.
	var many []string
	for i := range 300 {
		many = append(many, fmt.Sprintf("host-%d.example:%d", i, 1000+i))
	}
	p.state(func() {
		p.own = config(t, map[int64]string{2: strings.Join(many, "|")}).Servers[0].Election
		b := p.hello()
		if m, err := wire.NewReader(bytes.NewReader(b), 0).InitialMessage(); err != nil || len(m.Addrs) < 90 {
			t.Errorf("%d of 300 addresses are told: %v", len(m.Addrs), err)
		}
	})
}

// TestHandshake is the order in which TLS, the initial message and SASL come, and who they are for.
func TestHandshake(t *testing.T) {
	type step struct {
		what    string
		sid     int64
		host    string
		dialled bool
	}
	steps := make(chan step, 10)
	one, three := listen(t), listen(t)
	var refuse error
	p := start(t, 2, map[int64]string{1: one.Addr().String(), 3: three.Addr().String()}, func(o *Options) {
		o.Secure = func(conn net.Conn, host string) (net.Conn, error) {
			steps <- step{"secure", 0, host, host != ""}
			return conn, nil
		}
		o.Authenticate = func(conn net.Conn, r *wire.Reader, sid int64, dialled bool) error {
			steps <- step{"authenticate", sid, "", dialled}
			if _, err := conn.Write([]byte("who")); err != nil {
				return err
			}
			if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
				return err
			}
			return refuse
		}
	})
	check := func(want step) {
		t.Helper()
		if got := <-steps; got != want {
			t.Fatalf("the step is %+v, want %+v", got, want)
		}
	}
	told := func(c *remote) {
		t.Helper()
		if b, err := io.ReadAll(io.LimitReader(c.r, 3)); string(b) != "who" {
			t.Fatalf("read %q (%v)", b, err)
		}
	}
	p.Notify(1, round(1))
	c, _ := answer(t, one)
	check(step{"secure", 0, "127.0.0.1", true})
	check(step{"authenticate", 1, "", true})
	c.says([]byte("me!"))
	told(c)
	c.gets(1)

	c = knock(t, p.addr, append(hello(3, anywhere), "me!"...)) // read ahead with the message
	check(step{"secure", 0, "", false})
	check(step{"authenticate", 3, "", false})
	told(c)
	c.votes(2)
	p.hears(3, 2)

	refuse = errors.New("nobody we know")
	knock(t, p.addr, hello(3, anywhere), []byte("me!")).isClosed()
	c.votes(3)
	p.hears(3, 3)
}

// TestClose is that nothing is left of connections in any state.
func TestClose(t *testing.T) {
	one, zero := listen(t), listen(t)
	hold := make(chan struct{}, 1)
	p := start(t, 2, map[int64]string{0: zero.Addr().String(), 1: one.Addr().String(), 3: nobody(t)}, func(o *Options) {
		o.HandshakeTimeout = time.Hour
		o.Authenticate = func(conn net.Conn, r *wire.Reader, sid int64, dialled bool) error {
			if sid == 0 {
				hold <- struct{}{}
				_, err := r.AuthNext() // nothing comes
				return err
			}
			return nil
		}
	})
	p.Notify(1, round(1))
	smaller, _ := answer(t, one)
	smaller.gets(1)
	larger := knock(t, p.addr, hello(3, anywhere))
	larger.votes(1)
	p.hears(3, 1)
	p.Notify(0, round(1))
	<-hold
	silent := knock(t, p.addr)
	stranger := knock(t, p.addr, hello(9, anywhere))
	stranger.votes(1)
	p.hears(9, 1)
	p.Close()
	for _, c := range []*remote{smaller, larger, silent, stranger} {
		c.isClosed()
	}
	p.Notify(1, round(2))
	p.Configure(config(t, map[int64]string{2: nobody(t)}), nil)
	p.Close()
	noneLeft(t)
}

// patient is a pipe without deadlines: one whose other end is closed takes none, unlike TCP.
type patient struct{ net.Conn }

func (patient) SetDeadline(time.Time) error      { return nil }
func (patient) SetWriteDeadline(time.Time) error { return nil }

// FuzzGreeting plays whoever connects: what it says is heard if it is a larger server with votes that can be decoded, and harmless otherwise.
func FuzzGreeting(f *testing.F) {
	v := round(7)
	vote := v.AppendFrame(nil)
	for _, sid := range []int64{1, 2, 3, 9, -1, math.MaxInt64} {
		f.Add(append(hello(sid, anywhere), vote...))
		f.Add(append(jute.AppendInt64(nil, sid), vote...))
	}
	f.Add(append(hello(1, ensemble.Addr{Host: "name.example", Port: 1}), vote...))
	f.Add((&wire.InitialMessage{Version: wire.InitialV2, SID: 3, Addrs: []ensemble.Addr{anywhere, anywhere}}).Append(nil))
	f.Add(append(append(hello(3, anywhere), 0, 0, 0, 1, 1), vote...))
	f.Add(append(hello(3, anywhere), 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got []heard
		p := newPort(Options{SID: 2, Heard: func(from int64, vote wire.Notification) { got = append(got, heard{from, vote}) }},
			config(t, map[int64]string{1: "one.example:1", 2: "two.example:1", 3: "three.example:1"}), nil)
		nowhere := errors.New("no network in this test")
		p.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, nowhere }}
		p.dialer.Control = func(string, string, syscall.RawConn) error { return nowhere }
		here, there := net.Pipe()
		p.admit(patient{there})
		here.Write(data) // an error is a refusal
		here.Close()
		p.wg.Wait() // everything ends with the connection
		p.Close()

		var want []heard
		r := wire.NewReader(bytes.NewReader(data), 0)
		if m, err := r.InitialMessage(); err == nil && m.SID > 2 {
			if m.SID == wire.GenericObserver {
				m.SID = -1
			}
			for {
				frame, err := r.Frame()
				if err != nil {
					break
				}
				d := jute.NewDecoder(frame)
				h := heard{from: m.SID}
				if h.vote.Decode(&d); d.Err() == nil {
					want = append(want, h)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("heard %+v, want %+v", got, want)
		}
	})
}
