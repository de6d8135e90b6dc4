package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quoll/replica"
	"quoll/store"
	"quoll/tree"
	"quoll/txnlog"
)

const (
	// checkpointBytes is how much log there may be before the store is brought up to date: what a start has to replay. With much data it
	// is a share of that, since loading takes its time then anyway.
	checkpointBytes = 16 << 20
	checkpointShare = 8
	// rollBytes is how much log a checkpoint must follow for a new file to be opened.
	rollBytes = 1 << 20
	// checkpointAge is how long a change may be missing from the store of a server with little to do.
	checkpointAge = 5 * time.Minute
	// snapshotBytes is how much log there may be before ZooKeeper's next snapshot, unless that one is larger: what a Java server would replay.
	snapshotBytes = 64 << 20

	// backgroundRate is how many bytes a second a snapshot or the rebuilding of the store writes, so that clients notice neither.
	backgroundRate = 48 << 20

	// roomEvery is after how many bytes of that it is seen to that the log has room.
	roomEvery = 4 << 20

	// stopSnapshotBytes is up to how much data a snapshot is written when the server stops.
	stopSnapshotBytes = 16 << 20

	// retryAfter is how long a store or a snapshot that could not be written is left alone.
	retryAfter = 10 * time.Second
)

var errStopping = errors.New("the server is stopping, or its state is being replaced")

// checkpointer brings what has changed in the tree to the store, beside service, and writes ZooKeeper's snapshots from what the store has.
//
// Whoever applies transactions decides when, between two batches: it cuts the tree and hands the capture over. One goroutine takes it to the store, another
// one, while there is need, writes a snapshot from a view of the store. Nothing of this holds up a request for longer than a slice of the
// capture takes to be read.
type checkpointer struct {
	s        *Server
	options  store.Options
	store    *store.Store // nil while there is none
	captures chan checkpoint
	ended    chan struct{} // closed when the tree will change no more

	// Of the goroutine that applies.
	mark  uint32 // Adler-32 of the log record of the last transaction applied, 0 if that is in no log
	cutAt time.Time
	bytes int64                          // of log since the last cut
	since struct{ records, bytes int64 } // of log since the last snapshot
	dueAt struct{ records, bytes int64 } // when the next snapshot is due; 0 is never
	// durable, if it is set, waits until the log is on the disk up to a zxid: the store is never ahead of it.
	durable func(ctx context.Context, zxid int64) error

	paused  atomic.Bool    // the tree is not the one that the store is about
	full    atomic.Bool    // the next capture must have everything
	again   atomic.Bool    // the last one was put back: the next one is due at once
	wanted  atomic.Bool    // a snapshot is to be written as soon as one can be
	busy    atomic.Bool    // a capture is on its way
	writing atomic.Bool    // a snapshot is being written
	flight  sync.WaitGroup // captures, snapshots and views that are under way
	retryAt atomic.Int64   // when the store may be tried again after a failure, nanoseconds since Server.started, which no change of the clock moves

	mu      sync.Mutex
	waiting []chan error               // for the next snapshot
	viewers []func(*store.View, error) // for the next state of the store
	// ctx ends what is under way, when the tree is about to be another one or the server stops.
	ctx    context.Context
	cancel context.CancelFunc

	last atomic.Pointer[SnapshotTaken]
}

// checkpoint is a capture on its way to the store.
type checkpoint struct {
	ctx      context.Context
	capture  *tree.Capture
	mark     uint32                     // of the transaction that it ends with
	snapshot bool                       // to be followed by a snapshot
	waiting  []chan error               // for that snapshot
	viewers  []func(*store.View, error) // who want to see the store then
}

// SnapshotTaken describes a snapshot that was written.
type SnapshotTaken struct {
	Zxid int64
	File string
	Size int64
	At   time.Time
}

