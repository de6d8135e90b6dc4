package history

import (
	"fmt"

	"quoll/jute"
)

// journal remembers how to take changes back while there are choices that may turn out wrong.
type journal struct {
	on   bool
	undo []func()
}

func (j *journal) add(undo func()) {
	if j.on {
		j.undo = append(j.undo, undo)
	}
}

// rewind takes back what was done since the journal had mark entries.
func (j *journal) rewind(mark int) {
	for i := len(j.undo) - 1; i >= mark; i-- {
		j.undo[i]()
		j.undo[i] = nil
	}
	j.undo = j.undo[:mark]
}

// node is a znode. A ctime or mtime of 0 has not been seen yet: they are the server's to choose.
type node struct {
	stat     jute.Stat
	made     int32 // creations among the children, where sequence numbers come from
	data     Data
	children uint64 // the sum of Children

	set, listed author // who changed it, and its list of children, last
}

// tree is the sequential model: what one write after the other makes of the znodes (DataTree, PrepRequestProcessor).
type tree struct {
	journal *journal
	nodes   map[string]*node
	owned   map[int64]map[string]struct{} // ephemerals by session
	ended   map[int64]bool                // sessions
	ghosts  map[string]struct{}           // ephemerals that went with their sessions, in this life; only to name a violation
	java    bool                          // see Options
	emptied map[string]int64              // znodes that lost children with a session, and the zxid of that

	results []result // of the write applied last
	changes []change
}

// underWay is more than the number of transactions that a leader has under way at a time.
const underWay = 1000

// author is who a write comes from.
type author struct {
	session int64
	op      *Op
	life    int
}

// result is what the model answers to one operation.
type result struct {
	err  jute.Code
	made string
	stat jute.Stat
	node *node
}

// change is what watches look for.
type change struct {
	event jute.EventType // of the znode itself
	path  string
}

// newTree is the tree of a new server.
func newTree(j *journal) *tree {
	t := &tree{journal: j, nodes: map[string]*node{}, owned: map[int64]map[string]struct{}{}, ended: map[int64]bool{}, ghosts: map[string]struct{}{}, emptied: map[string]int64{}}
	for _, path := range []string{"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"} {
		n := &node{data: DataOf([]byte{})}
		t.nodes[path] = n
		if p := t.nodes[parentOf(path)]; p != nil {
			p.children += hashText(nameOf(path))
			p.stat.NumChildren++
			p.countChildren()
		}
	}
	t.nodes["/zookeeper/config"].stat.Aversion = -1
	return t
}

func (n *node) countChildren() { n.stat.Cversion = 2*n.made - n.stat.NumChildren }

// keep remembers the node, which is about to change.
func (t *tree) keep(n *node) {
	if t.journal.on {
		was := *n
		t.journal.add(func() { *n = was })
	}
}

// apply carries out a write. The answer is in t.results, what it changed in t.changes, until the next.
func (t *tree) apply(a author, zxid int64) {
	t.results, t.changes = t.results[:0], t.changes[:0]
	switch {
	case a.op.Op == jute.OpCloseSession:
		t.end(a, zxid)
		t.results = append(t.results, result{})
	case t.ended[a.session]:
		// Whatever it is, a multi as a whole.
		t.results = append(t.results, result{err: jute.ErrSessionExpired})
	case a.op.Op != jute.OpMulti:
		t.results = append(t.results, t.single(a, &a.op.Part, zxid))
	default:
		t.multi(a, zxid)
	}
}

// multi is all or nothing.
func (t *tree) multi(a author, zxid int64) {
	mark, on := len(t.journal.undo), t.journal.on
	t.journal.on = true
	failed := false
	for i := range a.op.Parts {
		r := t.single(a, &a.op.Parts[i], zxid)
		t.results = append(t.results, r)
		if r.err == jute.OK {
			continue
		}
		failed = true
		t.journal.rewind(mark)
		t.changes = t.changes[:0]
		for j := range t.results[:i] {
			t.results[j] = result{}
		}
		for range a.op.Parts[i+1:] {
			t.results = append(t.results, result{err: jute.ErrRuntimeInconsistency})
		}
		break
	}
	if t.journal.on = on; !on && !failed {
		clear(t.journal.undo[mark:])
		t.journal.undo = t.journal.undo[:mark]
	}
}

