package server

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"

	"quoll/config/properties"
	"quoll/jute"
	"quoll/tree"
)

// query is one read while it is served. Whoever runs it holds the tree's lock, so that nothing changes between the look-up, the
// registration of the watch and the reply being on its way.
type query struct {
	s      *Server
	c      *conn
	ids    []jute.ID
	body   []byte
	b      []byte // replies, frame after frame
	events []byte // frames that go before the reply
	last   noted
	reads  traffic
}

// noted is what a connection's statistics keep of a reply.
type noted struct {
	op      jute.Op
	cxid    int32
	zxid    int64
	at      time.Time
	latency time.Duration
}

// replyHeaderSize is the length field and the header.
const replyHeaderSize = 4 + 16

// run serves a request and appends its reply to q.b. It allocates nothing unless the operation does.
func (q *query) run(row *opRow, op jute.Op, xid int32) {
	start := len(q.b)
	q.b = append(q.b, make([]byte, replyHeaderSize)...)
	code := row.read(q)
	if code != jute.OK && op != jute.OpMultiRead {
		q.b = q.b[:start+replyHeaderSize]
	}
	if len(q.events) > 0 {
		q.b = append(q.b, q.events...)
		copy(q.b[start+len(q.events):], q.b[start:len(q.b)-len(q.events)])
		copy(q.b[start:], q.events)
		start += len(q.events)
		q.events = q.events[:0]
	}
	if op == jute.OpPing {
		xid = jute.XidPing
	}
	zxid := q.s.lastZxid.Load()
	putReplyHeader(q.b[start:], xid, zxid, code)
	q.last = noted{op: op, cxid: xid, zxid: zxid}
}

// putReplyHeader writes the length and the header of the reply that fills b.
func putReplyHeader(b []byte, xid int32, zxid int64, code jute.Code) {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	binary.BigEndian.PutUint32(b[4:], uint32(xid))
	binary.BigEndian.PutUint64(b[8:], uint64(zxid))
	binary.BigEndian.PutUint32(b[16:], uint32(code))
}

// pathWatch decodes the request of exists, getData and getChildren. A null path is an error, as it is where Java looks at it.
func (q *query) pathWatch() (path []byte, watch, ok bool) {
	d := jute.NewDecoder(q.body)
	path, watch = d.Text(), d.Bool()
	return path, watch, d.Err() == nil && path != nil
}

func (q *query) path() (path []byte, ok bool) {
	d := jute.NewDecoder(q.body)
	path = d.Text()
	return path, d.Err() == nil && path != nil
}

func (q *query) mayRead(n *tree.Node) bool {
	return q.s.auth.allowed(q.s.tree.ACL(n), jute.PermRead, q.ids)
}

// watch sets a watch on the path as the client wrote it.
func (q *query) watch(path []byte, modes watchMode) {
	q.s.watches.set(watchPath(path), q.c, modes)
}

// watchPath is the key of a path in the watch table. ZooKeeper takes null for a path there, at which nothing ever happens; its key is no
// valid UTF-8, as all others are.
func watchPath(path []byte) string {
	if path == nil {
		return "\xff"
	}
	return jute.JavaText(path)
}

func (q *query) exists() jute.Code {
	path, watch, ok := q.pathWatch()
	if !ok {
		return jute.ErrMarshalling
	}
	if bytes.IndexByte(path, 0) >= 0 {
		return jute.ErrBadArguments
	}
	n := q.s.tree.Get(path)
	if n != nil && !q.mayRead(n) {
		return jute.ErrNoAuth
	}
	if watch {
		q.watch(path, dataStandard)
	}
	if n == nil {
		return jute.ErrNoNode
	}
	st := n.Stat()
	q.b = st.Append(q.b)
	q.countRead(path, 0)
	return jute.OK
}

// readable finds the node for an operation that needs READ.
func (q *query) readable(path []byte) (*tree.Node, jute.Code) {
	n := q.s.tree.Get(path)
	switch {
	case n == nil:
		return nil, jute.ErrNoNode
	case !q.mayRead(n):
		return nil, jute.ErrNoAuth
	}
	return n, jute.OK
}

