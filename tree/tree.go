package tree

import (
	"bytes"
	"fmt"
	"strings"
	"unsafe"

	"quoll/jute"
)

// The paths that every tree has.
const (
	RootPath       = ""
	ZookeeperPath  = "/zookeeper"
	QuotaPath      = "/zookeeper/quota"
	ConfigPath     = "/zookeeper/config"
	digestInterval = 128
	digestRing     = 1024

	// maxNodes is the most znodes that a tree has. There are cells for twice as many: a capture may copy each one.
	maxNodes = 300_000_000
)

// Tree is the replicated state. The zero value is not usable; see [New] and [Loader].
type Tree struct {
	nodes      arena
	extras     arena
	texts      texts
	index      index
	root       *Node
	acls       aclTable
	sessions   map[int64]int32
	ephemerals map[int64]map[ref]struct{} // by owner
	containers map[ref]struct{}
	ttls       map[ref]struct{}
	quotas     map[string]struct{} // paths with a zookeeper_limits node
	recount    []string            // paths with a new zookeeper_stats node, until the transaction is applied
	digest     uint64
	digester   Digester
	digests    []DigestAt
	lastZxid   int64
	loaded     int64 // the largest czxid of what a Loader has put there
	ahead      bool  // see MayBeAhead
	dataSize   int64
	changes    changes
	limit      int // of znodes
	warnings   func(msg string, args ...any)
}

// DigestAt is the digest of the tree after the transaction of a zxid.
type DigestAt struct {
	Zxid   int64
	Digest int64
}

func empty() *Tree {
	t := &Tree{
		acls: newACLTable(), sessions: map[int64]int32{}, ephemerals: map[int64]map[ref]struct{}{},
		containers: map[ref]struct{}{}, ttls: map[ref]struct{}{}, quotas: map[string]struct{}{},
		warnings: func(string, ...any) {}, limit: maxNodes,
	}
	t.nodes, t.extras = newArena(t, maxChunks), newArena(t, maxChunks)
	t.texts.cells = newArena(t, maxChunks/2)
	t.index = newIndex(t)
	return t
}

// New makes the tree of a new database: the root and the znodes of ZooKeeper's own.
func New() *Tree {
	t := empty()
	for _, path := range []string{RootPath, ZookeeperPath, QuotaPath, ConfigPath} {
		t.plant(path)
	}
	return t
}

// plant makes one of the znodes that nobody has created.
func (t *Tree) plant(path string) *Node {
	n := t.newNode(path, []byte{}, t.digester.Content(path, nil))
	if path == ConfigPath {
		t.extend(n).aversion, n.acl = -1, t.acls.add(readOnlyACL)
	}
	t.link(n)
	return n
}

// SetConfig makes the znode of the configuration say text without a transaction, with version as its mzxid and now, in milliseconds, as its mtime. If the znode
// says that already, it stays as it is and ok is false. The digest of the tree does not depend on it. Mirrors ZKDatabase.initConfigInZKDatabase.
func (t *Tree) SetConfig(text []byte, version, now int64) (change Change, ok bool) {
	n := t.index.find(ConfigPath)
	if n == nil { // the database of a server older than 3.5
		if t.index.find(ZookeeperPath) == nil {
			t.plant(ZookeeperPath)
		}
		n = t.plant(ConfigPath)
	}
	if n.Mzxid() == version && n.Version() == -1 && bytes.Equal(n.Data(), text) {
		return change, false
	}
	t.touch(n)
	t.replaceData(n, text)
	e := t.extend(n)
	e.version, e.mzxid, e.mtime = -1, version, now
	t.settle(n)
	return Change{Kind: DataChanged, Path: ConfigPath, ACL: t.ACL(n)}, true
}

// OnWarning makes fn, which is called as a method of slog, the receiver of what is wrong with the data but harmless, such as a malformed quota znode.
func (t *Tree) OnWarning(fn func(msg string, args ...any)) { t.warnings = fn }

