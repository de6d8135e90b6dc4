package zabtest

import (
	"time"

	"quoll/ensemble"
	"quoll/zab"
)

// opKind is what a disk is asked for.
type opKind uint8

const (
	opAppend opKind = iota
	opTruncate
	opInstall
	opEpoch
	opConfigure
	opReload
	opReadLog
	opKinds
)

// opPhases names the parts of each operation; between any two of them the power can go.
var opPhases = [opKinds][]string{
	opAppend:    {"write", "sync"},
	opTruncate:  {"cut", "sync", "rebuild"},
	opInstall:   {"write", "sync", "rename", "directory"},
	opEpoch:     {"write", "sync", "history", "rename", "directory"},
	opConfigure: {"write", "rename", "directory"},
	opReload:    {"read"},
	opReadLog:   {"read"},
}

var opNames = [opKinds]string{"append", "truncate", "install", "epoch", "configure", "reload", "readlog"}

// diskOp is an operation in a disk's queue.
type diskOp struct {
	kind opKind
	// phase is how many parts are done.
	phase int8
	// aside says that it concerns the history that is held under a temporary name.
	aside bool
	// ids are the transactions of an append; snapshot is what is installed.
	ids      []txnID
	snapshot history
	stream   []byte
	// before is what a cut or a rename replaced: it may be back after a crash.
	before side

	zxid    int64
	restore zab.RestoreID
	link    zab.LinkID
	file    zab.EpochFile
	epoch   int64
	// committed and seen are the configs to write.
	committed, seen *ensemble.Config
}

// side is a history with what is known of its durability.
type side struct {
	hist history
	// synced is how many of it survive a crash for sure.
	synced int
	// logFrom is where the log begins: what is before is only in a snapshot.
	logFrom int
}

// disk is what a server keeps when it crashes, and its queue of operations, which are done in order.
type disk struct {
	side
	// next is a history being synchronized, if the driver holds it aside until the epoch seals it.
	next  side
	aside bool
	// unsealed says that a synchronization changed the history in place and its epoch did not follow yet.
	unsealed bool

	epochs [2]int64
	// committed and seen are the configs in the files.
	committed, seen *ensemble.Config
	// blank says that the server lost everything and was not synchronized since, with an epoch that seals what it got.
	blank bool
	// Of a whole server: unsure says that nobody knows which of two histories is on the disk, failed that nothing but a Reload is done.
	unsure, failed bool
	// lost says that it lost everything and no epoch has sealed what it got since; retries counts what a Reload has failed.
	lost    bool
	retries int

	ops []diskOp
	// busy says that the next phase is planned.
	busy bool
	// stuck says that nothing is done at all; slow is how many times longer than usual everything takes; failing that the next phase fails.
	stuck   bool
	slow    int
	failing bool
	rng     stream
	// steady is that of draw.
	steady bool
}

// wipe empties the disk.
func (d *disk) wipe(initial *ensemble.Config) {
	*d = disk{committed: initial, seen: initial, blank: true, ops: d.ops[:0], slow: 1, rng: d.rng, steady: d.steady}
}

// durable returns the history that survives a crash at least.
func (d *disk) durable() history { return d.hist[:d.synced] }

// sideOf returns the history that an operation works on, which begins as a copy of the own one.
func (d *disk) sideOf(op *diskOp) *side {
	if !op.aside {
		return &d.side
	}
	if !d.aside {
		d.aside = true
		d.next = d.side
		d.next.hist = d.hist[:len(d.hist):len(d.hist)]
	}
	return &d.next
}

// view is what a reader of the disk finds.
func (d *disk) view() *side {
	if d.aside {
		return &d.next
	}
	return &d.side
}

// crash leaves what survives a loss of power, or a failed sync: nobody knows which of what was not synced.
func (d *disk) crash() {
	d.aside, d.next = false, side{}
	for i := range d.ops {
		op := &d.ops[i]
		half := d.rng.chance(500) && !d.steady
		switch {
		case op.kind == opTruncate && op.phase == 1 && !op.aside && (half || d.steady), op.kind == opInstall && op.phase == 3 && !op.aside && half:
			d.side = op.before
			d.synced = len(d.hist)
		case op.kind == opEpoch && op.phase == 4 && half:
			d.epochs[op.file] = op.epoch
		case op.kind == opConfigure && op.phase == 2 && half:
			d.committed, d.seen = op.committed, op.seen
		}
	}
	if lost := len(d.hist) - d.synced; lost > 0 {
		kept := d.synced + d.rng.intn(lost+1)
		if d.steady {
			kept = d.synced
		}
		d.hist = d.hist[:kept:kept]
	}
	d.synced = len(d.hist)
	d.ops = d.ops[:0]
	d.busy, d.failing = false, false
}

