package server

import (
	"fmt"
	"slices"
	"time"

	"quoll/jute"
	"quoll/tree"
)

// pending is a znode as it will be when everything proposed so far is applied (PrepRequestProcessor's ChangeRecord).
type pending struct {
	zxid     int64
	exists   bool
	stat     jute.StatPersisted
	crc      uint32 // of path and data
	acl      []jute.ACL
	children int32
}

// Preparer turns requests into transactions. It checks them against the tree and, above that, what has been proposed and not yet
// applied. It is plain code: time and zxid come in, nothing blocks, and the same requests give the same transactions.
//
// Whoever gives requests their order calls Prepare for each, Applied for each transaction that the tree has taken, those of others among them, and Reset when
// what was prepared will not come: the log failed, or another server leads.
type Preparer struct {
	tree *tree.Tree
	auth *authenticator
	opts *Options

	members     Membership // nil if the server stands alone
	outstanding map[string]*pending
	order       []pathAt // the paths of outstanding, in zxid order; a path can come several times
	arena       []pending
	newborn     map[int64][]string // paths of ephemerals among outstanding, by session; a path can come several times
	closing     map[int64]bool     // sessions whose closeSession is proposed and not yet applied
	opening     map[int64]bool     // sessions whose createSession is
	digest      uint64
	digester    tree.Digester
	journal     []change // what the request in preparation must undo if it fails
	warn        func(msg string, args ...any)
	overQuota   func(path string)        // a request for path was refused
	unlisted    func(session int64) bool // whether a session that is not global may write; nil if there are none
}

type pathAt struct {
	path string
	zxid int64
}

type change struct {
	path string
	old  *pending
}

// NewPreparer returns a preparer for a tree. Of the options only the configuration counts.
func NewPreparer(t *tree.Tree, o *Options) (*Preparer, error) {
	a, err := newAuthenticator(o)
	if err != nil {
		return nil, err
	}
	return newPreparer(t, a, o), nil
}

func newPreparer(t *tree.Tree, a *authenticator, o *Options) *Preparer {
	return &Preparer{
		tree: t, auth: a, opts: o, outstanding: map[string]*pending{}, newborn: map[int64][]string{}, closing: map[int64]bool{}, opening: map[int64]bool{},
		digest: uint64(t.Digest()), warn: func(string, ...any) {}, overQuota: func(string) {},
	}
}

// look fills p with the znode as it will be. It reports whether there will be one.
func (pr *Preparer) look(path string, p *pending) bool {
	if o := pr.outstanding[path]; o != nil {
		*p = *o
		return p.exists
	}
	n := pr.tree.Lookup(path)
	if n == nil {
		*p = pending{}
		return false
	}
	*p = pending{exists: true, stat: n.Persisted(), crc: n.CRC(), acl: pr.tree.ACL(n), children: int32(n.NumChildren())}
	return true
}

// put records how a znode will be after zxid. before is how it was.
func (pr *Preparer) put(path string, zxid int64, before, after *pending) {
	if tree.Digested(path) {
		if before.exists {
			pr.digest -= uint64(pr.digester.Node(before.crc, &before.stat))
		}
		if after.exists {
			pr.digest += uint64(pr.digester.Node(after.crc, &after.stat))
		}
	}
	if len(pr.arena) == cap(pr.arena) {
		pr.arena = make([]pending, 0, 256)
	}
	pr.arena = append(pr.arena, *after)
	p := &pr.arena[len(pr.arena)-1]
	p.zxid = zxid
	pr.journal = append(pr.journal, change{path, pr.outstanding[path]})
	pr.outstanding[path] = p
	pr.order = append(pr.order, pathAt{path, zxid})
}

