package server

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"quoll/adler32"
	"quoll/config"
	"quoll/ensemble"
	"quoll/jute"
	"quoll/replica"
	"quoll/store"
	"quoll/tree"
	"quoll/txnlog"
	"quoll/zab"
	"quoll/zab/wire"
)

const (
	// abroadLimit is how many bytes of requests a learner has with its leader while connections wait for them. What is more waits in the inbox.
	abroadLimit = 64 << 20
	// proposalRoom is how much memory proposals share. A history that keeps few of them keeps no more than this for nothing.
	proposalRoom = 32 << 10
	// outwardKept is how much memory for requests to the leader is kept from turn to turn.
	outwardKept = 1 << 20
	// lineLimit is how many bytes of a learner's requests a leader keeps before it closes the link; learners that are no members may have as much together, and who comes back has
	// what it had. To read it no further is no way out: behind the requests come the ACKs without which the line does not move, and the PINGs. A learner of quoll gets there only
	// with requests whose connections are gone; one that is Java has globalOutstandingLimit requests and one more for each connection, of whatever size.
	lineLimit = 256 << 20
)

// Member is the server behind a member of an ensemble: it gives requests to a zab.Node and takes transactions from it. Package quorum calls its methods, from
// the three goroutines that its interface App names.
type Member struct {
	*inbox
	s       *Server
	replica *replica.Member
	driver  atomic.Pointer[driver]
	look    atomic.Bool  // at what is due for the state's goroutine
	abroad  atomic.Int64 // bytes of requests that are with the leader, and that connections wait for
	audited atomic.Int64 // bytes of those in unaudited
	held    atomic.Bool  // requests wait for there to be less of either
	peer    atomic.Pointer[Ensemble]

	// The driver's own.
	serving  zab.Serve // what this server does, Role 0 for nothing
	readOnly bool      // it serves without a quorum
	service  int64     // the number of that service
	own      []*Request
	encoded  []byte        // scratch
	data     arena         // of proposals
	handed   []Proposal    // scratch
	outward  []byte        // requests on their way to the leader, of this turn
	line     []queued      // requests of a leader, in the order in which they are prepared
	lineAt   int           // those before it are done
	bytes    map[int64]int // of the requests in it, by queued.of
	duties   duties
	tag      uint64
	looked   time.Duration // when it was last looked what is due
	turn     time.Duration // when the turn began
	gather   gather        // of what is to go to the leader, or of a leader's line
	flight   []flying      // a leader's proposals that are not committed, oldest first

	// The applying goroutine's own.
	broken error // of a transaction that cannot be applied: nothing is from there on
	batch  []Proposal
	roll   atomic.Bool      // the log is to go on in a new file
	config *ensemble.Config // what /zookeeper/config says

	mu         sync.Mutex
	told       []*session           // by a learner, since the driver has looked
	proposed   []Proposal           // by this leader and not yet applied, in zxid order
	creating   map[int64]*Request   // sessions that clients of this server wait for
	validating map[int64][]*Request // questions to the leader, oldest first
	unaudited  map[int64][]*Request // sent to the leader and to be audited when it has decided, by session, oldest first: the client may be gone by then; nil without an audit log
	syncs      []*Request           // sent to the leader, oldest first
	tags       map[uint64]*Request  // a leader's own syncs

	synced struct { // how far the log is durable
		sync.Mutex
		moved *sync.Cond
		zxid  int64
	}
	failed   bool            // the disk; of the goroutine that writes
	down     error           // why nothing is logged until a Reload succeeds, nil if it is; of the same goroutine
	dynamic  *config.Dynamic // the configuration files, of the same goroutine
	prepared atomic.Int64    // the service for which the tree has everything that was there before it
}

// driver is how the two goroutines of package quorum are reached.
type driver struct {
	wake  func()       // has Work called soon
	state func(func()) // has a function run by the state's goroutine
}

// Ensemble is what four-letter words and metrics show of the ensemble: a quorum.Peer. Its methods may be called at any time.
type Ensemble interface {
	// Status is a recent picture of the node.
	Status() zab.Status
	// Configs are the configs in force and last seen.
	Configs() (committed, lastSeen *ensemble.Config)
	// Master is the sid of the server that an observer learns from, 0 if this is none; Observers is how many a follower passes on to the leader.
	Master() int64
	Observers() int
	// ObserverLinks are the observers that are served or passed on; ResetObserverLinks makes their numbers begin anew.
	ObserverLinks() []ensemble.Link
	ResetObserverLinks()
}

