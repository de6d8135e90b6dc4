package tree

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"quoll/jute"
)

// all goes over the nodes, those included that lost their parents.
func (t *Tree) all() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		for place := 1 << placeBits; place < len(t.nodes.chunks)<<placeBits; {
			var id ref
			if id, place = t.nodes.nextCell(place, nodeSize); id != 0 && t.node(id).gen != noNode && !yield(t.node(id)) {
				return
			}
		}
	}
}

// check compares what the tree keeps incrementally with what its nodes say.
func check(t *testing.T, tr *Tree) {
	t.Helper()
	var digest uint64
	var size int64
	ephemerals := 0
	var d Digester
	nodes := 0
	for n := range tr.all() {
		nodes++
		path := n.Path()
		if tr.Lookup(path) != n {
			t.Fatalf("%q is not found", path)
		}
		if crc := d.Content(path, n.Data()); crc != n.crc {
			t.Fatalf("%q: crc %x, should be %x", path, n.crc, crc)
		}
		if Digested(path) {
			s := n.Persisted()
			digest += uint64(d.Node(n.crc, &s))
		}
		size += int64(len(path) + len(n.Data()))
		children, before := n.Children(), ref(0)
		for i, c := range children {
			if ParentPath(c.Path()) != path || i > 0 && c.prev != before {
				t.Fatalf("%q: child %d is %q with %x before it", path, i, c.Path(), c.prev)
			}
			before = c.id
		}
		if len(children) != n.NumChildren() || len(children) > 0 && children[0].prev != before {
			t.Fatalf("%q: %d children are linked, %d counted", path, len(children), n.NumChildren())
		}
		if n.Owner().Ephemeral() {
			ephemerals++
			if !slices.Contains(tr.Ephemerals(int64(n.Owner())), path) {
				t.Fatalf("%q is not among its session's ephemerals", path)
			}
		}
		if len(tr.ACL(n)) == 0 && n.acl != openACL && tr.acls.lists[n.acl].refs == 0 {
			t.Fatalf("%q refers to a freed ACL list", path)
		}
	}
	extras, texts, large := 0, 0, 0
	for n := range tr.all() {
		if n.extra != 0 {
			extras++
		}
		if n.text&largeText != 0 {
			large++
		} else if n.text != 0 {
			texts++
		}
	}
	for _, of := range []struct {
		a    *arena
		want int
	}{{&tr.nodes, nodes}, {&tr.extras, extras}, {&tr.texts.cells, texts}} {
		used := 0
		for _, c := range of.a.chunks {
			if c != nil {
				used += int(c.used)
			}
		}
		if used != of.want {
			t.Fatalf("%d cells of %d are in use", used, of.want)
		}
	}
	if have := len(tr.texts.large) - len(tr.texts.free); have != large {
		t.Fatalf("%d large texts of %d are in use", have, large)
	}
	if nodes != tr.Len() {
		t.Fatalf("%d znodes are counted, there are %d", tr.Len(), nodes)
	}
	if int64(digest) != tr.Digest() || size != tr.DataSize() || ephemerals != tr.NumEphemerals() {
		t.Fatalf("digest %d, size %d, ephemerals %d; the nodes say %d, %d, %d", tr.Digest(), tr.DataSize(), tr.NumEphemerals(), int64(digest), size, ephemerals)
	}
}

func randomTxn(rng *rand.Rand, zxid int64) Txn {
	path := ""
	for range 1 + rng.IntN(3) {
		path += "/" + string(rune('a'+rng.IntN(4)))
	}
	if rng.IntN(8) == 0 {
		path = QuotaPath + path[:2] + []string{"", "/" + LimitsName, "/" + StatsName}[rng.IntN(3)]
	}
	txn := Txn{
		TxnHeader: jute.TxnHeader{ClientID: 1 + rng.Int64N(3), Zxid: zxid, Time: 1000 + zxid}, Path: path, ParentCVersion: int32(rng.IntN(20)) - 1, Version: rng.Int32N(5),
		ACL: [][]jute.ACL{nil, OpenACL, readOnlyACL, {{Perms: 3, Scheme: "digest", ID: "a:b"}}}[rng.IntN(4)],
	}
	if rng.IntN(3) > 0 {
		txn.Data = fmt.Appendf(nil, "count=%d,bytes=%d", rng.IntN(9), rng.IntN(99))
	}
	types := []jute.Op{jute.OpCreate, jute.OpCreate, jute.OpCreate, jute.OpCreate2, jute.OpCreateTTL, jute.OpCreateContainer, jute.OpDelete, jute.OpDelete, jute.OpDeleteContainer,
		jute.OpSetData, jute.OpSetData, jute.OpSetACL, jute.OpCreateSession, jute.OpCloseSession, jute.OpError, jute.OpMulti, jute.OpReconfig}
	op := types[rng.IntN(len(types))]
	txn.Type = int32(op)
	switch op {
	case jute.OpCreate, jute.OpCreate2:
		txn.Ephemeral = rng.IntN(4) == 0
	case jute.OpCreateTTL:
		txn.TTL = 1 + rng.Int64N(MaxTTL)
	case jute.OpCloseSession:
		txn.Paths = []string{path}
	case jute.OpMulti:
		for range rng.IntN(4) {
			sub := randomTxn(rng, zxid)
			switch sub.Op() {
			case jute.OpMulti, jute.OpCreateSession, jute.OpCloseSession, jute.OpReconfig, jute.OpSetACL:
				continue
			}
			sub.TxnHeader = jute.TxnHeader{Type: sub.Type}
			txn.Multi = append(txn.Multi, sub)
		}
	}
	return txn
}

