package tree

import (
	"bytes"
	"fmt"
	"strings"

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
)

// Tree is the replicated state. The zero value is not usable; see [New] and [Loader].
type Tree struct {
	nodes      map[string]*Node
	root       *Node
	acls       aclTable
	sessions   map[int64]int32
	ephemerals map[int64]map[string]struct{}
	containers map[string]struct{}
	ttls       map[string]struct{}
	quotas     map[string]struct{} // paths with a zookeeper_limits node
	recount    []string            // paths with a new zookeeper_stats node, until the transaction is applied
	digest     uint64
	digester   Digester
	digests    []DigestAt
	lastZxid   int64
	dataSize   int64
	changes    changes
	warnings   func(format string, args ...any)
}

// DigestAt is the digest of the tree after the transaction of a zxid.
type DigestAt struct {
	Zxid   int64
	Digest int64
}

func empty() *Tree {
	return &Tree{
		nodes: map[string]*Node{}, acls: newACLTable(), sessions: map[int64]int32{}, ephemerals: map[int64]map[string]struct{}{},
		containers: map[string]struct{}{}, ttls: map[string]struct{}{}, quotas: map[string]struct{}{},
		warnings: func(string, ...any) {},
	}
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
	n := &Node{path: path, data: []byte{}}
	if path == ConfigPath {
		n.aversion, n.acl = -1, t.acls.add(readOnlyACL)
	}
	n.crc = t.digester.Content(n.path, n.data)
	t.link(n)
	return n
}

// SetConfig makes the znode of the configuration say text without a transaction, with version as its mzxid and now, in milliseconds, as its mtime. If the znode
// says that already, it stays as it is and ok is false. The digest of the tree does not depend on it. Mirrors ZKDatabase.initConfigInZKDatabase.
func (t *Tree) SetConfig(text []byte, version, now int64) (change Change, ok bool) {
	n := t.nodes[ConfigPath]
	if n == nil { // the database of a server older than 3.5
		if t.nodes[ZookeeperPath] == nil {
			t.plant(ZookeeperPath)
		}
		n = t.plant(ConfigPath)
	}
	if n.mzxid == version && n.version == -1 && bytes.Equal(n.data, text) {
		return change, false
	}
	t.touch(n)
	t.replaceData(n, text)
	n.version, n.mzxid, n.mtime = -1, version, now
	return Change{Kind: DataChanged, Path: n.path, ACL: t.ACL(n)}, true
}

// OnWarning makes fn the receiver of what is wrong with the data but harmless, such as a malformed quota znode.
func (t *Tree) OnWarning(fn func(format string, args ...any)) { t.warnings = fn }

// Get returns the node at path, or nil. It does not allocate.
func (t *Tree) Get(path []byte) *Node {
	if len(path) == 1 && path[0] == '/' {
		return t.root
	}
	return t.nodes[string(path)]
}

// Lookup is Get for a string.
func (t *Tree) Lookup(path string) *Node {
	if path == "/" {
		return t.root
	}
	return t.nodes[path]
}

// Len is the number of znodes. Java counts one more, because it knows the root under two names.
func (t *Tree) Len() int { return len(t.nodes) }

// LastZxid is the zxid of the last transaction applied.
func (t *Tree) LastZxid() int64 { return t.lastZxid }

// SetLastZxid tells a tree loaded from a snapshot the zxid that the file's name has.
func (t *Tree) SetLastZxid(zxid int64) { t.lastZxid = zxid }

// Digest is the digest of the whole tree: the sum of the digests of its nodes (AdHash).
func (t *Tree) Digest() int64 { return int64(t.digest) }

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
func (t *Tree) Ephemerals(session int64) []string { return keys(t.ephemerals[session]) }

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
func (t *Tree) Containers() []string { return keys(t.containers) }

// TTLs returns the paths of all TTL nodes, in no order.
func (t *Tree) TTLs() []string { return keys(t.ttls) }

// NumTTLs is the number of TTL nodes.
func (t *Tree) NumTTLs() int { return len(t.ttls) }

func keys(set map[string]struct{}) []string {
	list := make([]string, 0, len(set))
	for k := range set {
		list = append(list, k)
	}
	return list
}