// flying is a proposal, and who waits for it.
type flying struct {
	zxid int64
	*habit
}

// queued is a request in a leader's line.
type queued struct {
	r    *Request
	link zab.LinkID // of the learner that sent it; 0 for this server
	of   int64      // whose it is: a sid, or strangers
	asks bool       // it is no request but a question about the session
}

// strangers stands for all learners that are no members.
const strangers = math.MinInt64

// join loads the data directory of a member of an ensemble.
func (s *Server) join() error {
	dynamic, err := config.NewDynamic(s.opts.Config, config.Files)
	if err != nil {
		return err
	}
	r, err := replica.Open(&s.replica)
	if err != nil {
		return err
	}
	m := &Member{s: s, replica: r, dynamic: dynamic, duties: duties{s: s}, bytes: map[int64]int{}, creating: map[int64]*Request{}, validating: map[int64][]*Request{}, unaudited: map[int64][]*Request{}, tags: map[uint64]*Request{}}
	m.inbox = newInbox(m.work)
	m.synced.moved = sync.NewCond(&m.synced.Mutex)
	s.member, s.sequencer = m, m
	s.dirs.snap, s.dirs.log = r.Dirs()
	s.tree = r.Tree()
	k := newCheckpointer(s)
	k.durable = m.awaitDurable
	s.checkpoints = k
	m.synced.zxid = r.Tree().LastZxid()
	k.resume(r.TakeStore())
	k.wanted.Store(!r.OwnSnapshot())
	return nil
}

// Member is the part of the server that package quorum drives, nil if the server stands alone.
func (s *Server) Member() *Member { return s.member }

// Attach sets how the driver is reached: wake has Work called soon, state has a function run by the state's goroutine.
func (m *Member) Attach(wake func(), state func(func())) { m.driver.Store(&driver{wake, state}) }

// Show sets what words and metrics show of the ensemble.
func (m *Member) Show(e Ensemble) { m.peer.Store(&e) }

// poke makes the member look at what is due.
func (m *Member) poke() {
	m.look.Store(true)
	m.work()
}

// work has Work called soon.
func (m *Member) work() {
	if d := m.driver.Load(); d != nil {
		d.wake()
	}
}

// expect notes that the client of a request waits for a session.
func (m *Member) expect(r *Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.creating[r.Session] = r
}

// validate asks the leader whether a session lives, and makes the connection's server the one that its requests come from. It waits for the answer; there is none
// if the service ends, and then nobody knows.
func (m *Member) validate(c *conn, session, timeout int64) (lives, answered bool) {
	r := &Request{Session: session, Body: jute.AppendInt32(nil, int32(timeout)), service: c.service, validate: make(chan bool, 1)}
	m.Submit([]*Request{r})
	select {
	case lives, answered = <-r.validate:
		return lives, answered
	case <-m.s.stop:
		return false, false
	}
}

// match finds the request of a client of this server that a transaction answers: the oldest write that its connection waits for, or the session that it waits
// for (CommitProcessor). A transaction has the opcode of its request, if it is no error; Java does not look at it, and takes the end of a session that expires, whose
// cxid is 0, for the answer to a request with the xid 0. The tree is locked.
func (m *Member) match(txn *tree.Txn) *Request {
	if txn.Op() == jute.OpCreateSession {
		m.mu.Lock()
		defer m.mu.Unlock()
		r := m.creating[txn.ClientID]
		delete(m.creating, txn.ClientID)
		return r
	}
	session := m.s.sessions.get(txn.ClientID)
	if session == nil {
		return nil
	}
	c := session.conn.Load()
	if c == nil {
		return nil
	}
	c.fifo.Lock()
	defer c.fifo.Unlock()
	for _, r := range c.fifo.queue {
		if r.write && r.Op != jute.OpSync { // which has no transaction
			if r.Cxid == txn.Cxid && (r.Op == txn.Op() || txn.Op() == jute.OpError) {
				return r
			}
			break
		}
	}
	return nil
}

// replied notes that a client of this learner is about to be answered.
func (m *Member) replied(s *session) {
	if s == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, s)
}

