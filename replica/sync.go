package replica

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"quoll/tree"
	"quoll/txnlog"
	"quoll/zab"
)

// Truncate makes zxid the last one of the log, durably, and builds the state from what is left. The error [ErrNotTruncated] says that nothing was done; any
// other leaves open what is on the disk.
func (m *Member) Truncate(zxid int64) error {
	if err := m.log.Close(); err != nil {
		return err
	}
	later, err := m.reaches(zxid)
	if err != nil {
		return errors.Join(err, m.Reload())
	}
	// The log is whole behind the older snapshot, so each of these steps leaves a whole history.
	if mutant(truncKeepsSnapshots) {
		later = nil
	}
	if err := m.removeAll(m.state.SnapDir, later); err != nil {
		return err
	}
	if err := m.cutLog(zxid); err != nil {
		return err
	}
	if err := m.Reload(); err != nil {
		return err
	}
	if m.last != zxid {
		return fmt.Errorf("the log was to end with %s and ends with %s", hex(zxid), hex(m.last))
	}
	return nil
}

// reaches finds out whether a snapshot and the log behind it lead to zxid exactly, and returns the snapshots of later transactions.
func (m *Member) reaches(zxid int64) (later []txnlog.NamedFile, err error) {
	all, err := txnlog.Snapshots(m.o.FS, m.state.SnapDir)
	if err != nil {
		return nil, err
	}
	later = slices.DeleteFunc(all, func(f txnlog.NamedFile) bool { return f.Zxid <= zxid })
	likely, err := txnlog.LikelySnapshots(m.o.FS, m.state.SnapDir)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(likely, func(f txnlog.NamedFile) bool { return f.Zxid <= zxid })
	if i < 0 {
		return nil, fmt.Errorf("%w: there is no snapshot of %s or before", ErrNotTruncated, hex(zxid))
	}
	at, behind := likely[i].Zxid, errors.New("behind it")
	_, err = txnlog.ReadLogs(m.o.FS, m.state.LogDir, at+1, m.o.MaxEntry(), func(r txnlog.Record) error {
		if r.Zxid > zxid {
			return behind
		}
		if !zab.Follows(at, r.Zxid) {
			return fmt.Errorf("%s follows %s", hex(r.Zxid), hex(at))
		}
		at = r.Zxid
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, behind):
		return nil, fmt.Errorf("%w: behind %s: %w", ErrNotTruncated, likely[i].Path, err)
	case at != zxid:
		return nil, fmt.Errorf("%w: %s leads to %s and not to %s", ErrNotTruncated, likely[i].Path, hex(at), hex(zxid))
	}
	return later, nil
}

// cutLog removes the records behind zxid.
func (m *Member) cutLog(zxid int64) error {
	logs, err := txnlog.Logs(m.o.FS, m.state.LogDir)
	if err != nil {
		return err
	}
	if len(logs) == 0 {
		return txnlog.ForgetWatermark(m.o.FS, m.state.LogDir)
	}
	return txnlog.TruncateLogs(m.o.FS, m.state.LogDir, zxid, m.o.MaxEntry())
}

