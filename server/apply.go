package server

import (
	"math"
	"slices"
	"time"

	"quoll/jute"
	"quoll/tree"
)

// flushSelf is up to how many connections the applying goroutine writes to itself, without waiting, where waking others would cost more
// than the writing.
const flushSelf = 2

// flushShare is how many of more than that are one goroutine's.
const flushShare = 16

// applier is the working memory of Apply, which one goroutine at a time runs.
type applier struct {
	result   tree.Result
	changes  []tree.Change
	audience audience
	already  audience // connections that a deletion has reached through the data table
	event    []byte
	frame    []byte // a reply
	writes   traffic
	latency  tally // of the writes that were answered, in milliseconds
	updates  tally // the same, as the latency of updates
	removed  int   // changes that are outstanding no more
	path     []byte
	flush    []*conn

	mismatches int // transactions in a row whose digest was not the tree's
}

// Prepare turns a request into the transaction of a zxid. Requests come in zxid order. now is the wall clock.
func (s *Server) Prepare(zxid int64, now time.Time, r *Request) tree.Txn {
	before, begin := len(s.prep.order), time.Time{}
	if r.Op == jute.OpCloseSession {
		begin = time.Now()
	}
	txn := s.prep.Prepare(zxid, now, r)
	s.metrics.OutstandingChangesQueued.Add(int64(len(s.prep.order) - before))
	if r.Op == jute.OpCloseSession {
		s.metrics.CloseSessionPrepTime.Observe(time.Since(begin).Milliseconds())
	}
	return txn
}

// Apply applies committed transactions in zxid order and answers the requests that they came from. For each transaction its events come
// before its reply, and nobody reads in between.
func (s *Server) Apply(batch []Proposal) {
	a := &s.apply
	now := time.Now()
	s.lockTree()
	for i := range batch {
		s.applyOne(&batch[i], now)
	}
	s.unlockTree()
	a.writes.end()
	a.latency.end(s.stats.latency)
	a.updates.end(&s.metrics.UpdateLatency)
	s.metrics.OutstandingChangesRemoved.Add(int64(a.removed))
	a.removed = 0
	s.flushAll()
}

// flushAll has the output of the connections that flushLater noted written.
func (s *Server) flushAll() {
	a := &s.apply
	for _, c := range a.flush {
		c.pendingFlush = false
	}
	if len(a.flush) <= flushSelf {
		flushEach(a.flush)
	} else {
		for part := range slices.Chunk(a.flush, flushShare) {
			part = slices.Clone(part)
			s.wg.Go(func() { flushEach(part) })
		}
	}
	clear(a.flush)
	a.flush = a.flush[:0]
}

func flushEach(list []*conn) {
	for _, c := range list {
		c.tryFlush()
	}
}

func (s *Server) applyOne(p *Proposal, now time.Time) {
	a := &s.apply
	txn := &p.Txn
	clear(a.changes)
	if s.member != nil && p.Request == nil {
		p.Request = s.member.match(txn)
		if s.audit != nil {
			if r := s.member.takeAudited(txn); p.Request == nil {
				p.Request = r
			}
		}
	}
	if r := p.Request; r != nil && r.conn != nil && r.conn.lagging.Load() {
		r.conn.overtake(now)
	}
	a.changes = s.tree.Apply(txn, &a.result, a.changes[:0])
	s.lastZxid.Store(s.tree.LastZxid())
	if s.replica.DigestEnabled {
		s.compareDigest(txn)
	}
	if s.watches.total.Load() > 0 {
		for i := range a.changes {
			s.notify(&a.changes[i], txn.Zxid)
		}
	}
	var c *conn
	if p.Request != nil {
		c = p.Request.conn
	}
	s.countWrites(txn, a.changes, c)
	a.removed += s.prep.Applied(txn)
	switch txn.Op() {
	case jute.OpCreateSession:
		s.sessionCreated(p, now)
	case jute.OpCloseSession:
		if s.audit != nil {
			s.auditClosed(txn.ClientID, a.changes)
		}
		s.sessionClosed(p, now)
	default:
		s.reply(p, now)
	}
}

// compareDigest looks whether the tree is the leader's. A digest is the sum over all znodes, so a tree that has the right one again is right: clients can make a leader that is
// Java write wrong ones, which is no reason to fill the log.
func (s *Server) compareDigest(txn *tree.Txn) {
	a := &s.apply
	switch agrees, compared := s.tree.CompareDigest(txn); {
	case !compared:
	case !agrees:
		s.metrics.DigestMismatches.Inc()
		if a.mismatches++; a.mismatches == 1 {
			s.rated.Error("the tree's digest is not the one in the transaction", "zxid", hex(txn.Zxid), "type", txn.Op().String(), "have", s.tree.Digest(), "want", txn.Digest)
		}
	case a.mismatches > 0:
		s.rated.Warn("the tree's digest is the one in the transaction again; it was the digests that were wrong", "zxid", hex(txn.Zxid), "transactions", a.mismatches)
		a.mismatches = 0
	}
}

