package server

import (
	"errors"
	"fmt"
	"hash/adler32"
	"math/rand/v2"
	"sync"
	"time"

	"quoll/jute"
	"quoll/txnlog"
)

const (
	inboxLimit = 64 << 20 // bytes of requests above which readers wait before they hand over more
	batchLimit = 4 << 20  // bytes of requests above which a batch takes no more: the tree is locked while it is applied
)

// rollBytes is how much log a checkpoint must follow for a new file to be opened.
const rollBytes = 1 << 20

// local is the sequencer of a standalone server: one goroutine that takes what has come in, prepares it, logs it with one write and one
// sync, and applies it. Whatever arrives meanwhile is the next batch.
type local struct {
	s    *Server
	log  *txnlog.Log // nil in memory
	zxid int64       // the last one given out
	wake chan struct{}

	mu     sync.Mutex
	room   *sync.Cond
	inbox  []*Request
	bytes  int
	closed bool

	batch []Proposal
	entry []byte

	nextExpiry, nextReap time.Time
	reap                 []string // containers and TTL nodes that wait for their turn

	disk       diskWatch
	mark       uint32 // Adler-32 of the log record of the last transaction applied, 0 if that is in no log
	checkpoint struct {
		at    time.Time // of the last one
		bytes int64     // of log since then
	}
	snapshot struct {
		records, bytes     int64 // of log since the last one
		atRecords, atBytes int64 // when the next is due; 0 is never
	}
}

func newLocal(s *Server) *local {
	l := &local{s: s, wake: make(chan struct{}, 1)}
	l.room = sync.NewCond(&l.mu)
	return l
}

// Submit hands over requests. It waits while too many bytes are under way already.
func (l *local) Submit(list []*Request) {
	l.mu.Lock()
	for l.bytes > inboxLimit && !l.closed {
		l.room.Wait()
	}
	if !l.closed {
		l.inbox = append(l.inbox, list...)
		for _, r := range list {
			l.bytes += r.size()
		}
		l.s.outstanding.Add(int64(len(list)))
	}
	l.mu.Unlock()
	l.poke()
}

func (l *local) close() {
	l.mu.Lock()
	l.closed = true
	l.room.Broadcast()
	l.mu.Unlock()
}

// take moves up to a batch of requests out of the inbox.
func (l *local) take(dst []*Request) []*Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.inbox)
	if limit := l.s.opts.MaxBatchSize; limit > 0 {
		n = min(n, limit)
	}
	size := 0
	for i, r := range l.inbox[:n] {
		if size += r.size(); size > batchLimit {
			n = i + 1
			break
		}
	}
	dst = append(dst, l.inbox[:n]...)
	rest := copy(l.inbox, l.inbox[n:])
	clear(l.inbox[rest:])
	l.inbox = l.inbox[:rest]
	for _, r := range dst {
		l.bytes -= r.size()
	}
	if l.bytes <= inboxLimit {
		l.room.Broadcast()
	}
	return dst
}

// poke makes the sequencer look at what is due.
func (l *local) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// pending is the number of requests in the inbox.
func (l *local) pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.inbox)
}

