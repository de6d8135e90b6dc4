package tree

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"quoll/jute"
)

// image is what a store would hold: node texts by path, sessions, ACL lists.
type image struct {
	nodes    map[string]string
	sessions map[int64]int32
	acls     map[int64]string
}

func nodeText(t *Tree, n *Node) string {
	return fmt.Sprintf("%q %v %+v acl %d", n.Data(), n.Data() == nil, n.Persisted(), t.ACLNumber(n))
}

func imageOf(t *Tree) image {
	im := image{map[string]string{}, maps.Clone(t.sessions), map[int64]string{}}
	for n := range t.all() {
		im.nodes[n.Path()] = nodeText(t, n)
	}
	t.EachACL(func(number int64, acl []jute.ACL) { im.acls[number] = fmt.Sprint(acl) })
	return im
}

func (im image) diff(want image) string {
	var b strings.Builder
	for path, text := range want.nodes {
		if im.nodes[path] != text {
			fmt.Fprintf(&b, "%q is %s, not %s\n", path, im.nodes[path], text)
		}
	}
	for path := range im.nodes {
		if _, ok := want.nodes[path]; !ok {
			fmt.Fprintf(&b, "%q should be gone\n", path)
		}
	}
	if !maps.Equal(im.sessions, want.sessions) {
		fmt.Fprintf(&b, "sessions %v, not %v\n", im.sessions, want.sessions)
	}
	if !maps.Equal(im.acls, want.acls) {
		fmt.Fprintf(&b, "ACLs %v, not %v\n", im.acls, want.acls)
	}
	return b.String()
}

// churn makes random transactions over a small set of paths.
type churn struct {
	rng  *rand.Rand
	tree *Tree
	zxid int64
}

func (c *churn) step() {
	c.zxid++
	txn := Txn{TxnHeader: jute.TxnHeader{ClientID: 1 + c.rng.Int64N(4), Zxid: c.zxid, Time: 1000 + c.zxid}}
	path := ""
	for range 1 + c.rng.IntN(3) {
		path += fmt.Sprintf("/%c", "ab-c"[c.rng.IntN(4)])
	}
	acl := []jute.ACL{{Perms: 1 + c.rng.Int32N(30), Scheme: "ip", ID: fmt.Sprint(c.rng.IntN(3))}}
	switch n := c.tree.Lookup(path); c.rng.IntN(10) {
	case 0, 1, 2, 3:
		if n != nil || c.tree.Lookup(ParentPath(path)) == nil {
			return
		}
		txn.Type, txn.Path, txn.Data, txn.ACL, txn.ParentCVersion = int32(jute.OpCreate), path, []byte{byte(c.zxid)}, acl, -1
		txn.Ephemeral = c.rng.IntN(3) == 0
	case 4, 5:
		if n == nil || n.NumChildren() > 0 {
			return
		}
		txn.Type, txn.Path = int32(jute.OpDelete), path
	case 6:
		txn.Type, txn.Path, txn.ACL, txn.Version = int32(jute.OpSetACL), path, acl, int32(c.zxid)
	case 7:
		txn.Type, txn.Timeout = int32(jute.OpCreateSession), int32(c.zxid)
	case 8:
		for _, p := range c.tree.Ephemerals(txn.ClientID) {
			if c.tree.Lookup(p).NumChildren() > 0 {
				return
			}
		}
		txn.Type = int32(jute.OpCloseSession)
	default:
		txn.Type, txn.Path, txn.Data, txn.Version = int32(jute.OpSetData), path, [][]byte{nil, {}, {byte(c.zxid), 1}}[c.rng.IntN(3)], int32(c.zxid)
	}
	c.tree.Apply(&txn, &Result{}, nil)
}

