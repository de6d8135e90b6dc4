package localsessions_test

import (
	"strings"
	"testing"

	"quoll/compat/peer"
	"quoll/jute"
)

// TestWrongDigests has clients make the leader write digests that are not those of its tree, which only Java does: with what a create makes that is no ephemeral, although
// its flags say so. (So are those of what is prepared before the leader has applied it.) Who follows it counts the same mismatches, be it Java or quoll.
func TestWrongDigests(t *testing.T) {
	peer.RequireJVM(t)
	for _, tt := range []struct{ kinds, mismatches string }{{"java java java", "2"}, {"quoll java java", "2"}, {"java quoll quoll", "0"}} {
		t.Run(strings.ReplaceAll(tt.kinds, " ", ","), func(t *testing.T) {
			w := newWorld(t, tt.kinds, nil, nil)
			w.startAll()
			p := &play{world: w}
			a := p.connect("a", 3, jute.ConnectRequest{})
			a.ask(one(jute.OpCreate, "/a", 0))
			a.ask(one(jute.OpCreateContainer, "/container", jute.ModeEphemeral))
			a.ask(one(jute.OpCreate, "/b", 0))
			a.ask(one(jute.OpCreate, "/plain", jute.ModeContainer))
			a.ask(one(jute.OpCreate, "/c", 0))
			for id := 1; id <= 3; id++ {
				p.connect("b", id, jute.ConnectRequest{}).ask(sync)
				if got := line(w.word(id, "mntr"), "zk_digest_mismatches_count"); !strings.HasSuffix(got, "\t"+tt.mismatches) {
					t.Errorf("server %d, %s: %s, should be %s", id, w.kinds[id], got, tt.mismatches)
				}
			}
			if t.Failed() {
				t.Log(strings.Join(p.lines, "\n"))
			}
		})
	}
}
