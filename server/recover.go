package server

import (
	"errors"
	"fmt"
	"hash/adler32"
	"path/filepath"
	"time"

	"quoll/store"
	"quoll/tree"
	"quoll/txnlog"
)

// ErrTTLNodes is the error of a data directory with TTL nodes while extendedTypesEnabled is off.
var ErrTTLNodes = errors.New("the data directory has TTL nodes but extendedTypesEnabled is not true: ZooKeeper would delete them and all below; set extendedTypesEnabled=true")

// dataDirs are the version-2 directories of snapshots and logs.
type dataDirs struct{ snap, log string }

// recover makes the tree from what the data directory has: from the store and the log behind it if the store belongs to ZooKeeper's files, otherwise
// from those alone.
func (s *Server) recover() error {
	o := s.opts
	begin := time.Now()
	snapDir, logDir, err := txnlog.PrepareDirs(o.FS, o.DataDir, o.DataLogDir, o.DataDirAutocreate)
	if err != nil {
		return err
	}
	s.dirs = dataDirs{snapDir, logDir}
	k := newCheckpointer(s)
	s.checkpoints = k
	newest, found, err := txnlog.NewestSnapshot(o.FS, s.dirs.snap)
	if err != nil {
		found, newest.Ours = true, false // the damage is told when it is loaded
	}
	if k.store, err = openStore(k.options); errors.Is(err, store.ErrLocked) {
		return fmt.Errorf("%w %s: %w", txnlog.ErrDataDir, k.options.Dir, err)
	} else if err != nil {
		s.log.Error("there is no store; it is tried again while the server runs", "dir", k.options.Dir, "error", err)
	}
	r := replayer{s: s}
	if state, ok := k.state(); ok {
		err := r.fromStore(state, newest, found)
		var unfit *unfitError
		if errors.As(err, &unfit) {
			s.log.Warn("the store is built anew from ZooKeeper's files", "reason", unfit.Error())
			r = replayer{s: s}
		} else if err != nil {
			return err
		}
	}
	if r.tree == nil {
		if err := r.fromFiles(); err != nil {
			return err
		}
		k.full.Store(true)
	}
	if r.read.Tail != nil {
		s.log.Warn("cutting the incomplete end of the transaction log; nothing in it was acknowledged", "tail", r.read.Tail.String())
	}
	t := r.tree
	t.SettleOrphans()
	if t.NumTTLs() > 0 && !o.ExtendedTypesEnabled {
		return fmt.Errorf("%s: %w", o.DataDir, ErrTTLNodes)
	}
	stranded := false
	for _, id := range t.EphemeralOwners() {
		if _, ok := t.SessionTimeout(id); !ok {
			s.log.Warn("deleting the ephemerals of a session that is no more", "session", hex(id))
			t.KillSession(id)
			stranded = true
		}
	}
	if err := r.read.Settle(o.FS); err != nil {
		return err
	}
	s.tree = t
	s.metrics.DBInitTime.Observe(time.Since(begin).Milliseconds())
	s.log.Info("loaded the data directory", "dir", o.DataDir, "from", r.from, "transactions", r.read.Records,
		"znodes", t.Len(), "sessions", t.Sessions(), "zxid", hex(t.LastZxid()), "digest", t.Digest(), "took", time.Since(begin).Round(time.Millisecond))
	s.sequencer.log = txnlog.NewLog(txnlog.LogOptions{
		Dir: s.dirs.log, FS: o.FS, PreAlloc: o.PreAllocSizeKiB << 10, ForceSync: o.ForceSync, SizeLimit: o.TxnLogSizeLimitKiB << 10, Logger: s.log,
		OnSync: s.synced,
	})
	s.sequencer.prepareDisk()
	s.sequencer.mark = r.mark
	k.wanted.Store(!newest.Ours)
	// Without any snapshot ZooKeeper would not start on this directory. And what was just deleted is in no transaction: replayed over it
	// again, the log that follows would not give the same tree.
	if !found || stranded {
		if stranded {
			k.drop() // the log leads from there to what was just deleted
		}
		return k.startingSnapshot()
	}
	return nil
}

// state is what the store has, if there is one and it has anything.
func (k *checkpointer) state() (store.State, bool) {
	if k.store == nil {
		return store.State{}, false
	}
	return k.store.State()
}

// unfitError is why a store does not belong to ZooKeeper's files, or is damaged: it has to be built anew.
type unfitError struct{ reason string }