// takeReplied tells gather who has been answered.
func (m *Member) takeReplied(now time.Duration, n *zab.Node) {
	if m.serving.Role == zab.Leading {
		for len(m.flight) > 0 && m.flight[0].zxid <= n.Applied() {
			m.gather.replied(now, m.flight[0].habit)
			m.flight = m.flight[1:]
		}
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.told {
		m.gather.replied(now, &s.habit)
	}
	clear(m.told)
	m.told = m.told[:0]
}

// Work hands requests to the node, as many as it takes, or holds them for those that are likely to come (gather). It returns how long it has nothing to do; it is called again after every event.
func (m *Member) Work(now time.Duration, n *zab.Node) time.Duration {
	if m.look.Swap(false) || now-m.looked > time.Second {
		m.looked = now
		m.driver.Load().state(m.cut)
	}
	m.turn = now
	m.takeReplied(now, n)
	if (len(m.own) == 0 || m.gather.holds) && m.bytes[m.s.opts.MyID] < batchLimit { // the rest stays in the inbox, which has a limit
		before := len(m.own)
		m.own = m.take(m.own, 0)
		for _, r := range m.own[before:] {
			m.gather.came(now, m.s.habitOf(r))
		}
	}
	if m.serving.Role == zab.Leading {
		return m.lead(now, n)
	}
	if len(m.own) > 0 {
		if wait := m.gather.hold(now, len(m.own)); wait > 0 {
			return wait
		}
		m.gather.leave(now, len(m.own))
	}
	if m.outward = m.outward[:0]; cap(m.outward) > outwardKept {
		m.outward = nil
	}
	done := 0
	for ; done < len(m.own) && !n.Full() && m.mayForward(); done++ {
		m.s.metrics.LearnerRequestQueueSize.Observe(int64(len(m.own) - done - 1))
		m.forward(now, n, m.own[done])
	}
	m.own = slices.Delete(m.own, 0, done)
	if len(m.own) == 0 && m.pending() > 0 {
		return 0
	}
	if !m.readOnly && (m.serving.Role == 0 || !m.s.makesLocalSessions()) {
		return zab.Never // there are no sessions whose time this server keeps
	}
	wall := time.Now()
	m.duties.expire(wall, nil, false)
	return max(0, m.duties.nextExpiry.Sub(wall))
}

// stale reports whether a request is of a service that has ended. Its connection is closed, and nobody waits for it but who asked about a session.
func (m *Member) stale(r *Request) bool {
	if r.internal || r.service == m.service {
		return false
	}
	if r.validate != nil {
		close(r.validate)
	}
	return true
}

// forward sends a request to the leader (FollowerRequestProcessor, ObserverRequestProcessor).
func (m *Member) forward(now time.Duration, n *zab.Node, r *Request) {
	switch {
	case m.stale(r):
		return
	case r.validate != nil:
		m.mu.Lock()
		m.validating[r.Session] = append(m.validating[r.Session], r)
		m.mu.Unlock()
		data := append(jute.AppendInt64(nil, r.Session), r.Body...)
		n.Step(now, zab.Forward{Packet: wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: data}})
		return
	case r.Op == jute.OpSync:
		m.mu.Lock()
		m.syncs = append(m.syncs, r)
		m.mu.Unlock()
	}
	if first := m.upgrade(r); first != nil {
		n.Step(now, zab.Forward{Packet: m.packet(first)})
	}
	if r.conn != nil && r.stage.CompareAndSwap(stageHere, stageAbroad) {
		m.abroad.Add(int64(r.size()))
	}
	if m.s.audit != nil && auditOps[r.Op] != "" {
		m.mu.Lock()
		m.unaudited[r.Session] = append(m.unaudited[r.Session], r)
		m.mu.Unlock()
		m.audited.Add(int64(r.size()))
	}
	if m.s.journal != nil {
		r.leftQueue.Store(int64(time.Since(m.s.started)))
	}
	n.Step(now, zab.Forward{Packet: m.packet(r)})
}

// packet is the packet in which a learner sends a request to its leader.
func (m *Member) packet(r *Request) wire.Packet {
	start, b := len(m.outward), m.outward
	b = jute.AppendInt64(b, r.Session)
	b = jute.AppendInt32(b, r.Cxid)
	b = jute.AppendInt32(b, int32(r.Op))
	b = append(b, r.Body...)
	m.outward = b
	return wire.Packet{Type: wire.TypeRequest, Zxid: -1, Data: b[start:len(b):len(b)], AuthInfo: r.IDs}
}