func (l *local) run() {
	l.zxid = l.s.tree.LastZxid()
	now := time.Now()
	l.nextExpiry = now.Add(l.untilNextBucket(now))
	l.nextReap = now.Add(l.s.opts.ContainerCheckInterval)
	l.checkpoint.at = now
	l.drawSnapshotTrigger()
	if l.s.checkpoints != nil {
		defer close(l.s.checkpoints.ended)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	l.cutIfDue()
	var requests []*Request
	for {
		clear(requests)
		requests = l.take(requests[:0])
		if len(requests) == 0 {
			timer.Reset(time.Until(l.nextDuty()))
			select {
			case <-l.wake:
			case <-timer.C:
			case <-l.s.stop:
				l.end()
				return
			}
			requests = l.take(requests)
		}
		if now := time.Now(); !now.Before(l.nextDuty()) {
			requests = l.duties(now, requests)
		}
		l.commit(l.admit(requests))
		l.cutIfDue()
		select {
		case <-l.s.stop:
			l.end()
			return
		default:
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
	next := l.nextExpiry
	if l.nextReap.Before(next) {
		next = l.nextReap
	}
	if d := &l.disk; d.state == diskFailed || d.state != diskGood && d.next.Before(next) {
		next = d.next
	}
	return next
}

// untilNextBucket is the time until the next multiple of a tick on the server's clock, where a bucket of sessions ends.
func (l *local) untilNextBucket(now time.Time) time.Duration {
	tick := l.s.sessions.tick
	return time.Duration(tick-l.s.clock(now)%tick) * time.Millisecond
}

// duties adds the requests that time makes: sessions that expire, containers and TTL nodes that go.
func (l *local) duties(now time.Time, requests []*Request) []*Request {
	if l.tryDisk(now); l.disk.state == diskFailed {
		return requests
	}
	if !now.Before(l.nextExpiry) {
		l.nextExpiry = now.Add(l.untilNextBucket(now))
		for _, session := range l.s.sessions.expired(l.s.clock(now)) {
			l.s.log.Info(fmt.Sprintf("Expiring session 0x%x, timeout of %dms exceeded", session.id, session.timeout.Load()))
			l.s.metrics.StaleSessionsExpired.Inc()
			requests = append(requests, l.own(&Request{Session: session.id, Op: jute.OpCloseSession}))
		}
	}
	if !now.Before(l.nextReap) {
		if len(l.reap) == 0 {
			l.reap = reapable(l.s.tree, l.s.opts.Now(), l.s.opts.ContainerMaxNeverUsedInterval)
		}
		// One at a time, so that a great many do not crowd out the clients.
		if len(l.reap) > 0 {
			requests = append(requests, l.own(&Request{Op: jute.OpDeleteContainer, Body: jute.AppendString(nil, l.reap[0])}))
			l.reap = l.reap[1:]
		}
		l.nextReap = now.Add(l.s.opts.ContainerCheckInterval)
		if perMinute := l.s.opts.ContainerMaxPerMinute; len(l.reap) > 0 && perMinute > 0 {
			l.nextReap = now.Add(time.Minute / time.Duration(perMinute))
		}
	}
	return requests
}

func (l *local) own(r *Request) *Request {
	r.internal = true
	l.s.outstanding.Add(1)
	return r
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
	l.s.batchEnds(time.Now(), int64(len(requests)), &times, l.log != nil)
	if l.log != nil {
		l.mark = sum
		l.checkpoint.bytes += bytes
		l.snapshot.bytes += bytes
		l.snapshot.records += int64(len(requests))
	}
}

// cutIfDue begins a checkpoint, unless one is on its way: it cuts the tree and hands the capture over.
func (l *local) cutIfDue() {
	k := l.s.checkpoints
	if k == nil || k.busy.Load() {
		return
	}
	if l.disk.state != diskGood {
		if !k.wanted.Load() {
			return
		} else if !l.disk.lost {
			k.refuse(errors.New("the disk takes no writes at the moment"))
			return
		}
	}
	t := l.s.tree
	snapshot := !k.writing.Load() && (l.snapshotDue() || k.wanted.Load())
	if !snapshot && l.checkpoint.bytes < l.checkpointBytes() && !k.full.Load() && !k.again.Load() && (l.checkpoint.bytes == 0 || time.Since(l.checkpoint.at) < checkpointAge) {
		return
	}
	now := time.Now()
	if now.UnixNano() < k.retryAt.Load() {
		return
	}
	// A log that ends where the store does makes for a quick start. With little in it, it goes on.
	if snapshot || l.checkpoint.bytes > rollBytes {
		l.log.Roll()
	}
	k.busy.Store(true)
	var waiting []chan error
	if snapshot {
		// Whoever asks from here on is not content with this cut. The order matters: a wish that is noted after the list was taken stays.
		k.wanted.Store(false)
		waiting = k.asked()
	}
	l.s.lockTree()
	c := t.Cut(k.full.Load())
	l.s.unlockTree()
	l.checkpoint.at, l.checkpoint.bytes = now, 0
	if snapshot {
		l.snapshot.records, l.snapshot.bytes = 0, 0
		l.drawSnapshotTrigger()
	}
	k.captures <- checkpoint{c, l.mark, snapshot, waiting}
}

// checkpointBytes is how much log there may be before the next checkpoint.
func (l *local) checkpointBytes() int64 {
	if n := l.s.opts.CheckpointBytes; n > 0 {
		return n
	}
	return max(checkpointBytes, l.s.tree.DataSize()/checkpointShare)
}

// snapshotDue tells whether enough was logged since the last snapshot.
func (l *local) snapshotDue() bool {
	return l.snapshot.atRecords > 0 && l.snapshot.records > l.snapshot.atRecords || l.snapshot.atBytes > 0 && l.snapshot.bytes > l.snapshot.atBytes
}

// drawSnapshotTrigger draws anew when the next snapshot is due. If the configuration says when, it is between half and all of that, so that the
// members of an ensemble do not snapshot together (SyncRequestProcessor.shouldSnapshot). Otherwise it is when the log is as large as the
// last snapshot was.
func (l *local) drawSnapshotTrigger() {
	o := l.s.opts
	l.snapshot.atRecords, l.snapshot.atBytes = 0, 0
	if !o.IsSet("snapCount") && !o.IsSet("snapSizeLimitInKb") {
		l.snapshot.atBytes = snapshotBytes
		if k := l.s.checkpoints; k != nil && k.last.Load() != nil {
			l.snapshot.atBytes = max(snapshotBytes, k.last.Load().Size)
		}
		return
	}
	count := int64(max(o.SnapCount, 2))
	l.snapshot.atRecords = count/2 + rand.Int64N(count/2)
	if size := o.SnapSizeLimitKiB << 10; size > 1 {
		l.snapshot.atBytes = size/2 + rand.Int64N(size/2)
	}
}