// Applied forgets what the tree now has itself, since it has taken txn, and returns how many changes that were.
func (pr *Preparer) Applied(txn *tree.Txn) int {
	switch txn.Op() {
	case jute.OpCreateSession:
		delete(pr.opening, txn.ClientID)
	case jute.OpCloseSession:
		delete(pr.closing, txn.ClientID)
	}
	i := 0
	for ; i < len(pr.order) && pr.order[i].zxid <= txn.Zxid; i++ {
		if p := pr.outstanding[pr.order[i].path]; p != nil && p.zxid <= txn.Zxid {
			delete(pr.outstanding, pr.order[i].path)
		}
	}
	if i == len(pr.order) {
		clear(pr.newborn)
		pr.order, pr.arena = pr.order[:0], pr.arena[:0]
		pr.digest = uint64(pr.tree.Digest()) // it was known already, unless others have prepared this
		return i
	}
	pr.order = pr.order[i:]
	return i
}

// Reset forgets everything that is proposed and not applied, and returns how many changes that were.
func (pr *Preparer) Reset() int {
	n := len(pr.order)
	clear(pr.outstanding)
	clear(pr.newborn)
	clear(pr.closing)
	clear(pr.opening)
	pr.order, pr.arena, pr.journal = pr.order[:0], pr.arena[:0], pr.journal[:0]
	pr.digest = uint64(pr.tree.Digest())
	return n
}

// undo takes back what the request in preparation has proposed. What earlier requests have proposed for the same znodes is restored,
// or sequence numbers would be given out twice.
func (pr *Preparer) undo(digest uint64) {
	pr.order = pr.order[:len(pr.order)-len(pr.journal)]
	for i := len(pr.journal) - 1; i >= 0; i-- {
		if c := pr.journal[i]; c.old == nil {
			delete(pr.outstanding, c.path)
		} else {
			pr.outstanding[c.path] = c.old
		}
	}
	pr.digest = digest
}

// Prepare makes the transaction for a request, with a zxid above all before. A request that fails is a transaction too, of type error. now is the wall clock.
func (pr *Preparer) Prepare(zxid int64, now time.Time, r *Request) tree.Txn {
	txn := pr.begin(zxid, now, r)
	if code := pr.dispatch(&txn, r); code != jute.OK {
		return pr.Refuse(zxid, now, r, code)
	}
	txn.HasDigest, txn.Digest = pr.opts.DigestEnabled, int64(pr.digest)
	return txn
}

// Refuse makes the transaction for a request that fails for a reason that the preparer does not know.
func (pr *Preparer) Refuse(zxid int64, now time.Time, r *Request, code jute.Code) tree.Txn {
	txn := pr.begin(zxid, now, r)
	txn.Type, txn.Err = int32(jute.OpError), code
	txn.HasDigest, txn.Digest = pr.opts.DigestEnabled, int64(pr.digest)
	return txn
}

// begin returns a transaction that has only its header.
func (pr *Preparer) begin(zxid int64, now time.Time, r *Request) tree.Txn {
	return tree.Txn{TxnHeader: jute.TxnHeader{ClientID: r.Session, Cxid: r.Cxid, Zxid: zxid, Time: now.UnixMilli(), Type: int32(r.Op)}}
}

func (pr *Preparer) dispatch(txn *tree.Txn, r *Request) jute.Code {
	pr.journal = pr.journal[:0]
	before := pr.digest
	code := pr.dispatchOp(txn, r)
	if code == jute.OK && r.Op != jute.OpCloseSession {
		size := txnSize(txn)
		if size > pr.opts.maxEntry() {
			size = len(txn.Append(nil)) + digestSize // the bound may be far off for a multi of many short parts
		}
		if size > pr.opts.maxEntry() {
			pr.warn("refused a write that would take more bytes in the log than ZooKeeper could read back", "op", r.Op.String(), "session", hex(r.Session), "bytes", size)
			code = jute.ErrMarshalling
		}
	}
	if code != jute.OK {
		pr.undo(before)
	}
	return code
}

