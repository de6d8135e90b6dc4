package replica

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"quoll/adler32"
	"quoll/jute"
	"quoll/store"
	"quoll/tree"
	"quoll/txnlog"
)

// ErrTTLNodes is the error of a data directory with TTL nodes while extendedTypesEnabled is off.
var ErrTTLNodes = errors.New("the data directory has TTL nodes but extendedTypesEnabled is not true: ZooKeeper would delete them and all below; set extendedTypesEnabled=true")

// State is what a data directory held, in memory, and what goes on from there.
type State struct {
	// SnapDir and LogDir are the version-2 directories.
	SnapDir, LogDir string
	// Tree is the state after the last transaction of the log. It has the ephemerals of sessions that are no more, if there are any.
	Tree *tree.Tree
	// Mark is the Adler-32 of the log record of that transaction, 0 if it is in no log.
	Mark uint32
	// Store is open, but nil if it cannot be opened. Whole says that the tree came from it: what changes from here on is all that it lacks.
	Store *store.Store
	Whole bool
	// Newest is the newest snapshot that looks whole, with the digest if that was easy to have; Found says that there is one.
	Newest txnlog.SnapshotInfo
	Found  bool
	// Recent are the last records of the log, as many as were asked for and no more than were replayed.
	Recent []txnlog.Record
}

// Load makes a tree from what the data directory has: from the store and the log behind it if the store belongs to ZooKeeper's files, otherwise from
// those alone. What is torn at the log's end is cut, and what is left is durable. Without any file the tree is the empty one, which has no snapshot yet. keep is how
// many records are kept.
func Load(o *Options, keep int) (state *State, err error) {
	begin := time.Now()
	st := &State{}
	if st.SnapDir, st.LogDir, err = txnlog.PrepareDirs(o.FS, o.DataDir, o.DataLogDir, o.DataDirAutocreate); err != nil {
		return nil, err
	}
	if st.Newest, st.Found, err = txnlog.NewestSnapshot(o.FS, st.SnapDir); err != nil {
		st.Found, st.Newest.Ours = true, false // the damage is told when it is loaded
	}
	st.Store, err = OpenStore(o.StoreOptions())
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("%w %s: %w", txnlog.ErrDataDir, o.StoreOptions().Dir, err)
	} else if err != nil {
		o.Logger.Error("there is no store; it is tried again while the server runs", "dir", o.StoreOptions().Dir, "error", err)
	}
	defer func() {
		if err != nil && st.Store != nil {
			err = errors.Join(err, st.Store.Close())
		}
	}()
	pace := &pace{log: o.Logger, begin: begin, said: begin}
	r := replayer{o: o, st: st, keep: keep, pace: pace}
	if st.Store != nil {
		if state, ok := st.Store.State(); ok {
			err := r.fromStore(state)
			var unfit *unfitError
			if errors.As(err, &unfit) {
				o.Logger.Warn("the store is built anew from ZooKeeper's files", "reason", unfit.Error())
			} else if err != nil {
				return nil, err
			}
		}
	}
	if st.Tree == nil {
		r, st.Recent = replayer{o: o, st: st, keep: keep, pace: pace}, nil
		if err := r.fromFiles(); err != nil {
			return nil, err
		}
	}
	if r.read.Tail != nil {
		o.Logger.Warn("cutting the incomplete end of the transaction log; nothing in it was acknowledged", "tail", r.read.Tail.String())
	}
	st.Tree.SettleOrphans()
	if st.Tree.NumTTLs() > 0 && !o.ExtendedTypesEnabled {
		return nil, fmt.Errorf("%s: %w", o.DataDir, ErrTTLNodes)
	}
	if err := r.read.Settle(o.FS); err != nil {
		return nil, err
	}
	took := time.Since(begin)
	o.Metrics.DBInitTime.Observe(took.Milliseconds())
	o.Logger.Info("loaded the data directory", "dir", o.DataDir, "from", r.from, "transactions", r.read.Records,
		"znodes", st.Tree.Len(), "sessions", st.Tree.Sessions(), "zxid", hex(st.Tree.LastZxid()), "digest", st.Tree.Digest(), "took", took.Round(time.Millisecond))
	return st, nil
}

const (
	sayEvery  = 10 * time.Second // a load that takes longer says how far it is
	lookEvery = 4096             // znodes or transactions between two looks at the clock
)

// pace says in the log how far a load is that takes long, so that nobody takes a server that loads for one that hangs.
type pace struct {
	log         *slog.Logger
	begin, said time.Time
	done        int64 // znodes and transactions
	looked      int64 // done at the last look at the clock
}

// take counts, and reports whether it is time to look at the clock.
func (p *pace) take(n int) bool {
	p.done += int64(n)
	return p.done-p.looked >= lookEvery
}

