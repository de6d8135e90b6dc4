package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quoll/txnlog"
)

var (
	// ErrIncomplete is the error of a source that has no snapshot with all logs behind it.
	ErrIncomplete = errors.New("the source is incomplete")
	// ErrBehind is the error of a source that ends before the backup of it does.
	ErrBehind = errors.New("the source ends before the backup does")
	// ErrBusy is the error of a directory into which another process is backing up.
	ErrBusy = errors.New("another backup into this directory is running")
)

// DefaultInterval is how often [Follow] ships what the open log has gained.
const DefaultInterval = 10 * time.Second

const (
	attempts   = 10                    // of a pass during which the server's files change, and of a record that is being written
	settleTime = 20 * time.Millisecond // between attempts
	maxSmall   = 1 << 20               // bytes of myid, an epoch or a dynamic configuration
)

// Options says what to back up, and where to.
type Options struct {
	// DataDir and DataLogDir are the server's; an empty DataLogDir is DataDir.
	DataDir, DataLogDir string
	// DynamicConfig is the path of the file with the ensemble's membership, empty if there is none.
	DynamicConfig string
	// To is the directory of the backup, made if it is missing.
	To string
	// Keep is the number of snapshots to keep, with the logs that they need; 0 keeps everything.
	Keep int
	// FS is the file system of both; nil is that of the operating system.
	FS txnlog.FS
	// Now is the clock for [Manifest.Updated]; nil is time.Now.
	Now func() time.Time
	// Reads is told how many bytes a pass will read, about, before it reads them; nil is nobody.
	Reads func(bytes int64)
}

func (o *Options) snapDir() string { return filepath.Join(o.DataDir, versionDir) }

func (o *Options) logDir() string {
	if o.DataLogDir != "" {
		return filepath.Join(o.DataLogDir, versionDir)
	}
	return o.snapDir()
}

// Report is what a pass has done.
type Report struct {
	Manifest *Manifest
	// Copied are the names of the files that are new or longer, and Bytes how many bytes that were.
	Copied []string
	Bytes  int64
	// Removed are the stored paths of the files that are no longer part of the backup.
	Removed []string
	// Notes are what somebody should know although the backup is complete, such as a damaged snapshot that was passed over.
	Notes []string
}

// Run brings a backup up to date with the files of a server, which may be running: one pass, done again while files vanish under it. After
// an error the backup is as it was before; only one while the manifest is being replaced leaves open which of the two it is. A record that is damaged is a [*txnlog.DamageError] with the place.
func Run(ctx context.Context, o Options) (*Report, error) {
	s, err := open(o)
	if err != nil {
		return nil, err
	}
	defer s.unlock()
	return s.run(ctx)
}

// Follow makes passes until ctx ends, and then a last one, whose error it returns. A pass is made at each interval, and when the server has
// begun a new log or snapshot. onPass hears of each; the report is nil if there is an error, after which the next interval tries again.
func Follow(ctx context.Context, o Options, interval time.Duration, onPass func(*Report, error)) error {
	s, err := open(o)
	if err != nil {
		return err
	}
	defer s.unlock()
	tick := time.NewTicker(max(min(interval, time.Second), time.Millisecond))
	defer tick.Stop()
	var next time.Time
	var seen string
	for {
		names, _ := s.names() // before the pass, so that what appears during it is seen by the next look; the pass tells errors
		if now := time.Now(); names != seen || !now.Before(next) {
			report, err := s.run(ctx)
			if ctx.Err() == nil {
				onPass(report, err)
			}
			seen, next = names, now.Add(interval)
		}
		select {
		case <-ctx.Done():
			report, err := s.run(context.WithoutCancel(ctx))
			onPass(report, err)
			return err
		case <-tick.C:
		}
	}
}

// session is a process that backs up into a directory.
type session struct {
	Options
	fs     txnlog.FS
	unlock func()
	// passed are snapshots that turned out damaged or unfinished: they are not read again until they change.
	passed map[string]passedOver
}

type passedOver struct {
	mark string
	err  error
}

func open(o Options) (*session, error) {
	s := &session{Options: o, fs: or(o.FS), passed: map[string]passedOver{}}
	if err := s.fs.MkdirAll(filepath.Join(o.To, versionDir)); err != nil {
		return nil, err
	}
	var err error
	if s.unlock, err = lock(o.To); err != nil {
		return nil, err
	}
	return s, nil
}

