package server

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"quoll/jute"
	"quoll/sasl"
	"quoll/tree"
)

const (
	readBufferMin = 512       // what an idle connection keeps
	readBufferMax = 64 << 10  // a buffer grows beyond this only for a frame that needs it
	outSoftLimit  = 1 << 20   // output above which a connection's requests wait
	outHardLimit  = 64 << 20  // unread output, events above all, at which a client that does not read is closed
	outTotalLimit = 1 << 30   // output of all connections, above which one is closed at its soft limit
	queueLimit    = 8 << 20   // bytes of requests of one connection that wait for their turn
	readsPerLock  = 64        // reads that keep transactions waiting together
	maxSpare      = 32        // requests that are done and kept for those to come
	bodyRoom      = 32 << 10  // how much memory writes that come together share
	queueLength   = 1000      // requests of one connection that wait for their turn before more are read
	watchLimit    = 128 << 20 // bytes of paths that a connection may watch
	connectLimit  = 4 << 10   // bytes of the request that begins a session; those of all clients known are below 100
	maxFailures   = 10        // of authentication that a connection survives with allowSaslFailedClients
	maxIdentities = 100       // that a connection can have at a time: every check of an ACL goes through all of them
	identityLimit = 64 << 10  // bytes of them: each write takes them along to the leader
)

// conn is one client connection. Its goroutine reads, decodes in place and serves reads, and ends while the client is quiet; a second goroutine exists only while the
// commit of a transaction has output for a client and this one is not about to write it itself.
type conn struct {
	s      *Server
	net    net.Conn
	raw    syscall.RawConn // for writes that do not wait; nil where the connection has none
	id     int64
	ipID   jute.ID
	secure bool          // it came to the port for TLS
	lock   *sync.RWMutex // this connection's shard of the tree's lock
	opened time.Time
	// service is the one that the connection belongs to, see Server.service; set once, with the session.
	service int64

	session  atomic.Pointer[session] // set once, when the session is established; no request but those of authentication is taken before
	ids      atomic.Pointer[[]jute.ID]
	received atomic.Int64 // frames
	inWord   atomic.Bool  // serves a four-letter word
	answerBy time.Time    // when the answer to it has to be written; zero for no limit beyond that of each part

	*connReader // the reading goroutine's own; nil while the connection is parked

	// The reading goroutine's own as well, and kept.
	// afterSync says that the last write was a sync, which waits for a quorum: the next one must not be done before it is answered, and so waits here.
	afterSync bool
	exchange  sasl.Exchange // of SASL, once the client has begun one; nil before
	promised  *promise      // the session that it gets when it has authenticated; nil for none
	// saslFailures counts those that the connection has survived.
	saslFailures int

	// Requests whose replies wait for those before them, oldest first. The reader adds, applying removes.
	fifo struct {
		sync.Mutex
		queue []*Request
		spare []*Request // reads that are done, for those to come
	}
	waiting      atomic.Int32 // length of fifo.queue
	waitingBytes atomic.Int64
	lagging      atomic.Bool // reads at the head of fifo.queue were put off until the client has read more

	out struct {
		sync.Mutex
		space    *sync.Cond // output was written, or the connection closed; made when first needed
		buf      *[]byte    // from bufferPool; nil without output
		flushing bool       // a goroutine is writing
		welcome  bool       // the session is established
		hangUp   bool       // close once everything is written
		parked   bool       // no goroutine reads, see lot
		closed   bool
		stats    connStats
	}
	seen         int64 // frames received when the lot looked at it last; the lot's own
	severed      bool  // a write of it failed to be logged, so later ones must not be carried out; belongs to who takes a batch
	pendingFlush bool  // in the list of connections to flush after this Apply; its goroutine's own

	watches struct {
		sync.Mutex
		paths map[string]struct{}
		bytes int // of paths
		gone  bool
	}
}

// connReader is what a connection needs only while a goroutine reads from it.
type connReader struct {
	in         []byte
	r, w       int
	quietReads int // reads in a row that left most of the buffer empty
	now        time.Time
	locked     bool // the tree is locked for reading
	frames     int  // since the last endBatch
	direct     int  // replies in query.b, made under that lock
	submit     []*Request
	bodies     arena // of the writes of a batch
	query      query
}

var readers = sync.Pool{New: func() any { return new(connReader) }}