// Get returns the node at path, or nil. It does not allocate.
func (t *Tree) Get(path []byte) *Node {
	if len(path) == 1 && path[0] == '/' {
		return t.root
	}
	return t.index.find(unsafe.String(unsafe.SliceData(path), len(path)))
}

// Lookup is Get for a string.
func (t *Tree) Lookup(path string) *Node {
	return t.index.find(canonical(path))
}

// Len is the number of znodes. Java counts one more, because it knows the root under two names.
func (t *Tree) Len() int { return t.index.count }

// LastZxid is the zxid of the last transaction applied.
func (t *Tree) LastZxid() int64 { return t.lastZxid }

// SetLastZxid tells a tree loaded from a snapshot the zxid that the file's name has.
func (t *Tree) SetLastZxid(zxid int64) { t.lastZxid = zxid }

// Digest is the digest of the whole tree: the sum of the digests of its nodes (AdHash).
func (t *Tree) Digest() int64 { return int64(t.digest) }

// MayBeAhead tells a tree that it came from a snapshot without a digest, which may have effects of transactions behind its zxid: ZooKeeper writes snapshots
// while it applies.
func (t *Tree) MayBeAhead() { t.ahead = true }

// CaughtUp tells a tree that all transactions were applied whose effects it may have had before.
func (t *Tree) CaughtUp() { t.ahead = false }

// CompareDigest reports whether the tree, to which txn was applied last, has the digest that txn has. There is nothing to compare if txn has none, and while the tree
// may be ahead: that ends with the first digest that agrees.
func (t *Tree) CompareDigest(txn *Txn) (agrees, compared bool) {
	if !txn.HasDigest || txn.Op() == jute.OpError {
		return false, false
	}
	agrees = txn.Digest == t.Digest()
	t.ahead = t.ahead && !agrees
	return agrees, !t.ahead
}

// Digests returns the digests of every 128th zxid, oldest first, at most 1024.
func (t *Tree) Digests() []DigestAt { return append([]DigestAt(nil), t.digests...) }

// DataSize is the number of bytes in paths and data, what ZooKeeper calls the approximate data size.
func (t *Tree) DataSize() int64 { return t.dataSize }

// Sessions is the number of global sessions.
func (t *Tree) Sessions() int { return len(t.sessions) }

// EachSession calls fn for every global session; timeout in milliseconds.
func (t *Tree) EachSession(fn func(id int64, timeout int32)) {
	for id, timeout := range t.sessions {
		fn(id, timeout)
	}
}

// SessionTimeout returns the timeout in milliseconds with which the session was made.
func (t *Tree) SessionTimeout(id int64) (timeout int32, ok bool) {
	timeout, ok = t.sessions[id]
	return timeout, ok
}

// Ephemerals returns the paths of the session's ephemerals, in no order.
func (t *Tree) Ephemerals(session int64) []string { return t.paths(t.ephemerals[session]) }

// EphemeralsOf is the number of the session's ephemerals.
func (t *Tree) EphemeralsOf(session int64) int { return len(t.ephemerals[session]) }

// EphemeralOwners returns every session that owns ephemerals, in no order.
func (t *Tree) EphemeralOwners() []int64 {
	ids := make([]int64, 0, len(t.ephemerals))
	for id := range t.ephemerals {
		ids = append(ids, id)
	}
	return ids
}

// NumEphemerals is the number of ephemerals of all sessions.
func (t *Tree) NumEphemerals() int {
	n := 0
	for _, set := range t.ephemerals {
		n += len(set)
	}
	return n
}

// Containers returns the paths of all containers, in no order.
func (t *Tree) Containers() []string { return t.paths(t.containers) }

// TTLs returns the paths of all TTL nodes, in no order.
func (t *Tree) TTLs() []string { return t.paths(t.ttls) }