// say writes a line if the last one is long ago. more is what else there is to tell.
func (p *pace) say(from string, more ...any) {
	p.looked = p.done
	now := time.Now()
	if now.Sub(p.said) < sayEvery {
		return
	}
	p.said = now
	p.log.Info("still loading the data directory", append([]any{"from", from, "znodes and transactions", p.done, "for", now.Sub(p.begin).Round(time.Second)}, more...)...)
}

// pacedSink is a loader of a snapshot that says how far it is.
type pacedSink struct {
	*tree.Loader
	pace *pace
}

// Node is that of a txnlog.SnapshotSink.
func (s pacedSink) Node(path string, data []byte, acl int64, stat jute.StatPersisted) error {
	if s.pace.take(1) {
		s.pace.say("snapshot", "path", path)
	}
	return s.Loader.Node(path, data, acl, stat)
}

// unfitError is why a store does not belong to ZooKeeper's files, or is damaged: it has to be built anew.
type unfitError struct{ reason string }

func (e *unfitError) Error() string { return e.reason }

func unfit(format string, args ...any) error { return &unfitError{fmt.Sprintf(format, args...)} }

// replayer makes a tree and applies the records of the log to it.
type replayer struct {
	o       *Options
	st      *State
	keep    int // see Load
	pace    *pace
	from    string // what it began with
	read    txnlog.ReadResult
	result  tree.Result
	changes []tree.Change
	digests digestRun
	// Over a fuzzy snapshot digests are compared only from the transaction on that the snapshot's own digest belongs to.
	compare     bool
	until       int64
	untilDigest int64
}

