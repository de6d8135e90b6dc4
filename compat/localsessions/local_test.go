package localsessions_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"quoll/compat/peer"
	"quoll/jute"
)

// compare fails where two transcripts differ.
func compare(t *testing.T, who string, want, have []string) {
	t.Helper()
	for i := range max(len(want), len(have)) {
		a, b := "nothing", "nothing"
		if i < len(want) {
			a = want[i]
		}
		if i < len(have) {
			b = have[i]
		}
		if a != b {
			t.Errorf("%s, line %d:\n java: %s\n here: %s", who, i+1, a, b)
		}
	}
	if len(want) == 0 {
		t.Error("nothing was played")
	}
}

// sessions plays what sessions may do and how they end, through one server, while others know it is the home of nothing.
func sessions(w *world, at, other int) []string {
	p := &play{world: w}
	dir := fmt.Sprintf("/%d-", at)
	a := p.connect("a", at, jute.ConnectRequest{})
	// What a local session may write.
	a.ask(ping)
	a.ask(one(jute.OpCreate, dir+"p", 0), one(jute.OpSetData, dir+"p", 0))
	a.ask(one(jute.OpGetData, dir+"p", 0), one(jute.OpCreateContainer, dir+"c", 0), sync)
	a.ask(multi(op(jute.OpCheck, dir+"p", 0), op(jute.OpCreate, dir+"q", 0)))
	a.ask(multi(op(jute.OpCreate, dir+"r", 0), op(jute.OpCreate, dir+"p", 0)))
	a.ask(one(jute.OpCreateContainer, dir+"x", jute.ModeEphemeral))
	a.ask(one(jute.OpCreate, dir+"x", 9), one(jute.OpCreate, dir+"p", 0))
	// Its reconnects.
	p.connect("elsewhere", other, jute.ConnectRequest{SessionID: a.id, Password: a.password})
	a.ask(ping)
	b := a.again("b", at)
	p.say("the older connection is %s", rest(a.RawConn))
	b.ask(one(jute.OpDelete, dir+"q", 0))
	// Its end, with requests before and behind it.
	b.ask(one(jute.OpCreate, dir+"before", 0), end)
	p.say("then it is %s", rest(b.RawConn))
	b.again("b", at)
	w1 := p.connect("w", at, jute.ConnectRequest{})
	p.connect("wrong", at, jute.ConnectRequest{SessionID: w1.id, Password: make([]byte, 16)})
	c := p.connect("c", at, jute.ConnectRequest{})
	c.ask(ping)
	c.ask(end)
	p.say("then it is %s", rest(c.RawConn))

	// What makes it a global one, or cannot.
	d := p.connect("d", at, jute.ConnectRequest{})
	d.ask(multi(op(jute.OpCheck, dir+"p", 0), op(jute.OpCreate2, dir+"e0", jute.ModeEphemeral), op(jute.OpCreate, dir+"y", 0)))
	d.ask(one(jute.OpCreate, dir+"e1", jute.ModeEphemeral), one(jute.OpCreate2, dir+"e2", jute.ModeEphemeralSequential), one(jute.OpExists, dir+"e1", 0), ping)
	d.ask(one(jute.OpCreate, dir+"e3", jute.ModeEphemeral), one(jute.OpCreate, dir+"p3", 0))
	d.ask(one(jute.OpCreateContainer, dir+"x", jute.ModeEphemeral))
	e := p.connect("e", at, jute.ConnectRequest{})
	e.ask(one(jute.OpCreate, dir+"e4", jute.ModeEphemeral), end)
	p.say("then it is %s", rest(e.RawConn))
	e.again("e", at)
	f := p.connect("f", at, jute.ConnectRequest{})
	f.ask(one(jute.OpExists, dir+"e1", 0), one(jute.OpExists, dir+"e4", 0), ping)

	// A move to another server, if it is global by now.
	g := d.again("d2", other)
	d.ask(ping)
	if g.RawConn != nil {
		g.ask(sync, one(jute.OpCreate, dir+"e5", jute.ModeEphemeral))
		switch at {
		case 3:
			p.say("the older connection is %s", rest(d.RawConn))
		default:
			f.ask(sync) // which of this server's clients it is does not matter
			d.ask(one(jute.OpExists, dir+"e1", 0))
			d.ask(one(jute.OpCreate, dir+"moved", 0))
			p.say("the older connection is %s", rest(d.RawConn))
		}
		g.ask(sync) // what the other server has answered may not have come here yet, wherever that is
		g.ask(one(jute.OpExists, dir+"moved", 0))
		h := g.again("d3", at)
		h.ask(sync)
		if other == 3 {
			g.ask(ping) // a leader looks for whose the session is with every request
		} else {
			g.ask(multi(op(jute.OpCreate, dir+"moved", 0)))
		}
		p.say("the older connection is %s", rest(g.RawConn))
		h.ask(sync)
		h.ask(one(jute.OpExists, dir+"moved", 0), one(jute.OpDelete, dir+"e1", 0), one(jute.OpExists, dir+"e2", 0), end)
		p.say("then it is %s", rest(h.RawConn))
		f.ask(one(jute.OpExists, dir+"e3", 0))
	}

	// Silence.
	for _, q := range []struct{ name, path string }{{"i", ""}, {"j", dir + "e6"}} {
		left := w.sessions(at)
		s := p.connect(q.name, at, jute.ConnectRequest{Timeout: int32(silence.Milliseconds())})
		if q.path != "" {
			s.ask(one(jute.OpCreate, q.path, jute.ModeEphemeral))
		}
		p.say("after a silence it is %s", rest(s.RawConn))
		s.gone(at, left)
		f.ask(sync, ping)
		if q.path != "" {
			f.ask(one(jute.OpExists, q.path, 0))
		}
	}
	for _, key := range []string{"zk_local_sessions", "zk_global_sessions"} {
		p.say("%s", line(w.word(at, "mntr"), key+"\t"))
	}
	f.ask(end)
	for _, key := range []string{"zk_local_sessions", "zk_global_sessions"} {
		p.say("%s", line(w.word(at, "mntr"), key+"\t"))
	}
	return p.lines
}

