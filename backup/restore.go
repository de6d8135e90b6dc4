package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

var (
	// ErrNotEmpty is the error of a restore into a data directory that has something in it.
	ErrNotEmpty = errors.New("the directory is not empty")
	// ErrNoTarget is the error of a target to which the backup cannot be restored.
	ErrNoTarget = errors.New("the backup does not reach the target")
	// ErrDigest is the error of a restored tree whose digest is not the one that the log has.
	ErrDigest = errors.New("the restored tree has not the digest that the log has")
)

// unfinished is the log that keeps servers from a directory in which a restore has not ended. As the highest of all logs it is always read,
// and its content is no log, so that both quoll and Apache ZooKeeper refuse to start and name it.
const (
	unfinished     = "log.7fffffffffffffff.quoll-restore-unfinished"
	unfinishedText = "A restore into this directory did not end. Run quoll restore --force again; nothing here is whole, and what was here before is in version-2.before-restore-*.\n"
	stagedSuffix   = ".quoll-restore"
	asideSuffix    = ".before-restore-"
	ownDir         = "quoll" // of quoll's own files in a data directory
)

// Target is the transaction to restore to. The zero value is the last one that the backup has.
type Target struct {
	// Zxid is the last transaction to keep; set if HasZxid.
	Zxid    Zxid
	HasZxid bool
	// Time asks for the last transaction, by zxid, whose time is not later; set if HasTime. Times are the leader's wall clock, which may
	// step: then transactions before it may have later times, and are kept.
	Time    Time
	HasTime bool
}

// AtZxid is the target of a transaction.
func AtZxid(z Zxid) Target { return Target{Zxid: z, HasZxid: true} }

// AtTime is the target of a time.
func AtTime(t Time) Target { return Target{Time: t, HasTime: true} }

// RestoreOptions says what to restore, and where to.
type RestoreOptions struct {
	From string // the directory of the backup
	// DataDir and DataLogDir are those of the server to come; an empty DataLogDir is DataDir.
	DataDir, DataLogDir string
	Target              Target
	// Force moves what is in the directories aside, to version-2.before-restore-N. Without it that is [ErrNotEmpty].
	Force bool
	// Member puts back myid and the epochs of a member of an ensemble.
	Member bool
	// FS is what the backup and the new directory are read through; nil is the file system of the operating system.
	FS txnlog.FS
	// Reads is told how many bytes will be read, about, when it is known which; nil is nobody. To find the target some may have been read before.
	Reads func(bytes int64)

	crash func(step string) error // for tests: an end at a step
}

// Restored describes the directory that a restore made.
type Restored struct {
	Zxid Zxid
	// Time is that of the last transaction; 0 if the backup has no record of it.
	Time Time
	// Digest is that of the tree, computed anew. Verified tells that the backup had it recorded and that it is the same.
	Digest   int64
	Verified bool
	Znodes   int
	Snapshot string // the file from which the tree was made
	// Aside are the directories with what was there before.
	Aside []string
	Notes []string
}

// Restore makes a data directory as it was at a transaction. The server of the directory must not be running. The new files are made beside
// the old ones and verified there; then they take their place. A crash in between leaves the old directory, or one that no server starts on.
func Restore(ctx context.Context, o RestoreOptions) (*Restored, error) {
	o.FS = or(o.FS)
	r, err := prepareRestore(o)
	if err != nil {
		return nil, err
	}
	defer r.removeStaged()
	target, err := r.resolve(ctx)
	if err != nil {
		return nil, err
	}
	out := &Restored{Zxid: target.zxid, Time: target.time}
	if err := r.stageBest(ctx, target, out); err != nil {
		return nil, err
	}
	if o.Member {
		if err := r.stageMember(target.zxid); err != nil {
			return nil, err
		}
	}
	if err := r.step("swap"); err != nil {
		return nil, err
	}
	out.Aside, err = r.swap()
	if err != nil {
		return nil, err
	}
	return out, nil
}