// mayForward reports whether the leader has little enough of what connections wait for. If not, there will be a call of Work when it has.
func (m *Member) mayForward() bool {
	if m.fewAbroad() {
		return true
	}
	m.held.Store(true)
	return m.fewAbroad() // something may have come back before it was known that anybody waits for that
}

func (m *Member) fewAbroad() bool {
	return m.abroad.Load() < abroadLimit && m.audited.Load() < abroadLimit
}

// takeAudited returns the request of a client of this server that a transaction decides, whether or not the client is still there, and nil if there is none.
func (m *Member) takeAudited(txn *tree.Txn) *Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.unaudited[txn.ClientID]
	if len(list) == 0 || list[0].Cxid != txn.Cxid || list[0].Op != txn.Op() && txn.Op() != jute.OpError {
		return nil
	}
	if m.unaudited[txn.ClientID] = list[1:]; len(list) == 1 {
		delete(m.unaudited, txn.ClientID)
	}
	m.audited.Add(-int64(list[0].size()))
	return list[0]
}

// goOn lets requests go on that were held, if enough has come back. No lock is held.
func (m *Member) goOn() {
	if m.fewAbroad() && m.held.Load() && m.held.Swap(false) {
		m.work()
	}
}

// lead prepares what is in the line.
func (m *Member) lead(now time.Duration, n *zab.Node) time.Duration {
	if m.prepared.Load() != m.service {
		return zab.Never // what was there before is still being applied
	}
	wall := time.Now()
	if !wall.Before(m.duties.next()) {
		for _, r := range m.duties.due(wall, nil) {
			m.enqueue(r)
		}
	}
	for _, r := range m.own {
		if first := m.upgrade(r); first != nil {
			m.enqueue(first)
		}
		m.enqueue(r)
	}
	m.own = slices.Delete(m.own, 0, len(m.own))
	if waiting := len(m.line) - m.lineAt; waiting > 0 {
		if wait := m.gather.hold(now, waiting); wait > 0 {
			return min(wait, max(0, m.duties.next().Sub(wall)))
		}
		m.gather.leave(now, waiting)
		m.handOver(now, n)
	}
	if m.lineAt == len(m.line) {
		clear(m.line)
		m.line, m.lineAt = m.line[:0], 0
	} else if m.lineAt > len(m.line)/2 {
		m.line, m.lineAt = slices.Delete(m.line, 0, m.lineAt), 0
	}
	if _, ok := n.NextZxid(); ok && len(m.line)+m.pending() > 0 {
		return 0
	}
	return max(0, m.duties.next().Sub(wall))
}

// enqueue puts a request of this server into the line.
func (m *Member) enqueue(r *Request) {
	m.line = append(m.line, queued{r, 0, m.s.opts.MyID, r.validate != nil})
	m.bytes[m.s.opts.MyID] += r.size()
}

// dequeued notes that a request has left the line.
func (m *Member) dequeued(q *queued) {
	if m.bytes[q.of] -= q.r.size(); m.bytes[q.of] <= 0 {
		delete(m.bytes, q.of)
	}
}

// handOver takes requests out of the line until the node takes no more, or a batch is full. Nothing is applied meanwhile.
func (m *Member) handOver(now time.Duration, n *zab.Node) {
	s := m.s
	s.prep.Members(n)
	wall, began := s.opts.Now(), time.Now()
	s.locks[0].RLock()
	defer s.locks[0].RUnlock()
	proposals := m.handed[:0]
	defer func() {
		s.countPrepared(began, int64(len(proposals)))
		m.mu.Lock()
		m.proposed = append(m.proposed, proposals...)
		m.mu.Unlock()
		clear(proposals)
		m.handed = proposals
	}()
	for size := 0; m.lineAt < len(m.line) && size < batchLimit; m.lineAt++ {
		q := &m.line[m.lineAt]
		r := q.r
		if q.link == 0 && m.stale(r) {
			m.dequeued(q)
			continue
		}
		switch {
		case q.asks:
			m.revalidate(now, n, q)
		case r.Op == jute.OpSync:
			if n.Full() {
				return
			}
			s.countPreparing(r, began, len(m.line)-m.lineAt-1)
			m.tag++
			if q.link == 0 {
				m.mu.Lock()
				m.tags[m.tag] = r
				m.mu.Unlock()
			}
			n.Step(now, zab.Sync{Link: q.link, Tag: m.tag})
		default:
			zxid, ok := n.NextZxid()
			if !ok {
				return
			}
			s.countPreparing(r, began, len(m.line)-m.lineAt-1)
			txn := m.prepare(zxid, wall, q)
			m.encoded = txn.Append(m.encoded[:0])
			record := zab.Record{Zxid: zxid, Data: m.data.clone(m.encoded, proposalRoom)}
			if txn.Op() == jute.OpReconfig {
				record, _ = zab.RecordOf(zxid, record.Data)
			}
			p := Proposal{Txn: txn}
			if q.link == 0 {
				p.Request = r
			}
			proposals = append(proposals, p)
			m.flight = append(m.flight, flying{zxid, s.habitOf(r)})
			size += len(record.Data)
			s.countProposal(len(record.Data))
			n.Step(now, zab.Propose{Record: record})
		}
		m.dequeued(q)
	}
}