// TestApplyKeepsItsBooks applies transactions that fit the tree or not, as replay over a fuzzy snapshot has them, and counts everything anew.
func TestApplyKeepsItsBooks(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		tr := New()
		var r Result
		for zxid := int64(1); zxid < 200; zxid++ {
			txn := randomTxn(rng, zxid)
			entry := txn.Append(nil)
			decoded, err := DecodeTxn(entry)
			if err != nil {
				t.Fatalf("seed %d: %+v: %v", seed, txn, err)
			}
			if again := decoded.Append(nil); !slices.Equal(again, entry) {
				t.Fatalf("seed %d: %+v is %x, then %x", seed, txn, entry, again)
			}
			tr.Apply(&decoded, &r, nil)
			if zxid%20 == 0 {
				check(t, tr)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestLoaderRebuildsTheTree(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	tr := New()
	var r Result
	for zxid := int64(1); zxid < 3000; zxid++ {
		txn := randomTxn(rng, zxid)
		switch txn.Op() {
		case jute.OpMulti, jute.OpCloseSession:
			continue
		case jute.OpDelete, jute.OpDeleteContainer:
			if n := tr.Lookup(txn.Path); n != nil && n.NumChildren() > 0 {
				continue // would leave orphans, which no snapshot holds
			}
		}
		tr.Apply(&txn, &r, nil)
	}
	l := NewLoader(false)
	tr.EachSession(l.Session)
	tr.EachACL(l.ACL)
	if err := tr.Each(func(n *Node) error { return l.Node(n.Path(), n.Data(), tr.ACLNumber(n), n.Persisted()) }); err != nil {
		t.Fatal(err)
	}
	got, err := l.Finish()
	if err != nil {
		t.Fatal(err)
	}
	check(t, got)
	if got.Digest() != tr.Digest() || got.Len() != tr.Len() || got.Sessions() != tr.Sessions() || got.NumTTLs() != tr.NumTTLs() || got.NumEphemerals() != tr.NumEphemerals() {
		t.Errorf("loaded %d nodes with digest %d, wrote %d with %d", got.Len(), got.Digest(), tr.Len(), tr.Digest())
	}
	for n := range tr.all() {
		m := got.Lookup(n.Path())
		if counters := n.Name() == StatsName; !counters && (string(m.Data()) != string(n.Data()) || (m.Data() == nil) != (n.Data() == nil)) || m.Persisted() != n.Persisted() {
			t.Errorf("%s: %#v %+v became %#v %+v", n.path(), n.Data(), n.Persisted(), m.Data(), m.Persisted())
		}
		if acl := got.ACL(got.Lookup(n.Path())); fmt.Sprint(acl) != fmt.Sprint(tr.ACL(n)) {
			t.Errorf("%s: ACL %v became %v", n.path(), tr.ACL(n), acl)
		}
	}
}

func TestLoaderRefuses(t *testing.T) {
	node := func(l *Loader, path string) error { return l.Node(path, nil, -1, jute.StatPersisted{}) }
	l := NewLoader(false)
	if _, err := l.Finish(); err == nil {
		t.Error("a snapshot without a root loads")
	}
	if err := node(l, "/a/b"); err == nil {
		t.Error("a child before its parent loads")
	}
	if err := node(l, ""); err != nil {
		t.Error(err)
	}
	if err := node(l, "a"); err == nil {
		t.Error("a relative path loads")
	}
	if err := l.Node("/locked", nil, 99, jute.StatPersisted{}); err != nil {
		t.Error(err)
	}
	tr, err := l.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if acl := tr.ACL(tr.Lookup("/locked")); acl[0].Scheme == "world" {
		t.Errorf("an ACL list that is missing in the snapshot became %v", acl)
	}
}

func TestOwner(t *testing.T) {
	for _, c := range []struct {
		owner     Owner
		ephemeral bool
		ttl       int64
	}{
		{0, false, 0}, {0x100000abd500000, true, 0}, {ContainerOwner, false, 0}, {TTLOwner(1), false, 1}, {TTLOwner(MaxTTL), false, MaxTTL},
		{Owner(-1 << 56), false, 0}, {Owner(-1<<56 | 1<<40), true, 0}, {-1, true, 0},
	} {
		ttl, ok := c.owner.TTL()
		if c.owner.Ephemeral() != c.ephemeral || ok && ttl != c.ttl {
			t.Errorf("%x: ephemeral %v, ttl %d %v", uint64(c.owner), c.owner.Ephemeral(), ttl, ok)
		}
	}
}

func TestParseQuota(t *testing.T) {
	for text, want := range map[string]Quota{
		"count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=7": {5, -1, 7, -1},
		"count=1,bytes=4": {1, 4, -1, -1},
		"bytes=9":         {-1, 9, -1, -1},
	} {
		if got, err := ParseQuota([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "garbage", "count=x", "count=99999999999999999999"} {
		if q, err := ParseQuota([]byte(text)); err == nil {
			t.Errorf("%q is taken as %+v", text, q)
		}
	}
}

// FuzzDecodeTxn feeds anything to the decoder and what it accepts to a tree.
func FuzzDecodeTxn(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		txn := randomTxn(rng, 5)
		f.Add(txn.Append(nil))
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		txn, err := DecodeTxn(entry)
		if err != nil {
			return
		}
		tr := New()
		var r Result
		tr.Apply(&txn, &r, nil)
		tr.Apply(&txn, &r, nil)
		check(t, tr)
		txn.Append(nil)
	})
}

func TestDecodeTxnRefuses(t *testing.T) {
	for name, txn := range map[string]Txn{
		"a create of the root":      {TxnHeader: jute.TxnHeader{Type: int32(jute.OpCreate)}, Path: ""},
		"a create of /":             {TxnHeader: jute.TxnHeader{Type: int32(jute.OpCreate2)}, Path: "/"},
		"a create without a parent": {TxnHeader: jute.TxnHeader{Type: int32(jute.OpCreateContainer)}, Path: "ab"},
		"one inside a multi": {TxnHeader: jute.TxnHeader{Type: int32(jute.OpMulti)}, Multi: []Txn{
			{TxnHeader: jute.TxnHeader{Type: int32(jute.OpCreate)}, Path: "ab"},
		}},
		"a check outside of a multi": {TxnHeader: jute.TxnHeader{Type: int32(jute.OpCheck)}, Path: "/a"},
	} {
		if got, err := DecodeTxn(txn.Append(nil)); err == nil {
			t.Errorf("%s is read as %+v", name, got)
		}
	}
}

func TestQuotaIsCountedOnceForEachTransaction(t *testing.T) {
	tr := New()
	var r Result
	create := func(path, data string) Txn {
		return Txn{TxnHeader: jute.TxnHeader{Zxid: tr.LastZxid() + 1, Type: int32(jute.OpCreate)}, Path: path, Data: []byte(data), ParentCVersion: -1}
	}
	for _, path := range []string{"/a", "/a/b", QuotaPath + "/a"} {
		txn := create(path, "xyz")
		tr.Apply(&txn, &r, nil)
	}
	multi := Txn{TxnHeader: jute.TxnHeader{Zxid: tr.LastZxid() + 1, Type: int32(jute.OpMulti)}}
	multi.Multi = append(multi.Multi, create(QuotaPath+"/a/"+LimitsName, "count=5"), create(QuotaPath+"/a/"+StatsName, ""), create("/a/c", "z"))
	tr.Apply(&multi, &r, nil)
	if limits, stats, ok := tr.Quota("/a"); !ok || limits.Count != 5 || stats.Count != 3 || stats.Bytes != 7 {
		t.Errorf("limits %+v, counters %+v, %v", limits, stats, ok)
	}
	txn := create("/a/d", "zz")
	tr.Apply(&txn, &r, nil)
	if _, stats, _ := tr.Quota("/a"); stats.Count != 4 || stats.Bytes != 9 {
		t.Errorf("after one more znode the counters are %+v", stats)
	}
}