// names is a text that changes when a log or a snapshot comes or goes.
func (s *session) names() (string, error) {
	snapshots, err := list(s.fs, s.snapDir(), txnlog.Snapshots)
	if err != nil {
		return "", err
	}
	logs, err := list(s.fs, s.logDir(), txnlog.Logs)
	return fmt.Sprint(snapshots, logs), err
}

func (s *session) run(ctx context.Context) (*Report, error) {
	for try := 1; ; try++ {
		before, err := s.names()
		if err != nil {
			return nil, err
		}
		p := pass{session: s, report: &Report{}}
		err = p.run(ctx)
		if err == nil {
			return p.report, nil
		}
		if after, listErr := s.names(); try == attempts || ctx.Err() != nil || listErr != nil || after == before {
			return nil, err
		}
	}
}

// pass is one pass over the server's files.
type pass struct {
	*session
	report    *Report
	old, next *Manifest
}

func (p *pass) run(ctx context.Context) (err error) {
	if p.old, err = Load(p.fs, p.To); errors.Is(err, ErrNoBackup) {
		p.old = &Manifest{Version: manifestVersion, Source: p.DataDir}
		err = p.begin()
	}
	if err != nil {
		return err
	}
	if _, err := p.clean(p.old); err != nil { // what a process left that did not end well
		return err
	}
	p.next = &Manifest{Version: manifestVersion, Source: p.DataDir, Snapshots: slices.Clone(p.old.Snapshots)}
	if err := p.copy(ctx); err != nil {
		_, cleanErr := p.clean(p.old)
		return errors.Join(err, cleanErr)
	}
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	p.next.Updated = now().UTC().Truncate(time.Millisecond)
	if err := p.next.save(p.fs, p.To); err != nil {
		return err // it is not known which of the two manifests is there: the files of both stay
	}
	p.report.Manifest = p.next
	if p.report.Removed, err = p.clean(p.next); err != nil {
		p.note("what is no longer part of the backup could not be removed: %v", err)
	}
	return nil
}

// begin makes a directory one of a backup, which has nothing yet. One with files that no manifest knows is refused.
func (p *pass) begin() error {
	for _, files := range []func(txnlog.FS, string) ([]txnlog.NamedFile, error){txnlog.Snapshots, txnlog.Logs} {
		found, err := list(p.fs, filepath.Join(p.To, versionDir), files)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return fmt.Errorf("%s has %s but no %s: it is no backup; choose another directory", p.To, path.Join(versionDir, found[0].name), manifestName)
		}
	}
	return p.old.save(p.fs, p.To)
}

// copy makes the next manifest and the files that it names.
func (p *pass) copy(ctx context.Context) error {
	// The epochs before the logs: what a member has promised is then in the logs.
	if err := p.copyFiles(); err != nil {
		return err
	}
	if err := p.tell(); err != nil {
		return err
	}
	// The snapshot before the logs: what it shows was logged before.
	newest, err := p.copySnapshot(ctx)
	if err != nil {
		return err
	}
	if err := p.copyLogs(ctx, newest); err != nil {
		return err
	}
	p.next.sort()
	if err := p.complete(newest); err != nil {
		return err
	}
	p.keep()
	return nil
}

func (p *pass) note(format string, args ...any) {
	p.report.Notes = append(p.report.Notes, fmt.Sprintf(format, args...))
}

// copyFiles copies the small files as they are.
func (p *pass) copyFiles() error {
	for _, f := range []struct{ from, to string }{
		{filepath.Join(p.DataDir, "myid"), path.Join(memberDir, "myid")},
		{filepath.Join(p.snapDir(), "currentEpoch"), path.Join(memberDir, "currentEpoch")},
		{filepath.Join(p.snapDir(), "acceptedEpoch"), path.Join(memberDir, "acceptedEpoch")},
		{p.DynamicConfig, path.Join(configDir, filepath.Base(p.DynamicConfig))},
	} {
		if f.from == "" {
			continue
		}
		content, err := readSmall(p.fs, f.from, maxSmall)
		if errors.Is(err, fs.ErrNotExist) && f.from != p.DynamicConfig {
			continue
		} else if err != nil {
			return err
		}
		file := File{Name: path.Base(f.to), Stored: f.to, Size: int64(len(content)), CRC32C: Checksum(0).update(content)}
		p.next.Files = append(p.next.Files, file)
		if old := p.old.file(f.to); old != nil && *old == file {
			continue
		}
		if err := p.fs.MkdirAll(filepath.Dir(file.path(p.To))); err != nil {
			return err
		}
		if err := p.fs.SyncDir(p.To); err != nil {
			return err
		}
		if err := writeSmall(p.fs, file.path(p.To), content); err != nil {
			return err
		}
		p.copied(file.Name, file.Size)
	}
	return nil
}