// sessionCreated tells the client that asked for the session.
func (s *Server) sessionCreated(p *Proposal, now time.Time) {
	r := p.Request
	if r == nil || r.conn == nil {
		s.sessions.add(p.Txn.ClientID, s.clock(time.Now()), int64(p.Txn.Timeout)).local.Store(false)
		return
	}
	c := r.conn
	session := s.sessions.get(r.Session)
	if session == nil {
		c.close() // it expired before it began
		return
	}
	if old := c.attach(session); old != nil {
		old.close() // it guessed the id
	}
	s.sessions.touch(session, s.clock(now))
	took := now.Sub(r.received)
	c.settle(r, r.answer, &noted{op: r.Op, zxid: p.Txn.Zxid, at: now, latency: took})
	s.updated(took)
	c.out.Lock()
	c.out.welcome = true
	c.out.Unlock()
	s.flushLater(c)
}

// sessionClosed ends the session's connection, after the reply if the client asked for the close itself.
func (s *Server) sessionClosed(p *Proposal, now time.Time) {
	session := s.sessions.remove(p.Txn.ClientID)
	asked := p.Request != nil && p.Request.conn != nil
	if asked {
		s.reply(p, now)
		p.Request.conn.hangUp()
		s.flushLater(p.Request.conn)
	}
	if session == nil {
		return
	}
	session.closing.Store(true)
	if c := session.conn.Load(); c != nil && !(asked && c == p.Request.conn) {
		c.hangUp()
		s.flushLater(c)
	}
}

// reply answers the request that a transaction came from, if it came from a connection of this server.
func (s *Server) reply(p *Proposal, now time.Time) {
	r := p.Request
	if r == nil || r.conn == nil {
		return
	}
	a := &s.apply
	if s.audit != nil {
		s.auditRequest(r, &p.Txn, a.result.Err)
	}
	if sessionMoved(&a.result) {
		// The client is at another server by now; were it answered here too, it could take that for where its session is (FinalRequestProcessor).
		r.conn.hangUp()
		s.flushLater(r.conn)
		return
	}
	if r.staysLocal && r.Op != jute.OpMulti {
		a.result.Err = jute.ErrEphemeralOnLocalSession // the leader knows no more than that it does not know the session
	}
	b := append(a.frame[:0], make([]byte, replyHeaderSize)...)
	if a.result.Err == jute.OK {
		b = ops[r.Op].reply(b, &a.result)
	}
	putReplyHeader(b, r.Cxid, p.Txn.Zxid, a.result.Err)
	took := now.Sub(r.received)
	n := &noted{op: r.Op, cxid: r.Cxid, zxid: p.Txn.Zxid, at: now, latency: took}
	if p.Txn.Op() == jute.OpError {
		n.op = 0 // to the word cons a write that failed has no name
	}
	r.conn.settle(r, b, n)
	s.updated(took)
	a.frame = b
	if cap(b) > readBufferMax {
		a.frame = nil
	}
	s.flushLater(r.conn)
}

// sessionMoved reports whether a request failed because its session is at another server by now. Of a multi Java's leader says so of a part.
func sessionMoved(r *tree.Result) bool {
	return r.Err == jute.ErrSessionMoved || slices.ContainsFunc(r.Multi, func(part tree.Result) bool { return part.Err == jute.ErrSessionMoved })
}

// flushLater has the connection's output written when the batch is applied.
func (s *Server) flushLater(c *conn) {
	if !c.pendingFlush {
		c.pendingFlush = true
		s.apply.flush = append(s.apply.flush, c)
	}
}

// settle sends the reply to the oldest waiting request, which must be r, and runs the reads that waited behind it. The tree is locked.
// If the connection has closed meanwhile there is nobody to tell.
func (c *conn) settle(r *Request, frame []byte, n *noted) {
	c.fifo.Lock()
	defer c.fifo.Unlock()
	if len(c.fifo.queue) == 0 || c.fifo.queue[0] != r {
		c.s.metrics.StaleReplies.Inc()
		return
	}
	if r.Op == jute.OpCreateSession {
		c.write(frame, 1, n) // ZooKeeper does not count it as a response
	} else {
		c.send(frame, n)
	}
	c.pop()
	if c.readWaits() {
		c.runWaiting(n.at, outSoftLimit)
	}
}

// readWaits reports whether a read is the next to be answered. The queue is locked.
func (c *conn) readWaits() bool { return len(c.fifo.queue) > 0 && !c.fifo.queue[0].write }

// overtake runs the reads that were put off before a write of the same connection can change what they should see.
func (c *conn) overtake(now time.Time) {
	c.fifo.Lock()
	defer c.fifo.Unlock()
	c.runWaiting(now, math.MaxInt)
}

// catchUp goes on with reads that were put off, as far as the client has taken the answers to those before them.
func (c *conn) catchUp() {
	c.lock.RLock()
	defer c.lock.RUnlock()
	c.fifo.Lock()
	defer c.fifo.Unlock()
	c.runWaiting(time.Now(), outSoftLimit)
}

// readSlice is how long reads that have waited may keep others from the tree.
const readSlice = 5 * time.Millisecond

