package server

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"quoll/adler32"
	"quoll/alarm"
	"quoll/txnlog"
)

// local is the sequencer of a standalone server: it takes what has come in, prepares it, logs it with one write and one sync, and applies it. Whatever arrives
// meanwhile is the next batch, together with what clients that were just answered are about to ask (gather). Who brings a request while nobody is at it does all that
// himself, since to wake another goroutine costs more than most batches; what has come meanwhile he leaves to the sequencer's own goroutine, which goes on as long as
// there is something.
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
	gather   gather
	skimmed  int          // so many of the requests in the inbox gather knows
	alarm    *alarm.Alarm // takes a batch when those that are held have waited long enough; nil in memory, where a batch costs no sync
	alarmed  bool         // it is set
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

// drive takes a batch, unless the requests are held or somebody else takes it: he looks again afterwards.
func (l *local) drive() {
	for l.turn.TryLock() {
		pending, held := l.hold()
		if !held && !l.ended {
			l.takeBatch(nil)
			pending, held = l.hold()
		}
		retry := l.disk.state != diskGood // at a time that the sequencer's own goroutine may not know
		l.turn.Unlock()
		if more := l.pending() != pending; held && more {
			continue // who brought that took this for somebody who would look again
		} else if retry || more || pending > 0 && !held {
			l.poke()
		}
		return
	}
}

// ring takes a batch of those that have waited long enough.
func (l *local) ring() {
	l.turn.Lock()
	l.alarmed = false
	l.turn.Unlock()
	l.drive()
}

func (l *local) now() time.Duration { return time.Since(l.s.started) }

// hold reports how many requests there are, and whether they wait for more: then somebody takes them when these come, or the alarm rings.
func (l *local) hold() (pending int, held bool) {
	if l.alarm == nil || l.ended {
		return l.pending(), false
	}
	now := l.now()
	l.skim(now)
	if l.skimmed == 0 {
		return 0, false
	}
	wait := l.gather.hold(now, l.skimmed)
	if wait > 0 && !l.alarmed {
		l.alarm.Set(wait)
		l.alarmed = true
	}
	return l.skimmed, wait > 0
}

// skim tells gather of the requests in the inbox.
func (l *local) skim(now time.Duration) {
	l.skimmed = l.inbox.skim(l.skimmed, func(r *Request) { l.gather.came(now, l.s.habitOf(r)) })
}

// takeBatch commits what has come in, and what is due.
func (l *local) takeBatch(due []*Request) {
	if l.alarmed {
		l.alarm.Set(0)
		l.alarmed = false
	}
	requests := l.take(l.requests[:0], l.s.opts.MaxBatchSize)
	if known := min(l.skimmed, len(requests)); l.alarm != nil {
		for _, r := range requests[known:] { // that came just now
			l.gather.came(l.now(), l.s.habitOf(r))
		}
		l.skimmed -= known
	}
	requests = append(requests, due...)
	l.commit(l.admit(requests))
	clear(requests)
	l.requests = requests
	l.cutIfDue()
}

// begin goes on behind the last transaction of the tree, before there is a connection.
func (l *local) begin() {
	l.zxid = l.s.tree.LastZxid()
	if l.log != nil {
		l.alarm = alarm.New(l.ring)
	}
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
		next, pending := l.takeTurn()
		timer.Reset(time.Until(next))
		if l.pending() != pending {
			l.poke() // who brought that took this for somebody who would look again
		}
		select {
		case <-l.wake:
		case <-timer.C:
		case <-l.s.stop:
			l.turn.Lock()
			defer l.turn.Unlock()
			l.ended = true
			if l.alarm != nil {
				l.alarm.Close()
			}
			l.end()
			return
		}
	}
}

// takeTurn takes batches until nothing more has come but what is held, and does what is due. It returns when something is again, and how many requests are held.
func (l *local) takeTurn() (next time.Time, pending int) {
	l.turn.Lock()
	defer l.turn.Unlock()
	for {
		var due []*Request
		if now := time.Now(); !now.Before(l.nextDuty()) {
			if l.tryDisk(now); l.disk.state != diskFailed {
				due = l.duties.due(now, nil)
			}
		}
		if _, held := l.hold(); !held || len(due) > 0 {
			l.takeBatch(due)
		}
		if r := l.restoring.Load(); r != nil {
			l.restoring.Store(nil)
			r.done <- l.restore(r)
			l.cutIfDue()
		}
		select {
		case <-l.s.stop:
			return next, pending
		default:
		}
		var held bool
		if pending, held = l.hold(); pending == 0 || held {
			return l.nextDuty(), pending
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
	l.gather.leave(times.begin.Sub(l.s.started), len(requests))
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
	if l.alarm != nil {
		now := l.now()
		l.skim(now) // what comes from here on may be an answer's consequence
		for _, r := range requests {
			l.gather.replied(now, l.s.habitOf(r))
		}
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