func (p *pass) copied(name string, n int64) {
	p.report.Copied = append(p.report.Copied, name)
	p.report.Bytes += n
}

// stored is a path in the backup that no file of it has: the name itself or, if the server has written that name anew, one with a number. A
// server would read it just the same.
func (p *pass) stored(name string) string {
	taken := map[string]bool{}
	for _, m := range []*Manifest{p.old, p.next} {
		for _, f := range m.all() {
			taken[f.Stored] = true
		}
	}
	stored := path.Join(versionDir, name)
	parts := strings.SplitN(name, ".", 3)
	for n := 2; taken[stored]; n++ {
		with := append(slices.Clone(parts[:2]), fmt.Sprint(n))
		stored = path.Join(versionDir, strings.Join(append(with, parts[2:]...), "."))
	}
	return stored
}

// copySnapshot makes the source's newest good snapshot part of the backup.
func (p *pass) copySnapshot(ctx context.Context) (s Snapshot, err error) {
	snapshots, err := list(p.fs, p.snapDir(), txnlog.Snapshots)
	if err != nil {
		return s, err
	}
	var damage []error
	for _, candidate := range slices.Backward(snapshots) {
		source := filepath.Join(p.snapDir(), candidate.name)
		mark, err := p.mark(source)
		if err != nil {
			return s, err
		}
		if old := p.next.snapshot(candidate.name); old != nil {
			if have, err := p.mark(old.path(p.To)); err == nil && have == mark {
				return *old, nil
			}
		}
		over, seen := p.passed[candidate.name]
		if txnlog.SnapshotCompression(candidate.name) == txnlog.Plain && !strings.HasSuffix(mark, endMark) {
			over = passedOver{mark, fmt.Errorf("%s: %w", source, txnlog.ErrSnapshotEnd)}
		} else if !seen || over.mark != mark {
			s, err = p.copyOneSnapshot(ctx, source, candidate.name)
			if err == nil {
				p.next.Snapshots = slices.DeleteFunc(p.next.Snapshots, func(old Snapshot) bool { return old.Name == candidate.name })
				p.next.Snapshots = append(p.next.Snapshots, s)
				p.copied(s.Name, s.Size)
				return s, nil
			}
			if d := (*snapshotDamage)(nil); !errors.As(err, &d) {
				return s, err
			}
			over = passedOver{mark, err}
			p.passed[candidate.name] = over
		}
		p.note("passed over, damaged or not written to its end: %v", over.err)
		damage = append(damage, over.err)
	}
	if len(damage) > 0 {
		return s, fmt.Errorf("%w: no snapshot in %s is whole: %w", ErrIncomplete, p.snapDir(), errors.Join(damage...))
	}
	return s, fmt.Errorf("%w: no snapshot in %s; a server writes one when it starts", ErrIncomplete, p.snapDir())
}

// endMark is the end of a plain snapshot, as mark writes it: one that a server is still writing has another, and need not be copied to know.
const endMark = "000000012f"

// mark tells versions of a snapshot apart: its size and its last bytes, which hold checksums of all the others.
func (p *pass) mark(path string) (_ string, err error) {
	f, err := p.fs.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return "", err
	}
	end := make([]byte, min(size, 64))
	n, err := f.ReadAt(end, size-int64(len(end)))
	if n == len(end) || err == io.EOF {
		err = nil
	}
	return fmt.Sprintf("%d %x", size, end[:n]), err
}

// snapshotDamage is the error of a snapshot that is not whole.
type snapshotDamage struct{ error }

func (d *snapshotDamage) Unwrap() error { return d.error }