func (pr *Preparer) dispatchOp(txn *tree.Txn, r *Request) jute.Code {
	d := jute.NewDecoder(r.Body)
	switch r.Op {
	case jute.OpCreateSession:
		txn.Timeout = d.Int32()
		pr.opening[r.Session] = true
		return jute.OK
	case jute.OpCloseSession:
		return pr.closeSession(txn, r.Session)
	case jute.OpMulti:
		parts, err := r.parts()
		if err != nil {
			return jute.ErrMarshalling
		}
		return pr.multi(txn, parts, r)
	case jute.OpReconfig:
		return pr.reconfig(txn, r, &d)
	}
	if r.op.Op == 0 {
		r.op.Op = r.Op
		if r.op.Decode(&d); d.Err() != nil {
			return jute.ErrMarshalling
		}
	}
	return pr.operation(txn, &r.op, r)
}

// alive is the session check: the session exists, or is proposed, and is not closing; or it is one that this server need not know.
func (pr *Preparer) alive(r *Request) bool {
	return r.internal || pr.global(r.Session) || pr.unlisted != nil && !pr.closing[r.Session] && pr.unlisted(r.Session)
}

// global is the session check for what only a session that all servers know may do.
func (pr *Preparer) global(session int64) bool {
	_, known := pr.tree.SessionTimeout(session)
	return (known || pr.opening[session]) && !pr.closing[session]
}

// operation prepares one write, alone or as part of a multi. txn has its header already.
func (pr *Preparer) operation(txn *tree.Txn, o *jute.Operation, r *Request) jute.Code {
	switch o.Op {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		return pr.create(txn, o, r)
	case jute.OpDelete:
		return pr.delete(txn, o, r)
	case jute.OpDeleteContainer:
		return pr.deleteContainer(txn, o)
	case jute.OpSetData:
		return pr.setData(txn, o, r)
	case jute.OpSetACL:
		return pr.setACL(txn, o, r)
	case jute.OpCheck:
		return pr.check(txn, o, r)
	}
	panic(fmt.Sprintf("server: no preparation for opcode %d", o.Op))
}

func (pr *Preparer) create(txn *tree.Txn, o *jute.Operation, r *Request) jute.Code {
	switch mode := o.Flags; {
	case !mode.Valid() || o.Op == jute.OpCreateTTL && !mode.TTL():
		return jute.ErrBadArguments
	case mode.TTL() && !pr.opts.ExtendedTypesEnabled:
		return jute.ErrUnimplemented
	case mode.TTL() && (o.TTL < 1 || o.TTL > tree.MaxTTL), !mode.TTL() && o.TTL >= 0:
		return jute.ErrBadArguments
	case mode.Ephemeral() && r.staysLocal:
		return jute.ErrEphemeralOnLocalSession
	case !pr.alive(r), mode.Ephemeral() && !pr.global(r.Session):
		return jute.ErrSessionExpired
	case o.Path == nil:
		return jute.ErrMarshalling
	}
	path := jute.JavaText(o.Path)
	if !addressable(path) {
		return jute.ErrBadArguments
	}
	acl, code := pr.auth.fix(o.ACL, r.IDs)
	if code != jute.OK {
		return code
	}
	var parent, node pending
	parentPath := tree.ParentPath(path)
	if !pr.look(parentPath, &parent) {
		return jute.ErrNoNode
	}
	if !pr.auth.allowed(parent.acl, jute.PermCreate, r.IDs) {
		return jute.ErrNoAuth
	}
	if o.Flags.Sequential() {
		path += fmt.Sprintf("%010d", parent.stat.Cversion)
	}
	if !validPath(path) {
		return jute.ErrBadArguments
	}
	if path == "/" || pr.look(path, &node) {
		return jute.ErrNodeExists
	}
	if tree.Owner(parent.stat.EphemeralOwner).Ephemeral() {
		return jute.ErrNoChildrenForEphemerals
	}
	if !pr.withinQuota(path, int64(len(o.Data)), 1) {
		return jute.ErrQuotaExceeded
	}

	txn.Path, txn.Data, txn.ACL, txn.TTL = path, o.Data, acl, o.TTL
	txn.Ephemeral = o.Flags.Ephemeral() && o.Op != jute.OpCreateContainer
	txn.ParentCVersion = parent.stat.Cversion + 1

	after := parent
	after.children++
	// At the largest number the counter sticks: the wrapped value is not larger, so applying changes nothing.
	if txn.ParentCVersion > parent.stat.Cversion {
		after.stat.Cversion, after.stat.Pzxid = txn.ParentCVersion, txn.Zxid
	}
	pr.put(parentPath, txn.Zxid, &parent, &after)
	made := pending{exists: true, acl: acl, stat: jute.StatPersisted{
		Czxid: txn.Zxid, Mzxid: txn.Zxid, Pzxid: txn.Zxid, Ctime: txn.Time, Mtime: txn.Time,
	}}
	switch {
	case o.Op == jute.OpCreateContainer:
		made.stat.EphemeralOwner = int64(tree.ContainerOwner)
	case o.Op == jute.OpCreateTTL:
		made.stat.EphemeralOwner = int64(tree.TTLOwner(o.TTL))
	case txn.Ephemeral:
		made.stat.EphemeralOwner = r.Session
	}
	made.crc = pr.digester.Content(path, o.Data)
	if txn.Ephemeral {
		pr.newborn[r.Session] = append(pr.newborn[r.Session], path)
	}
	pr.put(path, txn.Zxid, &node, &made)
	return jute.OK
}