// TestCapturesAreExact makes random transactions with captures of both kinds among them, read out slowly, and compares what a store would have with the
// tree as it was at each cut.
func TestCapturesAreExact(t *testing.T) {
	var full, partial, copies, deletions, undone int
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 4))
		c := churn{rng, New(), 0}
		for range rng.IntN(60) {
			c.step()
		}
		if rng.IntN(2) == 0 {
			c.tree.Track()
		}
		var kept image
		for round := range 12 {
			all := round == 0 || rng.IntN(6) == 0
			want := imageOf(c.tree)
			cap := c.tree.Cut(all)
			if cap.Zxid != c.tree.LastZxid() || cap.Digest != c.tree.Digest() {
				t.Fatalf("seed %d: the capture is of zxid %d", seed, cap.Zxid)
			}
			cap.Sort()
			next := image{maps.Clone(kept.nodes), maps.Clone(kept.sessions), maps.Clone(kept.acls)}
			if cap.Full {
				next = image{map[string]string{}, map[int64]int32{}, map[int64]string{}}
				full++
			} else {
				partial++
			}
			for _, s := range cap.Sessions {
				if next.sessions[s.ID] = s.Timeout; s.Gone {
					delete(next.sessions, s.ID)
				}
			}
			for _, a := range cap.ACLs {
				if next.acls[a.Number] = fmt.Sprint(a.ACL); a.ACL == nil {
					delete(next.acls, a.Number)
				}
			}
			var order []string
			failAt := -1
			if !cap.Full && rng.IntN(4) == 0 {
				failAt = rng.IntN(4)
			}
			fail := errors.New("stop")
			step := func(path string) error {
				if len(order) == failAt {
					return fail
				}
				order = append(order, path)
				return nil
			}
			var err error
			for more := true; more; {
				more, err = cap.Next(1+rng.IntN(4), func(n *Node) error {
					next.nodes[n.Path()] = nodeText(c.tree, n)
					return step(n.Path())
				}, func(path string) error {
					deletions++
					delete(next.nodes, path)
					return step(path)
				})
				for range rng.IntN(6) {
					c.step()
				}
				copies += len(cap.saved)
			}
			if err != nil {
				cap.Undo()
				undone++
				continue
			}
			cap.Close()
			if !cap.Full && !slices.IsSortedFunc(order, ComparePaths) || len(slices.Compact(slices.Sorted(slices.Values(order)))) != len(order) {
				t.Fatalf("seed %d: the paths came as %q", seed, order)
			}
			if diff := next.diff(want); diff != "" {
				t.Fatalf("seed %d round %d (full %v):\n%s", seed, round, cap.Full, diff)
			}
			kept = next
			for range rng.IntN(60) {
				c.step()
			}
		}
	}
	if full < 300 || partial < 300 || copies < 300 || deletions < 300 || undone < 100 {
		t.Errorf("the test has become too tame: %d full, %d partial, %d copies, %d deletions, %d undone", full, partial, copies, deletions, undone)
	}
}

// TestWhatComesAndGoesIsForgotten creates and deletes many znodes between two cuts: they must not pile up.
func TestWhatComesAndGoesIsForgotten(t *testing.T) {
	tr := New()
	tr.Cut(true).Close()
	for i := range int64(4 * changesMin) {
		path := fmt.Sprint("/lock-", i)
		tr.Apply(&Txn{TxnHeader: jute.TxnHeader{Zxid: 2*i + 1, Type: int32(jute.OpCreate)}, Path: path, ParentCVersion: -1}, &Result{}, nil)
		tr.Apply(&Txn{TxnHeader: jute.TxnHeader{Zxid: 2*i + 2, Type: int32(jute.OpDelete)}, Path: path}, &Result{}, nil)
	}
	if n := tr.Changed(); n > changesMin {
		t.Errorf("%d znodes are remembered", n)
	}
}