// duration is how long the next phase takes.
func (d *disk) duration(unit time.Duration) time.Duration {
	if d.steady {
		return unit
	}
	t := d.rng.upTo(unit)
	if d.rng.chance(20) {
		t *= 30
	}
	return min(t*time.Duration(d.slow), time.Second)
}

// enqueue adds an operation to the queue of a server's disk.
func (s *server) enqueue(op diskOp) {
	d := &s.disk
	if n := len(d.ops); op.kind == opAppend && n > 0 && s.w.draw.groupCommit {
		if last := &d.ops[n-1]; last.kind == opAppend && last.phase == 0 && last.aside == op.aside {
			last.ids = append(last.ids[:len(last.ids):len(last.ids)], op.ids...)
			return
		}
	}
	d.ops = append(d.ops, op)
	s.turnDisk()
}

// turnDisk plans the next phase if there is one.
func (s *server) turnDisk() {
	d := &s.disk
	if d.busy || d.stuck || len(d.ops) == 0 {
		return
	}
	d.busy = true
	s.w.plan(due{kind: dueDisk, server: s.index, life: s.life}, d.duration(s.w.draw.diskUnit))
}

// diskPhase does the next part of the first operation, and answers the node when it was the last.
func (s *server) diskPhase() {
	w, d := s.w, &s.disk
	d.busy = false
	if d.stuck || len(d.ops) == 0 {
		return
	}
	if s.whole != nil {
		s.operate()
		return
	}
	op := d.turn(s.w.draw.parallel)
	if at := s.stopAt; at.on && at.kind == op.kind && at.phase == op.phase && at.file == op.file {
		s.stopAt = stopPlace{}
		switch {
		case at.stick:
			d.stuck = true
		case w.draw.steady:
			s.crash()
		default:
			s.crashAndReturn()
		}
		return
	}
	if d.failing {
		d.failing = false
		s.diskFails(&d.ops[0])
		return
	}
	if side := d.sideOf(op); op.kind == opTruncate && op.phase == 0 && w.cut(side.hist, op.zxid) < side.logFrom {
		s.restoreFails(op, "the snapshot is of a later transaction")
		return
	}
	w.cover.phases[op.kind][op.phase]++
	w.mark(uint64(op.kind)<<8|uint64(op.phase), uint64(s.index))
	s.phase(op)
	op.phase++
	if at := s.stopAt; at.on && op.done() && at.kind == op.kind && at.phase == op.phase && at.file == op.file {
		s.stopAt, s.crashInPhases = stopPlace{}, 1
	}
	if s.crashInPhases > 0 {
		if s.crashInPhases--; s.crashInPhases == 0 {
			s.crashAndReturn()
			return
		}
	}
	life := s.life
	for s.life == life && len(d.ops) > 0 && d.ops[0].done() {
		done := d.ops[0]
		d.ops = append(d.ops[:0], d.ops[1:]...)
		s.answer(&done)
	}
	if s.life == life {
		s.turnDisk()
	}
}

// done reports whether nothing is left of an operation but to answer it.
func (op *diskOp) done() bool { return int(op.phase) == len(opPhases[op.kind]) }

// turn is the operation that goes on: the first, or an epoch file that is written while the log is.
func (d *disk) turn(parallel bool) *diskOp {
	for i := 1; parallel && i < len(d.ops) && d.ops[i-1].kind == opAppend; i++ {
		if op := &d.ops[i]; op.kind == opEpoch && !op.done() && d.rng.chance(600) {
			return op
		}
	}
	return &d.ops[0]
}

// phase changes the disk as the next part of op says.
func (s *server) phase(op *diskOp) {
	w, d := s.w, &s.disk
	switch op.kind {
	case opAppend:
		side := d.sideOf(op)
		if op.phase == 0 {
			side.hist = append(side.hist, op.ids...)
			s.synchronizing(op)
		} else {
			side.synced = len(side.hist)
		}
	case opTruncate:
		side := d.sideOf(op)
		if op.phase == 0 {
			n := w.cut(side.hist, op.zxid)
			op.before = *side
			side.hist, side.synced = side.hist[:n:n], n
			s.synchronizing(op)
		}
	case opInstall:
		if on := d.sideOf(op); op.phase == 2 {
			op.before = *on
			*on = side{op.snapshot, len(op.snapshot), len(op.snapshot)}
			s.ghost.matched = 0
			s.synchronizing(op)
		}
	case opEpoch:
		switch {
		case op.file == zab.CurrentEpoch && op.phase == 2:
			if d.aside {
				d.side, d.aside, d.unsealed = d.next, false, true
				s.ghost.matched = 0
			}
		case op.phase == 4:
			w.epochDurable(s, op.file, op.epoch)
			d.epochs[op.file] = op.epoch
			if op.file == zab.CurrentEpoch {
				d.unsealed, d.blank = false, false
			}
		}
	case opConfigure:
		if op.phase == 2 {
			d.committed, d.seen = op.committed, op.seen
		}
	case opReload:
		d.aside, d.next = false, side{}
	}
	if op.kind != opConfigure {
		w.look(atDisk, s)
	}
}

