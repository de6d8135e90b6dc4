package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

// ErrDamaged is the error of a file of a backup that is not as the manifest says.
var ErrDamaged = errors.New("the backup is damaged")

// Verify reads a whole backup and returns everything that is wrong with it: files that are missing or not as the manifest says, with the
// place in them, logs that do not follow from each other, and digests that the replay of each part of the history does not reproduce. It
// holds one tree in memory at a time. The error is that of a backup that cannot be looked at, or of ctx.
func Verify(ctx context.Context, fsys txnlog.FS, dir string) (problems []error, err error) {
	fsys = or(fsys)
	m, err := Load(fsys, dir)
	if err != nil {
		return nil, err
	}
	for i := range m.Snapshots {
		if err := checkSnapshot(ctx, fsys, dir, &m.Snapshots[i]); err != nil {
			problems = append(problems, err)
		}
	}
	for i := range m.Logs {
		if err := checkLog(ctx, fsys, dir, &m.Logs[i]); err != nil {
			problems = append(problems, err)
		}
	}
	for i := range m.Files {
		if err := checkBytes(ctx, fsys, dir, &m.Files[i]); err != nil {
			problems = append(problems, err)
		}
	}
	if len(m.Ranges()) == 0 {
		problems = append(problems, fmt.Errorf("%s: %w: there is no snapshot with the logs behind it", dir, ErrDamaged))
	}
	if len(problems) == 0 {
		for i := range m.Snapshots {
			if err := checkDigests(ctx, fsys, dir, m, i); err != nil {
				problems = append(problems, err)
			}
		}
	}
	return problems, ctx.Err()
}

// checkBytes compares a file with its checksum.
func checkBytes(ctx context.Context, fsys txnlog.FS, dir string, file *File) (err error) {
	f, err := fsys.Open(file.path(dir))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, sum, err := copyBytes(ctx, discard{}, f, 0, file.Size)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", file.path(dir), err)
	case n < file.Size:
		return fmt.Errorf("%w: %s ends at byte %d of %d", ErrDamaged, file.path(dir), n, file.Size)
	case sum != file.CRC32C:
		return fmt.Errorf("%w: the checksum of %s is %08x and not %08x", ErrDamaged, file.path(dir), uint32(sum), uint32(file.CRC32C))
	}
	return nil
}

// discard is a file to write to that keeps nothing.
type discard struct{ txnlog.File }

func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func (discard) Sync() error { return nil }

func checkSnapshot(ctx context.Context, fsys txnlog.FS, dir string, s *Snapshot) error {
	if err := checkBytes(ctx, fsys, dir, &s.File); err != nil {
		return err
	}
	is, err := inspectSnapshot(fsys, s.path(dir), s.Zxid)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if is.Zxid != s.Zxid || is.Through != s.Through || is.Znodes != s.Znodes || is.DigestZxid != s.DigestZxid || !same(is.Digest, s.Digest) {
		return fmt.Errorf("%w: %s is not as %s says: it has %d znodes up to %v and shows transactions up to %v", ErrDamaged, s.path(dir), manifestName, is.Znodes, is.Zxid, is.Through)
	}
	return nil
}

func same(a, b *int64) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