func (pr *Preparer) delete(txn *tree.Txn, o *jute.Operation, r *Request) jute.Code {
	switch {
	case !pr.alive(r):
		return jute.ErrSessionExpired
	case o.Path == nil:
		return jute.ErrMarshalling
	}
	path := jute.JavaText(o.Path)
	if !addressable(path) || undeletable[path] {
		return jute.ErrBadArguments
	}
	var parent, node pending
	if !pr.look(tree.ParentPath(path), &parent) {
		return jute.ErrNoNode
	}
	if !pr.auth.allowed(parent.acl, jute.PermDelete, r.IDs) {
		return jute.ErrNoAuth
	}
	if !pr.look(path, &node) {
		return jute.ErrNoNode
	}
	if !versionOK(o.Version, node.stat.Version) {
		return jute.ErrBadVersion
	}
	if node.children > 0 {
		return jute.ErrNotEmpty
	}
	txn.Path = path
	pr.putDelete(path, txn.Zxid, &parent, &node)
	return jute.OK
}

func (pr *Preparer) deleteContainer(txn *tree.Txn, o *jute.Operation) jute.Code {
	path := jute.JavaText(o.Path)
	if !addressable(path) || undeletable[path] {
		return jute.ErrBadArguments
	}
	var parent, node pending
	switch {
	case !pr.look(path, &node):
		return jute.ErrNoNode
	case node.children > 0:
		return jute.ErrNotEmpty
	case !due(&node.stat, txn.Time, pr.opts.ContainerMaxNeverUsedInterval):
		return jute.ErrBadVersion // it was written to meanwhile, or is another znode than the one that was found
	case !pr.look(tree.ParentPath(path), &parent):
		return jute.ErrNoNode
	}
	txn.Path = path
	pr.putDelete(path, txn.Zxid, &parent, &node)
	return jute.OK
}

func (pr *Preparer) putDelete(path string, zxid int64, parent, node *pending) {
	after := *parent
	after.children--
	after.stat.Pzxid = max(after.stat.Pzxid, zxid)
	pr.put(tree.ParentPath(path), zxid, parent, &after)
	pr.put(path, zxid, node, &pending{})
}

// target makes the session check and returns the valid path of an operation on one existing znode.
func (pr *Preparer) target(o *jute.Operation, r *Request) (string, jute.Code) {
	if !pr.alive(r) {
		return "", jute.ErrSessionExpired
	}
	path := jute.JavaText(o.Path)
	if !validPath(path) {
		return "", jute.ErrBadArguments
	}
	return path, jute.OK
}