// synchronizing notes that the history is no longer the one of the epoch in the file, until that follows.
func (s *server) synchronizing(op *diskOp) {
	d := &s.disk
	if op.aside {
		return
	}
	if op.kind != opAppend || s.w.zxid(d.hist)>>32 > d.epochs[zab.CurrentEpoch] {
		d.unsealed = true
	}
}

// answer tells the node that an operation is done.
func (s *server) answer(op *diskOp) {
	w := s.w
	switch op.kind {
	case opAppend:
		s.step(zab.Synced{Zxid: w.txns[op.ids[len(op.ids)-1]].zxid})
	case opTruncate, opInstall, opReload:
		s.restored(op)
	case opEpoch:
		s.step(zab.EpochPersisted{File: op.file, Epoch: op.epoch})
	case opReadLog:
		s.step(s.readLog(op))
	}
}

// restored makes the state what the disk has.
func (s *server) restored(op *diskOp) {
	view := s.disk.view()
	s.state = view.hist[:len(view.hist):len(view.hist)]
	if op.kind == opInstall {
		if l := s.w.link(op.link); l != nil {
			l.resume(s)
		}
	}
	s.step(zab.Restored{Restore: op.restore, Disk: s.contents()})
}

// contents is what the disk has, as a start or a restore finds it.
func (s *server) contents() zab.Disk {
	w, d := s.w, &s.disk
	if s.whole != nil {
		return s.whole.Disk()
	}
	view := d.view()
	c := zab.Disk{Zxid: w.zxid(view.hist), AcceptedEpoch: d.epochs[zab.AcceptedEpoch], CurrentEpoch: d.epochs[zab.CurrentEpoch]}
	c.Untrusted = d.blank
	if version := w.txns[view.hist.last()].members; version != 0 {
		c.Config = w.txns[w.find(version)].config
	}
	recent := view.hist[view.logFrom:]
	if n := w.draw.recent; n >= 0 && len(recent) > n {
		recent = recent[len(recent)-n:]
	}
	for _, id := range recent {
		c.Recent = append(c.Recent, w.record(id))
	}
	return c
}

// readLog reads a few records from the one at or before the zxid on.
func (s *server) readLog(op *diskOp) zab.LogRead {
	w, d := s.w, &s.disk
	answer := zab.LogRead{Link: op.link, LaterBytes: int64(w.draw.laterBytes), SnapshotBytes: int64(w.draw.snapshotBytes)}
	log := d.hist[d.logFrom:]
	from := w.cut(log, op.zxid) - 1
	if from < 0 {
		return answer
	}
	if l := w.link(op.link); l != nil {
		l.ghost.fromLog = true
	}
	for _, id := range log[from:min(len(log), from+w.draw.readRecords)] {
		answer.Records = append(answer.Records, w.record(id))
	}
	return answer
}

// diskFails lets the first operation fail.
func (s *server) diskFails(op *diskOp) {
	w, d := s.w, &s.disk
	switch {
	case op.kind == opReadLog:
		link := op.link
		d.ops = append(d.ops[:0], d.ops[1:]...)
		s.turnDisk()
		s.step(zab.LogRead{Link: link})
		return
	case (op.kind == opTruncate || op.kind == opInstall) && d.rng.chance(500):
		s.restoreFails(op, "the disk fails")
		return
	case op.kind == opReload:
		s.turnDisk() // it is repeated
		return
	}
	w.cover.hit(pointDiskFails)
	life := s.life
	s.run() // nothing that was asked for before comes after
	if s.life != life || !s.up {
		return
	}
	d.crash()
	s.ghost.matched = 0
	w.look(atDisk, s)
	s.step(zab.DiskFailed{Reason: "the disk fails"})
}

// restoreFails answers that a Truncate or InstallSnapshot does not work.
func (s *server) restoreFails(op *diskOp, reason string) {
	w, d := s.w, &s.disk
	w.cover.hit(pointRestoreFails)
	restore, link := op.restore, w.link(op.link)
	d.ops = append(d.ops[:0], d.ops[1:]...)
	s.turnDisk()
	if link != nil {
		link.resume(s)
	}
	s.step(zab.RestoreFailed{Restore: restore, Reason: reason})
}