// prepare makes the transaction of a request, which must come from the server that its session is at (PrepRequestProcessor, SessionTrackerImpl.checkSession).
func (m *Member) prepare(zxid int64, wall time.Time, q *queued) tree.Txn {
	s, r := m.s, q.r
	session := s.sessions.get(r.Session)
	switch {
	case r.internal:
	case r.Op == jute.OpCreateSession:
		d := jute.NewDecoder(r.Body)
		timeout := d.Int32()
		if session == nil {
			session = s.sessions.add(r.Session, s.clock(time.Now()), int64(timeout))
		}
		session.owner, session.owned = q.link, true
	case r.Op == jute.OpCloseSession:
		if session != nil {
			session.closing.Store(true)
		}
	case session != nil && !session.owned:
		session.owner, session.owned = q.link, true
	case session != nil && session.owner != q.link:
		return s.prep.Refuse(zxid, wall, r, jute.ErrSessionMoved)
	}
	if r.Op == jute.OpDeleteContainer && !r.internal {
		return s.prep.Refuse(zxid, wall, r, jute.ErrUnimplemented)
	}
	if r.crowded && r.Op != jute.OpCloseSession {
		return s.prep.Refuse(zxid, wall, r, jute.ErrAuthFailed)
	}
	if q.link != 0 && !r.decodable() {
		return s.prep.Refuse(zxid, wall, r, jute.ErrMarshalling)
	}
	return s.Prepare(zxid, wall, r)
}

// revalidate answers a question about a session in its turn (Leader.revalidateSession).
func (m *Member) revalidate(now time.Duration, n *zab.Node, q *queued) {
	s, r := m.s, q.r
	d := jute.NewDecoder(r.Body)
	timeout := int64(d.Int32())
	session := s.sessions.get(r.Session)
	valid := session != nil && !session.closing.Load() && s.prep.global(r.Session)
	if valid {
		session.owner, session.owned = q.link, true
		s.sessions.touchFor(session, s.clock(time.Now()), timeout)
		if c := session.conn.Load(); c != nil && q.link != 0 {
			c.close() // the client is at another server now
		}
	}
	if r.validate != nil {
		r.validate <- valid
		return
	}
	data := jute.AppendBool(jute.AppendInt64(nil, r.Session), valid)
	n.Step(now, zab.Reply{Link: q.link, Packet: wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: data}})
}

// Deliver takes a packet of a learner: REQUEST, REVALIDATE, or PING with the sessions that were heard of. It reports what is wrong with it.
func (m *Member) Deliver(e zab.Deliver) error {
	if m.serving.Role != zab.Leading {
		return nil
	}
	d := jute.NewDecoder(e.Packet.Data)
	if e.Packet.Type == wire.TypePing {
		now := m.s.clock(time.Now())
		for d.Len() >= 12 {
			id, timeout := d.Int64(), d.Int32()
			if session := m.s.sessions.get(id); session != nil {
				m.s.sessions.touchFor(session, now, int64(timeout))
			}
		}
		return nil
	}
	r := &Request{Session: d.Int64(), received: time.Now()}
	asks := e.Packet.Type == wire.TypeRevalidate
	if !asks {
		r.Cxid, r.Op, r.IDs, r.crowded = d.Int32(), jute.Op(d.Int32()), e.Packet.AuthInfo, e.Packet.Crowded
	}
	r.Body = d.Rest()
	if d.Err() != nil || asks && len(r.Body) < 4 {
		return fmt.Errorf("%v is too short: %d bytes", e.Packet.Type, len(e.Packet.Data))
	}
	switch row := ops[r.Op]; {
	case r.Op == jute.OpDeleteContainer: // a follower that is Java lets its clients ask for it; it is refused in its turn
	case asks, r.Op == jute.OpSync, r.Op == jute.OpCreateSession, r.Op == jute.OpCheck:
	case row == nil || row.kind != write:
		return fmt.Errorf("a request with the opcode %d", r.Op)
	}
	of := e.SID
	if e.Stranger {
		of = strangers
	}
	if m.bytes[of]+r.size() > lineLimit {
		return fmt.Errorf("more than %d bytes of its requests wait", lineLimit)
	}
	m.bytes[of] += r.size()
	m.line = append(m.line, queued{r, e.Link, of, asks})
	m.gather.came(m.turn, m.s.habitOf(r))
	return nil
}