// permitted fills node with the znode at path and checks that r may do with it what wanted says.
func (pr *Preparer) permitted(path string, node *pending, wanted int32, r *Request) jute.Code {
	if !pr.look(treePath(path), node) {
		return jute.ErrNoNode
	}
	if !pr.auth.allowed(node.acl, wanted, r.IDs) {
		return jute.ErrNoAuth
	}
	return jute.OK
}

// versionOK reports whether a conditional version, -1 for any, is the current one.
func versionOK(version, current int32) bool { return version == -1 || version == current }

func (pr *Preparer) setData(txn *tree.Txn, o *jute.Operation, r *Request) jute.Code {
	var node pending
	path, code := pr.target(o, r)
	if code == jute.OK {
		code = pr.permitted(path, &node, jute.PermWrite, r)
	}
	if code != jute.OK {
		return code
	}
	if pr.opts.EnforceQuota {
		var old int64
		if n := pr.tree.Lookup(path); n != nil {
			old = int64(len(n.Data()))
		}
		if !pr.withinQuota(path, int64(len(o.Data))-old, 0) {
			return jute.ErrQuotaExceeded
		}
	}
	if !versionOK(o.Version, node.stat.Version) {
		return jute.ErrBadVersion
	}
	txn.Path, txn.Data, txn.Version = path, o.Data, node.stat.Version+1
	after := node
	after.stat.Version, after.stat.Mzxid, after.stat.Mtime = txn.Version, txn.Zxid, txn.Time
	after.crc = pr.digester.Content(treePath(path), o.Data)
	pr.put(treePath(path), txn.Zxid, &node, &after)
	return jute.OK
}

func (pr *Preparer) setACL(txn *tree.Txn, o *jute.Operation, r *Request) jute.Code {
	var node pending
	var acl []jute.ACL
	path, code := pr.target(o, r)
	if code == jute.OK {
		acl, code = pr.auth.fix(o.ACL, r.IDs)
	}
	if code == jute.OK {
		code = pr.permitted(path, &node, jute.PermAdmin, r)
	}
	if code != jute.OK {
		return code
	}
	if !versionOK(o.Version, node.stat.Aversion) {
		return jute.ErrBadVersion
	}
	txn.Path, txn.ACL, txn.Version = path, acl, node.stat.Aversion+1
	after := node
	after.acl, after.stat.Aversion = acl, txn.Version
	pr.put(treePath(path), txn.Zxid, &node, &after)
	return jute.OK
}

func (pr *Preparer) check(txn *tree.Txn, o *jute.Operation, r *Request) jute.Code {
	var node pending
	path, code := pr.target(o, r)
	if code == jute.OK {
		code = pr.permitted(path, &node, jute.PermRead, r)
	}
	if code != jute.OK {
		return code
	}
	if !versionOK(o.Version, node.stat.Version) {
		return jute.ErrBadVersion
	}
	txn.Path, txn.Version = path, node.stat.Version+1
	return jute.OK
}

// multi prepares its operations one after the other; at the first that fails everything is taken back.
func (pr *Preparer) multi(txn *tree.Txn, ops []jute.Operation, r *Request) jute.Code {
	if len(ops) > 0 && (ops[0].Op == jute.OpGetData || ops[0].Op == jute.OpGetChildren) || slices.ContainsFunc(ops, func(o jute.Operation) bool { return o.Path == nil }) {
		return jute.ErrMarshalling
	}
	digest := pr.digest
	failed := jute.OK
	txn.Multi = make([]tree.Txn, 0, len(ops))
	for i := range ops {
		sub := tree.Txn{TxnHeader: txn.TxnHeader}
		sub.Type = int32(ops[i].Op)
		code := jute.ErrRuntimeInconsistency
		if failed == jute.OK {
			code = pr.operation(&sub, &ops[i], r)
			failed = code
		}
		if code == jute.ErrMarshalling {
			return code // then the multi fails as a whole
		}
		if code != jute.OK {
			sub = tree.Txn{Err: code}
			sub.Type = int32(jute.OpError)
		}
		txn.Multi = append(txn.Multi, sub)
	}
	if failed != jute.OK {
		pr.undo(digest)
		pr.journal = pr.journal[:0]
	}
	return jute.OK
}