// NumTTLs is the number of TTL nodes.
func (t *Tree) NumTTLs() int { return len(t.ttls) }

func (t *Tree) paths(set map[ref]struct{}) []string {
	list := make([]string, 0, len(set))
	for id := range set {
		list = append(list, t.node(id).Path())
	}
	return list
}

// CountDescendants is the number of nodes below n at any depth.
func (t *Tree) CountDescendants(n *Node) int {
	if n == t.root {
		return t.Len() - 1
	}
	count := -1
	for w := t.Walk(n); w.Next() != nil; count++ {
	}
	return count
}

// ParentPath is the text before the last slash: the parent's path as this package writes it.
func ParentPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}

// link puts a new node into the tree. Its parent, if it has one, exists.
func (t *Tree) link(n *Node) {
	if old := t.index.find(n.path()); old != nil {
		t.unlink(old, nil) // an orphan of a replayed delete
	}
	t.add(n, t.index.find(ParentPath(n.path())))
	t.changed(n)
	t.settle(n)
}

// add puts a node into the index, its parent's children and the sets that it belongs to.
func (t *Tree) add(n, parent *Node) {
	t.index.add(n)
	t.dataSize += int64(n.textLen())
	if n.pathLen == 0 {
		t.root = n
	} else {
		t.addChild(parent, n)
	}
	if set := t.owned(n.Owner()); set != nil {
		set[n.id] = struct{}{}
	}
}

// unlink undoes link and frees the node.
func (t *Tree) unlink(n, parent *Node) {
	t.touch(n)
	t.forget(n)
	if n.NumChildren() > 0 {
		t.orphan(n)
	}
	if n.linked() {
		t.removeChild(parent, n)
	}
	t.index.remove(n)
	t.dataSize -= int64(n.textLen())
	t.acls.release(n.acl)
	if owner := n.Owner(); owner != 0 {
		set := t.owned(owner)
		if delete(set, n.id); len(set) == 0 && owner.Ephemeral() {
			delete(t.ephemerals, int64(owner))
		}
	}
	t.free(n)
}

// owned is the set of the nodes that have an owner, or a mark, in common.
func (t *Tree) owned(owner Owner) map[ref]struct{} {
	switch {
	case owner == 0:
		return nil
	case owner == ContainerOwner:
		return t.containers
	case !owner.Ephemeral():
		return t.ttls
	}
	set := t.ephemerals[int64(owner)]
	if set == nil {
		set = map[ref]struct{}{}
		t.ephemerals[int64(owner)] = set
	}
	return set
}

// touch is called before each change of a node that the tree has, and settle after it.
func (t *Tree) touch(n *Node) {
	t.note(n)
	t.digest -= t.digestOf(n)
}

// settle brings the digest of the tree up to date.
func (t *Tree) settle(n *Node) { t.digest += t.digestOf(n) }

// digestOf is the node's part in the digest of the tree.
func (t *Tree) digestOf(n *Node) uint64 {
	if !Digested(n.path()) {
		return 0
	}
	s := n.Persisted()
	return uint64(t.digester.Node(n.crc, &s))
}

// ChangeKind says what happened to a znode.
type ChangeKind uint8

// The kinds of change that watches see.
const (
	Created ChangeKind = iota
	Deleted
	DataChanged
)

// Change is one change that watches may be set for, in the order in which it happened.
type Change struct {
	Kind      ChangeKind
	Path      string
	ACL       []jute.ACL // of the znode
	ParentACL []jute.ACL // of its parent; for Created and Deleted
}

// Result is what a transaction did, as far as its reply needs it.
type Result struct {
	Op    jute.Op
	Err   jute.Code
	Path  string    // of a create
	Stat  jute.Stat // of a create, setData, setACL or reconfig
	Data  []byte    // of a reconfig; it is the transaction's
	Multi []Result  // of the parts of a multi; reused by the next Apply into this Result
}