func checkLog(ctx context.Context, fsys txnlog.FS, dir string, l *Log) (err error) {
	path := l.path(dir)
	is := Log{File: File{Name: l.Name, Stored: l.Stored}, Closed: l.Closed}
	f, err := fsys.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	header := make([]byte, headerSize)
	_, err = f.ReadAt(header, 0)
	if err = errors.Join(err, f.Close()); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	is.begin(header)
	var buf []byte
	tail, err := readLog(fsys, part{path: path, size: l.Size}, func(r txnlog.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		buf = txnlog.AppendRecord(buf[:0], r.Entry)
		return is.add(r, buf)
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case tail != nil:
		return fmt.Errorf("%w: %v", ErrDamaged, tail)
	case is.Size != l.Size:
		return fmt.Errorf("%w: %s has records up to byte %d of %d", ErrDamaged, path, is.Size, l.Size)
	case is.CRC32C != l.CRC32C || is.First != l.First || is.Last != l.Last || is.Records != l.Records || !same(is.Digest, l.Digest):
		return fmt.Errorf("%w: %s is not as %s says: it has %d records, %v to %v, and checksum %08x", ErrDamaged, path, manifestName, is.Records, is.First, is.Last, uint32(is.CRC32C))
	}
	return nil
}

// checkDigests replays what lies between a snapshot and the next one, or the end.
func checkDigests(ctx context.Context, fsys txnlog.FS, dir string, m *Manifest, i int) error {
	s := &m.Snapshots[i]
	until := m.reach(s)
	if until < s.Through { // the gap behind it shows in the ranges
		return nil
	}
	if i+1 < len(m.Snapshots) {
		until = min(until, max(m.Snapshots[i+1].Through, s.Through))
	}
	wrong := func(place string, zxid, is, want int64) error {
		return fmt.Errorf("%w: %s: the digest at %v is recorded as %d, and %s replayed gives %d", ErrDamaged, place, Zxid(zxid), want, s.Name, is)
	}
	t, err := replay(ctx, history(fsys, dir, m, s), filepath.Join(dir, versionDir), filepath.Join(dir, versionDir), until, func(t *tree.Tree, r txnlog.Record, txn *tree.Txn) error {
		switch {
		case s.Digest != nil && txn.Zxid == int64(s.DigestZxid) && t.Digest() != *s.Digest:
			return wrong(s.path(dir), txn.Zxid, t.Digest(), *s.Digest)
		case txn.HasDigest && txn.Zxid > int64(s.Through) && t.Digest() != txn.Digest:
			return wrong(fmt.Sprintf("%s, offset %d", r.File, r.Offset), txn.Zxid, t.Digest(), txn.Digest)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.Digest != nil && s.DigestZxid == s.Zxid && until == s.Zxid && t.Digest() != *s.Digest {
		return wrong(s.path(dir), int64(s.Zxid), t.Digest(), *s.Digest)
	}
	return nil
}

// history is a directory with a snapshot of a backup and its logs, as far as the manifest says that they go.
func history(fsys txnlog.FS, dir string, m *Manifest, s *Snapshot) txnlog.FS {
	v := view{fsys, map[string]part{filepath.Base(s.Stored): {path: s.path(dir), size: s.Size}}}
	for i := range m.Logs {
		l := &m.Logs[i]
		v.files[filepath.Base(l.Stored)] = part{path: l.path(dir), size: l.Size}
	}
	return v
}

var errStop = errors.New("stop")

// replay loads the newest snapshot of a directory and applies the records behind it up to a zxid. each sees the tree after each of them.
func replay(ctx context.Context, fsys txnlog.FS, snapDir, logDir string, until Zxid, each func(*tree.Tree, txnlog.Record, *tree.Txn) error) (*tree.Tree, error) {
	var loader *tree.Loader
	info, ok, err := txnlog.LoadNewestSnapshot(fsys, snapDir, noLimit, func() txnlog.SnapshotSink {
		loader = tree.NewLoader(false)
		return interruptible{loader, ctx}
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil && !ok {
		err = fmt.Errorf("%w: no snapshot in %s", ErrDamaged, snapDir)
	}
	if err != nil {
		return nil, err
	}
	t, err := loader.Finish()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", info.File, err)
	}
	t.SetLastZxid(info.Zxid)
	var result tree.Result
	var changes []tree.Change
	_, err = txnlog.ReadLogs(fsys, logDir, info.Zxid+1, noLimit, func(r txnlog.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if Zxid(r.Zxid) > until {
			return errStop
		}
		txn, err := tree.DecodeTxn(r.Entry)
		if err != nil {
			return err
		}
		changes = t.Apply(&txn, &result, changes[:0])
		if txn.Op() == jute.OpError {
			txn.HasDigest = false
		}
		return each(t, r, &txn)
	})
	damage := (*txnlog.DamageError)(nil)
	gapBehind := errors.Is(err, txnlog.ErrGap) && errors.As(err, &damage) && Zxid(damage.Zxid) > until
	if err != nil && !errors.Is(err, errStop) && !gapBehind {
		return nil, err
	}
	return t, nil
}

// interruptible is a sink that a context can end.
type interruptible struct {
	*tree.Loader
	ctx context.Context
}

func (i interruptible) Node(path string, data []byte, acl int64, s jute.StatPersisted) error {
	if err := i.ctx.Err(); err != nil {
		return err
	}
	return i.Loader.Node(path, data, acl, s)
}