func (q *query) getData() jute.Code {
	path, watch, ok := q.pathWatch()
	if !ok {
		return jute.ErrMarshalling
	}
	n, code := q.readable(path)
	if code != jute.OK {
		return code
	}
	if watch {
		q.watch(path, dataStandard)
	}
	q.appendData(path, n)
	return jute.OK
}

func (q *query) appendData(path []byte, n *tree.Node) {
	q.b = jute.AppendBuffer(q.b, n.Data())
	st := n.Stat()
	q.b = st.Append(q.b)
	q.countRead(path, len(n.Data()))
}

func (q *query) getChildren() jute.Code {
	_, code := q.children()
	return code
}

func (q *query) getChildren2() jute.Code {
	n, code := q.children()
	if code == jute.OK {
		st := n.Stat()
		q.b = st.Append(q.b)
	}
	return code
}

func (q *query) children() (*tree.Node, jute.Code) {
	path, watch, ok := q.pathWatch()
	if !ok {
		return nil, jute.ErrMarshalling
	}
	n, code := q.readable(path)
	if code != jute.OK {
		return nil, code
	}
	if watch {
		q.watch(path, childStandard)
	}
	q.appendChildren(path, n)
	return n, jute.OK
}

func (q *query) appendChildren(path []byte, n *tree.Node) {
	children := n.NumChildren()
	list, put := q.s.listings.get(path, n, children)
	if list != nil {
		q.s.metrics.ResponseGetChildrenCacheHits.Inc()
		q.grow(len(list))
		q.b = append(q.b, list...)
		q.countRead(path, len(list)-4-4*children)
		return
	}
	if children >= listingMin {
		q.s.metrics.ResponseGetChildrenCacheMisses.Inc()
	}
	q.b = jute.AppendInt32(q.b, int32(children))
	start := len(q.b)
	for child := range n.EachChild() {
		if len(q.b) == start {
			q.grow(children * (4 + len(child.Name()) + 2)) // a long list mostly has names of one kind
		}
		q.b = jute.AppendString(q.b, child.Name())
	}
	if put {
		q.s.listings.put(path, q.b[start-4:])
	}
	q.countRead(path, len(q.b)-start-4*children)
}

// grow makes room for a long answer at once. A short one grows as it comes, and one of many long parts to twice what it was.
func (q *query) grow(n int) {
	need := len(q.b) + n + statSize
	if need <= max(cap(q.b), readBufferMax) {
		return
	}
	b, ok := longPool.Get().(*[]byte)
	if !ok || cap(*b) < need {
		b = new([]byte)
		*b = make([]byte, 0, max(need, 2*cap(q.b)))
	}
	q.b = append(*b, q.b...)
}

func (q *query) getAllChildrenNumber() jute.Code {
	path, ok := q.path()
	if !ok {
		return jute.ErrMarshalling
	}
	n, code := q.readable(path)
	if code != jute.OK {
		return code
	}
	count := q.s.tree.CountDescendants(n)
	if len(path) == 0 {
		count++ // under this name ZooKeeper counts the root as well
	}
	q.b = jute.AppendInt32(q.b, int32(count))
	return jute.OK
}

// getACL shows the ids of scheme digest without the hash to whoever may not change the ACL.
func (q *query) getACL() jute.Code {
	path, ok := q.path()
	if !ok {
		return jute.ErrMarshalling
	}
	n := q.s.tree.Get(path)
	if n == nil {
		return jute.ErrNoNode
	}
	acl := q.s.tree.ACL(n)
	if !q.s.auth.allowed(acl, jute.PermRead|jute.PermAdmin, q.ids) {
		return jute.ErrNoAuth
	}
	masked := q.masksACL(acl)
	q.b = jute.AppendInt32(q.b, int32(len(acl)))
	for _, a := range acl {
		if masked {
			a = maskACL(a)
		}
		q.b = jute.AppendInt32(q.b, a.Perms)
		q.b = jute.AppendJavaString(q.b, a.Scheme)
		q.b = jute.AppendJavaString(q.b, a.ID)
	}
	st := n.Stat()
	q.b = st.Append(q.b)
	return jute.OK
}