// attachReader gives the connection a reader.
func (c *conn) attachReader() {
	c.connReader = readers.Get().(*connReader)
	c.query.s, c.query.c = c.s, c
}

// release takes it back, empty.
func (r *connReader) release() {
	*r = connReader{}
	readers.Put(r)
}

// connStats is what the words cons and stat show of a connection.
type connStats struct {
	sent    int64
	last    noted
	latency latencies
}

func (st *connStats) reset() { *st = connStats{last: noted{cxid: -1, zxid: -1}} }

// note takes in the newest of some replies that took the same time.
func (st *connStats) note(n *noted, replies int64) {
	cxid := st.last.cxid
	st.last = *n
	if n.cxid < 0 {
		st.last.cxid = cxid // pings do not hide the client's last operation of its own
	}
	st.latency.add(n.latency.Milliseconds(), replies)
}

// errHangUp ends reading; a reply that is in the output or still to come closes the connection.
var errHangUp = errors.New("connection closed by a reply")

var bufferPool = sync.Pool{New: func() any { return new([]byte) }}

// longPool has buffers beyond readBufferMax, up to longBufferMax: of answers that list many children.
var longPool sync.Pool

const longBufferMax = 4 << 20

// recycle gives a buffer back, unless it is so large that keeping it would be a waste.
func recycle(buf *[]byte) {
	*buf = (*buf)[:0]
	switch {
	case cap(*buf) <= readBufferMax:
		bufferPool.Put(buf)
	case cap(*buf) <= longBufferMax:
		longPool.Put(buf)
	}
}

// identities returns what the connection has authenticated as. The slice never changes.
func (c *conn) identities() []jute.ID { return *c.ids.Load() }

var errManyIdentities = fmt.Errorf("the connection would have more than %d identities, or more than %d bytes of them", maxIdentities, identityLimit)

// addIdentities adds those that are new, or none if they do not fit.
func (c *conn) addIdentities(add []jute.ID) error {
	old := c.identities()
	ids := append([]jute.ID(nil), old...)
	for _, id := range add {
		if !slices.Contains(old, id) {
			ids = append(ids, id)
		}
	}
	// What a packet of the leader may have for identities is no less than what a transaction may have.
	if len(ids) > maxIdentities || identityBytes(ids) > min(identityLimit, c.s.opts.maxEntry()/2) {
		return errManyIdentities
	}
	c.ids.Store(&ids)
	return nil
}

// identityBytes is how long they are in a packet to the leader.
func identityBytes(ids []jute.ID) int {
	n := 0
	for i := range ids {
		n += 8 + len(ids[i].Scheme) + len(ids[i].ID)
	}
	return n
}

// serve runs the connection from its beginning.
func (c *conn) serve() {
	if c.greet() {
		if alive, _ := c.batch(); alive {
			// Many clients come at once, and most of them have nothing to ask yet: parked they leave their goroutines to those who come next. Who is promised a session has a deadline.
			if c.promised != nil || !c.park() {
				c.read(false)
			}
			return
		}
	}
	c.cleanUp()
}

// read takes what the client sends, until the connection ends or is parked. A guest was parked, and if there is nothing but a ping it is again at once.
func (c *conn) read(guest bool) {
	for {
		err := c.fill()
		if errors.Is(err, os.ErrDeadlineExceeded) && c.session.Load() != nil { // it was found quiet
			_ = c.net.SetReadDeadline(time.Time{})
			if c.park() {
				return
			}
			continue
		}
		if err != nil {
			break
		}
		c.now = time.Now()
		alive, ping := c.batch()
		if !alive {
			break
		}
		if guest = guest && ping; guest && c.park() {
			return
		}
	}
	c.cleanUp()
}

// batch takes the requests that are in the buffer. It reports whether the connection still lives, and whether there was one ping and no more.
func (c *conn) batch() (alive, ping bool) {
	max := c.s.opts.JuteMaxBuffer
	for {
		frame, ok, err := c.frame(max)
		if err != nil {
			c.endBatch()
			return false, false
		}
		if !ok {
			break
		}
		if err := c.handle(frame); err != nil {
			if c.endBatch(); err == errHangUp {
				c.awaitClosed()
			}
			return false, false
		}
	}
	ping = c.frames == 1 && c.query.last.op == jute.OpPing
	return c.endBatch() && c.awaitCapacity(), ping
}