// fromStore loads the store and replays the log behind it. The error is an unfitError if that was no good.
func (r *replayer) fromStore(state store.State) error {
	newest, found := r.st.Newest, r.st.Found
	begin := time.Now()
	if found && !newest.Ours {
		return unfit("%s was written by another server", newest.File)
	}
	if err := r.checkMark(state); err != nil && !mutant(storeUnchecked) {
		return err
	}
	// Snapshots come out of the store, but for one from a start whose store was never finished and one that somebody has put there.
	if found && (newest.Zxid > state.Zxid || newest.Zxid == state.Zxid && newest.HasDigest && newest.Digest != state.Digest) {
		return unfit("it has the state of zxid %s and digest %d, and %s is another or a later one", hex(state.Zxid), state.Digest, newest.File)
	}
	loader := tree.NewLoader(true)
	err := r.st.Store.Load(store.Loading{
		Session: loader.Session,
		ACL:     loader.ACL,
		Piece:   func() store.Piece { return loader.Piece() },
		Link: func(p store.Piece) error {
			piece := p.(*tree.Piece)
			r.pace.take(piece.Len())
			r.pace.say("store", "of", state.Znodes)
			return loader.Link(piece)
		},
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
	r.o.Metrics.StartupSnapLoadTime.Observe(time.Since(begin).Milliseconds())
	r.from, r.compare = "store", r.o.DigestEnabled
	r.st.Tree, r.st.Mark, r.st.Whole = t, state.RecordSum, true
	err = r.replay(true)
	if d := &r.digests; err == nil && d.since != 0 {
		err = unfit("the digest from transaction %s on is not the one that the log has: %d and not %d", hex(d.since), d.have, d.want)
	}
	if err != nil {
		r.st.Tree, r.st.Mark, r.st.Whole = nil, 0, false
		return err
	}
	r.digests.report(r.o)
	return nil
}

// checkMark reports whether ZooKeeper's files lead to the store's state: the log has the record that it ends with, or the newest snapshot is it.
func (r *replayer) checkMark(state store.State) error {
	if state.RecordSum == 0 {
		newest := r.st.Newest
		if newest.Zxid != state.Zxid || newest.HasDigest && newest.Digest != state.Digest {
			return unfit("it has the state of zxid %s, which neither the log nor the newest snapshot leads to", hex(state.Zxid))
		}
		return nil
	}
	verdict := unfit("the log does not have the transaction %s that it ends with", hex(state.Zxid))
	done := errors.New("enough was read")
	_, err := txnlog.ReadLogs(r.o.FS, r.st.LogDir, state.Zxid, r.o.MaxEntry(), func(rec txnlog.Record) error {
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
	o := r.o
	begin := time.Now()
	var loader *tree.Loader
	snap, found, err := txnlog.LoadNewestSnapshot(o.FS, r.st.SnapDir, o.MaxEntry(), func() txnlog.SnapshotSink {
		loader = tree.NewLoader(false)
		return pacedSink{loader, r.pace}
	})
	if err != nil {
		return fmt.Errorf("%s: %w", r.st.SnapDir, err)
	}
	for _, skipped := range snap.Skipped {
		o.Logger.Warn("skipped a damaged snapshot", "error", skipped)
	}
	if !found && !o.SnapshotTrustEmpty {
		if err := r.refuseLogsAlone(); err != nil {
			return err
		}
	}
	t := tree.New()
	r.from, r.compare = "nothing", o.DigestEnabled
	if found {
		if t, err = loader.Finish(); err != nil {
			return fmt.Errorf("%s: %w", snap.File, err)
		}
		t.SetLastZxid(snap.Zxid)
		r.from = filepath.Base(snap.File)
		if !snap.HasDigest {
			t.MayBeAhead()
		}
		if snap.HasDigest && snap.DigestZxid == snap.Zxid && snap.Zxid > 0 && snap.Digest != t.Digest() && o.DigestEnabled {
			r.digests.add(false, snap.Zxid, t.Digest(), snap.Digest)
		}
		if snap.HasDigest && snap.DigestZxid > snap.Zxid {
			r.compare, r.until, r.untilDigest = false, snap.DigestZxid, snap.Digest
		}
	}
	r.st.Tree = t
	o.Metrics.StartupSnapLoadTime.Observe(time.Since(begin).Milliseconds())
	if err := r.replay(found); err != nil {
		return err
	}
	r.digests.report(o)
	return nil
}

// refuseLogsAlone fails if there are transactions but no snapshot that they could follow (FileTxnSnapLog.restore).
func (r *replayer) refuseLogsAlone() error {
	read, err := txnlog.ReadLogs(r.o.FS, r.st.LogDir, 1, r.o.MaxEntry(), func(txnlog.Record) error { return nil })
	if err != nil || read.Records == 0 {
		return err
	}
	torn, err := txnlog.Snapshots(r.o.FS, r.st.SnapDir)
	if err != nil {
		return err
	}
	text := ""
	for i := len(torn) - 1; i >= 0; i-- {
		text += "; passed over " + torn[i].Path + ", which is not whole"
	}
	return fmt.Errorf("%s: No snapshot found, but there are log entries. Something is broken! Put back the snapshot that belongs to %s, or set snapshot.trust.empty=true to replay the log from an empty tree%s",
		r.st.SnapDir, read.Files[0], text)
}

// digestRun is what the digests of a replay say of the tree. A digest is the sum over all znodes, so a tree that has the right one in the end is right, whatever came
// before: a leader that is Java writes wrong ones into the log of everybody, as often as clients make it.
type digestRun struct {
	wrong      int64 // how many were not the tree's
	since      int64 // the zxid from which on none was, 0 if the last one was
	have, want int64 // at that
}

func (d *digestRun) add(agrees bool, zxid, have, want int64) {
	switch {
	case agrees:
		d.since = 0
		return
	case d.since == 0:
		d.since, d.have, d.want = zxid, have, want
	}
	d.wrong++
}

// report counts those that were not the tree's, and says what follows from them.
func (d *digestRun) report(o *Options) {
	o.Metrics.DigestMismatches.Add(d.wrong)
	switch {
	case d.since != 0:
		o.Logger.Error("the tree's digest is not the recorded one", "zxid", hex(d.since), "have", d.have, "want", d.want)
	case d.wrong > 0:
		o.Logger.Warn("some digests in the log are wrong, but not those in the end, so the tree is right", "transactions", d.wrong)
	}
}

// replay applies the log behind the tree, which has a state or is new.
func (r *replayer) replay(found bool) (err error) {
	begin := time.Now()
	if r.read, err = txnlog.ReplayLogs(r.o.FS, r.st.LogDir, r.st.Tree.LastZxid(), found, r.o.MaxEntry(), r.record); err != nil {
		return err
	}
	r.o.Metrics.StartupTxnsLoaded.Observe(r.read.Records)
	r.o.Metrics.StartupTxnsLoadTime.Observe(time.Since(begin).Milliseconds())
	return nil
}

func (r *replayer) record(rec txnlog.Record) error {
	txn, err := tree.DecodeTxn(rec.Entry)
	if err != nil {
		return err
	}
	if r.pace.take(1) {
		r.pace.say(filepath.Base(rec.File), "zxid", hex(rec.Zxid))
	}
	t := r.st.Tree
	r.changes = t.Apply(&txn, &r.result, r.changes[:0])
	r.st.Mark = adler32.Checksum(rec.Entry)
	agrees, compared, want := false, false, txn.Digest
	switch digest := t.Digest(); {
	case r.until != 0 && txn.Zxid >= r.until:
		agrees, compared, want = digest == r.untilDigest, txn.Zxid == r.until, r.untilDigest
		r.until, r.compare = 0, r.o.DigestEnabled
	case r.compare:
		agrees, compared = t.CompareDigest(&txn)
	}
	if compared {
		r.digests.add(agrees, txn.Zxid, t.Digest(), want)
	}
	if r.keep > 0 {
		rec.Entry = bytes.Clone(rec.Entry)
		r.st.Recent = append(r.st.Recent, rec)
		if len(r.st.Recent) >= 2*r.keep {
			r.st.Recent = append(r.st.Recent[:0], r.st.Recent[r.keep:]...)
		}
	}
	return nil
}