// Touched is the data of an answer to PING: the sessions that were heard of since the last one, with their timeouts.
func (m *Member) Touched() []byte {
	b := []byte{}
	for _, s := range m.s.sessions.takeTouched() {
		b = jute.AppendInt64(b, s.id)
		b = jute.AppendInt32(b, int32(s.timeout.Load()))
	}
	return b
}

// Serve begins a service. What it returns is to be run when everything that was committed before is applied.
func (m *Member) Serve(e zab.Serve) func() {
	s := m.s
	m.serving = e
	m.service++
	m.gather, m.flight = gather{era: m.gather.era + 1}, nil
	service := m.service
	m.duties.begin(time.Now())
	return func() {
		s.lockTree()
		s.prep.Reset()
		s.tree.CaughtUp() // what the leader had applied when it wrote a snapshot it has told to be committed since
		s.sessions.reset(e.Role != zab.Leading)
		s.trackSessions()
		s.unlockTree()
		s.lastZxid.Store(max(s.tree.LastZxid(), e.Epoch<<32))
		s.beginService(e.Role)
		if e.Role != zab.Leading || s.opts.LeaderServes {
			s.service.Store(service)
		}
		m.prepared.Store(service)
		m.work()
	}
}

// StopServing ends it: what is in the line is forgotten. What it returns is to be run in its turn and closes the connections.
func (m *Member) StopServing() func() {
	s := m.s
	m.serving, m.readOnly = zab.Serve{}, false
	for _, q := range m.line[m.lineAt:] {
		if q.r.validate != nil {
			close(q.r.validate)
		}
	}
	clear(m.line)
	m.line, m.lineAt = m.line[:0], 0
	clear(m.bytes)
	m.service++ // what comes from the connections from here on is of none
	return func() {
		s.service.Store(0)
		s.endService()
		s.DropConnections()
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, list := range m.validating {
			for _, r := range list {
				close(r.validate)
			}
		}
		clear(m.validating)
		clear(m.unaudited)
		m.audited.Store(0)
		clear(m.creating)
		clear(m.tags)
		m.proposed, m.syncs, m.told = nil, nil, nil
	}
}

// Configure writes the configuration files. If that fails the server goes on, as ZooKeeper does: the config is in the log too, and what failed is tried again with
// the next one.
func (m *Member) Configure(committed, lastSeen *ensemble.Config) {
	if err := m.dynamic.Write(committed, lastSeen); err != nil {
		m.s.log.Error("a restart would begin with an older membership", "error", err)
	}
}

// Apply gives committed transactions to the tree and answers the clients of this server.
func (m *Member) Apply(records []zab.Record, committed time.Time) error {
	s := m.s
	if m.broken != nil {
		return m.broken
	}
	clear(m.batch)
	m.batch = m.batch[:0]
	size := int64(0)
	m.mu.Lock()
	for i := range records {
		r := &records[i]
		size += int64(len(r.Data))
		if len(m.proposed) > 0 && m.proposed[0].Txn.Zxid == r.Zxid {
			if txn := &m.proposed[0].Txn; txn.Op() == jute.OpCreateSession {
				delete(m.creating, txn.ClientID) // its request is known
			}
			m.batch = append(m.batch, m.proposed[0])
			m.proposed[0] = Proposal{}
			m.proposed = m.proposed[1:]
			continue
		}
		txn, err := tree.DecodeTxn(r.Data)
		if err != nil {
			m.mu.Unlock()
			m.broken = fmt.Errorf("server: the transaction %s cannot be decoded: %w", hex(r.Zxid), err)
			// What comes behind it must not be applied over the hole, nor shown, nor kept as if it were the state.
			s.checkpoints.paused.Store(true)
			s.service.Store(0)
			s.DropConnections()
			return m.broken
		}
		m.batch = append(m.batch, Proposal{Txn: txn})
	}
	m.mu.Unlock()
	began := time.Now()
	s.Apply(m.batch)
	s.countApplied(m.batch, committed, began)
	if s.journal != nil {
		s.journal.writes(s, m.batch, committed, Stage{"quorum", committed}, Stage{"backlog", began}, Stage{"apply", time.Now()})
	}
	s.checkpoints.logged(int64(len(records)), size, adler32.Checksum(records[len(records)-1].Data))
	m.cut()
	m.goOn()
	return nil
}