// frame returns the next whole frame in the buffer without its length. It is valid until the next fill.
func (c *conn) frame(max int) (frame []byte, ok bool, err error) {
	if c.w-c.r < 4 {
		return nil, false, nil
	}
	n := int(int32(binary.BigEndian.Uint32(c.in[c.r:])))
	if n < 0 || n > max {
		return nil, false, errFrameLength
	}
	if !c.s.mayBeLarge(n) {
		return nil, false, errLargeRequest
	}
	if c.w-c.r-4 < n {
		return nil, false, nil
	}
	frame = c.in[c.r+4 : c.r+4+n : c.r+4+n]
	c.r += 4 + n
	return frame, true, nil
}

var errFrameLength = errors.New("frame length out of bounds")

// fill reads more bytes. The buffer grows with the bytes that have arrived, never with what a length field claims, and shrinks when
// the connection has been quiet for a while.
func (c *conn) fill() error {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
		if len(c.in) > readBufferMin && c.quietReads >= 8 {
			c.in, c.quietReads = make([]byte, readBufferMin), 0
		}
	case c.r > 0:
		copy(c.in, c.in[c.r:c.w])
		c.r, c.w = 0, c.w-c.r
	}
	if c.w == len(c.in) {
		bigger := make([]byte, max(readBufferMin, 2*len(c.in)))
		copy(bigger, c.in[:c.w])
		c.in = bigger
	}
	n, err := c.net.Read(c.in[c.w:])
	c.w += n
	if c.w > len(c.in)/4 {
		c.quietReads = 0
	} else {
		c.quietReads++
	}
	if n > 0 {
		c.s.metrics.BytesReceived.Add(int64(n))
		if c.w == len(c.in) && len(c.in) < readBufferMax {
			// More is probably waiting: be ready for it with the next read.
			bigger := make([]byte, min(readBufferMax, 4*len(c.in)))
			copy(bigger, c.in[:c.w])
			c.in = bigger
		}
		return nil
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		if c.session.Load() == nil {
			c.s.metrics.SessionlessConnectionsExpired.Inc()
		}
	case !errors.Is(err, net.ErrClosed):
		c.s.metrics.ConnectionDrops.Inc()
	}
	return err
}

// handle takes one request. An error closes the connection after the replies that are already on their way.
func (c *conn) handle(frame []byte) error {
	if len(frame) < 8 {
		return errFrameLength
	}
	xid := int32(binary.BigEndian.Uint32(frame))
	op := jute.Op(int32(binary.BigEndian.Uint32(frame[4:])))
	body := frame[8:]
	c.frames++
	row := ops[op]
	if row == nil {
		row = &unknownOp
	}
	if row.kind == connection {
		if err := row.handle(c, xid, body); err != nil {
			return err
		}
		return c.keepPromise()
	}
	if !c.s.auth.satisfied(c.identities()) {
		c.answer(xid, op, 0, jute.ErrSessionClosedRequireSASL, true)
		return errHangUp
	}
	session := c.session.Load()
	if session.closing.Load() {
		return nil // the close follows
	}
	c.s.sessions.touch(session, c.s.clock(c.now))
	if c.s.crowded() {
		if proceed, err := c.stall(xid, op); !proceed {
			return err
		}
	}
	switch {
	case row.kind == refused:
		c.answer(xid, op, -1, jute.ErrUnimplemented, true)
		return errHangUp
	case op == jute.OpCloseSession && session.local.Load():
		return c.closeLocal(row, xid, body)
	case c.readOnly() && (row.kind == write || op == jute.OpSync):
		c.answer(xid, op, lastApplied, jute.ErrNotReadOnly, false)
	case row.kind == write, op == jute.OpSync && c.s.member != nil:
		return c.startWrite(xid, op, body)
	case row.alone:
		return c.runAlone(row, xid, op, body)
	case c.waiting.Load() == 0:
		c.runDirect(row, xid, op, body)
	default:
		c.enqueueRead(row, xid, op, body)
	}
	return nil
}

// runDirect serves a read at once, under the connection's shard of the tree's lock, which the whole batch of reads shares.
func (c *conn) runDirect(row *opRow, xid int32, op jute.Op, body []byte) {
	if !c.locked {
		c.lock.RLock()
		c.locked = true
		c.query.ids = c.identities()
	}
	c.query.body = body
	c.query.run(row, op, xid)
	c.direct++
	if len(c.query.b) > readBufferMax {
		// A short request can have a long answer: let the client take what it has asked for before there is more.
		c.endDirect()
		c.flush()
		c.awaitCapacity()
	} else if c.direct == readsPerLock {
		c.endDirect()
	}
}