// TestWhatStaysIsRemembered has changes among many znodes that come and go, always at the same path.
func TestWhatStaysIsRemembered(t *testing.T) {
	tr := New()
	do(tr, jute.OpCreate, "/gone", nil)
	do(tr, jute.OpCreate, "/lock", nil)
	tr.Cut(true).Close()
	do(tr, jute.OpDelete, "/gone", nil)
	do(tr, jute.OpCreate, "/new", nil)
	do(tr, jute.OpCreate, "/stays", nil)
	for range 2 * changesMin {
		do(tr, jute.OpDelete, "/lock", nil)
		do(tr, jute.OpCreate, "/lock", nil)
	}
	do(tr, jute.OpSetData, "/new", []byte("changed twice"))
	if n := tr.Changed(); n > changesMin+10 {
		t.Errorf("%d znodes are remembered", n)
	}
	c := tr.Cut(false)
	c.Sort()
	var got []string
	for more := true; more; {
		more, _ = c.Next(10, func(n *Node) error {
			got = append(got, "put "+n.Path())
			return nil
		}, func(path string) error {
			got = append(got, "del "+path)
			return nil
		})
	}
	c.Close()
	if want := []string{"put ", "del /gone", "put /lock", "put /new", "put /stays"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	check(t, tr)
}

// TestWhatWasLoadedIsForgottenByName deletes many znodes of a snapshot whose zxids are above that of the tree, as one of another history that was restored, or one that is ahead of its
// zxid: the cut before has them, so the next one has to say that they are gone.
func TestWhatWasLoadedIsForgottenByName(t *testing.T) {
	const many = 2 * changesMin
	l := NewLoader(false)
	if err := l.Node(RootPath, nil, -1, jute.StatPersisted{}); err != nil {
		t.Fatal(err)
	}
	for i := range many {
		if err := l.Node(fmt.Sprint("/", i), nil, -1, jute.StatPersisted{Czxid: 1 << 40, Mzxid: 1 << 40, Pzxid: 1 << 40}); err != nil {
			t.Fatal(err)
		}
	}
	tr, err := l.Finish()
	if err != nil {
		t.Fatal(err)
	}
	tr.SetLastZxid(7)
	tr.Cut(true).Close()
	for i := range many {
		do(tr, jute.OpDelete, fmt.Sprint("/", i), nil)
	}
	c := tr.Cut(false)
	defer c.Close()
	c.Sort()
	gone := 0
	for more := true; more; {
		more, err = c.Next(1000, func(*Node) error { return nil }, func(string) error { gone++; return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	if gone != many {
		t.Errorf("%d of %d znodes are gone", gone, many)
	}
}

// TestOrphansAreInNoCapture deletes parents before their children, as replay over a fuzzy snapshot does, before a cut and while a capture is read out.
func TestOrphansAreInNoCapture(t *testing.T) {
	tr := New()
	for _, path := range []string{"/a", "/a/b", "/a/b/c", "/x", "/x/y", "/x/y/z"} {
		do(tr, jute.OpCreate, path, []byte(path))
	}
	tr.Track()
	do(tr, jute.OpDelete, "/a", nil)
	c := tr.Cut(false)
	if !c.Full {
		t.Fatal("the cut has changes only")
	}
	do(tr, jute.OpDelete, "/x", nil)
	do(tr, jute.OpSetData, "/a/b/c", []byte("is nobody's any more"))
	do(tr, jute.OpSetData, "/x/y/z", []byte("was there"))
	var got []string
	for more := true; more; {
		more, _ = c.Next(1, func(n *Node) error {
			got = append(got, n.Path())
			if n.pathLen == 6 && string(n.Data()) != n.Path() {
				t.Errorf("%s is %q", n.Path(), n.Data())
			}
			return nil
		}, nil)
	}
	c.Close()
	slices.Sort(got)
	if want := []string{"", "/x", "/x/y", "/x/y/z", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	for _, path := range []string{"/a", "/a/b", "/a/b/c", "/x", "/x/y", "/x/y/z"} { // each takes the place of an orphan, whose children have lost it then
		do(tr, jute.OpCreate, path, nil)
	}
	check(t, tr)
	if tr.SettleOrphans(); tr.Cut(false).Full {
		t.Error("the cut after all have found parents has everything")
	}
}

// TestNextTakesFewLargeZnodes bounds the data of a slice.
func TestNextTakesFewLargeZnodes(t *testing.T) {
	for _, full := range []bool{true, false} {
		tr := New()
		tr.Cut(true).Close()
		for i := range 20 {
			do(tr, jute.OpCreate, fmt.Sprint("/", i), make([]byte, 1<<20))
		}
		c := tr.Cut(full)
		c.Sort()
		for i := range 10 {
			do(tr, jute.OpSetData, fmt.Sprint("/", i), nil)
		}
		for more := true; more; {
			large := 0
			more, _ = c.Next(200, func(n *Node) error { large += len(n.Data()) >> 20; return nil }, nil)
			if large > 1 {
				t.Errorf("full %v: %d MiB at once", full, large)
			}
		}
		c.Close()
		check(t, tr)
	}
}

func TestPathsAreComparedByComponents(t *testing.T) {
	want := []string{"", "/a", "/a/b", "/a/b/c", "/a/c", "/a-b", "/a-b/c", "/ab", "/b"}
	got := slices.Clone(want)
	rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, ComparePaths)
	if !slices.Equal(got, want) {
		t.Errorf("sorted: %q", got)
	}
}