// copyOneSnapshot copies a snapshot and reads the copy through before it gets its name.
func (p *pass) copyOneSnapshot(ctx context.Context, source, name string) (s Snapshot, err error) {
	file := File{Name: name, Stored: p.stored(name)}
	temp := filepath.Join(p.To, versionDir, tempPrefix+name)
	from, err := p.fs.Open(source)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := p.fs.Create(temp)
	if err != nil {
		return s, err
	}
	file.Size, file.CRC32C, err = copyBytes(ctx, to, from, 0, -1)
	if err = errors.Join(err, to.Close()); err != nil {
		return s, err
	}
	s, err = inspectSnapshot(p.fs, temp, Zxid(txnlog.NameZxid(name)))
	if err != nil {
		return s, &snapshotDamage{fmt.Errorf("%s: %w", source, err)}
	}
	s.File = file
	return s, p.rename(temp, file.path(p.To))
}

func (p *pass) rename(temp, path string) error {
	if err := p.fs.Rename(temp, path); err != nil {
		return err
	}
	return p.fs.SyncDir(filepath.Dir(path))
}

// copyBytes copies bytes from an offset on, size of them or, if that is negative, all, and makes them durable.
func copyBytes(ctx context.Context, to, from txnlog.File, at, size int64) (n int64, sum Checksum, err error) {
	buf := make([]byte, chunk)
	for size < 0 || n < size {
		if err := ctx.Err(); err != nil {
			return n, sum, err
		}
		want := int64(len(buf))
		if size >= 0 {
			want = min(want, size-n)
		}
		m, err := from.ReadAt(buf[:want], at+n)
		if m == 0 && err == io.EOF {
			break
		} else if m == 0 && err != nil {
			return n, sum, err
		}
		if _, err := to.WriteAt(buf[:m], n); err != nil {
			return n, sum, err
		}
		sum = sum.update(buf[:m])
		n += int64(m)
	}
	return n, sum, to.Sync()
}

// needed is the first log that a snapshot needs, or that goes on from the backup.
func (p *pass) needed(logs []named, snapshot Zxid) (needed int) {
	for i, l := range logs {
		if l.zxid <= snapshot { // the newest that begins at or before it may hold what comes behind it
			needed = i
		}
	}
	if n := len(p.old.Logs); n > 0 {
		if i := slices.IndexFunc(logs, func(l named) bool { return l.zxid >= p.old.Logs[n-1].First }); i >= 0 {
			needed = min(needed, i)
		}
	}
	return needed
}

// tell tells how much is to be read: the newest snapshot as it is and as a copy, and of the logs what the backup has not.
func (p *pass) tell() error {
	if p.Reads == nil {
		return nil
	}
	snapshots, err := list(p.fs, p.snapDir(), txnlog.Snapshots)
	logs, logsErr := list(p.fs, p.logDir(), txnlog.Logs)
	if err = errors.Join(err, logsErr); err != nil || len(snapshots) == 0 {
		return err
	}
	newest := snapshots[len(snapshots)-1]
	total, err := p.size(filepath.Join(p.snapDir(), newest.name))
	if err != nil {
		return err
	}
	if old := p.old.snapshot(newest.name); old == nil || old.Size != total {
		total *= 2
	} else {
		total = 0
	}
	needed := p.needed(logs, newest.zxid)
	for i, l := range logs {
		old := p.old.log(l.name)
		if old == nil && i < needed || old != nil && old.Closed {
			continue
		}
		size, err := p.size(filepath.Join(p.logDir(), l.name))
		if err != nil {
			return err
		}
		if old != nil {
			size = max(size-old.Size, 0)
		}
		total += size
	}
	p.Reads(total)
	return nil
}

func (p *pass) size(path string) (_ int64, err error) {
	f, err := p.fs.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Size()
}