// runAlone serves a read that may take long: not before everything that the client has asked for is answered, so that it never has to
// run within a transaction.
func (c *conn) runAlone(row *opRow, xid int32, op jute.Op, body []byte) error {
	if c.waiting.Load() > 0 && (!c.endBatch() || !c.awaitAnswers()) {
		return net.ErrClosed
	}
	c.endDirect()
	c.runDirect(row, xid, op, body)
	c.endDirect()
	return nil
}

// endDirect hands the replies of the reads so far to the output and unlocks the tree. Only then can a transaction add events: the
// reply that set a watch is always before the watch's event.
func (c *conn) endDirect() {
	if !c.locked {
		return
	}
	done := time.Now()
	c.query.last.at, c.query.last.latency = done, done.Sub(c.now)
	if len(c.query.b) > readBufferMax { // the output has the buffer from here on
		c.give(c.query.b, &c.query.last)
	} else {
		c.send(c.query.b, &c.query.last)
	}
	c.lock.RUnlock()
	c.locked = false
	c.s.countReads(c.query.last.latency, c.direct)
	if j := c.s.journal; j.wants(c.query.last.latency) {
		j.read(&c.query, c.direct, c.now, c.now, done)
	}
	c.query.reads.end()
	c.direct = 0
	if c.query.b = c.query.b[:0]; cap(c.query.b) > readBufferMax {
		c.query.b = nil
	}
}

// enqueueRead lets a read wait behind the writes of its session that are under way.
func (c *conn) enqueueRead(row *opRow, xid int32, op jute.Op, body []byte) {
	c.fifo.Lock()
	if len(c.fifo.queue) == 0 {
		c.fifo.Unlock()
		c.runDirect(row, xid, op, body)
		return
	}
	r := new(Request)
	if n := len(c.fifo.spare); n > 0 {
		r, c.fifo.spare = c.fifo.spare[n-1], c.fifo.spare[:n-1]
	}
	r.Cxid, r.Op, r.Body, r.IDs, r.conn, r.received = xid, op, append(r.Body[:0], body...), c.identities(), c, c.now
	c.push(r)
	c.fifo.Unlock()
}

// push adds to the queue of waiting replies, which is locked.
func (c *conn) push(r *Request) {
	c.fifo.queue = append(c.fifo.queue, r)
	if r.write {
		c.s.outstanding.Add(1)
	}
	c.waitingBytes.Add(int64(r.size()))
	c.waiting.Store(int32(len(c.fifo.queue)))
}

// left notes that no connection waits for a write any more. It reports whether the leader of an ensemble had it.
func (s *Server) left(r *Request) (abroad bool) {
	s.outstanding.Add(-1)
	if s.opts.RequestThrottleMaxRequests > 0 {
		s.oneDone()
	}
	s.large.Add(-int64(r.large))
	if m := s.member; m != nil && r.stage.Swap(stageDone) == stageAbroad {
		m.abroad.Add(-int64(r.size()))
		return true
	}
	return false
}

func (c *conn) startWrite(xid int32, op jute.Op, body []byte) error {
	c.endDirect()
	if c.session.Load().conn.Load() != c {
		return net.ErrClosed // the client has another connection by now, which must not be overtaken
	}
	r := &Request{Session: c.session.Load().id, Cxid: xid, Op: op, Body: c.bodies.clone(body, min(len(body)+c.w-c.r, bodyRoom)), IDs: c.identities(), conn: c, service: c.service, received: c.now, write: true}
	code, zxid := r.screen(c.s.member != nil), int64(lastApplied)
	if code == jute.OK {
		code, zxid = c.refusedHere(r), 0
	}
	if code != jute.OK {
		if c.s.audit != nil {
			c.s.auditRequest(r, &tree.Txn{TxnHeader: jute.TxnHeader{Type: int32(jute.OpError)}}, code)
		}
		c.answer(xid, op, zxid, code, false)
		return nil
	}
	if c.afterSync && op != jute.OpSync && c.waiting.Load() > 0 && (!c.endBatch() || !c.awaitAnswers()) {
		return net.ErrClosed
	}
	if err := c.s.takeLarge(r, 8+len(body)); err != nil {
		return err
	}
	c.afterSync = op == jute.OpSync
	c.fifo.Lock()
	c.push(r)
	c.fifo.Unlock()
	c.submit = append(c.submit, r)
	if op == jute.OpCloseSession {
		c.session.Load().closing.Store(true)
		return errHangUp
	}
	return nil
}