// CountDescendants is the number of nodes below n at any depth.
func (t *Tree) CountDescendants(n *Node) int {
	if n == t.root {
		return len(t.nodes) - 1
	}
	count := 0
	for stack := []*Node{n}; len(stack) > 0; {
		top := stack[len(stack)-1]
		stack = append(stack[:len(stack)-1], top.Children()...)
		count += top.NumChildren()
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
	if old := t.nodes[n.path]; old != nil {
		t.unlink(old) // an orphan of a replayed delete
	}
	t.add(n, t.nodes[ParentPath(n.path)])
	t.changed(n)
	t.refreshDigest(n)
}

// add puts a node, whose digest may be known, into the map, its parent's children, the indexes and the digest.
func (t *Tree) add(n, parent *Node) {
	t.nodes[n.path] = n
	t.dataSize += int64(len(n.path) + len(n.data))
	t.digest += uint64(n.digest)
	if n.path == RootPath {
		t.root = n
	} else {
		parent.addChild(n)
	}
	switch owner := n.Owner(); {
	case owner == 0:
	case owner == ContainerOwner:
		t.containers[n.path] = struct{}{}
	case owner.Ephemeral():
		set := t.ephemerals[n.owner]
		if set == nil {
			set = map[string]struct{}{}
			t.ephemerals[n.owner] = set
		}
		set[n.path] = struct{}{}
	default:
		t.ttls[n.path] = struct{}{}
	}
}

// unlink undoes link, but for the parent's list of children.
func (t *Tree) unlink(n *Node) {
	if t.touch(n); n.czxid > t.changes.cutZxid {
		t.changes.dead++
	}
	delete(t.nodes, n.path)
	t.dataSize -= int64(len(n.path) + len(n.data))
	t.digest -= uint64(n.digest)
	t.acls.release(n.acl)
	switch owner := n.Owner(); {
	case owner == 0:
	case owner == ContainerOwner:
		delete(t.containers, n.path)
	case owner.Ephemeral():
		if set := t.ephemerals[n.owner]; set != nil {
			if delete(set, n.path); len(set) == 0 {
				delete(t.ephemerals, n.owner)
			}
		}
	default:
		delete(t.ttls, n.path)
	}
}

// refreshDigest brings the node's part of the tree digest up to date after a change of the node.
func (t *Tree) refreshDigest(n *Node) {
	if !Digested(n.path) {
		return
	}
	s := n.Persisted()
	d := t.digester.Node(n.crc, &s)
	t.digest += uint64(d) - uint64(n.digest)
	n.digest = d
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
		t.touch(n)
		before := len(n.data)
		t.replaceData(n, txn.Data)
		n.version, n.mtime, n.mzxid = txn.Version, txn.Time, txn.Zxid
		t.refreshDigest(n)
		t.countQuota(n.path, len(n.data)-before, 0)
		r.Stat = n.Stat()
		if txn.Op() == jute.OpReconfig {
			r.Data = txn.Data
		}
		return append(changes, Change{Kind: DataChanged, Path: n.path, ACL: t.ACL(n)})
	case jute.OpSetACL:
		n := t.Lookup(txn.Path)
		if n == nil {
			r.Err = jute.ErrNoNode
			return changes
		}
		t.touch(n)
		t.replaceACL(n, txn.ACL)
		n.aversion = txn.Version
		t.refreshDigest(n)
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
		for path := range t.ephemerals[txn.ClientID] {
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
	parent := t.nodes[ParentPath(txn.Path)]
	if parent == nil {
		r.Err = jute.ErrNoNode
		return changes
	}
	if old := t.nodes[txn.Path]; old != nil && parent.hasChild(old) {
		// A fuzzy snapshot had it already.
		t.touch(old)
		t.replaceACL(old, txn.ACL)
		if txn.Op() == jute.OpCreate && txn.ParentCVersion > parent.cversion {
			t.touch(parent)
			parent.cversion, parent.pzxid = txn.ParentCVersion, txn.Zxid
			t.refreshDigest(parent)
		}
		r.Err = jute.ErrNodeExists
		return changes
	}
	cversion := txn.ParentCVersion
	if cversion == -1 {
		cversion = parent.cversion + 1
	}
	if cversion > parent.cversion {
		t.touch(parent)
		parent.cversion, parent.pzxid = cversion, txn.Zxid
		t.refreshDigest(parent)
	}
	n := &Node{
		path: txn.Path, data: clone(txn.Data), acl: t.acls.add(txn.ACL), crc: t.digester.Content(txn.Path, txn.Data),
		czxid: txn.Zxid, mzxid: txn.Zxid, pzxid: txn.Zxid, ctime: txn.Time, mtime: txn.Time,
	}
	switch {
	case txn.Op() == jute.OpCreateContainer:
		n.owner = int64(ContainerOwner)
	case txn.Op() == jute.OpCreateTTL && txn.TTL > 0:
		n.owner = int64(TTLOwner(txn.TTL))
	case txn.Ephemeral:
		n.owner = txn.ClientID
	}
	t.link(n)
	t.quotaCreated(n)
	r.Stat = n.Stat()
	return append(changes, Change{Kind: Created, Path: n.path, ACL: t.ACL(n), ParentACL: t.ACL(parent)})
}

func (t *Tree) applyDelete(path string, zxid int64, r *Result, changes []Change) []Change {
	parent := t.nodes[ParentPath(path)]
	n := t.nodes[path]
	if parent == nil || path == RootPath {
		r.Err = jute.ErrNoNode
		return changes
	}
	if n != nil {
		parent.removeChild(n)
	}
	if zxid > parent.pzxid {
		t.touch(parent)
		parent.pzxid = zxid
		t.refreshDigest(parent)
	}
	if n == nil {
		r.Err = jute.ErrNoNode
		return changes
	}
	change := Change{Kind: Deleted, Path: n.path, ACL: t.ACL(n), ParentACL: t.ACL(parent)}
	t.changes.orphans = t.changes.orphans || n.children != nil
	t.unlink(n)
	t.quotaDeleted(n)
	n.data = nil // the changes for the next cut may keep the node
	return append(changes, change)
}

func (t *Tree) replaceData(n *Node, data []byte) {
	t.dataSize += int64(len(data) - len(n.data))
	n.data = clone(data)
	n.crc = t.digester.Content(n.path, n.data)
}

func (t *Tree) replaceACL(n *Node, acl []jute.ACL) {
	old := n.acl
	n.acl = t.acls.add(acl)
	t.acls.release(old)
}

// clone copies data, keeping null and empty apart.
func clone(data []byte) []byte {
	if data == nil {
		return nil
	}
	return append(make([]byte, 0, len(data)), data...)
}
