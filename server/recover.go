package server

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

// ErrTTLNodes is the error of a data directory with TTL nodes while extendedTypesEnabled is off.
var ErrTTLNodes = errors.New("the data directory has TTL nodes but extendedTypesEnabled is not true: ZooKeeper would delete them and all below; set extendedTypesEnabled=true")

// dataDirs are the version-2 directories of snapshots and logs.
type dataDirs struct{ snap, log string }

// recover loads the newest good snapshot, replays the log behind it, cuts a torn tail, and ends the sessions that ended without anybody
// writing it down.
func (s *Server) recover() error {
	o := s.opts
	begin := time.Now()
	snapDir, logDir, err := txnlog.PrepareDirs(o.FS, o.DataDir, o.DataLogDir, o.DataDirAutocreate)
	if err != nil {
		return err
	}
	s.dirs = dataDirs{snapDir, logDir}
	limit := o.maxEntry()
	var loader *tree.Loader
	snap, found, err := txnlog.LoadNewestSnapshot(o.FS, s.dirs.snap, limit, func() txnlog.SnapshotSink {
		loader = tree.NewLoader(false)
		return loader
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.dirs.snap, err)
	}
	for _, skipped := range snap.Skipped {
		s.log.Warn("skipped a damaged snapshot", "error", skipped)
	}
	t := tree.New()
	if found {
		if t, err = loader.Finish(); err != nil {
			return fmt.Errorf("%s: %w", snap.File, err)
		}
		t.SetLastZxid(snap.Zxid)
		if snap.HasDigest && snap.DigestZxid == snap.Zxid && snap.Digest != t.Digest() && o.DigestEnabled {
			s.mismatch(snap.Zxid, t.Digest(), snap.Digest)
		}
	}
	s.metrics.StartupSnapLoadTime.Observe(time.Since(begin).Milliseconds())

	replayBegin := time.Now()
	r := replayer{s: s, tree: t, compare: o.DigestEnabled}
	if found && snap.HasDigest && snap.DigestZxid > snap.Zxid {
		r.compare, r.until, r.untilDigest = false, snap.DigestZxid, snap.Digest
	}
	read, err := txnlog.ReadLogs(o.FS, s.dirs.log, t.LastZxid()+1, limit, r.record)
	if err != nil {
		return err
	}
	if !found && read.Records > 0 && !o.SnapshotTrustEmpty {
		return fmt.Errorf("%s: No snapshot found, but there are log entries. Something is broken! Put back the snapshot that belongs to %s, or set snapshot.trust.empty=true to replay the log from an empty tree",
			s.dirs.snap, read.Files[0])
	}
	if read.Tail != nil {
		s.log.Warn("cutting the incomplete end of the transaction log; nothing in it was acknowledged", "tail", read.Tail.String())
		if err := read.Tail.Cut(o.FS); err != nil {
			return err
		}
	}
	s.metrics.StartupTxnsLoaded.Observe(read.Records)
	s.metrics.StartupTxnsLoadTime.Observe(time.Since(replayBegin).Milliseconds())
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
	s.tree = t
	s.metrics.DBInitTime.Observe(time.Since(begin).Milliseconds())
	s.log.Info("loaded the data directory", "dir", o.DataDir, "snapshot", filepath.Base(snap.File), "transactions", read.Records,
		"znodes", t.Len(), "sessions", t.Sessions(), "zxid", hex(t.LastZxid()), "digest", t.Digest(), "took", time.Since(begin).Round(time.Millisecond))
	s.sequencer.log = txnlog.NewLog(txnlog.LogOptions{
		Dir: s.dirs.log, FS: o.FS, PreAlloc: o.PreAllocSizeKiB << 10, ForceSync: o.ForceSync, SizeLimit: o.TxnLogSizeLimitKiB << 10, Logger: s.log,
		OnSync: s.synced,
	})
	s.snapshots.replayed = read.Records
	// Without any snapshot ZooKeeper would not start on this directory. And what was just deleted is in no transaction: replayed over it
	// again, the log that follows would not give the same tree.
	if !found || stranded {
		return s.writeSnapshot()
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

// replayer applies the records of the log. Over a fuzzy snapshot it compares digests only from the transaction on that the snapshot's own
// digest belongs to.
type replayer struct {
	s           *Server
	tree        *tree.Tree
	result      tree.Result
	changes     []tree.Change
	compare     bool
	until       int64
	untilDigest int64
}

func (r *replayer) record(rec txnlog.Record) error {
	txn, err := tree.DecodeTxn(rec.Entry)
	if err != nil {
		return err
	}
	r.changes = r.tree.Apply(&txn, &r.result, r.changes[:0])
	switch digest := r.tree.Digest(); {
	case r.until != 0 && txn.Zxid >= r.until:
		if txn.Zxid == r.until && digest != r.untilDigest {
			r.s.mismatch(txn.Zxid, digest, r.untilDigest)
		}
		r.until, r.compare = 0, r.s.opts.DigestEnabled
	case r.compare && txn.HasDigest && txn.Digest != digest:
		r.s.mismatch(txn.Zxid, digest, txn.Digest)
	}
	return nil
}

// snapshotter writes ZooKeeper's snapshots beside service and purges old files.
type snapshotter struct {
	replayed int64
	wanted   chan struct{}
	last     atomic.Pointer[SnapshotTaken]
}

// SnapshotTaken describes a snapshot that was written.
type SnapshotTaken struct {
	Zxid int64
	File string
	Size int64
	At   time.Time
}

// startSnapshots starts the goroutine that writes snapshots when the log has grown, and the one that purges. A start that had to replay a
// log is followed by a snapshot, as in ZooKeeper.
func (s *Server) startSnapshots() {
	s.snapshots.wanted = make(chan struct{}, 1)
	if s.snapshots.replayed > 0 {
		s.snapshotSoon()
	}
	s.wg.Go(func() {
		for {
			select {
			case <-s.stop:
				return
			case <-s.snapshots.wanted:
			}
			if err := s.writeSnapshot(); err != nil && !errors.Is(err, errStopping) {
				s.log.Error("writing a snapshot failed; the logs that it would have replaced stay", "error", err)
			}
		}
	})
	if s.opts.AutopurgePurgeInterval <= 0 {
		return
	}
	s.wg.Go(func() {
		for {
			removed, err := txnlog.Purge(s.opts.FS, s.dirs.log, s.dirs.snap, s.opts.AutopurgeSnapRetainCount)
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

// snapshotSoon asks for a snapshot; one that is being written counts as the answer.
func (s *Server) snapshotSoon() {
	select {
	case s.snapshots.wanted <- struct{}{}:
	default:
	}
}

var errStopping = errors.New("the server is stopping")

// snapshotSlice is how many znodes are copied at a time, and snapshotSliceBytes after how many bytes that ends, so that writers wait for
// microseconds and not for the whole walk.
const (
	snapshotSlice      = 256
	snapshotSliceBytes = 64 << 10
)

// writeSnapshot writes the tree while it goes on changing: a fuzzy snapshot, named after the zxid at its start.
func (s *Server) writeSnapshot() error {
	begin := time.Now()
	t := s.tree
	var src txnlog.SnapshotSource
	var walk *tree.Walk
	var zxid int64
	acls := newACLNumbers()
	s.readTree(func(t *tree.Tree) {
		zxid = t.LastZxid()
		t.EachSession(func(id int64, timeout int32) {
			src.Sessions = append(src.Sessions, txnlog.Session{ID: id, Timeout: timeout})
		})
		walk = t.Walk()
		acls.addAll(t)
	})
	src.ACLs = acls.lists
	src.Nodes = func(b []byte) (_ []byte, more bool, err error) {
		select {
		case <-s.stop:
			return b, false, errStopping
		default:
		}
		s.readTree(func(*tree.Tree) {
			more = true
			for i := 0; i < snapshotSlice && len(b) < snapshotSliceBytes && more && err == nil; i++ {
				more, err = walk.Next(1, func(n *tree.Node) error {
					st := n.Persisted()
					b = txnlog.AppendNode(b, n.Path(), n.Data(), acls.number(t, n), &st)
					return nil
				})
			}
		})
		return b, more, err
	}
	if s.opts.DigestEnabled {
		src.Digest = func() (d txnlog.SnapshotDigest) {
			s.readTree(func(t *tree.Tree) { d = txnlog.SnapshotDigest{Zxid: t.LastZxid(), Digest: t.Digest()} })
			return d
		}
	}
	if s.opts.SerializeLastProcessedZxid {
		src.LastZxid = func() (zxid int64) {
			s.readTree(func(t *tree.Tree) { zxid = t.LastZxid() })
			return zxid
		}
	}
	file, size, err := txnlog.WriteSnapshot(s.opts.FS, s.dirs.snap, zxid, txnlog.Compression(s.opts.SnapshotCompression), src)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	s.snapshots.last.Store(&SnapshotTaken{Zxid: zxid, File: file, Size: size, At: time.Now()})
	s.metrics.SnapshotTime.Observe(took.Milliseconds())
	s.log.Info(fmt.Sprintf("Snapshot taken in %d ms", took.Milliseconds()), "file", file, "bytes", size)
	return nil
}

// aclNumbers numbers the ACL lists of a snapshot. They are written before the nodes, so a list that appears later has no number: a node
// that has it was changed by a transaction after the snapshot's zxid, and replaying that gives it its list.
type aclNumbers struct {
	lists []txnlog.ACLList
	known map[*jute.ACL]int64
}

// closedNumber is the number of a list that lets nobody in.
const closedNumber = 1

func newACLNumbers() *aclNumbers {
	closed := txnlog.ACLList{Number: closedNumber, ACL: []jute.ACL{{Perms: 0, Scheme: "world", ID: "anyone"}}}
	return &aclNumbers{lists: []txnlog.ACLList{closed}, known: map[*jute.ACL]int64{}}
}

func (a *aclNumbers) addAll(t *tree.Tree) {
	t.EachACL(func(_ int64, acl []jute.ACL) {
		if len(acl) > 0 {
			number := int64(len(a.lists)) + closedNumber
			a.known[&acl[0]] = number
			a.lists = append(a.lists, txnlog.ACLList{Number: number, ACL: acl})
		}
	})
}

func (a *aclNumbers) number(t *tree.Tree, n *tree.Node) int64 {
	acl := t.ACL(n)
	if t.ACLNumber(n) == -1 || len(acl) == 0 {
		return -1
	}
	if number, ok := a.known[&acl[0]]; ok {
		return number
	}
	return closedNumber
}
