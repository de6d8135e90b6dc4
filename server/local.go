package server

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"quoll/adler32"
	"quoll/txnlog"
)

// local is the sequencer of a standalone server: it takes what has come in, prepares it, logs it with one write and one sync, and applies it. Whatever arrives
// meanwhile is the next batch. Who brings a request while nobody is at it does all that himself, since to wake another goroutine costs more than most batches; what
// has come meanwhile he leaves to the sequencer's own goroutine, which goes on as long as there is something.
type local struct {
	*inbox
	s    *Server
	log  *txnlog.Log   // nil in memory
	wake chan struct{} // has the sequencer's own goroutine take a turn
	turn sync.Mutex    // of who takes a batch; what follows is his
	// ended says that nobody takes any more.
	ended    bool
	zxid     int64 // the last one given out
	requests []*Request
	batch    []Proposal
	entry    []byte
	duties   duties
	disk     diskWatch
	// restoring is the state that is to take the place of this one; nil for none. Who holds restoresOne may set it.
	restoring   atomic.Pointer[restoring]
	restoresOne sync.Mutex
}

func newLocal(s *Server) *local {
	l := &local{s: s, wake: make(chan struct{}, 1), duties: duties{s: s}}
	l.inbox = newInbox(l.drive)
	return l
}

// poke makes the sequencer's own goroutine look at what is due.
func (l *local) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// drive takes a batch, unless somebody else does: he looks again afterwards.
func (l *local) drive() {
	if !l.turn.TryLock() {
		return
	}
	if !l.ended {
		l.takeBatch(nil)
	}
	retry := l.disk.state != diskGood // at a time that the sequencer's own goroutine may not know
	l.turn.Unlock()
	if retry || l.pending() > 0 {
		l.poke()
	}
}

// takeBatch commits what has come in, and what is due.
func (l *local) takeBatch(due []*Request) {
	requests := append(l.take(l.requests[:0], l.s.opts.MaxBatchSize), due...)
	l.commit(l.admit(requests))
	clear(requests)
	l.requests = requests
	l.cutIfDue()
}

// begin goes on behind the last transaction of the tree, before there is a connection.
func (l *local) begin() {
	l.zxid = l.s.tree.LastZxid()
	l.duties.begin(time.Now())
}

// run takes turns as long as there is something to do, or whenever something is due.
func (l *local) run() {
	if k := l.s.checkpoints; k != nil {
		defer close(k.ended)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(l.takeTurn()))
		if l.pending() > 0 {
			l.poke() // who brought that took this for somebody who would look again
		}
		select {
		case <-l.wake:
		case <-timer.C:
		case <-l.s.stop:
			l.turn.Lock()
			defer l.turn.Unlock()
			l.ended = true
			l.end()
			return
		}
	}
}

// takeTurn takes batches until nothing more has come, and does what is due. It returns when something is again.
func (l *local) takeTurn() (next time.Time) {
	l.turn.Lock()
	defer l.turn.Unlock()
	for {
		var due []*Request
		if now := time.Now(); !now.Before(l.nextDuty()) {
			if l.tryDisk(now); l.disk.state != diskFailed {
				due = l.duties.due(now, nil)
			}
		}
		l.takeBatch(due)
		if r := l.restoring.Load(); r != nil {
			l.restoring.Store(nil)
			r.done <- l.restore(r)
			l.cutIfDue()
		}
		select {
		case <-l.s.stop:
			return next
		default:
		}
		if l.pending() == 0 {
			return l.nextDuty()
		}
	}
}

func (l *local) end() {
	if l.log == nil {
		return
	}
	if err := l.log.Close(); err != nil {
		l.s.log.Error("closing the transaction log", "error", err)
	}
}

func (l *local) nextDuty() time.Time {
	next := l.duties.next()
	if d := &l.disk; d.state == diskFailed || d.state != diskGood && d.next.Before(next) {
		next = d.next
	}
	return next
}

// commit takes requests all the way, unless the log fails.
func (l *local) commit(requests []*Request) {
	if len(requests) == 0 {
		return
	}
	defer func() {
		clear(l.batch)
		l.batch = l.batch[:0]
	}()
	times := batchTimes{begin: time.Now()}
	l.s.batchBegins(times.begin, requests, l.pending())
	wall := l.s.opts.Now()
	for _, r := range requests {
		l.zxid++
		l.batch = append(l.batch, Proposal{Txn: l.s.Prepare(l.zxid, wall, r), Request: r})
	}
	times.prepared = time.Now()
	var bytes int64
	var sum uint32
	if l.log != nil {
		for i := range l.batch {
			l.entry = l.batch[i].Txn.Append(l.entry[:0])
			l.log.Append(l.batch[i].Txn.Zxid, l.entry)
			bytes += int64(len(l.entry))
		}
		sum = adler32.Checksum(l.entry)
		if cap(l.entry) > readBufferMax {
			l.entry = nil
		}
		times.logged = time.Now()
		if err := l.log.Sync(); err != nil {
			l.diskFails(err)
			return
		}
		times.durable = time.Now()
	}
	l.s.Apply(l.batch)
	end := time.Now()
	l.s.batchEnds(end, int64(len(requests)), &times, l.log != nil)
	if l.log != nil {
		l.s.journal.writes(l.s, l.batch, times.begin, Stage{"prepare", times.prepared}, Stage{"log", times.logged}, Stage{"fsync", times.durable}, Stage{"apply", end})
	} else {
		l.s.journal.writes(l.s, l.batch, times.begin, Stage{"prepare", times.prepared}, Stage{"apply", end})
	}
	if l.log != nil {
		l.s.checkpoints.logged(int64(len(requests)), bytes, sum)
	}
}

// cutIfDue begins a checkpoint if one is due and the disk is good.
func (l *local) cutIfDue() {
	k := l.s.checkpoints
	if k == nil || k.busy.Load() {
		return
	}
	if l.disk.state != diskGood {
		if !k.wanted.Load() {
			return
		}
		if !l.disk.lost {
			k.refuse(errors.New("the disk takes no writes at the moment"))
			return
		}
	}
	k.cutIfDue(l.log.Roll)
}
