package zabtest

import (
	"errors"
	"time"

	"quoll/jute"
	"quoll/zab"
	"quoll/zab/wire"
)

// Cast makes whole servers and clients for a world (ring 2): each server is then a real one, with its tree and its files, beside the modelled disk and state, which
// follow what the real ones do and are what the invariants look at.
type Cast interface {
	// Begin begins a run, with servers whose disks are empty. now is the time in the run.
	Begin(seed uint64, servers, clients int, now func() time.Duration)
	// Replica and Client return those of this run.
	Replica(server int) Replica
	Client(client int) Client
	// Settled judges the servers that are up when all of them have the same history, and End the whole run.
	Settled(servers []int) error
	End() error
}

// Replica is a whole server. After a call for which Dead holds nothing else may be called but Crash.
type Replica interface {
	// Crash is a loss of power, or its end if the power has gone already, and Recover reads what is left. A server begins with Recover.
	Crash()
	Recover() error
	// Wipe takes the disk away.
	Wipe()
	// Dead reports whether the power has gone during a call.
	Dead() bool
	// CutPower lets the power go before that many more operations of the disk, and Break lets some of them fail in a way that bits decide; Heal ends both.
	CutPower(operations int)
	Break(bits uint64)
	Heal()

	// Disk is what there is to begin with, Epochs are the files, and Digest is that of the state, whose last transaction is Zxid.
	Disk() zab.Disk
	Epochs() [2]int64
	Digest() int64
	Zxid() int64

	// These do the effects of the same names. Of the errors ErrRefused says that nothing was done.
	Append([]zab.Record) error
	Sync() error
	PersistEpoch(file zab.EpochFile, epoch int64) error
	Truncate(zxid int64) error
	Install(zxid int64, stream []byte) error
	Reload() error
	ReadLog(from int64, bytes int) zab.LogRead
	// Maintain brings the store up to date, writes a snapshot or purges, as bits decide.
	Maintain(bits uint64) error

	// Stream is the state as it follows SNAP.
	Stream() []byte
	// Apply gives a transaction to the state, and returns what a client is told.
	Apply(*zab.Record) (Applied, error)
	// Prepare makes a transaction of a request, or one of an error that is known. Forget forgets what was prepared.
	Prepare(zxid int64, op jute.Op, session int64, cxid int32, body []byte, known jute.Code) (data []byte, code jute.Code)
	Forget()
}

// Applied is what a client is told of its transaction; the world does not look into it.
type Applied any

// Client asks whole servers for what the client of the world does not know about, and judges what it gets.
type Client interface {
	// Connect begins a connection for a session, which is to be made if it is fresh. It has come about with Connected, was turned away with Refused, and ends with
	// Lost.
	Connect(session int64, fresh bool)
	Connected()
	Refused()
	Lost()
	// Write draws a request that writes, and Wrote is its answer.
	Write(op jute.Op) (real jute.Op, body []byte)
	Wrote(Applied)
	// Read reads from a server. Sync asks for a sync, which Synced answers.
	Read(Replica)
	Sync()
	Synced(Replica)
}

// ErrRefused is what an operation of a replica answers that cannot be done and has changed nothing.
var ErrRefused = errors.New("refused")

// NewWorldOf returns a world of whole servers.
func NewWorldOf(cast Cast) *World { return &World{cast: cast} }

// Trace gives each line of a transcript to fn.
func (w *World) Trace(fn func(line string)) { w.trace = fn }

// Hash is a digest of everything that has happened in the run.
func (w *World) Hash() uint64 { return w.hash }

// solid makes a draw one that whole servers can play: a history that is being synchronized is not held aside, and the config stays.
func (d *draw) solid(r *stream) {
	d.aside, d.reconfig = false, false
	d.weights[faultReconfig] = 0
	d.maintenance, d.powerCuts = either(r, 0, 20, 100, 400), either(r, 0, 0, 10, 50)
	d.forceSnapshot = d.forceSnapshot || r.chance(200)
	d.members, d.rogue = d.members[:0], -1
	d.drawMembers(r)
	d.staleObservers = false
}