func (e *unfitError) Error() string { return e.reason }

func unfit(format string, args ...any) error { return &unfitError{fmt.Sprintf(format, args...)} }

// replayer makes a tree and applies the records of the log to it.
type replayer struct {
	s       *Server
	tree    *tree.Tree
	from    string // what it began with
	mark    uint32 // see local
	read    txnlog.ReadResult
	result  tree.Result
	changes []tree.Change
	trusted bool // a wrong digest is counted and no more
	// Over a fuzzy snapshot digests are compared only from the transaction on that the snapshot's own digest belongs to.
	compare     bool
	until       int64
	untilDigest int64
}

// fromStore loads the store and replays the log behind it. The error is an unfitError if that was no good.
func (r *replayer) fromStore(state store.State, newest txnlog.SnapshotInfo, found bool) error {
	s := r.s
	begin := time.Now()
	if found && !newest.Ours {
		return unfit("%s was written by another server", newest.File)
	}
	if err := r.checkMark(state, newest); err != nil {
		return err
	}
	// Snapshots come out of the store, but for one from a start whose store was never finished and one that somebody has put there.
	if found && (newest.Zxid > state.Zxid || newest.Zxid == state.Zxid && newest.HasDigest && newest.Digest != state.Digest) {
		return unfit("it has the state of zxid %s and digest %d, and %s is another or a later one", hex(state.Zxid), state.Digest, newest.File)
	}
	loader := tree.NewLoader(true)
	loader.Expect(int(state.Znodes))
	err := s.checkpoints.store.Load(store.Loading{
		Session: loader.Session,
		ACL:     loader.ACL,
		Piece:   func() store.Piece { return loader.Piece() },
		Link:    func(p store.Piece) error { return loader.Link(p.(*tree.Piece)) },
	})
	if err != nil {
		return unfit("%v", err)
	}
	t, err := loader.Finish()
	if err != nil {
		return unfit("%v", err)
	}
	if int64(t.Len()) != state.Znodes || t.Digest() != state.Digest {
		return unfit("it has %d znodes with the digest %d and should have %d with %d", t.Len(), t.Digest(), state.Znodes, state.Digest)
	}
	t.SetLastZxid(state.Zxid)
	t.Track()
	s.metrics.StartupSnapLoadTime.Observe(time.Since(begin).Milliseconds())
	r.tree, r.from = t, "store"
	r.mark = state.RecordSum
	r.compare = s.opts.DigestEnabled
	if err := r.replay(true); err != nil {
		r.tree = nil
		return err
	}
	return nil
}

// checkMark reports whether ZooKeeper's files lead to the store's state: the log has the record that it ends with, or the newest snapshot is it.
func (r *replayer) checkMark(state store.State, newest txnlog.SnapshotInfo) error {
	s := r.s
	if state.RecordSum == 0 {
		if newest.Zxid != state.Zxid || newest.HasDigest && newest.Digest != state.Digest {
			return unfit("it has the state of zxid %s, which neither the log nor the newest snapshot leads to", hex(state.Zxid))
		}
		return nil
	}
	verdict := unfit("the log does not have the transaction %s that it ends with", hex(state.Zxid))
	done := errors.New("enough was read")
	_, err := txnlog.ReadLogs(s.opts.FS, s.dirs.log, state.Zxid, s.opts.maxEntry(), func(rec txnlog.Record) error {
		if rec.Zxid == state.Zxid {
			if verdict = nil; adler32.Checksum(rec.Entry) != state.RecordSum {
				verdict = unfit("the transaction %s that it ends with is another one in %s", hex(state.Zxid), rec.File)
			}
		}
		return done
	})
	if err != nil && !errors.Is(err, done) {
		return unfit("%v", err)
	}
	return verdict
}

