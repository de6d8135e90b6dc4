package server

import (
	"errors"
	"fmt"
	"time"

	"quoll/jute"
	"quoll/txnlog"
)

const (
	// diskReserve is the room that is kept for the sessions' own transactions when the disk is full.
	diskReserve = 16 << 20
	// diskMargin is how much more than the reserve must be free before data is written again, so that the disk is not full at once.
	diskMargin = 16 << 20

	diskRetry  = time.Second // how often a disk that failed is tried
	diskRemind = time.Minute // how often the log says that it has not come back
)

// diskState is what may be written.
type diskState int32

const (
	diskGood diskState = iota
	// diskFull: only sessions begin and end, in the room that the reserve has given up.
	diskFull
	// diskFailed: nothing.
	diskFailed
)

// diskWatch is how the sequencer deals with a disk that fails or is full. Nothing is acknowledged until the log has been read again; reads go
// on all the while. It belongs to who takes a batch.
type diskWatch struct {
	state   diskState
	reserve *txnlog.Reserve // nil in memory
	broken  bool            // the log must recover
	lost    bool            // what was acknowledged is not on the disk any more
	full    bool            // room must be found
	room    bool            // the reserve was given up and is not known to be used up
	severed bool            // a connection has been severed: its requests may still come in
	failed  time.Time       // when a batch last failed
	next    time.Time       // when to try again
	said    time.Time       // when the log last said so
}

// prepareDisk takes the reserve, if there is room for it.
func (l *local) prepareDisk() {
	l.disk.reserve = txnlog.NewReserve(l.s.opts.FS, l.s.dirs.log, diskReserve)
	if err := l.disk.reserve.Make(0); err != nil {
		l.s.log.Warn("no room is reserved: when the disk is full, sessions cannot be made either", "file", l.disk.reserve.Path(), "bytes", diskReserve, "error", err)
	}
}

// diskFails takes back a batch that could not be logged: nobody is told anything, since part of it may be on the disk. Its clients lose their
// connections.
func (l *local) diskFails(err error) {
	s, d := l.s, &l.disk
	s.metrics.UnrecoverableErrors.Inc()
	for i := range l.batch {
		l.abandon(l.batch[i].Request)
	}
	s.metrics.OutstandingChangesRemoved.Add(int64(s.prep.Reset()))
	l.zxid = s.tree.LastZxid()
	now := time.Now()
	d.state, d.broken, d.next, d.said = diskFailed, true, now, time.Time{}
	if now.Sub(d.failed) < diskRetry {
		d.next = now.Add(diskRetry) // it seems to work, and then it does not
	}
	d.failed = now
	writes := "no write is taken until the disk works again"
	if txnlog.IsFull(err) {
		d.full, d.room = true, false
		writes = "no write is taken until there is room"
		if d.reserve.Held() {
			if err := d.reserve.Release(); err != nil {
				s.log.Error("the reserve cannot be given up", "file", d.reserve.Path(), "error", err)
			} else {
				d.room = true
				writes = "until there is room only sessions are written, into the reserve"
			}
		}
	}
	s.log.Error("the transaction log could not be written; the connections that wait for it are closed, reads go on, "+writes, "error", err, "requests", len(l.batch), "last zxid", hex(l.zxid))
	l.tryDisk(now)
}

// tryDisk looks whether the disk works again, and for which writes.
func (l *local) tryDisk(now time.Time) {
	d := &l.disk
	if d.state == diskGood || now.Before(d.next) {
		return
	}
	d.next = now.Add(diskRetry)
	if d.broken {
		err := l.log.Recover()
		var damage *txnlog.DamageError
		if d.lost = errors.As(err, &damage); d.lost {
			d.next = now.Add(diskRemind)
			err = fmt.Errorf("%w; this server has everything in memory: take it with `quoll snapshot write` before it is stopped, and then the log can be removed", err)
		}
		if err != nil {
			l.stillBad(err, now, d.lost)
			return
		}
		d.broken = false
	}
	if d.full {
		if d.room {
			l.enter(diskFull, now)
		}
		if err := d.reserve.Make(diskMargin); err != nil {
			l.stillBad(err, now, false)
			return
		}
		d.full = false
	}
	l.enter(diskGood, now)
	l.s.log.Info("the disk takes writes again", "last zxid", hex(l.zxid))
}

// enter goes to a better state. None of the sessions has expired while nothing could be written, and none is to expire for that.
func (l *local) enter(state diskState, now time.Time) {
	if l.disk.state == diskFailed {
		sessions, clock := l.s.sessions, l.s.clock(now)
		sessions.each(func(session *session) { sessions.touch(session, clock) })
	}
	l.disk.state = state
}

// stillBad notes why the disk is not good, and says so now and then.
func (l *local) stillBad(err error, now time.Time, aloud bool) {
	d := &l.disk
	if aloud || now.Sub(d.said) >= diskRemind {
		d.said = now
		l.s.log.Error("the disk still takes no writes; reads go on", "error", err, "sessions", d.state == diskFull)
	}
}

// admit takes out of a batch what cannot be written now: it is refused, or its connection has been severed.
func (l *local) admit(requests []*Request) []*Request {
	d := &l.disk
	if d.state == diskGood && !d.severed {
		return requests
	}
	kept, refused := requests[:0], []*Request(nil)
	for _, r := range requests {
		session := r.Op == jute.OpCreateSession || r.Op == jute.OpCloseSession
		switch {
		case r.conn != nil && r.conn.severed, d.state == diskFailed && session:
			l.abandon(r)
		case d.state == diskGood || session:
			kept = append(kept, r)
		case r.conn != nil:
			refused = append(refused, r)
		}
	}
	l.s.refuse(refused, jute.ErrNotReadOnly)
	return kept
}

// abandon gives a request up without an answer. What its connection has sent after it must not be carried out either.
func (l *local) abandon(r *Request) {
	s := l.s
	switch r.Op {
	case jute.OpCreateSession:
		s.sessions.remove(r.Session)
	case jute.OpCloseSession:
		if session := s.sessions.get(r.Session); session != nil {
			if c := session.conn.Load(); c != nil {
				c.close() // what it has sent meanwhile was not even read
			}
			session.closing.Store(false)
		}
	}
	if r.conn != nil {
		r.conn.severed, l.disk.severed = true, true
		r.conn.close()
	}
}

// refuse answers writes with an error, in their turn and without a transaction.
func (s *Server) refuse(requests []*Request, code jute.Code) {
	if len(requests) == 0 {
		return
	}
	now := time.Now()
	zxid := s.lastZxid.Load()
	s.lockTree()
	for _, r := range requests {
		if r.conn.lagging.Load() {
			r.conn.overtake(now)
		}
		r.conn.settle(r, appendHeaderOnly(nil, r.Cxid, zxid, code), &noted{cxid: r.Cxid, zxid: zxid, at: now, latency: now.Sub(r.received)})
		s.flushLater(r.conn)
	}
	s.unlockTree()
	s.flushAll()
}