// ensembles are who is server 1, 2 and 3.
var ensembles = []string{"java java java", "quoll quoll quoll", "quoll java java", "java quoll quoll"}

func TestLocalSessions(t *testing.T) {
	peer.RequireJVM(t)
	on := []string{"localSessionsEnabled=true"}
	for name, config := range map[string][]string{
		"global": nil, "local": on, "upgrading": append(slices.Clone(on), "localSessionsUpgradingEnabled=true"),
	} {
		t.Run(name, func(t *testing.T) {
			want := map[int][]string{}
			for _, kinds := range ensembles {
				t.Run(strings.ReplaceAll(kinds, " ", ","), func(t *testing.T) {
					w := newWorld(t, kinds, config, nil)
					w.startAll()
					for _, at := range []int{1, 3} {
						have := sessions(w, at, 4-at)
						if want[at] == nil {
							want[at] = have
							t.Logf("through server %d:\n%s", at, strings.Join(have, "\n"))
							continue
						}
						compare(t, fmt.Sprintf("through server %d", at), want[at], have)
					}
				})
			}
		})
	}
}

// TestStandalone is a server alone, which does not care about the setting.
func TestStandalone(t *testing.T) {
	var want []string
	peer.Each(t, peer.Options{Config: []string{"localSessionsEnabled=true", "4lw.commands.whitelist=*", "tickTime=500"}}, func(t *testing.T, s *peer.Server) {
		w := &world{t: t}
		w.addrs[1] = s.Addr()
		p := &play{world: w}
		a := p.connect("a", 1, jute.ConnectRequest{})
		a.ask(ping)
		a.ask(one(jute.OpCreate, "/e", jute.ModeEphemeral), one(jute.OpCreate, "/p", 0), sync)
		b := p.connect("b", 1, jute.ConnectRequest{})
		b.ask(ping, end)
		a.ask(ping)
		for _, key := range []string{"zk_local_sessions", "zk_global_sessions"} {
			p.say("%s", line(w.word(1, "mntr"), key+"\t"))
		}
		if want == nil {
			want = p.lines
			t.Log(strings.Join(want, "\n"))
			return
		}
		compare(t, "alone", want, p.lines)
	})
}

// TestLeaderServes is an ensemble whose leader takes no clients.
func TestLeaderServes(t *testing.T) {
	peer.RequireJVM(t)
	var want []string
	for _, kinds := range ensembles[:2] {
		t.Run(strings.ReplaceAll(kinds, " ", ","), func(t *testing.T) {
			w := newWorld(t, kinds, nil, []string{"-Dzookeeper.leaderServes=no"})
			w.startAll()
			p := &play{world: w}
			p.connect("a", 3, jute.ConnectRequest{})
			p.connect("a", 3, jute.ConnectRequest{ReadOnly: true})
			for _, word := range []string{"ruok", "srvr", "stat", "mntr", "isro", "conf", "cons", "dump", "dirs", "wchs", "hash", "crst", "srst", "gtmk"} {
				p.say("%s: %q", word, w.word(3, word))
			}
			b := p.connect("b", 1, jute.ConnectRequest{})
			b.ask(ping, one(jute.OpCreate, "/a", 0), sync)
			if want == nil {
				want = p.lines
				t.Log(strings.Join(want, "\n"))
				return
			}
			compare(t, "leaderServes=no", want, p.lines)
		})
	}
}