// cut begins a checkpoint if one is due.
func (m *Member) cut() { m.s.checkpoints.cutIfDue(func() { m.roll.Store(true) }) }

// Answer takes what the leader says in its turn among the transactions: REVALIDATE or SYNC.
func (m *Member) Answer(p wire.Packet) error {
	m.mu.Lock()
	if p.Type == wire.TypeSync {
		var r *Request
		if len(m.syncs) > 0 {
			r = m.syncs[0]
			m.syncs = slices.Delete(m.syncs, 0, 1)
		}
		m.mu.Unlock()
		if r != nil {
			m.s.settleSync(r)
		}
		return nil
	}
	defer m.mu.Unlock()
	d := jute.NewDecoder(p.Data)
	id, valid := d.Int64(), d.Bool()
	if d.Err() != nil {
		return fmt.Errorf("REVALIDATE of %d bytes", len(p.Data))
	}
	if list := m.validating[id]; len(list) > 0 {
		if valid {
			// Another server may have made it a moment ago. It is known here from this turn on: its end may be the next transaction.
			timeout := jute.NewDecoder(list[0].Body)
			m.s.sessions.add(id, m.s.clock(time.Now()), int64(timeout.Int32()))
		}
		list[0].validate <- valid
		if m.validating[id] = list[1:]; len(list) == 1 {
			delete(m.validating, id)
		}
	}
	return nil
}

// SyncDone answers a sync of a client of this leader.
func (m *Member) SyncDone(tag uint64) {
	m.mu.Lock()
	r := m.tags[tag]
	delete(m.tags, tag)
	m.mu.Unlock()
	if r != nil {
		m.s.settleSync(r)
	}
}

// settleSync answers a sync, which has no transaction.
func (s *Server) settleSync(r *Request) {
	now := time.Now()
	s.lockTree()
	if r.conn.lagging.Load() {
		r.conn.overtake(now)
	}
	q := query{s: s, c: r.conn, ids: r.IDs, body: r.Body}
	q.run(ops[r.Op], r.Op, r.Cxid)
	q.last.at, q.last.latency = now, now.Sub(r.received)
	s.countReads(q.last.latency, 1)
	r.conn.settle(r, q.b, &q.last)
	s.flushLater(r.conn)
	s.unlockTree()
	s.flushAll()
	s.member.goOn()
}

// Configured makes /zookeeper/config say what the committed config is (QuorumPeer.processReconfig, Learner.syncWithLeader).
func (m *Member) Configured(c *ensemble.Config) {
	m.config = c
	m.s.setConfig(c)
}

// Stream has fn called with the state as it is at some time from now on: its zxid, and what writes it as the stream behind a SNAP packet. fn may block, and
// must call write or give it nil. In place of them it may get an error.
func (m *Member) Stream(fn func(zxid int64, write func(w io.Writer) error, err error)) {
	k := m.s.checkpoints
	k.view(func(view *store.View, err error) {
		if err != nil {
			go fn(0, nil, err)
			return
		}
		go func() {
			defer k.viewed()
			defer view.Close()
			src, err := replica.StoreSource(view, k.pacer(k.context()))
			fn(view.State().Zxid, func(w io.Writer) error {
				if err != nil {
					return err
				}
				return txnlog.WriteStream(w, src)
			}, err)
		}()
	})
	m.cut()
}

// Disk is what the disk holds.
func (m *Member) Disk() zab.Disk { return m.replica.Disk() }

// Append adds records to the log's batch.
func (m *Member) Append(records []zab.Record) error {
	if m.roll.Swap(false) {
		m.replica.Roll()
	}
	if m.replica.Bare() {
		m.s.locks[0].RLock() // the tree becomes a snapshot
		defer m.s.locks[0].RUnlock()
	}
	return m.failing(m.replica.Append(records))
}