// path is the history that ends with a transaction.
func (w *World) path(id txnID) history {
	h := make(history, w.txns[id].depth)
	for ; id != 0; id = w.txns[id].prev {
		h[w.txns[id].depth-1] = id
	}
	return h
}

// recover reads what is on the disk of a whole server, after its power has gone.
func (s *server) recover() {
	for {
		err := s.whole.Recover()
		if !s.whole.Dead() {
			if err != nil {
				s.w.violate("recovery", "server %d does not start: %v", s.sid, err)
			}
			break
		}
		s.whole.Crash()
	}
	s.mirror()
}

// mirror makes the model what a whole server has loaded from its disk, which must have what was durable and nothing that nobody proposed.
func (s *server) mirror() {
	w, d := s.w, &s.disk
	real := s.whole.Disk()
	id := w.find(real.Zxid)
	if id == 0 && real.Zxid != 0 {
		w.violate("I9", "server %d has %s on its disk, which nobody proposed", s.sid, w.zxidText(real.Zxid))
	}
	hist := w.path(id)
	if d.lost && !real.Untrusted {
		w.violate("I7", "server %d lost its disk and takes what it has for its own", s.sid)
	}
	if kept := d.durable(); !d.unsure && !hist.has(kept.last(), len(kept)) {
		w.violate("durability", "server %d had %s on its disk and now has %s", s.sid, w.zxidText(w.zxid(kept)), w.zxidText(real.Zxid))
	}
	d.side = side{hist: hist, synced: len(hist)}
	s.mirrorEpochs()
	d.blank, d.unsure = real.Untrusted, false
	s.ghost.matched = 0
	w.sameTree(s, id)
}

// mirrorEpochs takes over the epoch files. One that was raised must be of an epoch whose initial history is there.
func (s *server) mirrorEpochs() {
	w, d := s.w, &s.disk
	before := d.epochs[zab.CurrentEpoch]
	d.epochs = s.whole.Epochs()
	now := d.epochs[zab.CurrentEpoch]
	if now <= before {
		return
	}
	if initial := w.reign(now).initial; !d.hist.has(initial.last(), len(initial)) {
		w.violate("I16", "server %d: currentEpoch is %d and the disk ends at %s, where the leader began with %s", s.sid, now, w.zxidText(w.zxid(d.hist)), w.zxidText(w.zxid(initial)))
	}
}

// sameTree compares the state of a whole server with that of others at the same transaction.
func (w *World) sameTree(s *server, id txnID) {
	t := &w.txns[id]
	if got := s.whole.Zxid(); got != t.zxid {
		w.violate("I21", "server %d: the state is at %s and not at %s", s.sid, w.zxidText(got), w.zxidText(t.zxid))
	}
	digest := uint64(s.whole.Digest())
	if id != 0 && t.digest == 0 {
		t.digest = digest
	}
	if id != 0 && t.digest != digest {
		w.violate("I21", "server %d: the digest after %s is %x, elsewhere it was %x", s.sid, w.zxidText(t.zxid), digest, t.digest)
	}
}

// losePower takes away what is in memory, and what the disk has not taken.
func (s *server) losePower() {
	d := &s.disk
	if s.whole == nil {
		d.crash()
		return
	}
	if len(d.ops) > 0 && (d.ops[0].kind == opTruncate || d.ops[0].kind == opInstall) {
		d.unsure = true
	}
	d.ops, d.busy, d.failing, d.failed = d.ops[:0], false, false, false
	s.whole.Crash()
	s.recover()
}

// appendWhole adds records to the log of a whole server, which the operation in the queue will sync.
func (s *server) appendWhole(records []zab.Record) {
	s.outcome(s.whole.Append(records))
}