// closeSession lists the ephemerals that the session will have. A list longer than a log entry may be is cut: what is not
// listed is deleted all the same when the transaction is applied.
func (pr *Preparer) closeSession(txn *tree.Txn, session int64) jute.Code {
	delete(pr.opening, session)
	pr.closing[session] = true
	owned := func(path string) bool {
		var p pending
		return pr.look(path, &p) && p.stat.EphemeralOwner == session
	}
	paths := slices.DeleteFunc(append(pr.tree.Ephemerals(session), pr.newborn[session]...), func(path string) bool { return !owned(path) })
	slices.Sort(paths) // so that the transaction is a function of the state, and what is still on its way is there once
	paths = slices.Compact(paths)
	delete(pr.newborn, session)
	size := 0
	txn.Paths = []string{}
	for _, path := range paths {
		var parent, node pending
		if pr.look(tree.ParentPath(path), &parent) && pr.look(path, &node) {
			pr.putDelete(path, txn.Zxid, &parent, &node)
		}
		if size += 4 + len(path); size < pr.opts.maxEntry()-1024 {
			txn.Paths = append(txn.Paths, path)
		}
	}
	if !pr.opts.CloseSessionTxnEnabled {
		// ZooKeeper leaves the body out then and its own readers stumble over that; an empty list deletes the same.
		txn.Paths = []string{}
	}
	return jute.OK
}

// withinQuota checks the hard limits of the quota that path is under, against the counters as applied.
func (pr *Preparer) withinQuota(path string, bytes, count int64) bool {
	if !pr.opts.EnforceQuota {
		return true
	}
	quota := pr.tree.QuotaFor(path)
	if quota == "" {
		return true
	}
	limits, stats, ok := pr.tree.Quota(quota)
	if !ok {
		return true
	}
	exceeds := func(diff, now, soft, hard int64, what string) bool {
		if diff == 0 {
			return false
		}
		if hard > -1 && now+diff > hard {
			return true
		}
		if soft > -1 && now+diff > soft {
			pr.warn("quota exceeded", "of", what, "path", quota, "has", now+diff, "limit", soft)
		}
		return false
	}
	if exceeds(count, stats.Count, limits.Count, limits.CountHardLimit, "count") ||
		exceeds(bytes, stats.Bytes, limits.Bytes, limits.BytesHardLimit, "byte") {
		pr.overQuota(path)
		return false
	}
	return true
}

// digestSize is what a digest adds to a transaction in the log.
const digestSize = 12

// txnSize bounds the bytes that a transaction takes in the log from above.
func txnSize(t *tree.Txn) int {
	n := 96 + len(t.Path) + len(t.Data)
	for i := range t.ACL {
		n += 12 + len(t.ACL[i].Scheme) + len(t.ACL[i].ID)
	}
	for i := range t.Multi {
		n += txnSize(&t.Multi[i])
	}
	return n
}

// due reports whether a znode without children should go at a time (ContainerManager): a container that has lost its last child or has
// never had one for too long, and a TTL node that nobody has written to for its time. now is in milliseconds since 1970.
func due(st *jute.StatPersisted, now int64, maxUnused time.Duration) bool {
	owner, age := tree.Owner(st.EphemeralOwner), now-st.Mtime
	if ttl, ok := owner.TTL(); ok {
		return age > ttl
	}
	return owner == tree.ContainerOwner && (st.Cversion > 0 || maxUnused > 0 && age > maxUnused.Milliseconds())
}

// reapable returns the containers and TTL nodes that should go.
func reapable(t *tree.Tree, now time.Time, maxUnused time.Duration) (paths []string) {
	for _, path := range append(t.Containers(), t.TTLs()...) {
		if n := t.Lookup(path); n != nil && n.NumChildren() == 0 {
			if st := n.Persisted(); due(&st, now.UnixMilli(), maxUnused) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}