// copyLogs makes the logs that the snapshot needs, and those that go on from the backup, part of the backup.
func (p *pass) copyLogs(ctx context.Context, newest Snapshot) error {
	logs, err := list(p.fs, p.logDir(), txnlog.Logs)
	if err != nil {
		return err
	}
	needed := p.needed(logs, newest.Zxid)
	lost := Zxid(math.MaxInt64) // from where on the backup's history is not the source's
	var end Zxid                // of the source's logs
	wentOn := false             // behind a place at which it was cut
	present := map[string]bool{}
	for i, file := range logs {
		present[file.name] = true
		old, last := p.old.log(file.name), i == len(logs)-1
		if old == nil && i < needed {
			continue
		}
		l, same, err := p.copyLog(ctx, file.name, last)
		if err != nil {
			return err
		}
		if old != nil && !same {
			if last && l.Last < old.Last {
				return p.behind(l.Last)
			}
			wentOn = wentOn || !last
			p.note("%s: the source has cut it or written it anew; the copy is that of now", old.Name)
			if lost = min(lost, old.First); l.First == old.First && l.Last < old.Last {
				lost = l.Last + 1
			}
		}
		if l.Records > 0 {
			p.next.Logs = append(p.next.Logs, l)
			end = l.Last
		}
	}
	for _, old := range p.old.Logs {
		switch {
		case present[old.Name]:
		case len(logs) == 0 || old.First < logs[0].zxid: // purged
			p.next.Logs = append(p.next.Logs, old)
		case old.First > end && !wentOn:
			return p.behind(end)
		default:
			p.note("%s: the source has gone on without it, so it is no longer part of the backup", old.Name)
			lost = min(lost, old.First)
		}
	}
	if len(logs) == 0 && newest.Through < p.old.End() {
		return p.behind(newest.Through)
	}
	p.next.Snapshots = slices.DeleteFunc(p.next.Snapshots, func(s Snapshot) bool { return s.Through >= lost && s.Name != newest.Name })
	return nil
}

func (p *pass) behind(end Zxid) error {
	return fmt.Errorf("%w: %s ends at %v and %s has transactions up to %v; if the server was cut back or restored, or is another one, back up into a new directory",
		ErrBehind, p.logDir(), end, p.To, p.old.End())
}

// copyLog brings the backup's copy of a log up to date. It reports whether the log goes on from what the backup has of it.
func (p *pass) copyLog(ctx context.Context, name string, newest bool) (l Log, same bool, err error) {
	source := filepath.Join(p.logDir(), name)
	if old := p.old.log(name); old != nil {
		if same, err = p.goesOn(source, old); err != nil {
			return l, false, err
		}
		if same {
			if old.Closed {
				return *old, true, nil
			}
			l, err = p.extend(ctx, *old, newest)
			return l, true, err
		}
	}
	l = Log{File: File{Name: name, Stored: p.stored(name)}}
	temp := filepath.Join(p.To, versionDir, tempPrefix+name)
	to, err := p.fs.Create(temp)
	if err != nil {
		return l, same, err
	}
	err = p.ship(ctx, &l, to, newest)
	if err = errors.Join(err, to.Close()); err != nil || l.Records == 0 {
		return l, same, err
	}
	return l, same, p.rename(temp, l.path(p.To))
}

// goesOn reports whether the last record that the backup has of a log is where it was in the source.
func (p *pass) goesOn(source string, old *Log) (bool, error) {
	have, err := p.bytes(old.path(p.To), old.LastRecord, old.Size)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // the backup's own file is damaged: it is copied anew
	} else if err != nil {
		return false, err
	}
	is, err := p.bytes(source, old.LastRecord, old.Size)
	return int64(len(have)) == old.Size-old.LastRecord && string(have) == string(is), err
}

// bytes reads a part of a file, or what there is of it.
func (p *pass) bytes(path string, from, to int64) (_ []byte, err error) {
	f, err := p.fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, max(to-from, 0))
	n, err := f.ReadAt(b, from)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}

// extend ships what a log has gained into the file that the backup has of it. The manifest still says the old size until the pass ends.
func (p *pass) extend(ctx context.Context, l Log, newest bool) (_ Log, err error) {
	to, err := p.fs.OpenWrite(l.path(p.To))
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	size, err := to.Size()
	if err != nil {
		return l, err
	}
	if size > l.Size { // a pass that was cut short has left it
		if err := to.Truncate(l.Size); err != nil {
			return l, err
		}
	}
	l.Gaps = slices.Clone(l.Gaps)
	before := l.Size
	if err := p.ship(ctx, &l, to, newest); err != nil {
		return l, errors.Join(err, to.Truncate(before))
	}
	return l, nil
}