// outcome deals with a loss of power or a failure in what was just done. It reports whether there was neither.
func (s *server) outcome(err error) bool {
	switch {
	case s.whole.Dead():
		s.crash()
		s.w.restartLater(s, s.disk.rng.upTo(400*time.Millisecond))
	case err != nil:
		s.failWhole(err)
	default:
		return true
	}
	return false
}

// failWhole tells the node that the disk failed: nothing that was asked for before comes after.
func (s *server) failWhole(err error) {
	w, d := s.w, &s.disk
	w.cover.hit(pointDiskFails)
	if w.tracing() {
		w.tracef("%d: the disk fails: %v", s.sid, err)
	}
	d.ops, d.failed = d.ops[:0], true
	s.step(zab.DiskFailed{Reason: err.Error()})
}

// operate carries out the first operation in the queue of a whole server's disk.
func (s *server) operate() {
	w, d := s.w, &s.disk
	if d.failing {
		d.failing = false
		s.whole.Break(d.rng.next())
	}
	if s.crashInPhases > 0 || d.rng.chance(w.draw.powerCuts) {
		s.whole.CutPower(s.crashInPhases + d.rng.intn(15))
		s.crashInPhases = 0
	}
	op := &d.ops[0]
	if d.failed && op.kind != opReload {
		if op.kind == opConfigure {
			d.committed, d.seen = op.committed, op.seen
		}
		d.ops = append(d.ops[:0], d.ops[1:]...) // from before the failure, which was the answer
		s.turnDisk()
		return
	}
	w.mark(uint64(op.kind), uint64(s.index))
	w.cover.phases[op.kind][0]++
	var read zab.LogRead
	err := s.doWhole(op, &read)
	if s.whole.Dead() {
		s.outcome(err)
		return
	}
	switch {
	case err == nil:
	case op.kind == opReload:
		if d.retries++; d.retries > 500 {
			w.violate("recovery", "server %d cannot read its disk: %v", s.sid, err)
		}
		s.turnDisk() // it is repeated
		return
	case errors.Is(err, ErrRefused):
		s.restoreFails(op, err.Error())
		return
	default:
		d.unsure = op.kind == opTruncate || op.kind == opInstall
		if l := w.link(op.link); l != nil && op.kind == opInstall {
			l.resume(s)
		}
		s.outcome(err)
		return
	}
	done := *op
	d.ops = append(d.ops[:0], d.ops[1:]...)
	s.done(&done)
	if op.kind != opConfigure {
		w.look(atDisk, s)
	}
	if done.kind == opReadLog {
		s.turnDisk()
		s.step(read)
		return
	}
	if (done.kind == opAppend || done.kind == opEpoch) && d.rng.chance(w.draw.maintenance) {
		if err := s.whole.Maintain(d.rng.next()); s.whole.Dead() || err != nil {
			if !s.outcome(err) {
				return
			}
		}
	}
	s.turnDisk()
	s.answer(&done)
}

// doWhole does an operation.
func (s *server) doWhole(op *diskOp, read *zab.LogRead) error {
	switch op.kind {
	case opAppend:
		return s.whole.Sync()
	case opTruncate:
		return s.whole.Truncate(op.zxid)
	case opInstall:
		return s.whole.Install(op.zxid, op.stream)
	case opEpoch:
		if op.file == zab.CurrentEpoch {
			s.disk.lost = false
		}
		return s.whole.PersistEpoch(op.file, op.epoch)
	case opReload:
		return s.whole.Reload()
	case opReadLog:
		*read = s.whole.ReadLog(op.zxid, s.w.draw.readBytes())
		read.Link = op.link
		if l := s.w.link(op.link); l != nil && len(read.Records) > 0 {
			l.ghost.fromLog = true
		}
	}
	return nil
}