func (t *tree) single(a author, p *Part, zxid int64) result {
	if p.Op == jute.OpCreate || p.Op == jute.OpCreate2 {
		return t.create(a, p, zxid)
	}
	parent := t.nodes[parentOf(p.Path)]
	n := t.nodes[p.Path]
	if n == nil || p.Op == jute.OpDelete && parent == nil {
		return result{err: jute.ErrNoNode}
	}
	version := n.stat.Version
	if p.Op == jute.OpSetACL {
		version = n.stat.Aversion
	}
	if p.Version != -1 && p.Version != version {
		return result{err: jute.ErrBadVersion}
	}
	switch p.Op {
	case jute.OpDelete:
		if n.stat.NumChildren > 0 || t.java && p.Err == jute.ErrNotEmpty && zxid-t.emptied[p.Path] < underWay {
			return result{err: jute.ErrNotEmpty}
		}
		t.remove(a, p.Path, zxid)
		return result{}
	case jute.OpSetData:
		t.keep(n)
		n.set, n.data = a, p.Data
		n.stat.Version++
		n.stat.Mzxid, n.stat.Mtime, n.stat.DataLength = zxid, 0, p.Data.Length
		t.changes = append(t.changes, change{jute.EventNodeDataChanged, p.Path})
	case jute.OpSetACL:
		t.keep(n)
		n.set = a
		n.stat.Aversion++
	}
	return result{stat: n.stat, node: n}
}

func (t *tree) create(a author, p *Part, zxid int64) result {
	parent := t.nodes[parentOf(p.Path)]
	if parent == nil {
		return result{err: jute.ErrNoNode}
	}
	mode, path := jute.CreateMode(p.Mode), p.Path
	if mode.Sequential() {
		path = fmt.Sprintf("%s%010d", path, parent.made)
	}
	if t.nodes[path] != nil {
		return result{err: jute.ErrNodeExists}
	}
	if parent.stat.EphemeralOwner != 0 {
		return result{err: jute.ErrNoChildrenForEphemerals}
	}
	n := &node{data: p.Data, set: a}
	n.stat = jute.Stat{Czxid: zxid, Mzxid: zxid, Pzxid: zxid, DataLength: p.Data.Length}
	if mode.Ephemeral() {
		n.stat.EphemeralOwner = a.session
		t.own(a.session, path)
	}
	t.nodes[path] = n
	t.journal.add(func() { delete(t.nodes, path) })
	t.keep(parent)
	parent.listed = a
	parent.made++
	parent.children += hashText(nameOf(path))
	parent.stat.NumChildren++
	parent.stat.Pzxid = zxid
	parent.countChildren()
	t.changes = append(t.changes, change{jute.EventNodeCreated, path})
	return result{made: path, stat: n.stat, node: n}
}

func (t *tree) remove(a author, path string, zxid int64) {
	n, parent := t.nodes[path], t.nodes[parentOf(path)]
	delete(t.nodes, path)
	t.journal.add(func() { t.nodes[path] = n })
	if n.stat.EphemeralOwner != 0 {
		t.disown(n.stat.EphemeralOwner, path)
	}
	t.keep(parent)
	parent.listed = a
	parent.children -= hashText(nameOf(path))
	parent.stat.NumChildren--
	parent.stat.Pzxid = zxid
	parent.countChildren()
	t.changes = append(t.changes, change{jute.EventNodeDeleted, path})
}

func (t *tree) own(session int64, path string) {
	if t.owned[session] == nil {
		t.owned[session] = map[string]struct{}{}
	}
	t.owned[session][path] = struct{}{}
	t.journal.add(func() { delete(t.owned[session], path) })
}

func (t *tree) disown(session int64, path string) {
	delete(t.owned[session], path)
	t.journal.add(func() { t.owned[session][path] = struct{}{} })
}

// end ends a session, by its own request or by expiry.
func (t *tree) end(a author, zxid int64) {
	if t.ended[a.session] {
		return
	}
	owned := t.owned[a.session]
	for path := range owned {
		t.remove(a, path, zxid)
		t.ghosts[path] = struct{}{}
		t.journal.add(func() { delete(t.ghosts, path) })
		if parent := parentOf(path); t.java {
			was := t.emptied[parent]
			t.emptied[parent] = zxid
			t.journal.add(func() { t.emptied[parent] = was })
		}
	}
	delete(t.owned, a.session)
	t.ended[a.session] = true
	t.journal.add(func() {
		t.owned[a.session] = owned
		delete(t.ended, a.session)
	})
}
