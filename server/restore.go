package server

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"quoll/replica"
	"quoll/tree"
	"quoll/txnlog"
)

// ErrCannotRestore is the error of a server whose state is not its own to replace.
var ErrCannotRestore = errors.New("only a server that stands alone, with a data directory, can be restored while it runs; quoll restore does it with the members of an ensemble while they are stopped")

// restoreAhead is how many transactions there may be while the restored state is written: its zxid is so far ahead, since it is in the file.
const restoreAhead = 1 << 20

// restoring is a state that is to take the place of the one that there is, and the snapshot of it, which has no name yet.
type restoring struct {
	tree   *tree.Tree
	staged txnlog.StagedSnapshot
	done   chan error
}

// Restore replaces the state by that of a snapshot, which is read from src, plain, and returns the zxid that the state has now, which is higher than any before, so that no
// transaction and no client that has seen one is ahead of it. What was there before stays in the logs and snapshots. Service goes on until the new state is on the disk; then every
// client is disconnected, and those whose sessions are not in the snapshot learn that they have expired. Mirrors ZooKeeperServer.restoreFromSnapshot.
func (s *Server) Restore(src io.Reader) (zxid int64, err error) {
	if s.local == nil || s.checkpoints == nil {
		return 0, ErrCannotRestore
	}
	begin := time.Now()
	loader := tree.NewLoader(false)
	room := &limitedReader{src: src, left: spareMemory()}
	if _, err := txnlog.DecodeSnapshot(room, s.opts.maxEntry(), loader); err != nil {
		return 0, fmt.Errorf("server: %w", err)
	}
	t, err := loader.Finish()
	if err != nil {
		return 0, fmt.Errorf("server: %w", err)
	}
	t.SettleOrphans()
	if t.NumTTLs() > 0 && !s.opts.ExtendedTypesEnabled {
		return 0, fmt.Errorf("server: %w", ErrTTLNodes)
	}
	for _, id := range t.EphemeralOwners() {
		if _, ok := t.SessionTimeout(id); !ok {
			t.KillSession(id)
		}
	}
	if !s.local.restoresOne.TryLock() {
		return 0, errors.New("server: another restore is under way")
	}
	defer s.local.restoresOne.Unlock()
	if err := s.checkpoints.room(); err != nil {
		return 0, fmt.Errorf("server: %w", err)
	}
	zxid = s.lastZxid.Load() + restoreAhead
	t.SetLastZxid(zxid)
	r := &restoring{tree: t, done: make(chan error, 1)}
	if r.staged, err = replica.StageSnapshot(&s.replica, s.dirs.snap, replica.WholeTree(t), zxid, t.Digest()); err != nil {
		return 0, fmt.Errorf("server: %w", err)
	}
	s.local.restoring.Store(r)
	s.local.poke()
	select {
	case err = <-r.done:
	case <-s.done:
		err = errStopping
	}
	if err != nil {
		return 0, fmt.Errorf("server: %w", err)
	}
	s.metrics.RestoreTime.Observe(time.Since(begin).Milliseconds())
	s.log.Warn("the state was replaced by that of a snapshot; what was there before is in the older files", "zxid", hex(zxid), "znodes", t.Len(), "sessions", t.Sessions(), "took", time.Since(begin).Round(time.Millisecond))
	return zxid, nil
}

// restore puts a tree in the place of the one that there is, between two batches. The snapshot's name is what does it: without it a start finds the old state, with it the new one,
// and so does Java.
func (l *local) restore(r *restoring) error {
	s, k, t := l.s, l.s.checkpoints, r.tree
	var refused error
	switch {
	case l.disk.state != diskGood:
		refused = errors.New("the disk takes no writes at the moment")
	case l.zxid >= t.LastZxid():
		refused = errors.New("there were too many transactions meanwhile")
	}
	if refused != nil {
		return errors.Join(refused, r.staged.Discard(s.opts.FS))
	}
	s.files.Lock()
	defer s.files.Unlock()
	if err := r.staged.Place(s.opts.FS); err != nil {
		return err
	}
	k.pause()
	k.drop() // a start would see that it is not that of the snapshot
	s.lockTree()
	s.setTree(t)
	s.sessions.reset(false)
	s.trackSessions()
	s.unlockTree()
	l.zxid = t.LastZxid()
	l.log.Roll()
	k.last.Store(&SnapshotTaken{Zxid: l.zxid, File: r.staged.Path, Size: r.staged.Size, At: time.Now()})
	k.resume(nil, false, 0)
	s.DropConnections()
	return nil
}

// limitedReader fails where a snapshot would take more memory than there is.
type limitedReader struct {
	src  io.Reader
	left int64
}

var errNoMemory = errors.New("the snapshot does not fit into the memory that is left")

// Read is that of an io.Reader.
func (r *limitedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errNoMemory
	}
	n, err := r.src.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// spareMemory is how many bytes a second state may have: half of what the machine has left, if that is known, since a tree takes somewhat more than its snapshot.
func spareMemory() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return math.MaxInt64
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			if kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64); err == nil {
				return kib << 10 / 2
			}
		}
	}
	return math.MaxInt64
}