// fromFiles loads the newest good snapshot and replays the log behind it.
func (r *replayer) fromFiles() error {
	s := r.s
	begin := time.Now()
	limit := s.opts.maxEntry()
	var loader *tree.Loader
	snap, found, err := txnlog.LoadNewestSnapshot(s.opts.FS, s.dirs.snap, limit, func() txnlog.SnapshotSink {
		loader = tree.NewLoader(false)
		return loader
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.dirs.snap, err)
	}
	for _, skipped := range snap.Skipped {
		s.log.Warn("skipped a damaged snapshot", "error", skipped)
	}
	if !found && !s.opts.SnapshotTrustEmpty {
		if err := s.refuseLogsAlone(); err != nil {
			return err
		}
	}
	r.tree, r.from, r.trusted, r.compare = tree.New(), "nothing", true, s.opts.DigestEnabled
	if found {
		if r.tree, err = loader.Finish(); err != nil {
			return fmt.Errorf("%s: %w", snap.File, err)
		}
		r.tree.SetLastZxid(snap.Zxid)
		r.from = filepath.Base(snap.File)
		if snap.HasDigest && snap.DigestZxid == snap.Zxid && snap.Zxid > 0 && snap.Digest != r.tree.Digest() && s.opts.DigestEnabled {
			s.mismatch(snap.Zxid, r.tree.Digest(), snap.Digest)
		}
		if snap.HasDigest && snap.DigestZxid > snap.Zxid {
			r.compare, r.until, r.untilDigest = false, snap.DigestZxid, snap.Digest
		}
	}
	s.metrics.StartupSnapLoadTime.Observe(time.Since(begin).Milliseconds())
	if err := r.replay(found); err != nil {
		return err
	}
	return nil
}

// refuseLogsAlone fails if there are transactions but no snapshot that they could follow (FileTxnSnapLog.restore).
func (s *Server) refuseLogsAlone() error {
	read, err := txnlog.ReadLogs(s.opts.FS, s.dirs.log, 1, s.opts.maxEntry(), func(txnlog.Record) error { return nil })
	if err != nil || read.Records == 0 {
		return err
	}
	torn, err := txnlog.Snapshots(s.opts.FS, s.dirs.snap)
	if err != nil {
		return err
	}
	text := ""
	for i := len(torn) - 1; i >= 0; i-- {
		text += "; passed over " + torn[i].Path + ", which is not whole"
	}
	return fmt.Errorf("%s: No snapshot found, but there are log entries. Something is broken! Put back the snapshot that belongs to %s, or set snapshot.trust.empty=true to replay the log from an empty tree%s",
		s.dirs.snap, read.Files[0], text)
}

// replay applies the log behind the tree, which has a state or is new.
func (r *replayer) replay(found bool) (err error) {
	s := r.s
	begin := time.Now()
	if r.read, err = txnlog.ReplayLogs(s.opts.FS, s.dirs.log, r.tree.LastZxid(), found, s.opts.maxEntry(), r.record); err != nil {
		return err
	}
	s.metrics.StartupTxnsLoaded.Observe(r.read.Records)
	s.metrics.StartupTxnsLoadTime.Observe(time.Since(begin).Milliseconds())
	return nil
}

func (r *replayer) record(rec txnlog.Record) error {
	txn, err := tree.DecodeTxn(rec.Entry)
	if err != nil {
		return err
	}
	r.changes = r.tree.Apply(&txn, &r.result, r.changes[:0])
	r.mark = adler32.Checksum(rec.Entry)
	wrong, want := false, txn.Digest
	switch digest := r.tree.Digest(); {
	case r.until != 0 && txn.Zxid >= r.until:
		wrong, want = txn.Zxid == r.until && digest != r.untilDigest, r.untilDigest
		r.until, r.compare = 0, r.s.opts.DigestEnabled
	case r.compare && txn.HasDigest:
		wrong = txn.Digest != digest
	}
	switch {
	case !wrong:
	case r.trusted:
		r.s.mismatch(txn.Zxid, r.tree.Digest(), want)
	default:
		return unfit("the digest after transaction %s is %d and not %d, as the log has it", hex(txn.Zxid), r.tree.Digest(), want)
	}
	return nil
}

func (s *Server) synced(took time.Duration, file string, size int64) {
	s.metrics.FsyncTime.Observe(took.Milliseconds())
	if took > s.opts.FsyncWarningThreshold {
		s.stats.fsyncExceeded.Add(1)
		s.log.Warn(fmt.Sprintf("fsync-ing the write ahead log in %s took %dms which will adversely effect operation latency. File size is %d bytes. See the ZooKeeper troubleshooting guide",
			filepath.Base(file), took.Milliseconds(), size))
	}
}

func (s *Server) mismatch(zxid, have, want int64) {
	s.metrics.DigestMismatches.Inc()
	s.log.Error("the tree's digest is not the recorded one", "zxid", hex(zxid), "have", have, "want", want)
}