type restore struct {
	RestoreOptions
	m *Manifest
	// The version-2 directories of snapshots and logs, one and the same or two, and those beside them in which the new ones are made.
	snapDir, logDir       string
	snapStaged, logStaged string
}

func prepareRestore(o RestoreOptions) (*restore, error) {
	m, err := Load(nil, o.From)
	if err != nil {
		return nil, err
	}
	r := &restore{RestoreOptions: o, m: m}
	if r.DataLogDir == "" {
		r.DataLogDir = r.DataDir
	}
	r.snapDir, r.logDir = filepath.Join(r.DataDir, versionDir), filepath.Join(r.DataLogDir, versionDir)
	r.snapStaged, r.logStaged = r.snapDir+stagedSuffix, r.logDir+stagedSuffix
	for _, move := range r.moves() {
		entries, err := os.ReadDir(move.to)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if len(entries) > 0 && !o.Force {
			return nil, fmt.Errorf("%s: %w; with --force what is in it is moved aside", move.to, ErrNotEmpty)
		}
	}
	if o.Member {
		if err := r.checkMember(); err != nil {
			return nil, err
		}
	}
	r.removeStaged()
	for _, move := range r.moves() {
		if err := os.MkdirAll(move.from, 0o755); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *restore) removeStaged() {
	_ = os.RemoveAll(r.snapStaged) // what stays is no harm: no server reads it, and the next restore makes it anew
	_ = os.RemoveAll(r.logStaged)
}

func (r *restore) step(name string) error {
	if r.crash == nil {
		return nil
	}
	return r.crash(name)
}

// point is a transaction of the backup.
type point struct {
	zxid   Zxid
	time   Time
	digest *int64 // of the tree after it; nil if no file says it
}

// resolve finds the transaction that the target means.
func (r *restore) resolve(ctx context.Context) (point, error) {
	t := r.Target
	ranges := r.m.Ranges()
	if len(ranges) == 0 {
		return point{}, fmt.Errorf("%s: %w: there is nothing to restore", r.From, ErrNoTarget)
	}
	want := r.m.End()
	switch {
	case t.HasTime:
		var found bool
		for i := range slices.Backward(r.m.Logs) {
			l := &r.m.Logs[i]
			if l.Earliest > t.Time {
				continue
			}
			err := r.records(ctx, l, func(_ txnlog.Record, txn *tree.Txn) error {
				if Time(txn.Time) <= t.Time && (!found || Zxid(txn.Zxid) > want) {
					want, found = Zxid(txn.Zxid), true
				}
				return nil
			})
			if err != nil {
				return point{}, err
			}
			break
		}
		if !found {
			return point{}, fmt.Errorf("%s: %w: no transaction has a time up to %v", r.From, ErrNoTarget, t.Time)
		}
	case t.HasZxid:
		if t.Zxid > want {
			return point{}, fmt.Errorf("%s: %w: it ends at %v", r.From, ErrNoTarget, want)
		}
		want = t.Zxid
	}
	p, err := r.at(ctx, want)
	if err != nil {
		return p, err
	}
	if p.zxid != want {
		return p, fmt.Errorf("%s: %w: it has no transaction %v; the last one before is %v", r.From, ErrNoTarget, want, p.zxid)
	}
	if !slices.ContainsFunc(ranges, func(r Range) bool { return r.From <= p.zxid && p.zxid <= r.To }) {
		return p, fmt.Errorf("%s: %w: %v cannot be restored; what can is %s", r.From, ErrNoTarget, p.zxid, rangesText(ranges))
	}
	return p, nil
}

func rangesText(ranges []Range) string {
	var texts []string
	for _, r := range ranges {
		texts = append(texts, fmt.Sprintf("%v to %v", r.From, r.To))
	}
	return strings.Join(texts, ", ")
}

// at finds the last transaction up to a zxid, and what the backup says about it.
func (r *restore) at(ctx context.Context, zxid Zxid) (point, error) {
	var p point
	for i := range r.m.Logs {
		l := &r.m.Logs[i]
		if l.First > zxid {
			break
		}
		if l.Last <= zxid && l.Digest != nil {
			p = point{l.Last, l.LastTime, l.Digest}
			continue
		}
		err := r.records(ctx, l, func(_ txnlog.Record, txn *tree.Txn) error {
			if Zxid(txn.Zxid) > zxid {
				return nil
			}
			if txn.HasDigest {
				digest := txn.Digest
				p.digest = &digest
			} else if txn.Op() != jute.OpError || !p.zxid.next(Zxid(txn.Zxid)) { // an error leaves the tree as it was
				p.digest = nil
			}
			p.zxid, p.time = max(p.zxid, Zxid(txn.Zxid)), Time(txn.Time)
			return nil
		})
		if err != nil {
			return p, err
		}
	}
	for _, s := range r.m.Snapshots {
		if s.Zxid <= zxid && s.Zxid > p.zxid {
			p = point{zxid: s.Zxid}
		}
		if s.DigestZxid == p.zxid && p.digest == nil {
			p.digest = s.Digest
		}
	}
	return p, nil
}

func (r *restore) records(ctx context.Context, l *Log, fn func(txnlog.Record, *tree.Txn) error) error {
	_, err := readLog(r.FS, part{path: l.path(r.From), size: l.Size}, func(rec txnlog.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		txn, err := tree.DecodeTxn(rec.Entry)
		if err != nil {
			return fmt.Errorf("%s, offset %d: %w", rec.File, rec.Offset, err)
		}
		return fn(rec, &txn)
	})
	return err
}

// stageBest makes the new directory from the newest snapshot that serves the target and proves to be good.
func (r *restore) stageBest(ctx context.Context, target point, out *Restored) error {
	var failed []error
	for i := range slices.Backward(r.m.Snapshots) {
		s := &r.m.Snapshots[i]
		if s.Through > target.zxid || r.m.reach(s) < target.zxid {
			continue
		}
		err := r.stage(ctx, s, target, out)
		if err == nil {
			for _, err := range failed {
				out.Notes = append(out.Notes, fmt.Sprintf("passed over: %v", err))
			}
			return nil
		}
		if ctx.Err() != nil || !errors.Is(err, ErrDigest) && !errors.Is(err, ErrDamaged) {
			return err
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// stage writes a snapshot and the logs behind it, cut behind the target, and replays them.
func (r *restore) stage(ctx context.Context, s *Snapshot, target point, out *Restored) error {
	for _, move := range r.moves() {
		if err := emptyDir(move.from); err != nil {
			return err
		}
	}
	r.tell(s, target)
	if err := r.copyOut(ctx, &s.File, s.Size, r.snapStaged); err != nil {
		return err
	}
	for i := range r.m.Logs {
		l := &r.m.Logs[i]
		if l.Last <= s.Zxid || l.First > target.zxid {
			continue
		}
		size := l.Size
		if l.Last > target.zxid {
			cut := int64(-1)
			err := r.records(ctx, l, func(rec txnlog.Record, txn *tree.Txn) error {
				if Zxid(rec.Zxid) > target.zxid && cut < 0 {
					cut = rec.Offset
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			size = cut
		}
		if err := r.copyOut(ctx, &l.File, size, r.logStaged); err != nil {
			return err
		}
	}
	for _, move := range r.moves() {
		if err := syncDir(move.from); err != nil {
			return err
		}
	}
	t, err := replay(ctx, r.FS, r.snapStaged, r.logStaged, target.zxid, func(*tree.Tree, txnlog.Record, *tree.Txn) error { return nil })
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case Zxid(t.LastZxid()) != target.zxid:
		return fmt.Errorf("%w: %s replayed ends at %v and not at %v", ErrDamaged, s.Name, Zxid(t.LastZxid()), target.zxid)
	case target.digest != nil && *target.digest != t.Digest():
		return fmt.Errorf("%w: at %v it is recorded as %d, and %s replayed gives %d", ErrDigest, target.zxid, *target.digest, s.Name, t.Digest())
	}
	out.Snapshot, out.Digest, out.Verified, out.Znodes = s.Name, t.Digest(), target.digest != nil, t.Len()
	return nil
}

// tell tells how much is to be read: each file for its checksum, to be copied, and as a copy; and the log that has the target once more, to find where that ends.
func (r *restore) tell(s *Snapshot, target point) {
	if r.Reads == nil {
		return
	}
	total := 3 * s.Size
	for i := range r.m.Logs {
		switch l := &r.m.Logs[i]; {
		case l.Last <= s.Zxid || l.First > target.zxid:
		case l.Last > target.zxid:
			total += 4 * l.Size
		default:
			total += 3 * l.Size
		}
	}
	r.Reads(total)
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// copyOut writes the first bytes of a file of the backup into a directory, after a look at the checksum of the whole.
func (r *restore) copyOut(ctx context.Context, file *File, size int64, dir string) (err error) {
	if err := checkBytes(ctx, r.FS, r.From, file); err != nil {
		return err
	}
	from, err := r.FS.Open(file.path(r.From))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := txnlog.OS.Create(filepath.Join(dir, file.Name))
	if err != nil {
		return err
	}
	_, _, err = copyBytes(ctx, to, from, 0, size)
	return errors.Join(err, to.Close())
}

func syncDir(dir string) error { return txnlog.OS.SyncDir(dir) }

// checkMember refuses to make a member out of another one's directory.
func (r *restore) checkMember() error {
	file := r.m.file(path.Join(memberDir, "myid"))
	if file == nil {
		return fmt.Errorf("%s has no myid: it is not the backup of a member of an ensemble", r.From)
	}
	have, err := os.ReadFile(filepath.Join(r.DataDir, "myid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	want, err := os.ReadFile(file.path(r.From))
	if err == nil && strings.TrimSpace(string(have)) != strings.TrimSpace(string(want)) {
		err = fmt.Errorf("%s is that of member %q, and %s is of member %q", filepath.Join(r.DataDir, "myid"), strings.TrimSpace(string(have)), r.From, strings.TrimSpace(string(want)))
	}
	return err
}

// stageMember adds the epochs. What the member has promised stays promised: acceptedEpoch is the recorded one. But what it says it has, which
// elections go by, must be true of the restored log: currentEpoch is the recorded one only if nothing was cut off, else the target's.
func (r *restore) stageMember(target Zxid) error {
	epochs := map[string]int64{}
	for _, name := range []string{"currentEpoch", "acceptedEpoch"} {
		file := r.m.file(path.Join(memberDir, name))
		if file == nil {
			continue // the server takes the epoch of its last zxid
		}
		b, err := os.ReadFile(file.path(r.From))
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(string(b), "\n")
		if epochs[name], err = strconv.ParseInt(strings.TrimSpace(first), 10, 64); err != nil {
			return fmt.Errorf("%s: %w", file.path(r.From), err)
		}
	}
	current, hasCurrent := epochs["currentEpoch"]
	accepted, hasAccepted := epochs["acceptedEpoch"]
	of := int64(target) >> 32
	if hasCurrent && (target != r.m.End() || current < of) {
		current = of
	}
	write := func(name string, epoch int64) error {
		return writeSmall(txnlog.OS, filepath.Join(r.snapStaged, name), []byte(strconv.FormatInt(epoch, 10)))
	}
	if hasCurrent {
		if err := write("currentEpoch", current); err != nil {
			return err
		}
	}
	if hasAccepted {
		if err := write("acceptedEpoch", max(accepted, current, of)); err != nil {
			return err
		}
	}
	return nil
}

// swap puts the new files in the place of the old ones. Meanwhile the log directory holds a log that lets no server start.
func (r *restore) swap() (aside []string, err error) {
	for _, move := range r.moves() {
		if err := os.MkdirAll(move.to, 0o755); err != nil {
			return nil, err
		}
		dataDir := filepath.Dir(move.to)
		if err := errors.Join(syncDir(dataDir), syncDir(filepath.Dir(dataDir))); err != nil {
			return nil, err
		}
		if err := move.possible(); err != nil {
			return nil, err
		}
	}
	guard := filepath.Join(r.logDir, unfinished)
	if err := writeSmall(txnlog.OS, guard, []byte(unfinishedText)); err != nil {
		return nil, err
	}
	if aside, err = r.replace(); err == nil {
		err = os.Remove(guard)
	}
	if err != nil {
		return aside, fmt.Errorf("the restore did not end, and %s lets no server start until one with --force does: %w", guard, err)
	}
	return aside, syncDir(r.logDir)
}

func (r *restore) replace() (aside []string, err error) {
	if err := r.step("guarded"); err != nil {
		return nil, err
	}
	// The store and the watermark belong to the old history. A server makes them anew.
	for _, move := range r.moves() {
		dataDir := filepath.Dir(move.to)
		if err := errors.Join(os.RemoveAll(filepath.Join(dataDir, ownDir)), syncDir(dataDir)); err != nil {
			return nil, err
		}
	}
	for _, move := range r.moves() {
		old, err := moveAside(move.to)
		if old != "" {
			aside = append(aside, old)
		}
		if err == nil {
			err = r.step("aside " + move.to)
		}
		if err != nil {
			return aside, err
		}
	}
	for _, move := range r.moves() {
		err := move.all()
		if err == nil {
			err = r.step("moved " + move.to)
		}
		if err != nil {
			return aside, err
		}
	}
	if !r.Member {
		return aside, nil
	}
	myid, err := os.ReadFile(r.m.file(path.Join(memberDir, "myid")).path(r.From))
	if err == nil {
		err = writeSmall(txnlog.OS, filepath.Join(r.DataDir, "myid"), myid)
	}
	return aside, err
}

// move is from a directory in which new files were made to the one in which they belong.
type move struct{ from, to string }

// moves are those of snapshots and of logs, or the one of both.
func (r *restore) moves() []move {
	return slices.Compact([]move{{r.snapStaged, r.snapDir}, {r.logStaged, r.logDir}})
}

// possible tries with one file, before anything is at stake, what fails if version-2 is a link to another disk.
func (m move) possible() error {
	from, to := filepath.Join(m.from, tempPrefix+"probe"), filepath.Join(m.to, tempPrefix+"probe")
	if err := os.WriteFile(from, nil, 0o644); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("%s and what is beside it must be on one file system: %w", m.to, err)
	}
	return os.Remove(to)
}

// all moves every file.
func (m move) all() error {
	entries, err := os.ReadDir(m.from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(m.from, e.Name()), filepath.Join(m.to, e.Name())); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(m.to), syncDir(m.from))
}

// moveAside moves what is in a version-2 directory, but for the guard, into a new directory beside it. Its name is empty if there was
// nothing.
func moveAside(dir string) (aside string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return e.Name() == unfinished })
	if len(entries) == 0 {
		return "", nil
	}
	for n := 1; ; n++ {
		aside = dir + asideSuffix + strconv.Itoa(n)
		if err := os.Mkdir(aside, 0o755); err == nil {
			break
		} else if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	if err := syncDir(filepath.Dir(aside)); err != nil {
		return "", err
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(dir, e.Name()), filepath.Join(aside, e.Name())); err != nil {
			return aside, err
		}
	}
	return aside, errors.Join(syncDir(aside), syncDir(dir))
}