// masksACL reports whether the list is shown without hashes.
func (q *query) masksACL(acl []jute.ACL) bool { return !q.s.auth.allowed(acl, jute.PermAdmin, q.ids) }

// maskACL takes the hash out of an entry of scheme digest.
func maskACL(a jute.ACL) jute.ACL {
	if user, _, ok := strings.Cut(a.ID, ":"); ok && a.Scheme == "digest" {
		a.ID = user + ":x"
	}
	return a
}

// sync has nothing to wait for on a standalone server but the writes before it, behind which it has waited already.
func (q *query) sync() jute.Code {
	d := jute.NewDecoder(q.body)
	path := d.Text()
	if d.Err() != nil {
		return jute.ErrMarshalling
	}
	if path == nil {
		q.b = jute.AppendInt32(q.b, -1)
	} else {
		q.b = jute.AppendJavaString(q.b, jute.JavaText(path))
	}
	return jute.OK
}

func (q *query) getEphemerals() jute.Code {
	d := jute.NewDecoder(q.body)
	raw := d.Text()
	if d.Err() != nil {
		return jute.ErrMarshalling
	}
	prefix := jute.JavaText(raw)
	if trimmed := properties.Trim(prefix); trimmed == "" || trimmed == "/" {
		prefix = ""
	}
	var found []string
	for _, path := range q.s.tree.Ephemerals(q.c.session.Load().id) {
		if strings.HasPrefix(path, prefix) {
			found = append(found, path)
		}
	}
	q.b = jute.AppendInt32(q.b, int32(len(found)))
	for _, path := range found {
		q.b = jute.AppendString(q.b, path)
	}
	return jute.OK
}

func (q *query) whoAmI() jute.Code {
	q.b = jute.AppendInt32(q.b, int32(len(q.ids)))
	for _, id := range q.ids {
		q.b = jute.AppendString(q.b, id.Scheme)
		q.b = jute.AppendJavaString(q.b, q.s.auth.user(id))
	}
	return jute.OK
}

// multiReadLimit is about the most bytes that one multiRead is answered with, or jute.maxbuffer if that is more: its request may ask for
// 50,000 times the same znode.
const multiReadLimit = 16 << 20

// multiRead answers each of its reads or says why not. Watch flags in it mean nothing. An operation that has no place in it ends it
// with MarshallingError behind the results so far; an answer that would be too long is that error alone.
func (q *query) multiRead() jute.Code {
	start, limit := len(q.b), max(multiReadLimit, q.s.opts.JuteMaxBuffer)
	d := jute.NewDecoder(q.body)
	list := jute.DecodeMulti(&d)
	if d.Err() != nil {
		return jute.ErrMarshalling
	}
	for i := range list {
		o := &list[i]
		if o.Path == nil || o.Op != jute.OpGetData && o.Op != jute.OpGetChildren {
			q.b = jute.MultiEnd.Append(q.b)
			return jute.ErrMarshalling
		}
		n, code := q.readable(o.Path)
		if code != jute.OK {
			q.b = appendErrorPart(q.b, code)
			continue
		}
		q.b = (&jute.MultiHeader{Type: int32(o.Op)}).Append(q.b)
		if o.Op == jute.OpGetData {
			q.appendData(o.Path, n)
		} else {
			q.appendChildren(o.Path, n)
		}
		if len(q.b)-start > limit {
			q.b = q.b[:start]
			return jute.ErrMarshalling
		}
	}
	q.b = jute.MultiEnd.Append(q.b)
	return jute.OK
}

func (q *query) addWatch() jute.Code {
	d := jute.NewDecoder(q.body)
	path, mode := d.Text(), jute.AddWatchMode(d.Int32())
	modes, ok := map[jute.AddWatchMode]watchMode{
		jute.AddWatchPersistent: persistentModes, jute.AddWatchPersistentRecursive: dataRecursive,
	}[mode]
	if d.Err() != nil || !ok {
		return jute.ErrMarshalling
	}
	q.watch(path, modes)
	q.b = jute.AppendInt32(q.b, 0)
	return jute.OK
}

func (q *query) checkWatches() jute.Code {
	path, modes, code := q.watcherType()
	if code == jute.OK && q.s.watches.modes(path, q.c)&modes.check == 0 {
		code = jute.ErrNoWatcher
	}
	return code
}

