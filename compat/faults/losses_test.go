package faults

import (
	"slices"
	"strings"
	"testing"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// TestLossesAreSeen changes znodes behind the back of the script, one after another, and looks whether each is seen.
func TestLossesAreSeen(t *testing.T) {
	s := peer.Quoll(t, peer.Options{Config: settings})
	w := newWork(1)
	defer w.disconnect()
	if err := w.run(s.Addr(), 150); err != nil {
		t.Fatal(err)
	}
	if err := w.visit(s.Addr()); err != nil {
		t.Fatal(err)
	}
	look := func() []string {
		found, err := observe(w.conn)
		if err != nil {
			t.Fatal(err)
		}
		return w.losses(found)
	}
	if l := append(look(), w.wrong...); len(l) > 0 {
		t.Fatalf("nothing has happened, and there is: %v", l)
	}
	// One znode for each deed: those of multis, which come in twos, and others.
	var multi, other []string
	for _, p := range w.settled() {
		if w.znodes[p][0].op == jute.OpMulti {
			multi = append(multi, p)
		} else if len(w.last(p).data) > 0 && w.last(p).op != jute.OpSetACL {
			other = append(other, p)
		}
	}
	send := func(op jute.Op, body client.Body) {
		w.xid++
		if err := w.conn.Request(w.xid, op, body); err != nil {
			t.Fatal(err)
		}
		if h, _, err := w.conn.Reply(); err != nil || h.Err != 0 {
			t.Fatalf("%v: %v, %v", op, err, jute.Code(h.Err))
		}
	}
	data := w.last(other[1]).data
	changed := 1 - min(w.last(other[2]).acl, 1)
	for _, deed := range []struct {
		op   jute.Op
		body client.Body
		path string
	}{
		{jute.OpDelete, &jute.DeleteRequest{Path: []byte(other[0]), Version: -1}, other[0]},
		{jute.OpSetData, &jute.SetDataRequest{Path: []byte(other[1]), Data: data, Version: -1}, other[1]}, // the same data by another transaction
		{jute.OpSetACL, &jute.SetACLRequest{Path: []byte(other[2]), ACL: acls[changed], Version: -1}, other[2]},
		{jute.OpCreate, &jute.CreateRequest{Path: []byte("/d/0/foreign"), ACL: acls[0]}, "/d/0/foreign"},
		{jute.OpDelete, &jute.DeleteRequest{Path: []byte(multi[0]), Version: -1}, "half of a multi"},
	} {
		before := look()
		send(deed.op, deed.body)
		after := look()
		if slices.Equal(before, after) || !strings.Contains(strings.Join(after, "\n"), deed.path) {
			t.Errorf("%v of %s is not seen: %v", deed.op, deed.path, after)
		}
	}
}
