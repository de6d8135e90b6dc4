package localsessions_test

import (
	"strings"
	"testing"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// readOnly plays what a server does that has lost its quorum. before has a client of that server from the time when it had one.
func readOnly(w *world, at int, others ...int) []string {
	p := &play{world: w}
	before := p.connect("before", at, jute.ConnectRequest{ReadOnly: true})
	before.ask(one(jute.OpCreate, "/p", 0), one(jute.OpCreate, "/e", jute.ModeEphemeral), ping)
	silent := p.connect("silent", at, jute.ConnectRequest{ReadOnly: true})
	w.stop(others...)
	p.say("the connection is %s", rest(before.RawConn))
	w.until("the server is read-only", func() bool {
		c, resp, err := w.dial(at, jute.ConnectRequest{Timeout: 1, ReadOnly: true, HasReadOnly: true})
		if err != nil {
			return false
		}
		defer c.Close()
		return resp.ReadOnly
	})

	for _, word := range []string{"isro", "ruok"} {
		p.say("%s: %s", word, w.word(at, word))
	}
	srvr := w.word(at, "srvr")
	p.say("%s, %s", line(srvr, "READ-ONLY"), line(srvr, "Mode:"))
	p.connect("plain", at, jute.ConnectRequest{})
	p.connect("ahead", at, jute.ConnectRequest{ReadOnly: true, LastZxidSeen: 1 << 40})
	a := p.connect("a", at, jute.ConnectRequest{ReadOnly: true})
	path := func(o jute.Op, body client.Body) call { return call{o, o.String(), body} }
	for _, c := range []call{
		ping, one(jute.OpExists, "/p", 0), one(jute.OpGetData, "/e", 0), sync,
		one(jute.OpCreate, "/x", 0), one(jute.OpCreate, "/x", jute.ModeEphemeral), one(jute.OpCreate2, "/x", 0), one(jute.OpCreateContainer, "/x", 0),
		{jute.OpCreateTTL, "createTTL", &jute.CreateTTLRequest{Path: []byte("/x"), ACL: open, Flags: 5, TTL: 1000}},
		one(jute.OpDelete, "/p", 0), one(jute.OpSetData, "/p", 0), one(jute.OpSetACL, "/p", 0), multi(op(jute.OpCheck, "/p", 0)), multi(),
		path(jute.OpReconfig, &jute.ReconfigRequest{CurConfigID: -1}), path(jute.OpCreate, nil),
		path(jute.OpGetChildren, &jute.PathWatchRequest{Path: []byte("/"), Watch: true}), path(jute.OpGetChildren2, &jute.PathWatchRequest{Path: []byte("/")}),
		path(jute.OpGetACL, &jute.PathRequest{Path: []byte("/p")}), path(jute.OpGetAllChildrenNumber, &jute.PathRequest{Path: []byte("/p")}),
		path(jute.OpGetEphemerals, &jute.PathRequest{Path: []byte("/")}), path(jute.OpWhoAmI, nil),
		path(jute.OpAddWatch, &jute.AddWatchRequest{Path: []byte("/p")}), path(jute.OpSetWatches, &jute.SetWatchesRequest{Data: [][]byte{}, Exist: [][]byte{[]byte("/none")}, Child: [][]byte{}}),
		path(jute.OpCheckWatches, &jute.WatchesRequest{Path: []byte("/p"), Type: 4}), path(jute.OpRemoveWatches, &jute.WatchesRequest{Path: []byte("/p"), Type: 4}),
		{jute.OpMultiRead, "multiRead", client.MultiRequest{{Op: jute.OpGetData, Path: []byte("/p")}}},
	} {
		a.ask(c)
	}
	// Sessions: of the time before, its own, and nobody's.
	p.connect("before", at, jute.ConnectRequest{SessionID: before.id, Password: before.password, ReadOnly: true})
	p.connect("before", at, jute.ConnectRequest{SessionID: before.id, Password: make([]byte, 16), ReadOnly: true})
	p.connect("silent", at, jute.ConnectRequest{SessionID: silent.id, Password: silent.password, ReadOnly: true})
	p.connect("nobody's", at, jute.ConnectRequest{SessionID: 0x7700000000000001, Password: make([]byte, 16), ReadOnly: true})
	b := p.connect("b", at, jute.ConnectRequest{SessionID: a.id, Password: a.password, ReadOnly: true})
	p.say("the older connection is %s", rest(a.RawConn))
	for _, c := range []call{one(jute.OpExists, "/p", 0), one(jute.OpDelete, "/p", 0), ping} {
		b.ask(c) // one by one: in Java a refusal may overtake the answer to a read before it
	}
	p.connect("without the flag", at, jute.ConnectRequest{SessionID: b.id, Password: b.password})
	p.connect("wrong", at, jute.ConnectRequest{SessionID: b.id, Password: make([]byte, 16), ReadOnly: true})
	c := p.connect("c", at, jute.ConnectRequest{ReadOnly: true})
	c.ask(one(jute.OpSetData, "/p", 0), end)
	p.say("then it is %s", rest(c.RawConn))
	p.connect("c", at, jute.ConnectRequest{SessionID: c.id, Password: c.password, ReadOnly: true})
	d := p.connect("d", at, jute.ConnectRequest{Timeout: 1, ReadOnly: true})
	p.say("after a silence it is %s", rest(d.RawConn))
	p.connect("d", at, jute.ConnectRequest{SessionID: d.id, Password: d.password, ReadOnly: true})

	// A quorum comes.
	e := p.connect("e", at, jute.ConnectRequest{ReadOnly: true})
	w.start(others...)
	p.say("with a quorum the connection is %s", rest(e.RawConn))
	w.serves(at)
	p.connect("e", at, jute.ConnectRequest{SessionID: e.id, Password: e.password, ReadOnly: true})
	f := p.connect("f", at, jute.ConnectRequest{ReadOnly: true})
	f.ask(one(jute.OpSetData, "/p", 0), one(jute.OpExists, "/x", 0), sync)
	g := p.connect("before", at, jute.ConnectRequest{SessionID: before.id, Password: before.password, ReadOnly: true})
	g.ask(sync, one(jute.OpDelete, "/e", 0))
	p.say("isro: %s", w.word(at, "isro"))
	return p.lines
}

// TestReadOnly stops all servers but one. Without local sessions Apache ZooKeeper has no read-only clients.
func TestReadOnly(t *testing.T) {
	peer.RequireJVM(t)
	config := []string{"localSessionsEnabled=true", "localSessionsUpgradingEnabled=true", "extendedTypesEnabled=true"}
	flags := []string{"-Dreadonlymode.enabled=true"}
	var want []string
	for _, kinds := range []string{"java java java", "quoll quoll quoll", "quoll java java"} {
		t.Run(strings.ReplaceAll(kinds, " ", ","), func(t *testing.T) {
			w := newWorld(t, kinds, config, append([]string{"-Dzookeeper.extendedTypesEnabled=true"}, flags...))
			w.startAll()
			have := readOnly(w, 1, 2, 3)
			if want == nil {
				want = have
				t.Log(strings.Join(want, "\n"))
				return
			}
			compare(t, kinds, want, have)
		})
	}
}