// ship copies the whole records of a log from l.Size on, and makes them durable. The padding stays behind.
func (p *pass) ship(ctx context.Context, l *Log, to txnlog.File, newest bool) error {
	source := filepath.Join(p.logDir(), l.Name)
	begun := l.Size
	written := l.Size
	var buf []byte
	flush := func() error {
		_, err := to.WriteAt(buf, written)
		written += int64(len(buf))
		buf = buf[:0]
		return errors.Join(err, ctx.Err())
	}
	if l.Size == 0 {
		header, err := p.bytes(source, 0, headerSize)
		if err != nil {
			return err
		}
		if len(header) == headerSize {
			buf = append(buf, header...)
			l.begin(header)
		} // else readLog says what is wrong
	}
	// What is written and not yet synced may be taken back, and its zxids given to other transactions.
	size := int64(-1)
	if mark, ok, err := txnlog.ReadWatermark(p.fs, p.logDir()); err == nil && ok && newest && mark.File == source {
		size = max(mark.Offset, l.Size)
	}
	for try := 1; ; try++ {
		tail, err := readLog(p.fs, part{path: source, size: size, from: l.Size}, func(r txnlog.Record) error {
			at := len(buf)
			buf = txnlog.AppendRecord(buf, r.Entry)
			if err := l.add(r, buf[at:]); err != nil {
				buf = buf[:at]
				return err
			}
			if len(buf) >= chunk {
				return flush()
			}
			return nil
		})
		damage := (*txnlog.DamageError)(nil)
		odd := errors.As(err, &damage) || tail != nil
		if damage != nil {
			damage.Zxid = max(damage.Zxid, int64(l.Last))
		} else if tail != nil {
			tail.Zxid = int64(l.Last)
		}
		if err != nil && damage == nil {
			return err
		}
		// A record that is being written looks torn or damaged to who reads it at that moment.
		if odd && newest && try < attempts {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(settleTime):
			}
			continue
		}
		if err != nil {
			return err
		}
		if odd {
			p.note("%v", tail)
		}
		break
	}
	l.Closed = !newest
	if l.Size == begun || l.Records == 0 {
		return nil
	}
	if err := flush(); err != nil {
		return err
	}
	p.copied(l.Name, l.Size-begun)
	return to.Sync()
}

// complete checks that the logs lead from the snapshot to the end of the backup.
func (p *pass) complete(newest Snapshot) error {
	switch reach, gap := p.next.follow(newest.Zxid); {
	case gap != nil:
		return fmt.Errorf("%w: %s has no transactions between %v and %v, which the snapshot %s needs%s", ErrIncomplete, p.logDir(), gap.After, gap.Before, newest.Name, p.notes())
	case reach < newest.Through:
		return fmt.Errorf("%w: the logs in %s end at %v, before %v, up to which the snapshot %s shows transactions%s", ErrIncomplete, p.logDir(), reach, newest.Through, newest.Name, p.notes())
	}
	before, now := p.old.Ranges(), p.next.Ranges()
	if n := len(now); n > 1 && n > len(before) {
		p.note("the server purged transactions before they were copied: it cannot be restored to what lies between %v and %v", now[n-2].To, now[n-1].From)
	}
	return nil
}

// notes are the notes so far as an addition to an error that they may explain.
func (p *pass) notes() string {
	if len(p.report.Notes) == 0 {
		return ""
	}
	return "; " + strings.Join(p.report.Notes, "; ")
}

// keep leaves out what the snapshots to be kept do not need.
func (p *pass) keep() {
	if p.Keep <= 0 || len(p.next.Snapshots) <= p.Keep {
		return
	}
	p.next.Snapshots = slices.Clone(p.next.Snapshots[len(p.next.Snapshots)-p.Keep:])
	oldest := p.next.Snapshots[0].Zxid
	newest := len(p.next.Logs) - 1
	for len(p.next.Logs) > 0 && p.next.Logs[0].Last <= oldest && p.next.Logs[0].Name != p.next.Logs[newest].Name {
		p.next.Logs = p.next.Logs[1:]
		newest--
	}
}

// clean removes the files of the directory that the manifest does not name.
func (p *pass) clean(m *Manifest) (removed []string, err error) {
	dir := filepath.Join(p.To, versionDir)
	names, err := p.fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, f := range m.all() {
		known[f.Stored] = true
	}
	slices.Sort(names)
	for _, name := range names {
		temp := strings.HasPrefix(name, tempPrefix)
		ours := temp || strings.HasPrefix(name, "log.") || strings.HasPrefix(name, "snapshot.")
		if stored := path.Join(versionDir, name); ours && !known[stored] {
			if err := p.fs.Remove(filepath.Join(dir, name)); err != nil {
				return removed, err
			}
			if !temp {
				removed = append(removed, stored)
			}
		}
	}
	return removed, nil
}