// lastApplied in place of a zxid stands for that of the last transaction applied when the reply is made.
const lastApplied = -1 << 63

// answer sends a reply without a body in its turn.
func (c *conn) answer(xid int32, op jute.Op, zxid int64, code jute.Code, hangUp bool) {
	c.endDirect()
	if zxid == lastApplied {
		// Not while transactions are applied: their events go before any reply that has their zxid.
		c.lock.RLock()
		defer c.lock.RUnlock()
	}
	c.fifo.Lock()
	defer c.fifo.Unlock()
	if len(c.fifo.queue) > 0 {
		r := &Request{Cxid: xid, Op: op, conn: c, received: c.now, hangUp: hangUp}
		if zxid != lastApplied {
			r.answer = appendHeaderOnly(nil, xid, zxid, code)
		} else {
			r.failed = code // the zxid is that of the reply's turn
		}
		c.push(r)
		return
	}
	var last *noted // what no session waits for, such as authentication, is not its last operation
	if zxid == lastApplied {
		zxid = c.s.lastZxid.Load()
		last = &noted{op: op, cxid: xid, zxid: zxid, at: c.now}
	}
	c.send(appendHeaderOnly(nil, xid, zxid, code), last)
	if hangUp {
		c.hangUp()
	}
}

// hangUp closes the connection once its output is written, and at the latest after the time that a connection without a session has.
func (c *conn) hangUp() {
	c.out.Lock()
	c.out.hangUp = true
	c.out.Unlock()
	_ = c.net.SetWriteDeadline(time.Now().Add(c.s.opts.SessionlessCnxnTimeout))
}

func appendHeaderOnly(b []byte, xid int32, zxid int64, code jute.Code) []byte {
	b = jute.AppendInt32(b, 16)
	return jute.AppendReplyHeader(b, xid, zxid, code)
}

// endBatch finishes what one read from the socket brought: replies go out, writes go to the sequencer. It reports whether the
// connection still lives.
func (c *conn) endBatch() bool {
	c.endDirect()
	c.received.Add(int64(c.frames))
	c.s.stats.received.Add(int64(c.frames))
	c.frames = 0
	if len(c.submit) > 0 {
		c.tryFlush() // to submit may take as long as the disk does
		c.s.sequencer.Submit(c.submit)
		clear(c.submit)
		c.submit, c.bodies = c.submit[:0], arena{}
	}
	return c.flush()
}

// awaitCapacity waits while the client has too much unread output, too many waiting requests, or the server too many outstanding
// ones. Every write to the socket and every startFlush wakes it.
func (c *conn) awaitCapacity() bool {
	limit := c.s.outstandingLimit()
	c.out.Lock()
	defer c.out.Unlock()
	for !c.out.closed && (c.unsent() > outSoftLimit || c.waitingBytes.Load() > queueLimit || c.waiting.Load() > queueLength ||
		c.waiting.Load() > 0 && limit > 0 && c.s.outstanding.Load() > limit) {
		c.waitOutput()
	}
	return !c.out.closed
}

// awaitAnswers waits until no request waits for its turn any more. It reports whether the connection still lives.
func (c *conn) awaitAnswers() bool {
	c.out.Lock()
	defer c.out.Unlock()
	for !c.out.closed && c.waiting.Load() > 0 {
		c.waitOutput()
	}
	return !c.out.closed
}

// awaitClosed waits for the reply that closes the connection.
func (c *conn) awaitClosed() {
	c.out.Lock()
	defer c.out.Unlock()
	for !c.out.closed {
		c.waitOutput()
	}
}

// awaitWelcome waits for the session to be established. It reports whether it was.
func (c *conn) awaitWelcome() bool {
	c.out.Lock()
	defer c.out.Unlock()
	for !c.out.closed && !c.out.welcome {
		c.waitOutput()
	}
	return !c.out.closed
}

// waitOutput waits for a change of c.out, which is locked.
func (c *conn) waitOutput() {
	if c.out.space == nil {
		c.out.space = sync.NewCond(&c.out.Mutex)
	}
	c.out.space.Wait()
}