// Sync makes them durable.
func (m *Member) Sync() (zxid int64, err error) {
	if zxid, err = m.replica.Sync(); err == nil {
		m.durable(zxid)
	}
	return zxid, m.failing(err)
}

// failing notes an error of the disk.
func (m *Member) failing(err error) error {
	if err != nil {
		m.failed, m.down = true, err
		m.s.metrics.UnrecoverableErrors.Inc()
	}
	return err
}

func (m *Member) durable(zxid int64) {
	m.synced.Lock()
	defer m.synced.Unlock()
	m.synced.zxid = zxid
	m.synced.moved.Broadcast()
}

// awaitDurable waits until the log is on the disk up to zxid.
func (m *Member) awaitDurable(ctx context.Context, zxid int64) error {
	stop := context.AfterFunc(ctx, func() {
		m.synced.Lock()
		defer m.synced.Unlock()
		m.synced.moved.Broadcast()
	})
	defer stop()
	m.synced.Lock()
	defer m.synced.Unlock()
	for m.synced.zxid < zxid {
		if ctx.Err() != nil {
			return errStopping
		}
		m.synced.moved.Wait()
	}
	return nil
}

// PersistEpoch writes an epoch file.
func (m *Member) PersistEpoch(file zab.EpochFile, epoch int64) error {
	return m.failing(m.replica.PersistEpoch(file, epoch))
}

// Truncate makes zxid the last one of the log, and the tree what is left. Nothing is applied meanwhile.
func (m *Member) Truncate(zxid int64) error {
	m.s.files.Lock()
	defer m.s.files.Unlock()
	m.detach()
	return m.attach(m.replica.Truncate(zxid))
}

// Install makes the stream behind a SNAP packet the state. Nothing is applied meanwhile.
func (m *Member) Install(zxid int64, stream io.Reader) (rest []byte, err error) {
	m.s.files.Lock()
	defer m.s.files.Unlock()
	m.detach()
	rest, err = m.replica.Install(zxid, stream)
	return rest, m.attach(err)
}

// Reload makes the tree what the disk has. Nothing is applied meanwhile.
func (m *Member) Reload() error {
	m.s.files.Lock()
	defer m.s.files.Unlock()
	m.detach()
	err := m.replica.Reload()
	if err == nil && m.failed {
		err = m.tryDisk()
	}
	return m.attach(err)
}

// tryDisk finds out whether the disk takes writes again, and has room for some time: a server that comes back only to fail again is a burden to the others.
func (m *Member) tryDisk() error {
	r := txnlog.NewReserve(m.s.opts.FS, m.s.dirs.log, diskReserve)
	if err := r.Make(diskMargin); err != nil {
		return err
	}
	return r.Release()
}

// ReadLog returns what reads records of the log.
func (m *Member) ReadLog(from int64, size int) func() (zab.LogRead, error) {
	return m.replica.ReadLog(from, size)
}

// detach ends what uses tree and store, which are about to be others; there may not be room for two trees.
func (m *Member) detach() {
	m.s.checkpoints.pause()
	m.adopt(tree.New())
}

// attach goes on with what the replica has now, if it has something: then there is no error.
func (m *Member) attach(err error) error {
	if m.down = err; err != nil {
		return err
	}
	m.failed = false
	m.adopt(m.replica.Tree())
	m.s.checkpoints.resume(m.replica.TakeStore())
	m.durable(m.replica.Tree().LastZxid())
	if m.config != nil {
		m.s.setConfig(m.config)
	}
	return nil
}

func (m *Member) adopt(t *tree.Tree) {
	m.s.lockTree()
	defer m.s.unlockTree()
	m.s.setTree(t)
}

// End makes everything durable and closes the directory. Nothing is called afterwards. That the disk was down before is no error of this.
func (m *Member) End() error {
	k, down := m.s.checkpoints, m.down
	var err error
	if down == nil {
		_, err = m.Sync()
	}
	applied, _ := m.s.State()
	if m.down != nil || applied > m.synced.zxid {
		k.paused.Store(true) // the store must not be ahead of the log
	}
	close(k.ended)
	switch closing := m.replica.Close(); {
	case down != nil:
		m.s.log.Warn("the server ends while nothing can be logged; what is not on the disk it has acknowledged to nobody", "error", down)
	case err == nil:
		err = closing
	}
	return err
}