// Apply applies a committed transaction, with ZooKeeper's rules for what is not as expected: on replay over a fuzzy snapshot a znode may
// exist already, or no longer, and versions are not compared. It fills r and appends to changes what watches should see. What
// txn refers to may be kept, but for Data, which is copied.
func (t *Tree) Apply(txn *Txn, r *Result, changes []Change) []Change {
	*r = Result{Op: txn.Op(), Multi: r.Multi[:0]}
	switch txn.Op() {
	case jute.OpMulti:
		failed := false
		for i := range txn.Multi {
			failed = failed || txn.Multi[i].Op() == jute.OpError
		}
		for i := range txn.Multi {
			sub := txn.Multi[i]
			result := Result{Op: sub.Op()}
			if failed {
				// The parts before the failing one report success without having happened.
				result.Op = jute.OpError
				if sub.Op() == jute.OpError {
					result.Err = sub.Err
				}
			} else {
				sub.ClientID, sub.Cxid, sub.Zxid, sub.Time = txn.ClientID, txn.Cxid, txn.Zxid, txn.Time
				changes = t.applyOne(&sub, &result, changes)
			}
			r.Multi = append(r.Multi, result)
		}
	default:
		changes = t.applyOne(txn, r, changes)
	}
	t.recountQuotas()
	t.lastZxid = max(t.lastZxid, txn.Zxid)
	if txn.Zxid%digestInterval == 0 {
		if len(t.digests) == digestRing {
			t.digests = append(t.digests[:0], t.digests[1:]...)
		}
		t.digests = append(t.digests, DigestAt{txn.Zxid, t.Digest()})
	}
	return changes
}

func (t *Tree) applyOne(txn *Txn, r *Result, changes []Change) []Change {
	switch txn.Op() {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		return t.applyCreate(txn, r, changes)
	case jute.OpDelete, jute.OpDeleteContainer:
		return t.applyDelete(txn.Path, txn.Zxid, r, changes)
	case jute.OpSetData, jute.OpReconfig:
		n := t.Lookup(txn.Path)
		if n == nil {
			r.Err = jute.ErrNoNode
			return changes
		}
		path := canonical(txn.Path)
		t.touch(n)
		before := n.dataLen
		t.replaceData(n, txn.Data)
		e := t.extend(n)
		e.version, e.mtime, e.mzxid = txn.Version, txn.Time, txn.Zxid
		t.settle(n)
		t.countQuota(path, len(txn.Data)-max(int(before), 0), 0)
		r.Stat = n.Stat()
		if txn.Op() == jute.OpReconfig {
			r.Data = txn.Data
		}
		return append(changes, Change{Kind: DataChanged, Path: path, ACL: t.ACL(n)})
	case jute.OpSetACL:
		n := t.Lookup(txn.Path)
		if n == nil {
			r.Err = jute.ErrNoNode
			return changes
		}
		t.touch(n)
		t.replaceACL(n, txn.ACL)
		t.extend(n).aversion = txn.Version
		t.settle(n)
		r.Stat = n.Stat()
	case jute.OpCreateSession:
		t.sessions[txn.ClientID] = txn.Timeout
		t.sessionChanged(txn.ClientID)
	case jute.OpCloseSession:
		delete(t.sessions, txn.ClientID)
		t.sessionChanged(txn.ClientID)
		for _, path := range txn.Paths {
			changes = t.applyDelete(path, txn.Zxid, &Result{}, changes)
		}
		for _, path := range t.Ephemerals(txn.ClientID) {
			changes = t.applyDelete(path, txn.Zxid, &Result{}, changes)
		}
	case jute.OpError:
		r.Err = txn.Err
	case jute.OpCheck:
	default:
		panic(fmt.Sprintf("tree: a transaction of type %d cannot be applied (zxid 0x%x)", txn.Type, txn.Zxid))
	}
	return changes
}

