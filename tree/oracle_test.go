package tree

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"quoll/jute"
)

// mapTree is the tree as one would write it if memory were no matter: a map of znodes, and whatever can be counted is counted when it is asked for.
// TestTreeIsTheMap holds the tree to it.
type mapTree struct {
	nodes    map[string]*mapNode
	sessions map[int64]int32
	quotas   map[string]bool
	recount  map[string]bool
	digests  []DigestAt
	lastZxid int64
}

type mapNode struct {
	path     string
	data     []byte
	acl      []jute.ACL
	stat     jute.StatPersisted
	children map[string]*mapNode
}

func newMapTree() *mapTree {
	t := &mapTree{nodes: map[string]*mapNode{}, sessions: map[int64]int32{}, quotas: map[string]bool{}, recount: map[string]bool{}}
	for _, path := range []string{RootPath, ZookeeperPath, QuotaPath, ConfigPath} {
		t.link(&mapNode{path: path, data: []byte{}, acl: OpenACL})
	}
	config := t.nodes[ConfigPath]
	config.acl, config.stat.Aversion = readOnlyACL, -1
	return t
}

func (t *mapTree) link(n *mapNode) {
	t.nodes[n.path] = n
	n.children = map[string]*mapNode{}
	if n.path != RootPath {
		t.nodes[ParentPath(n.path)].children[n.path] = n
	}
}

func (t *mapTree) apply(txn *Txn) (r Result, changes []Change) {
	r.Op = txn.Op()
	if txn.Op() == jute.OpMulti {
		failed := slices.ContainsFunc(txn.Multi, func(sub Txn) bool { return sub.Op() == jute.OpError })
		for _, sub := range txn.Multi {
			part, more := Result{Op: jute.OpError, Err: sub.Err}, []Change(nil)
			if !failed {
				sub.ClientID, sub.Zxid, sub.Time = txn.ClientID, txn.Zxid, txn.Time
				part, more = t.applyOne(&sub)
			}
			r.Multi, changes = append(r.Multi, part), append(changes, more...)
		}
	} else {
		r, changes = t.applyOne(txn)
	}
	for path := range t.recount {
		t.recountQuota(path)
	}
	clear(t.recount)
	if t.lastZxid = max(t.lastZxid, txn.Zxid); txn.Zxid%digestInterval == 0 {
		t.digests = append(t.digests, DigestAt{txn.Zxid, t.digest()})
	}
	return r, changes
}