func (q *query) removeWatches() jute.Code {
	path, modes, code := q.watcherType()
	if code == jute.OK && q.s.watches.clear(path, q.c, modes.remove) == 0 {
		code = jute.ErrNoWatcher
	}
	return code
}

func (q *query) watcherType() (path string, modes struct{ check, remove watchMode }, code jute.Code) {
	var r jute.WatchesRequest
	d := jute.NewDecoder(q.body)
	r.Decode(&d)
	modes, ok := watchedBy[jute.WatcherType(r.Type)]
	if d.Err() != nil || !ok {
		return "", modes, jute.ErrMarshalling
	}
	return watchPath(r.Path), modes, jute.OK
}

func (q *query) setWatches() jute.Code {
	var r jute.SetWatchesRequest
	d := jute.NewDecoder(q.body)
	r.Decode(&d)
	if d.Err() != nil {
		return jute.ErrMarshalling
	}
	return q.restoreWatches(&jute.SetWatches2Request{
		RelativeZxid: r.RelativeZxid, Data: r.Data, Exist: r.Exist, Child: r.Child, Persistent: [][]byte{}, PersistentRecursive: [][]byte{},
	})
}

func (q *query) setWatches2() jute.Code {
	var r jute.SetWatches2Request
	d := jute.NewDecoder(q.body)
	r.Decode(&d)
	if d.Err() != nil {
		return jute.ErrMarshalling
	}
	return q.restoreWatches(&r)
}

// restoreWatches sets the watches that a client had on its last connection; what has happened since comes as an event at once, and
// then the watch is used up (DataTree.setWatches).
func (q *query) restoreWatches(r *jute.SetWatches2Request) jute.Code {
	// A null ends it with an error, after what came before it.
	lists := []struct {
		paths   [][]byte
		restore func(path []byte, n *tree.Node)
	}{
		{r.Data, func(path []byte, n *tree.Node) {
			switch {
			case n == nil:
				q.caughtUp(jute.EventNodeDeleted, path)
			case n.Mzxid() > r.RelativeZxid:
				q.caughtUp(jute.EventNodeDataChanged, path)
			default:
				q.watch(path, dataStandard)
			}
		}},
		{r.Exist, func(path []byte, n *tree.Node) {
			if n != nil {
				q.caughtUp(jute.EventNodeCreated, path)
			} else {
				q.watch(path, dataStandard)
			}
		}},
		{r.Child, func(path []byte, n *tree.Node) {
			switch {
			case n == nil:
				q.caughtUp(jute.EventNodeDeleted, path)
			case n.Pzxid() > r.RelativeZxid:
				q.caughtUp(jute.EventNodeChildrenChanged, path)
			default:
				q.watch(path, childStandard)
			}
		}},
	}
	for _, list := range lists {
		if list.paths == nil {
			return jute.ErrMarshalling
		}
		for _, path := range list.paths {
			if path == nil {
				return jute.ErrMarshalling
			}
			list.restore(path, q.s.tree.Get(path))
		}
	}
	for _, list := range [...]struct {
		paths [][]byte
		modes watchMode
	}{{r.Persistent, persistentModes}, {r.PersistentRecursive, dataRecursive}} {
		if list.paths == nil {
			return jute.ErrMarshalling
		}
		for _, path := range list.paths {
			q.watch(path, list.modes)
		}
	}
	return jute.OK
}

// caughtUp adds the event for what a client has missed; it goes before the reply.
func (q *query) caughtUp(typ jute.EventType, path []byte) {
	q.events = appendEvent(q.events, -1, typ, jute.JavaText(path))
}

// appendEvent appends the frame of a watch event. The path is text as a client has sent it, if the event is for what that has missed.
func appendEvent(b []byte, zxid int64, typ jute.EventType, path string) []byte {
	start := len(b)
	b = append(b, make([]byte, replyHeaderSize)...)
	b = jute.AppendInt32(jute.AppendInt32(b, int32(typ)), jute.StateSyncConnected)
	b = jute.AppendJavaString(b, path)
	putReplyHeader(b[start:], jute.XidEvent, zxid, jute.OK)
	return b
}