// send appends frames to the output: replies, of which last describes the newest, or events, and then it is nil.
func (c *conn) send(frames []byte, last *noted) {
	c.put(frames, c.countResponses(frames, last), last, false)
}

// give is send of frames whose memory is the output's from here on.
func (c *conn) give(frames []byte, last *noted) {
	c.put(frames, c.countResponses(frames, last), last, true)
}

func (c *conn) countResponses(frames []byte, last *noted) int64 {
	n := c.s.stats.responses(frames)
	if last != nil {
		c.s.metrics.ResponseBytes.Add(int64(len(frames)) - 4*n)
	}
	return n
}

// write appends bytes to the output that count as n packets.
func (c *conn) write(p []byte, n int64, last *noted) { c.put(p, n, last, false) }

func (c *conn) put(p []byte, n int64, last *noted, given bool) {
	c.s.stats.sent.Add(n)
	c.out.Lock()
	// One reply may be larger than the limits.
	overflow := c.unsent() > outHardLimit || c.unsent() > outSoftLimit && c.s.unsent.Load() > outTotalLimit
	size := c.unsent()
	if !c.out.closed && !overflow {
		switch {
		case given && c.unsent() == 0:
			buf := new([]byte)
			*buf = p
			c.out.buf = buf
		case c.out.buf == nil:
			c.out.buf = bufferPool.Get().(*[]byte)
			fallthrough
		default:
			*c.out.buf = append(*c.out.buf, p...)
		}
		c.s.unsent.Add(int64(len(p)))
		st := &c.out.stats
		st.sent += n
		if last != nil {
			st.note(last, n)
		}
	}
	c.out.Unlock()
	if overflow {
		c.s.rated.Warn("closing a connection that does not read its output", "client", c.remote(), "bytes", size)
		c.close()
	}
}

// room reports whether the output has at most that many bytes, and somebody to send them to.
func (c *conn) room(limit int) bool {
	c.out.Lock()
	defer c.out.Unlock()
	return c.unsent() <= limit && !c.out.closed
}

// unsent is the number of bytes in the output, which is locked.
func (c *conn) unsent() int {
	if c.out.buf == nil {
		return 0
	}
	return len(*c.out.buf)
}

// flush writes the output unless another goroutine does. It reports whether the connection still lives.
func (c *conn) flush() bool {
	c.out.Lock()
	if c.out.flushing {
		alive := !c.out.closed
		c.out.Unlock()
		return alive
	}
	c.out.flushing = true
	for !c.out.closed {
		if c.lagging.Load() {
			c.out.Unlock()
			c.catchUp()
			c.out.Lock()
		}
		if c.unsent() == 0 {
			break
		}
		buf := c.out.buf
		c.out.buf = nil
		c.out.Unlock()
		if d := c.s.replyDelay.Load(); d > 0 {
			c.s.pause(time.Duration(d))
		}
		_, err := c.net.Write(*buf)
		c.s.unsent.Add(-int64(len(*buf)))
		recycle(buf)
		if err != nil {
			c.close()
		}
		c.out.Lock()
		if c.out.space != nil {
			c.out.space.Broadcast()
		}
	}
	c.out.flushing = false
	hangUp := c.out.hangUp && !c.out.closed
	alive := !c.out.closed && !hangUp
	c.out.Unlock()
	if hangUp {
		c.close()
	}
	return alive
}

// tryFlush writes the output as far as the socket takes it at once, and leaves the rest to a goroutine.
func (c *conn) tryFlush() {
	c.out.Lock()
	if c.raw == nil || c.out.flushing || c.out.closed || c.out.hangUp || c.unsent() == 0 || c.lagging.Load() || c.s.replyDelay.Load() > 0 {
		c.out.Unlock()
		c.startFlush()
		return
	}
	c.out.flushing = true
	buf := c.out.buf
	c.out.buf = nil
	c.out.Unlock()
	written, err := writeNow(c.raw, *buf)
	c.s.unsent.Add(-int64(written))
	*buf = append((*buf)[:0], (*buf)[written:]...)
	c.out.Lock()
	switch {
	case len(*buf) == 0:
		recycle(buf)
	case c.out.closed:
		c.s.unsent.Add(-int64(len(*buf)))
	case c.out.buf == nil:
		c.out.buf = buf
	default:
		*buf = append(*buf, *c.out.buf...)
		c.out.buf = buf
	}
	c.out.flushing = false
	c.out.Unlock()
	if err != nil {
		c.close()
		return
	}
	c.startFlush()
}