func (t *mapTree) applyOne(txn *Txn) (r Result, changes []Change) {
	r.Op = txn.Op()
	n := t.nodes[canonical(txn.Path)]
	switch txn.Op() {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		return t.create(txn, n)
	case jute.OpDelete, jute.OpDeleteContainer:
		r.Err, changes = t.remove(txn.Path, txn.Zxid)
	case jute.OpCreateSession:
		t.sessions[txn.ClientID] = txn.Timeout
	case jute.OpCloseSession:
		delete(t.sessions, txn.ClientID)
		paths := txn.Paths
		for path, n := range t.nodes {
			if n.stat.EphemeralOwner == txn.ClientID && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
		for _, path := range paths {
			_, more := t.remove(path, txn.Zxid)
			changes = append(changes, more...)
		}
	case jute.OpError:
		r.Err = txn.Err
	case jute.OpSetData, jute.OpReconfig, jute.OpSetACL:
		if n == nil {
			r.Err = jute.ErrNoNode
			return r, nil
		}
		if txn.Op() == jute.OpSetACL {
			n.acl, n.stat.Aversion = orOpen(txn.ACL), txn.Version
			r.Stat = n.seen()
			return r, nil
		}
		before := len(n.data)
		n.data, n.stat.Version, n.stat.Mtime, n.stat.Mzxid = bytes.Clone(txn.Data), txn.Version, txn.Time, txn.Zxid
		t.countQuota(n.path, len(n.data)-before, 0)
		r.Stat = n.seen()
		if txn.Op() == jute.OpReconfig {
			r.Data = txn.Data
		}
		changes = []Change{{Kind: DataChanged, Path: n.path, ACL: n.acl}}
	}
	return r, changes
}

func orOpen(acl []jute.ACL) []jute.ACL {
	if acl == nil {
		return OpenACL
	}
	return acl
}

func (t *mapTree) create(txn *Txn, n *mapNode) (r Result, changes []Change) {
	r.Op, r.Path = txn.Op(), txn.Path
	parent := t.nodes[ParentPath(txn.Path)]
	if parent == nil {
		r.Err = jute.ErrNoNode
		return r, nil
	}
	cversion, known := txn.ParentCVersion, n != nil && parent.children[n.path] == n
	if !known && cversion == -1 {
		cversion = parent.stat.Cversion + 1
	}
	if cversion > parent.stat.Cversion && (!known || txn.Op() == jute.OpCreate) {
		parent.stat.Cversion, parent.stat.Pzxid = cversion, txn.Zxid
	}
	if known {
		n.acl, r.Err = orOpen(txn.ACL), jute.ErrNodeExists
		return r, nil
	}
	n = &mapNode{path: txn.Path, data: bytes.Clone(txn.Data), acl: orOpen(txn.ACL)}
	n.stat = jute.StatPersisted{Czxid: txn.Zxid, Mzxid: txn.Zxid, Pzxid: txn.Zxid, Ctime: txn.Time, Mtime: txn.Time}
	switch {
	case txn.Op() == jute.OpCreateContainer:
		n.stat.EphemeralOwner = int64(ContainerOwner)
	case txn.Op() == jute.OpCreateTTL && txn.TTL > 0:
		n.stat.EphemeralOwner = int64(TTLOwner(txn.TTL))
	case txn.Ephemeral:
		n.stat.EphemeralOwner = txn.ClientID
	}
	t.link(n)
	if quota, ok := quotaPathOf(n.path, LimitsName); ok {
		t.quotas[quota] = true
	}
	if quota, ok := quotaPathOf(n.path, StatsName); ok {
		n.data = []byte("count=0,bytes=0")
		t.recount[quota] = true
	}
	t.countQuota(n.path, len(n.data), 1)
	r.Stat = n.seen()
	return r, []Change{{Kind: Created, Path: n.path, ACL: n.acl, ParentACL: parent.acl}}
}

func (t *mapTree) remove(path string, zxid int64) (jute.Code, []Change) {
	n, parent := t.nodes[path], t.nodes[ParentPath(path)]
	if parent == nil || path == RootPath {
		return jute.ErrNoNode, nil
	}
	parent.stat.Pzxid = max(parent.stat.Pzxid, zxid)
	if n == nil {
		return jute.ErrNoNode, nil
	}
	if parent.children[path] == n {
		delete(parent.children, path)
	}
	delete(t.nodes, path)
	if quota, ok := quotaPathOf(path, LimitsName); ok {
		delete(t.quotas, quota)
	}
	t.countQuota(path, -len(n.data), -1)
	return jute.OK, []Change{{Kind: Deleted, Path: path, ACL: n.acl, ParentACL: parent.acl}}
}

func (t *mapTree) quotaFor(path string) string {
	for ; path != "" && !t.quotas[path]; path = ParentPath(path) {
	}
	return path
}

func (t *mapTree) countQuota(path string, bytes, count int) {
	quota := t.quotaFor(path)
	n := t.nodes[QuotaPath+quota+"/"+StatsName]
	if quota == "" || bytes == 0 && count == 0 || n == nil {
		return
	}
	if q, err := ParseQuota(n.data); err == nil {
		n.data = fmt.Appendf(nil, "count=%d,bytes=%d", q.Count+int64(count), q.Bytes+int64(bytes))
	}
}

func (t *mapTree) recountQuota(path string) {
	if stats := t.nodes[QuotaPath+path+"/"+StatsName]; stats != nil {
		count, size := 0, 0
		t.nodes[path].each(func(n *mapNode) { count, size = count+1, size+len(n.data) })
		stats.data = fmt.Appendf(nil, "count=%d,bytes=%d", count, size)
	}
}

// each calls fn for n and all below it.
func (n *mapNode) each(fn func(*mapNode)) {
	if n != nil {
		fn(n)
		for _, c := range n.children {
			c.each(fn)
		}
	}
}

func (t *mapTree) digest() int64 {
	var d Digester
	var sum uint64
	for path, n := range t.nodes {
		if Digested(path) {
			sum += uint64(d.Node(d.Content(path, n.data), &n.stat))
		}
	}
	return int64(sum)
}

// seen is the stat that clients see.
func (n *mapNode) seen() jute.Stat {
	s := jute.Stat{
		Czxid: n.stat.Czxid, Mzxid: n.stat.Mzxid, Ctime: n.stat.Ctime, Mtime: n.stat.Mtime, Version: n.stat.Version, Cversion: 2*n.stat.Cversion - int32(len(n.children)),
		Aversion: n.stat.Aversion, DataLength: int32(len(n.data)), NumChildren: int32(len(n.children)), Pzxid: n.stat.Pzxid,
	}
	if Owner(n.stat.EphemeralOwner).Ephemeral() {
		s.EphemeralOwner = n.stat.EphemeralOwner
	}
	return s
}

// differs says in what all that can be seen of the tree is not as in the map.
func (t *mapTree) differs(tr *Tree) error {
	var b strings.Builder
	same := func(what string, got, want any) {
		if !reflect.DeepEqual(got, want) {
			fmt.Fprintf(&b, "%s: %v, not %v\n", what, got, want)
		}
	}
	var size int64
	owned := map[int64][]string{}
	for path, n := range t.nodes {
		size += int64(len(path) + len(n.data))
		if owner := Owner(n.stat.EphemeralOwner); owner != 0 {
			kind := n.stat.EphemeralOwner
			if _, ok := owner.TTL(); ok {
				kind = -1
			}
			owned[kind] = append(owned[kind], path)
		}
		got := tr.Get([]byte(path))
		if got == nil || tr.Lookup(path) != got {
			fmt.Fprintf(&b, "%q is not found\n", path)
			continue
		}
		same(path+": path", got.Path(), path)
		same(path+": name", got.Name(), path[strings.LastIndexByte(path, '/')+1:])
		same(path+": data", got.Data(), n.data)
		same(path+": persisted", got.Persisted(), n.stat)
		same(path+": stat", got.Stat(), n.seen())
		same(path+": version and the like", []int64{int64(got.Version()), got.Mtime(), got.Mzxid(), got.Pzxid(), int64(got.Owner())},
			[]int64{int64(n.stat.Version), n.stat.Mtime, n.stat.Mzxid, n.stat.Pzxid, n.stat.EphemeralOwner})
		same(path+": ACL", tr.ACL(got), n.acl)
		var children []string
		for _, c := range got.Children() {
			children = append(children, c.Path())
		}
		same(path+": children", sorted(children), slices.Sorted(maps.Keys(n.children)))
		below := -1
		n.each(func(*mapNode) { below++ })
		if path != RootPath { // what the root has below it includes what lost its parents
			same(path+": descendants", tr.CountDescendants(got), below)
		}
		same(path+": quota", tr.QuotaFor(path), t.quotaFor(path))
	}
	var reached, have []string
	t.nodes[RootPath].each(func(n *mapNode) { reached = append(reached, n.path) })
	_ = tr.Each(func(n *Node) error { have = append(have, n.Path()); return nil })
	same("reached", sorted(have), sorted(reached))
	same("znodes", tr.Len(), len(t.nodes))
	same("digest", tr.Digest(), t.digest())
	same("digests", tr.Digests(), t.digests)
	same("data size", tr.DataSize(), size)
	same("zxid", tr.LastZxid(), t.lastZxid)
	sessions := map[int64]int32{}
	tr.EachSession(func(id int64, timeout int32) { sessions[id] = timeout })
	same("sessions", sessions, t.sessions)
	var quotas []string
	tr.EachQuota(func(path string) { quotas = append(quotas, path) })
	same("quotas", sorted(quotas), slices.Sorted(maps.Keys(t.quotas)))
	same("containers", sorted(tr.Containers()), sorted(owned[int64(ContainerOwner)]))
	same("TTL nodes", sorted(tr.TTLs()), sorted(owned[-1]))
	delete(owned, int64(ContainerOwner))
	delete(owned, -1)
	same("owners", sorted(tr.EphemeralOwners()), slices.Sorted(maps.Keys(owned)))
	for id, paths := range owned {
		same(fmt.Sprint("ephemerals of ", id), sorted(tr.Ephemerals(id)), sorted(paths))
	}
	if b.Len() > 0 {
		return errors.New(b.String())
	}
	return nil
}

// sorted has nil for a list without elements.
func sorted[T cmp.Ordered](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	return list
}

// bothApply applies transactions to a tree and to the map, with captures coming and going that must not matter. It tells the first difference, and after how many
// transactions that is.
func bothApply(txns []Txn) (int, error) {
	tr, want := New(), newMapTree()
	var r Result
	var capture *Capture
	for i, txn := range txns {
		switch {
		case txn.Zxid%16 < 6 && capture == nil:
			capture = tr.Cut(txn.Zxid%32 < 6)
			capture.Sort()
		case capture != nil && txn.Zxid%16 > 12:
			capture.Close()
			capture = nil
		case capture != nil:
			_, _ = capture.Next(2, func(*Node) error { return nil }, func(string) error { return nil })
		}
		if paths := sorted(tr.Ephemerals(txn.ClientID)); txn.Op() == jute.OpCloseSession && slices.ContainsFunc(paths, func(path string) bool { return slices.Contains(paths, ParentPath(path)) }) {
			txn.Paths = paths // their order matters: without its parent a znode stays
		}
		changes := tr.Apply(&txn, &r, nil)
		wantResult, wantChanges := want.apply(&txn)
		if txn.Op() == jute.OpCloseSession {
			for _, list := range [][]Change{changes, wantChanges} { // in no order
				slices.SortFunc(list, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
			}
		}
		if len(r.Multi) == 0 {
			r.Multi = nil
		}
		var err error
		switch {
		case !reflect.DeepEqual(r, wantResult):
			err = fmt.Errorf("the result is %+v, not %+v", r, wantResult)
		case !reflect.DeepEqual(changes, wantChanges):
			err = fmt.Errorf("the changes are %+v, not %+v", changes, wantChanges)
		default:
			err = want.differs(tr)
		}
		if err != nil {
			return i + 1, fmt.Errorf("after zxid %d: %w", txn.Zxid, err)
		}
	}
	return len(txns), nil
}

// TestTreeIsTheMap applies random transactions to the tree and to a map, and compares everything. Of transactions that make a difference it shows the few that
// are needed for it.
func TestTreeIsTheMap(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 9))
		var txns []Txn
		for zxid := range int64(150) {
			txn := randomTxn(rng, zxid+1)
			if rng.IntN(4) == 0 {
				txn.Data = bytes.Repeat(txn.Data, 1+rng.IntN(400)) // for cells of all sizes, and beyond
			}
			txns = append(txns, txn)
		}
		n, err := bothApply(txns)
		if err == nil {
			continue
		}
		for i := n - 1; i >= 0; i-- {
			fewer := slices.Delete(slices.Clone(txns[:n]), i, i+1)
			if m, again := bothApply(fewer); again != nil {
				txns, n, err = fewer, m, again
				i = min(i, n)
			}
		}
		t.Errorf("seed %d: %v", seed, err)
		for _, txn := range txns[:n] {
			t.Logf("zxid %d %s %s of session %d, %d bytes, cversion %d, %+v %q %v", txn.Zxid, txn.Op(), txn.Path, txn.ClientID, len(txn.Data), txn.ParentCVersion, txn.ACL, txn.Paths, txn.Multi)
		}
		return
	}
}