// runWaiting answers what waits at the head of the queue and is no write. With more than limit bytes of output, or after a slice of time if
// there is a limit, it puts off the rest: who writes the output catches up. The tree and the queue are locked.
func (c *conn) runWaiting(now time.Time, limit int) {
	if !c.readWaits() {
		c.lagging.Store(false)
		return
	}
	buf := bufferPool.Get().(*[]byte)
	q := query{s: c.s, c: c, b: *buf}
	var begin time.Time
	var took time.Duration
	reads := 0 // that took so long, and are not counted
	for c.readWaits() && c.room(limit) {
		if begin.IsZero() {
			begin = time.Now()
		} else if limit < math.MaxInt && time.Since(begin) > readSlice {
			break
		}
		r := c.fifo.queue[0]
		switch {
		case r.answer != nil:
			c.send(r.answer, nil)
		case r.failed != jute.OK:
			c.send(appendHeaderOnly(nil, r.Cxid, c.s.lastZxid.Load(), r.failed), &noted{op: r.Op, cxid: r.Cxid, at: now, latency: now.Sub(r.received)})
		default:
			q.ids, q.body, q.b = r.IDs, r.Body, q.b[:0]
			q.run(ops[r.Op], r.Op, r.Cxid)
			q.last.at, q.last.latency = now, now.Sub(r.received)
			if reads > 0 && q.last.latency != took {
				c.s.countReads(took, reads)
				reads = 0
			}
			took = q.last.latency
			reads++
			if j := c.s.journal; j.wants(took) {
				j.read(&q, 1, r.received, now, now)
			}
			c.send(q.b, &q.last)
		}
		if r.hangUp {
			c.hangUp()
		}
		c.pop()
		c.spare(r)
	}
	if reads > 0 {
		c.s.countReads(took, reads)
	}
	q.reads.end()
	*buf = q.b
	recycle(buf)
	c.lagging.Store(c.readWaits())
}

// pop removes the oldest waiting request. The queue is locked.
func (c *conn) pop() {
	r := c.fifo.queue[0]
	if r.write && c.s.left(r) {
		c.s.member.replied(c.session.Load())
	}
	c.fifo.queue[0] = nil
	c.fifo.queue = c.fifo.queue[1:]
	c.waitingBytes.Add(-int64(r.size()))
	c.waiting.Store(int32(len(c.fifo.queue)))
}

// spare keeps a request that was no write for the next that waits. The queue is locked.
func (c *conn) spare(r *Request) {
	if len(c.fifo.spare) < maxSpare && cap(r.Body) <= readBufferMin {
		*r = Request{Body: r.Body[:0]}
		c.fifo.spare = append(c.fifo.spare, r)
	}
}

// notify sends the events of one change. Each lookup gives a connection one event, however many of its watches match.
func (s *Server) notify(ch *tree.Change, zxid int64) {
	a := &s.apply
	path := clientPath(ch.Path)
	a.already.reset()
	switch ch.Kind {
	case tree.DataChanged:
		s.watches.trigger(path, dataModes, &a.already)
		s.deliver(&a.already, nil, zxid, jute.EventNodeDataChanged, path, ch)
		observeWatches(&s.metrics.NodeChangedWatches, &a.already)
		return
	case tree.Created:
		s.watches.trigger(path, dataModes, &a.already)
		s.deliver(&a.already, nil, zxid, jute.EventNodeCreated, path, ch)
		observeWatches(&s.metrics.NodeCreatedWatches, &a.already)
	case tree.Deleted:
		s.watches.trigger(path, dataModes, &a.already)
		s.deliver(&a.already, nil, zxid, jute.EventNodeDeleted, path, ch)
		a.audience.reset()
		s.watches.trigger(path, childModes, &a.audience)
		s.deliver(&a.audience, &a.already, zxid, jute.EventNodeDeleted, path, ch)
		observeWatches(&s.metrics.NodeDeletedWatches, &a.already)
		observeWatches(&s.metrics.NodeDeletedWatches, &a.audience)
	}
	parent := clientPath(tree.ParentPath(ch.Path))
	a.audience.reset()
	s.watches.trigger(parent, childModes, &a.audience)
	observeWatches(&s.metrics.NodeChildrenWatches, &a.audience)
	s.deliver(&a.audience, nil, zxid, jute.EventNodeChildrenChanged, parent, &tree.Change{ACL: ch.ParentACL})
}

// clientPath is a tree path as clients write it.
func clientPath(path string) string {
	if path == tree.RootPath {
		return "/"
	}
	return path
}

// deliver appends one event, encoded once, to the output of everybody in the audience who may read the znode and is not in except.
func (s *Server) deliver(to, except *audience, zxid int64, typ jute.EventType, path string, ch *tree.Change) {
	if len(to.conns) == 0 {
		return
	}
	a := &s.apply
	a.event = appendEvent(a.event[:0], zxid, typ, path)
	for _, c := range to.conns {
		if except != nil {
			if _, had := except.seen[c]; had {
				continue
			}
		}
		if !s.auth.allowed(ch.ACL, jute.PermRead, c.identities()) {
			continue
		}
		c.send(a.event, nil)
		s.metrics.WatchBytes.Add(int64(len(a.event) - 4))
		s.flushLater(c)
	}
}