// startFlush makes a goroutine write the output, if there is none at it, and wakes who waits for the queue to get shorter.
func (c *conn) startFlush() {
	c.out.Lock()
	start := !c.out.flushing && !c.out.closed && (c.unsent() > 0 || c.out.hangUp || c.lagging.Load())
	if c.out.space != nil {
		c.out.space.Broadcast()
	}
	c.out.Unlock()
	if start {
		c.s.wg.Go(func() { c.flush() })
	}
}

// close ends the connection at once. It may be called from anywhere, any number of times.
func (c *conn) close() {
	c.out.Lock()
	if c.out.closed {
		c.out.Unlock()
		return
	}
	c.out.closed = true
	c.s.unsent.Add(-int64(c.unsent()))
	c.out.buf = nil
	if c.out.space != nil {
		c.out.space.Broadcast()
	}
	c.s.forget(c) // before the client sees the end, so that it does not meet itself in the limits and counts
	parked := c.out.parked
	c.out.parked = false
	farewell, secured := c.net.(*tls.Conn)
	if secured {
		// It waits for a client that does not read, and whoever closes a connection must not. While the output is locked, the connection's own goroutine still runs.
		c.s.wg.Go(func() { _ = farewell.Close() })
	}
	c.out.Unlock()
	if secured {
		return
	}
	if tcp, ok := c.net.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	if parked {
		c.s.lot.poller.remove(c)
	}
	_ = c.net.Close()
	if parked {
		c.s.wg.Go(c.cleanUp) // otherwise it is for the goroutine that reads
	}
}

// cleanUp forgets the connection.
func (c *conn) cleanUp() {
	c.close()
	c.fifo.Lock()
	for _, r := range c.fifo.queue {
		if r.write {
			c.s.left(r)
		}
	}
	c.fifo.queue = nil
	c.waiting.Store(0)
	c.waitingBytes.Store(0)
	c.fifo.Unlock()
	if m := c.s.member; m != nil {
		m.goOn()
	}
	c.s.watches.removeAll(c)
	if s := c.session.Load(); s != nil {
		s.conn.CompareAndSwap(c, nil)
	}
}

func (c *conn) remote() string { return c.net.RemoteAddr().String() }

// addWatchedPath notes that the connection watches path, so that its end can be the watch's end. It reports whether there is a connection
// left to watch.
func (c *conn) addWatchedPath(path string) bool {
	c.watches.Lock()
	defer c.watches.Unlock()
	if c.watches.gone {
		return false
	}
	if c.watches.paths == nil {
		c.watches.paths = map[string]struct{}{}
	}
	if c.watches.bytes+len(path) > watchLimit {
		c.s.rated.Warn("closing a connection that watches too much", "client", c.remote(), "paths", len(c.watches.paths), "bytes", c.watches.bytes)
		c.close()
		return false
	}
	c.watches.paths[path] = struct{}{}
	c.watches.bytes += len(path)
	return true
}

func (c *conn) dropWatchedPath(path string) {
	c.watches.Lock()
	delete(c.watches.paths, path)
	c.watches.bytes -= len(path)
	c.watches.Unlock()
}

// watchedPaths returns what the connection watches in whatever way, in slices as watchTable.data does.
func (c *conn) watchedPaths() iter.Seq[string] {
	return func(yield func(string) bool) {
		c.watches.Lock()
		defer c.watches.Unlock()
		var batch []string
		hand := func() bool {
			c.watches.Unlock()
			defer c.watches.Lock()
			for _, path := range batch {
				if !yield(path) {
					return false
				}
			}
			batch = batch[:0]
			return true
		}
		for path := range c.watches.paths {
			if batch = append(batch, path); len(batch) == watchSlice && !hand() {
				return
			}
		}
		hand()
	}
}

func (c *conn) takeWatchedPaths() []string {
	c.watches.Lock()
	defer c.watches.Unlock()
	c.watches.gone = true
	paths := make([]string, 0, len(c.watches.paths))
	for path := range c.watches.paths {
		paths = append(paths, path)
	}
	c.watches.paths = nil
	return paths
}