// done makes the model follow an operation that was done.
func (s *server) done(op *diskOp) {
	w, d := s.w, &s.disk
	switch op.kind {
	case opAppend:
		d.hist = append(d.hist[:len(d.hist):len(d.hist)], op.ids...)
		d.synced = len(d.hist)
		d.epochs = s.whole.Epochs() // raised for records that are further down the queue, maybe
	case opTruncate:
		n := w.cut(d.hist, op.zxid)
		d.hist, d.synced = d.hist[:n:n], n
		s.mirror()
	case opInstall:
		d.hist, d.synced = op.snapshot, len(op.snapshot)
		s.mirror()
	case opEpoch:
		w.epochDurable(s, op.file, op.epoch)
		s.mirrorEpochs()
		d.blank = s.whole.Disk().Untrusted
	case opConfigure:
		d.committed, d.seen = op.committed, op.seen
	case opReload:
		d.failed, d.retries = false, 0
		s.mirror()
	}
}

// readBytes is how much one read of the log gives.
func (d *draw) readBytes() int { return 60 * d.readRecords }

// castAll gives servers and clients their whole ones.
func (w *World) castAll() {
	w.cast.Begin(w.seed, len(w.servers), len(w.clients), func() time.Duration { return w.now })
	for i, s := range w.servers {
		s.whole = w.cast.Replica(i)
		s.recover()
	}
	for i := range w.clients {
		w.clients[i].whole = w.cast.Client(i)
	}
}

// judge looks at whole servers when the run is over.
func (w *World) judge() {
	var settled []int
	for i, s := range w.servers {
		if s.up && s.serving && len(s.state) == len(w.shown) {
			settled = append(settled, i)
		}
	}
	if err := w.cast.Settled(settled); err != nil {
		w.violate("settled", "%v", err)
	}
	if err := w.cast.End(); err != nil {
		w.violate("history", "%v", err)
	}
}

// applyWhole gives a transaction to the state of a whole server.
func (s *server) applyWhole(r *zab.Record, id txnID) Applied {
	told, err := s.whole.Apply(r)
	if err != nil {
		s.w.violate("I21", "server %d: %v", s.sid, err)
	}
	s.w.sameTree(s, id)
	return told
}

// encodeWhole has a whole server make the transaction.
func (w *World) encodeWhole(s *server, t *txn, r *request) {
	known := jute.OK
	ended := w.txns[t.prev].sessions&(1<<uint(r.session)) == 0
	if t.op == jute.OpError && !ended {
		known = jute.ErrSessionMoved
	}
	var code jute.Code
	t.data, code = s.whole.Prepare(t.zxid, r.onWire(), r.session, r.cxid, r.body, known)
	if code == jute.ErrSessionExpired && !ended {
		w.violate("I22", "server %d: session %d is alive and its request is refused", s.sid, r.session)
	}
}

// dress makes a request of a client one that a whole server understands.
func (c *client) dress(r *request) {
	r.real, r.body = c.whole.Write(r.op)
}

// tell gives a client its answer.
func (c *client) tell(told Applied) {
	if c.waiting == waitSession {
		c.whole.Connected()
	} else {
		c.whole.Wrote(told)
	}
}

// onWire is the operation that a request really is.
func (r *request) onWire() jute.Op {
	if r.real != 0 {
		return r.real
	}
	return r.op
}

// ofWire is the request that came over a link. To the world, what writes in a session is one and the same operation.
func ofWire(w *wire.Request, link zab.LinkID) request {
	r := request{op: w.Op, session: w.SessionID, cxid: w.Cxid, body: w.Body, link: link}
	switch r.op {
	case jute.OpCreateSession, jute.OpCloseSession, jute.OpSync, jute.OpSetData:
	default:
		r.op, r.real = jute.OpSetData, w.Op
	}
	return r
}

// hangUp ends the connections of a session that a transaction has closed, as a whole server does.
func (w *World) hangUp(s *server, id txnID) {
	t := &w.txns[id]
	for i := range w.clients {
		if c := &w.clients[i]; t.op == jute.OpCloseSession && c.whole != nil && c.server == s && c.session == t.session {
			c.expired()
		}
	}
}
