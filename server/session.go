package server

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"quoll/jute"
	"quoll/zab"
)

// session is a session that this server keeps time for.
type session struct {
	id       int64
	timeout  atomic.Int64 // milliseconds, as negotiated by the newest connection
	deadline atomic.Int64 // end of the bucket in which it expires, milliseconds of the tracker's clock
	closing  atomic.Bool  // its closeSession is under way
	conn     atomic.Pointer[conn]
	touched  atomic.Bool // it is in the tracker's list of those
	local    atomic.Bool // no other server knows it

	// Where its requests come from, at a leader: the link of a learner, or 0 for this server; only known if owned is set. Of the goroutine that prepares.
	owner zab.LinkID
	owned bool

	habit habit // of who gives its requests their order
}

// sessionTracker gives out session ids and finds the sessions that expire (SessionTrackerImpl). Deadlines are rounded up to ticks, as
// ZooKeeper's buckets are, so that touching a session is one store.
type sessionTracker struct {
	tick        int64 // milliseconds
	mu          sync.Mutex
	all         map[int64]*session
	first, next int64 // ids given out and to come

	// collect says that another server keeps the time: it is told which sessions were heard of.
	collect atomic.Bool
	touched struct {
		sync.Mutex
		list []*session
	}
}

// newSessionTracker starts ids as ZooKeeper does: the server's id, then 40 bits of a clock in milliseconds, then a counter.
func newSessionTracker(tick time.Duration, serverID int64, now time.Time) *sessionTracker {
	first := serverID<<56 | int64(uint64(now.UnixMilli())<<24>>8)
	return &sessionTracker{tick: max(tick.Milliseconds(), 1), all: map[int64]*session{}, first: first, next: first}
}

// bucket is the deadline of a session touched at now: always later than now plus timeout, by up to a tick.
func (t *sessionTracker) bucket(now, timeout int64) int64 { return ((now+timeout)/t.tick + 1) * t.tick }

// touch moves the session's deadline.
func (t *sessionTracker) touch(s *session, now int64) {
	t.touchFor(s, now, s.timeout.Load())
	if t.collect.Load() && !s.local.Load() && !s.touched.Load() && s.touched.CompareAndSwap(false, true) {
		t.touched.Lock()
		defer t.touched.Unlock()
		t.touched.list = append(t.touched.list, s)
	}
}

// touchFor moves the session's deadline to a timeout, in milliseconds, from now.
func (t *sessionTracker) touchFor(s *session, now, timeout int64) {
	if d := t.bucket(now, timeout); d > s.deadline.Load() {
		s.deadline.Store(d)
	}
}

// takeTouched returns the sessions that were heard of since the last call.
func (t *sessionTracker) takeTouched() []*session {
	t.touched.Lock()
	list := t.touched.list
	t.touched.list = nil
	t.touched.Unlock()
	for _, s := range list {
		s.touched.Store(false)
	}
	return list
}

// retime gives the session a new timeout, which may bring its deadline forward.
func (t *sessionTracker) retime(s *session, now, timeout int64) {
	s.timeout.Store(timeout)
	s.deadline.Store(t.bucket(now, timeout))
}

// add starts tracking a session; timeout in milliseconds.
func (t *sessionTracker) add(id, now, timeout int64) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.all[id]
	if s == nil {
		s = &session{id: id}
		t.all[id] = s
	}
	t.retime(s, now, timeout)
	return s
}

// create makes a session with a new id.
func (t *sessionTracker) create(now, timeout int64) *session {
	t.mu.Lock()
	for t.all[t.next] != nil || t.next == 0 || t.next == -1<<63 {
		t.next++
	}
	id := t.next
	t.next++
	t.mu.Unlock()
	return t.add(id, now, timeout)
}

// made reports whether this tracker has given out the id.
func (t *sessionTracker) made(id int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first <= id && id < t.next
}

func (t *sessionTracker) get(id int64) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[id]
}

// lives reports whether there is a session whose end is not under way.
func (t *sessionTracker) lives(id int64) bool {
	s := t.get(id)
	return s != nil && !s.closing.Load()
}

func (t *sessionTracker) remove(id int64) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.all[id]
	delete(t.all, id)
	return s
}

// each calls fn for every session, in no order. fn must not call the tracker.
func (t *sessionTracker) each(fn func(*session)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.all {
		fn(s)
	}
}

// forgive moves all deadlines by some milliseconds.
func (t *sessionTracker) forgive(late int64) {
	t.each(func(s *session) { s.deadline.Add(late) })
}

// reset forgets all sessions. Those that exist are added anew, with their whole timeouts. collect says that another server keeps their time.
func (t *sessionTracker) reset(collect bool) {
	t.collect.Store(collect)
	t.takeTouched()
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.all)
}

// expired returns the sessions whose time is up, all or those that are local, and marks them as closing.
func (t *sessionTracker) expired(now int64, all bool) (list []*session) {
	t.each(func(s *session) {
		if s.deadline.Load() <= now && (all || s.local.Load()) && s.closing.CompareAndSwap(false, true) {
			list = append(list, s)
		}
	})
	return list
}

// password is the secret of a session, which every server of an ensemble computes from the id alone: 16 bytes of java.util.Random seeded
// with the id and a constant.
func password(id int64) (p [jute.PasswordLength]byte) {
	const multiplier, mask = 0x5DEECE66D, 1<<48 - 1
	seed := (uint64(id) ^ 0xB3415C00 ^ multiplier) & mask
	for i := 0; i < len(p); i += 4 {
		seed = (seed*multiplier + 0xB) & mask
		binary.LittleEndian.PutUint32(p[i:], uint32(seed>>16))
	}
	return p
}