// KillSession deletes the session and its ephemerals without a transaction: what is left of a session that ended while nobody wrote it
// down (storage rules, 5.1).
func (t *Tree) KillSession(id int64) {
	t.applyOne(&Txn{TxnHeader: jute.TxnHeader{ClientID: id, Zxid: t.lastZxid, Type: int32(jute.OpCloseSession)}}, &Result{}, nil)
}

func (t *Tree) applyCreate(txn *Txn, r *Result, changes []Change) []Change {
	r.Path = txn.Path
	parent := t.index.find(ParentPath(txn.Path))
	if parent == nil {
		r.Err = jute.ErrNoNode
		return changes
	}
	if old := t.index.find(txn.Path); old != nil && old.linked() {
		// A fuzzy snapshot had it already.
		t.touch(old)
		t.replaceACL(old, txn.ACL)
		t.settle(old)
		if txn.Op() == jute.OpCreate {
			t.raise(parent, txn.ParentCVersion, txn.Zxid)
		}
		r.Err = jute.ErrNodeExists
		return changes
	}
	if t.Len() >= t.limit {
		t.warnings("a znode is not created: no tree holds more", "path", txn.Path, "znodes", t.Len())
		r.Err = jute.ErrSystemError
		return changes
	}
	cversion := txn.ParentCVersion
	if cversion == -1 {
		cversion = parent.now().cversion + 1
	}
	t.raise(parent, cversion, txn.Zxid)
	n := t.newNode(txn.Path, txn.Data, t.digester.Content(txn.Path, txn.Data))
	n.czxid, n.ctime, n.acl = txn.Zxid, txn.Time, t.acls.add(txn.ACL)
	switch {
	case txn.Op() == jute.OpCreateContainer:
		t.extend(n).owner = int64(ContainerOwner)
	case txn.Op() == jute.OpCreateTTL && txn.TTL > 0:
		t.extend(n).owner = int64(TTLOwner(txn.TTL))
	case txn.Ephemeral && txn.ClientID != 0:
		t.extend(n).owner = txn.ClientID
	}
	t.link(n)
	t.quotaCreated(txn.Path, n)
	r.Stat = n.Stat()
	return append(changes, Change{Kind: Created, Path: txn.Path, ACL: t.ACL(n), ParentACL: t.ACL(parent)})
}

// raise sets what a create changes in the parent, unless it has a later cversion already.
func (t *Tree) raise(parent *Node, cversion int32, zxid int64) {
	if cversion > parent.now().cversion {
		t.touch(parent)
		e := t.extend(parent)
		e.cversion, e.pzxid = cversion, zxid
		t.settle(parent)
	}
}

func (t *Tree) applyDelete(path string, zxid int64, r *Result, changes []Change) []Change {
	parent := t.index.find(ParentPath(path))
	n := t.index.find(path)
	if parent == nil || path == RootPath {
		r.Err = jute.ErrNoNode
		return changes
	}
	if zxid > parent.Pzxid() {
		t.touch(parent)
		t.extend(parent).pzxid = zxid
		t.settle(parent)
	}
	if n == nil {
		r.Err = jute.ErrNoNode
		return changes
	}
	change := Change{Kind: Deleted, Path: path, ACL: t.ACL(n), ParentACL: t.ACL(parent)}
	size := max(int(n.dataLen), 0)
	t.unlink(n, parent)
	t.quotaDeleted(path, size)
	return append(changes, change)
}

// replaceData gives the node a copy of data.
func (t *Tree) replaceData(n *Node, data []byte) {
	t.dataSize += int64(len(data)) - int64(max(n.dataLen, 0))
	t.setData(n, data)
}

func (t *Tree) replaceACL(n *Node, acl []jute.ACL) {
	old := n.acl
	n.acl = t.acls.add(acl)
	t.acls.release(old)
}

// canonical writes the root's path as the tree does.
func canonical(path string) string {
	if path == "/" {
		return RootPath
	}
	return path
}