// Snapshot writes a snapshot of ZooKeeper's with everything that was applied before the call, and returns when it has its name.
func (s *Server) Snapshot() (SnapshotTaken, error) {
	k := s.checkpoints
	if k == nil {
		return SnapshotTaken{}, errors.New("server: a server in memory writes no snapshots")
	}
	done := make(chan error, 1)
	k.mu.Lock()
	k.waiting = append(k.waiting, done)
	k.mu.Unlock()
	k.wanted.Store(true)
	s.sequencer.poke()
	select {
	case err := <-done:
		if err != nil {
			return SnapshotTaken{}, fmt.Errorf("server: %w", err)
		}
		return *k.last.Load(), nil
	case <-s.done:
		return SnapshotTaken{}, fmt.Errorf("server: %w", errStopping)
	}
}

func newCheckpointer(s *Server) *checkpointer {
	k := &checkpointer{s: s, captures: make(chan checkpoint, 1), ended: make(chan struct{}), options: s.replica.StoreOptions(), cutAt: time.Now()}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.drawSnapshotTrigger()
	return k
}

// logged notes that transactions were applied which took so many bytes of log. mark is the checksum of the last one's record.
func (k *checkpointer) logged(records, bytes int64, mark uint32) {
	k.mark = mark
	k.bytes += bytes
	k.since.records += records
	k.since.bytes += bytes
}

// cutIfDue begins a checkpoint, unless one is on its way: it cuts the tree and hands the capture over. roll makes the log go on in a new file.
func (k *checkpointer) cutIfDue(roll func()) {
	now := time.Now()
	switch {
	case k.paused.Load():
		k.turnAway(errStopping)
		return
	case k.busy.Load():
		return
	case int64(now.Sub(k.s.started)) < k.retryAt.Load():
		k.turnAway(errors.New("the store could not be written a moment ago"))
		return
	}
	viewers := k.seen()
	snapshot := !k.writing.Load() && (k.snapshotDue() || k.wanted.Load())
	if !snapshot && len(viewers) == 0 && k.bytes < k.checkpointBytes() && !k.full.Load() && !k.again.Load() && (k.bytes == 0 || now.Sub(k.cutAt) < checkpointAge) {
		return
	}
	// A log that ends where the store does makes for a quick start. With little in it, it goes on.
	if snapshot || k.bytes > rollBytes {
		roll()
	}
	k.busy.Store(true)
	var waiting []chan error
	if snapshot {
		// Whoever asks from here on is not content with this cut. The order matters: a wish that is noted after the list was taken stays.
		k.wanted.Store(false)
		waiting = k.asked()
	}
	k.s.lockTree()
	c := k.s.tree.Cut(k.full.Load())
	k.s.unlockTree()
	k.cutAt, k.bytes = now, 0
	if snapshot {
		k.since.records, k.since.bytes = 0, 0
		k.drawSnapshotTrigger()
	}
	k.flight.Add(1)
	k.captures <- checkpoint{k.context(), c, k.mark, snapshot, waiting, viewers}
}

// checkpointBytes is how much log there may be before the next checkpoint.
func (k *checkpointer) checkpointBytes() int64 {
	if n := k.s.opts.CheckpointBytes; n > 0 {
		return n
	}
	return max(checkpointBytes, k.s.tree.DataSize()/checkpointShare)
}

// snapshotDue tells whether enough was logged since the last snapshot.
func (k *checkpointer) snapshotDue() bool {
	return k.dueAt.records > 0 && k.since.records > k.dueAt.records || k.dueAt.bytes > 0 && k.since.bytes > k.dueAt.bytes
}