// removeAll removes files, those of the highest zxids first, durably one after another.
func (m *Member) removeAll(dir string, files []txnlog.NamedFile) error {
	for _, f := range slices.Backward(files) {
		if err := m.o.FS.Remove(f.Path); err != nil {
			return err
		}
		if err := m.o.FS.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// Install reads the stream behind a SNAP packet, keeps it as the snapshot of zxid and makes it the state. rest is what was read behind the stream. An
// error that is a [*StreamError] says that nothing was done; any other leaves open what is on the disk. After both only Reload is of use.
func (m *Member) Install(zxid int64, stream io.Reader) (rest []byte, err error) {
	if epoch, accepted := zxid>>32, m.epochs[zab.AcceptedEpoch]; epoch > accepted {
		return nil, &StreamError{fmt.Errorf("%w: it is of epoch %d, the accepted epoch is %d", ErrEpoch, epoch, accepted)}
	}
	if err := m.log.Close(); err != nil {
		return nil, err
	}
	m.state.Tree, m.state.Recent = nil, nil // it goes anyway, and there may not be room for two
	loader := tree.NewLoader(false)
	if rest, err = txnlog.ReadStream(stream, m.o.MaxEntry(), loader); err != nil {
		return nil, &StreamError{err}
	}
	t, err := loader.Finish()
	if err != nil {
		return nil, &StreamError{err}
	}
	t.SetLastZxid(zxid)
	t.MayBeAhead()
	if err := m.replace(t); err != nil {
		return nil, err
	}
	m.state.Tree, m.state.Mark, m.state.Whole = t, 0, false
	m.last, m.bare = zxid, false
	m.log, m.reader = NewLog(m.o, m.state.LogDir, nil), m.newLogReader(zxid)
	return rest, nil
}

// StreamError is the error of a stream that broke off or is not what it should be.
type StreamError struct{ Err error }

func (e *StreamError) Error() string { return "the leader's snapshot: " + e.Err.Error() }

func (e *StreamError) Unwrap() error { return e.Err }

// replace puts a tree in the place of the history on the disk. See the package comment for the order.
func (m *Member) replace(t *tree.Tree) error {
	fs, dir, zxid := m.o.FS, m.state.SnapDir, t.LastZxid()
	// It may be ahead of its zxid, if Java wrote it: there is nothing to say about its digest.
	snap, err := txnlog.StageSnapshot(fs, dir, zxid, txnlog.Compression(m.o.SnapshotCompression), WholeTree(t))
	if err != nil {
		return err
	}
	if mutant(installLosesLogFirst) {
		if err := m.removeLogs(); err != nil {
			return err
		}
	}
	if !mutant(installKeepsTail) {
		if err := m.cutLog(zxid); err != nil {
			return err
		}
	}
	epoch := zxid >> 32
	enters := epoch > m.epochs[zab.CurrentEpoch]
	if enters && !mutant(epochNotStaged) {
		if err := txnlog.StageEpoch(fs, dir, epoch); err != nil {
			return err
		}
	}
	if enters && mutant(epochPlacedEarly) {
		if err := m.writeEpoch(zab.CurrentEpoch, epoch); err != nil {
			return err
		}
	}
	if err := snap.Place(fs); err != nil {
		return err
	}
	others, err := txnlog.Snapshots(fs, dir)
	if err != nil {
		return err
	}
	others = slices.DeleteFunc(others, func(f txnlog.NamedFile) bool { return f.Path == snap.Path })
	later := slices.DeleteFunc(slices.Clone(others), func(f txnlog.NamedFile) bool { return f.Zxid < zxid })
	if mutant(installKeepsLaterSnapshots) {
		later = nil
	}
	if err := m.removeAll(dir, later); err != nil {
		return err
	}
	if enters {
		if err := m.writeEpoch(zab.CurrentEpoch, epoch); err != nil {
			return err
		}
		if err := txnlog.UnstageEpoch(fs, dir); err != nil {
			return err
		}
	}
	if err := m.removeLogs(); err != nil {
		return err
	}
	return m.removeAll(dir, slices.DeleteFunc(others, func(f txnlog.NamedFile) bool { return f.Zxid >= zxid }))
}

// removeLogs removes all logs.
func (m *Member) removeLogs() error {
	logs, err := txnlog.Logs(m.o.FS, m.state.LogDir)
	if err != nil {
		return err
	}
	return m.removeAll(m.state.LogDir, logs)
}

// WriteStream writes the state as the stream that follows a SNAP packet.
func (m *Member) WriteStream(w io.Writer) error {
	src := WholeTree(m.state.Tree)
	if mutant(streamWithoutSessions) {
		src.Sessions = nil
	}
	return txnlog.WriteStream(w, src)
}