// drawSnapshotTrigger draws anew when the next snapshot is due. If the configuration says when, it is between half and all of that, so that the
// members of an ensemble do not snapshot together (SyncRequestProcessor.shouldSnapshot). Otherwise it is when the log is as large as the
// last snapshot was.
func (k *checkpointer) drawSnapshotTrigger() {
	o := k.s.opts
	k.dueAt.records, k.dueAt.bytes = 0, 0
	if !o.IsSet("snapCount") && !o.IsSet("snapSizeLimitInKb") {
		k.dueAt.bytes = snapshotBytes
		if last := k.last.Load(); last != nil {
			k.dueAt.bytes = max(snapshotBytes, last.Size)
		}
		return
	}
	count := int64(max(o.SnapCount, 2))
	k.dueAt.records = count/2 + rand.Int64N(count/2)
	if size := o.SnapSizeLimitKiB << 10; size > 1 {
		k.dueAt.bytes = size/2 + rand.Int64N(size/2)
	}
}

// view has fn called with the state of the store as it is at a cut that is still to come, or with an error. fn closes the view, and calls viewed then.
func (k *checkpointer) view(fn func(*store.View, error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.viewers = append(k.viewers, fn)
}

// viewed says that a view was closed.
func (k *checkpointer) viewed() { k.flight.Done() }

// seen returns those who wait for a view, and forgets them.
func (k *checkpointer) seen() (viewers []func(*store.View, error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	viewers, k.viewers = k.viewers, nil
	return viewers
}

// turnAway tells those who wait for a view that there will be none.
func (k *checkpointer) turnAway(err error) {
	for _, fn := range k.seen() {
		fn(nil, err)
	}
}

func (k *checkpointer) context() context.Context {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ctx
}

// interrupt ends what is under way.
func (k *checkpointer) interrupt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cancel()
}

// pause ends what is under way and closes the store, since the tree is about to be another one. Nothing is applied meanwhile.
func (k *checkpointer) pause() {
	k.paused.Store(true)
	k.interrupt()
	k.turnAway(errStopping)
	k.flight.Wait()
	if k.store != nil {
		_ = k.store.Close() // what it lacks is in the log
		k.store = nil
	}
}

// resume goes on with the tree that there is now, and a store that has everything of it if whole is set; s may be nil.
func (k *checkpointer) resume(s *store.Store, whole bool, mark uint32) {
	k.mu.Lock()
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.mu.Unlock()
	k.store, k.mark = s, mark
	k.full.Store(!whole)
	k.again.Store(false)
	k.retryAt.Store(0)
	k.paused.Store(false)
}

// asked returns those who wait for the next snapshot, and forgets them.
func (k *checkpointer) asked() (waiting []chan error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	waiting, k.waiting = k.waiting, nil
	return waiting
}

// refuse tells those who wait for a snapshot that there will be none. One that nobody waits for is still wanted.
func (k *checkpointer) refuse(err error) {
	for _, done := range k.asked() {
		done <- err
	}
}

// run takes captures to the store until the sequencer has ended, and then the last changes.
func (k *checkpointer) run() {
	for {
		select {
		case c := <-k.captures:
			k.take(c)
		case <-k.ended:
			k.finish()
			return
		}
	}
}

func (k *checkpointer) take(c checkpoint) {
	defer k.flight.Done()
	defer func() {
		k.busy.Store(false)
		k.s.sequencer.poke() // somebody may have come meanwhile who wants to see the store
	}()
	err := k.commit(c, true)
	if err != nil {
		if !errors.Is(err, errStopping) {
			k.s.log.Error("the store could not be brought up to date; the log stays until it is, and no snapshot is written", "dir", k.options.Dir, "error", err, "next try in", retryAfter)
		}
		for _, fn := range c.viewers {
			fn(nil, err)
		}
		k.told(c.waiting, err, c.snapshot)
		return
	}
	for _, fn := range c.viewers {
		k.flight.Add(1)
		view, err := k.store.View()
		if err != nil {
			k.flight.Done()
		}
		fn(view, err)
	}
	if !c.snapshot {
		return
	}
	view, err := k.store.View()
	if err != nil {
		k.told(c.waiting, err, true)
		return
	}
	k.writing.Store(true)
	k.flight.Go(func() {
		err := k.snapshot(view, k.pacer(c.ctx))
		if err != nil && !errors.Is(err, errStopping) {
			k.s.log.Error("writing a snapshot failed; the logs that it would have replaced stay", "error", err)
		}
		k.told(c.waiting, err, true)
		k.writing.Store(false)
		k.s.sequencer.poke()
	})
}

// told tells those who wait for a snapshot how it went. One that failed is still wanted, a while later.
func (k *checkpointer) told(waiting []chan error, err error, snapshot bool) {
	for _, done := range waiting {
		done <- err
	}
	if err != nil && snapshot {
		k.retryLater()
		k.wanted.Store(true)
	}
}

func (k *checkpointer) retryLater() {
	k.retryAt.Store(int64(time.Since(k.s.started) + retryAfter))
}

// finish brings the store up to date when the tree has had its last change, so that the next start has nothing to replay, and writes a
// snapshot if that costs little.
func (k *checkpointer) finish() {
	select {
	case c := <-k.captures:
		k.take(c)
	default:
	}
	k.turnAway(errStopping)
	k.flight.Wait()
	t := k.s.tree
	full, small := k.full.Load(), t.DataSize() < stopSnapshotBytes
	if k.store != nil && !k.paused.Load() && (full && small || !full && t.Changed() > 0) {
		if err := k.commit(checkpoint{ctx: context.Background(), capture: t.Cut(full), mark: k.mark}, false); err != nil {
			k.s.log.Warn("the store is not up to date; the next start replays the log instead", "error", err)
		} else if k.since.records > 0 && small {
			view, err := k.store.View()
			if err == nil {
				err = k.snapshot(view, atOnce)
			}
			if err != nil {
				k.s.log.Warn("no snapshot was written", "error", err)
			}
		}
	}
	if k.store != nil {
		if err := k.store.Close(); err != nil {
			k.s.log.Warn("closing the store", "error", err)
		}
	}
}

// commit takes a capture to the store and closes it. If that fails, what was in the capture is part of the next one.
func (k *checkpointer) commit(c checkpoint, background bool) (err error) {
	defer func() {
		if err == nil {
			k.full.Store(false)
			k.again.Store(false)
			k.close(c.capture)
			return
		}
		k.failed(c.capture)
	}()
	if k.durable != nil {
		if err := k.durable(c.ctx, c.capture.Zxid); err != nil {
			return err
		}
	}
	if k.store == nil {
		if k.store, err = replica.OpenStore(k.options); err != nil {
			return err
		}
	}
	if _, ok := k.store.State(); !ok && !c.capture.Full {
		return errors.New("the store has nothing that these changes could be added to")
	}
	pace := atOnce
	if background && c.capture.Full {
		pace = k.pacer(c.ctx)
	}
	return replica.WriteStore(k.store, c.capture, c.mark, k.s.readTree, pace)
}

// close ends a capture.
func (k *checkpointer) close(c *tree.Capture) {
	k.s.lockTree()
	c.Close()
	k.s.unlockTree()
}

// failed puts a capture back and opens the store anew. If that does not have what it had before, everything must go there once more.
func (k *checkpointer) failed(c *tree.Capture) {
	k.retryLater()
	var before, after store.State
	had, has := false, false
	if k.store != nil {
		before, had = k.store.State()
		if k.store.Err() != nil {
			_ = k.store.Close()
			k.store = nil
		}
	}
	if k.store == nil {
		if s, err := store.Open(k.options); err == nil {
			k.store = s
		}
	}
	if k.store != nil {
		after, has = k.store.State()
	}
	k.s.lockTree()
	defer k.s.unlockTree()
	if !c.Full && had && has && before == after {
		c.Undo()
		k.again.Store(true)
		return
	}
	c.Close()
	k.full.Store(true)
}

// drop removes the store. The next checkpoint makes a new one.
func (k *checkpointer) drop() {
	if k.store != nil {
		_ = k.store.Close()
		k.store = nil
	}
	if err := store.Remove(k.options); err != nil {
		k.s.log.Error("the store cannot be removed", "dir", k.options.Dir, "error", err)
	}
}

// atOnce is the pace of what nobody has to be protected from.
func atOnce(int) error { return nil }

// pacer returns a function to be called with the number of bytes after each portion that was written. It waits as long as backgroundRate
// asks for, and fails when ctx ends.
func (k *checkpointer) pacer(ctx context.Context) func(bytes int) error {
	begin, total, checked := time.Now(), int64(0), int64(-roomEvery)
	return func(bytes int) error {
		total += int64(bytes)
		if total-checked >= roomEvery {
			checked = total
			if err := k.room(); err != nil {
				return err
			}
		}
		ahead := time.Duration(total)*time.Second/backgroundRate - time.Since(begin)
		if ahead < 0 {
			begin = begin.Add(-ahead) // what was not used is not made up for
		}
		if ahead < 5*time.Millisecond {
			ahead = 0
		}
		select {
		case <-ctx.Done():
			return errStopping
		case <-time.After(ahead):
			return nil
		}
	}
}

// room fails when a snapshot or a new store would take the room that the log needs. They can wait, and would be tried again and again.
func (k *checkpointer) room() error {
	disk := k.options.FS
	if disk == nil {
		disk = vfs.Default
	}
	usage, err := disk.GetDiskUsage(k.s.opts.DataDir)
	if err == nil && usage.AvailBytes < diskReserve+diskMargin {
		return fmt.Errorf("%s: only %d bytes are left on the disk, and those are kept for the transaction log: %w", k.s.opts.DataDir, usage.AvailBytes, syscall.ENOSPC)
	}
	return nil // a file system that does not know must do without
}

// snapshot writes one of ZooKeeper's snapshots from a view of the store, and closes that.
func (k *checkpointer) snapshot(view *store.View, pace func(bytes int) error) (err error) {
	defer func() { err = errors.Join(err, view.Close()) }()
	src, err := replica.StoreSource(view, pace)
	if err != nil {
		return err
	}
	return k.write(src, view.State().Zxid, view.State().Digest)
}

// startingSnapshot writes a snapshot from the tree itself, before anybody is served.
func (k *checkpointer) startingSnapshot() error {
	k.wanted.Store(false)
	t := k.s.tree
	return k.write(replica.WholeTree(t), t.LastZxid(), t.Digest())
}

// write writes a snapshot.
func (k *checkpointer) write(src txnlog.SnapshotSource, zxid, digest int64) error {
	begin := time.Now()
	file, size, err := replica.WriteSnapshot(&k.s.replica, k.s.dirs.snap, src, zxid, digest)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	k.last.Store(&SnapshotTaken{Zxid: zxid, File: file, Size: size, At: time.Now()})
	k.s.metrics.SnapshotTime.Observe(took.Milliseconds())
	k.s.log.Info(fmt.Sprintf("Snapshot taken in %d ms", took.Milliseconds()), "file", file, "bytes", size)
	return nil
}

// startPurging removes old snapshots and logs now and then, if the configuration asks for it. What a start needs stays: the newest snapshots
// come out of the store, so a log that reaches over them reaches over what the store lacks.
func (s *Server) startPurging() {
	if s.opts.AutopurgePurgeInterval <= 0 {
		return
	}
	s.wg.Go(func() {
		for {
			s.files.Lock()
			removed, err := txnlog.Purge(s.opts.FS, s.dirs.log, s.dirs.snap, s.opts.AutopurgeSnapRetainCount)
			s.files.Unlock()
			for _, file := range removed {
				s.log.Info("Removing file: " + file)
			}
			if err != nil {
				s.log.Error("purging old snapshots and logs", "error", err)
			}
			select {
			case <-s.stop:
				return
			case <-time.After(s.opts.AutopurgePurgeInterval):
			}
		}
	})
}
