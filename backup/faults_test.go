package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quoll/txnlog"
)

// faultFS is a file system below one directory of which operations fail.
type faultFS struct {
	txnlog.FS
	below string
	// do is asked before each operation that changes something below, and open before each file is opened anywhere.
	do   func() error
	open func(name string)
}

func (f *faultFS) ask(name string) error {
	if f.do == nil || !strings.HasPrefix(name, f.below) {
		return nil
	}
	return f.do()
}

func (f *faultFS) Open(name string) (txnlog.File, error) {
	if f.open != nil {
		f.open(name)
	}
	return f.FS.Open(name)
}

func (f *faultFS) Create(name string) (txnlog.File, error) {
	if err := f.ask(name); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name)
	return faultFile{file, f, name}, err
}

func (f *faultFS) OpenWrite(name string) (txnlog.File, error) {
	file, err := f.FS.OpenWrite(name)
	if err != nil {
		return nil, err
	}
	return faultFile{file, f, name}, nil
}

func (f *faultFS) Rename(from, to string) error {
	if err := f.ask(to); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

func (f *faultFS) Remove(name string) error {
	if err := f.ask(name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

func (f *faultFS) MkdirAll(dir string) error {
	if err := f.ask(dir); err != nil {
		return err
	}
	return f.FS.MkdirAll(dir)
}

func (f *faultFS) SyncDir(dir string) error {
	if err := f.ask(dir); err != nil {
		return err
	}
	return f.FS.SyncDir(dir)
}

type faultFile struct {
	txnlog.File
	fs   *faultFS
	name string
}

// WriteAt writes half of what it should when it fails, as on a disk that fills up.
func (f faultFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.fs.ask(f.name); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], at)
		return n, err
	}
	return f.File.WriteAt(p, at)
}

func (f faultFile) Truncate(size int64) error {
	if err := f.fs.ask(f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f faultFile) Sync() error {
	if err := f.fs.ask(f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

// TestFullDisk lets every operation on the backup's directory fail in turn, once or from then on as after a crash: what the pass before made
// stays good, and the next pass makes it up.
func TestFullDisk(t *testing.T) {
	for _, onwards := range []bool{false, true} {
		t.Run(fmt.Sprintf("onwards=%v", onwards), func(t *testing.T) {
			for at := 1; ; at++ {
				w, to := newWorld(t, ""), t.TempDir()
				w.creates(4)
				w.backUp(to)
				before, err := Load(nil, to)
				must(t, err)
				w.creates(2)
				w.snapshot(nil)
				w.log.Roll()
				w.creates(3)
				fsys, n := &faultFS{FS: txnlog.OS, below: to}, 0
				fsys.do = func() error {
					if n++; n == at || onwards && n > at {
						return syscall.ENOSPC
					}
					return nil
				}
				o := w.options(to)
				o.FS, o.Keep = fsys, 1
				r, err := Run(t.Context(), o)
				if err == nil && n < at {
					if at < 15 {
						t.Fatalf("a pass is only %d operations", n)
					}
					return
				}
				if !errors.Is(err, syscall.ENOSPC) && (err != nil || len(r.Notes) == 0) {
					t.Fatalf("operation %d: %v", at, err)
				}
				w.verify(to)
				after, err := Load(nil, to)
				must(t, err)
				w.restoresTo(to, after.End())
				if end := after.End(); end != before.End() && end != Zxid(w.zxid) {
					t.Errorf("the backup ends at %v", end)
				}
				w.backUp(to)
				w.restoresTo(to, Zxid(w.zxid))
				if t.Failed() {
					t.Fatalf("after a failure of operation %d", at)
				}
			}
		})
	}
}

// TestSourceDamage damages the source in many ways: nothing is left out in silence, and the backup stays as it was.
func TestSourceDamage(t *testing.T) {
	// The logs are log.1 with transactions 1 to 6, log.7 with 7 to 12 and log.d with 13 to 18; a snapshot stands at 4.
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, w *world, log func(name string, record int) (string, int64))
		err    string // that it must be, with FILE and OFFSET filled in from place; empty for none
		place  [2]any
		note   string
		end    Zxid // of the backup, if there is no error
		fresh  bool // only for a new backup; one that there is has what is damaged
	}{
		{name: "none", end: 18},
		{name: "bit of an old log", damage: func(t *testing.T, _ *world, at func(string, int) (string, int64)) {
			path, offset := at("log.1", 2)
			flip(t, path, offset+40)
		}, err: "FILE, offset OFFSET, zxid 0x2: a record has a wrong checksum", place: [2]any{"log.1", 2}},
		{name: "length in an old log", damage: func(t *testing.T, _ *world, at func(string, int) (string, int64)) {
			path, offset := at("log.7", 3)
			flip(t, path, offset+8)
		}, err: "FILE, offset OFFSET, zxid 0x9: the file ends inside a record, and more follows it", place: [2]any{"log.7", 3}},
		{name: "end mark in the newest log", damage: func(t *testing.T, _ *world, at func(string, int) (string, int64)) {
			path, offset := at("log.d", 3)
			flip(t, path, offset-1)
		}, err: "FILE, offset OFFSET, zxid 0xe: a record has no end mark, and more follows it", place: [2]any{"log.d", 2}},
		{name: "hole in the newest log", damage: func(t *testing.T, _ *world, at func(string, int) (string, int64)) {
			path, offset := at("log.d", 3)
			zero(t, path, offset, 12)
		}, err: "FILE, offset OFFSET, zxid 0xf: a record has length 0, and more follows it", place: [2]any{"log.d", 3}},
		{name: "header of the newest log", damage: func(t *testing.T, _ *world, at func(string, int) (string, int64)) {
			path, _ := at("log.d", 0)
			flip(t, path, 1)
		}, err: "FILE, offset OFFSET, zxid 0x0: the file does not begin as a transaction log does", place: [2]any{"log.d", -1}},
		{name: "torn end of the newest log", damage: func(t *testing.T, _ *world, at func(string, int) (string, int64)) {
			path, offset := at("log.d", 5)
			zero(t, path, offset+30, 1000)
		}, note: "FILE ends at offset OFFSET after zxid 0x11", place: [2]any{"log.d", 5}, end: 17},
		{name: "newest log cut in a record", damage: func(t *testing.T, _ *world, at func(string, int) (string, int64)) {
			path, offset := at("log.d", 5)
			must(t, os.Truncate(path, offset+20))
		}, note: "FILE ends at offset OFFSET after zxid 0x11", place: [2]any{"log.d", 5}, end: 17},
		{name: "torn end of an old log", damage: func(t *testing.T, _ *world, at func(string, int) (string, int64)) {
			path, offset := at("log.7", 5)
			zero(t, path, offset+30, 1000)
		}, err: "has no transactions between 0xb and 0xd, which the snapshot snapshot.4 needs; transaction log FILE ends at offset OFFSET", place: [2]any{"log.7", 5}},
		{name: "an old log cut after a record", damage: func(t *testing.T, _ *world, at func(string, int) (string, int64)) {
			path, offset := at("log.7", 4)
			must(t, os.Truncate(path, offset))
		}, err: "has no transactions between 0xa and 0xd"},
		{name: "an old log is gone", damage: func(t *testing.T, w *world, at func(string, int) (string, int64)) {
			path, _ := at("log.7", 0)
			must(t, os.Remove(path))
		}, err: "has no transactions between 0x6 and 0xd"},
		{name: "the first log is gone", damage: func(t *testing.T, w *world, at func(string, int) (string, int64)) {
			path, _ := at("log.1", 0)
			must(t, os.Remove(path))
		}, err: "has no transactions between 0x4 and 0x7"},
		{name: "the newest snapshot is damaged", damage: func(t *testing.T, w *world, _ func(string, int) (string, int64)) {
			flip(t, filepath.Join(w.snaps, "snapshot.4"), 100)
		}, note: "passed over, damaged or not written to its end: " + "SNAPS/snapshot.4: ", end: 18},
		{name: "the newest snapshot is half written", damage: func(t *testing.T, w *world, _ func(string, int) (string, int64)) {
			must(t, os.Truncate(filepath.Join(w.snaps, "snapshot.4"), 300))
		}, note: "SNAPS/snapshot.4: ", end: 18},
		{name: "all snapshots are damaged", damage: func(t *testing.T, w *world, _ func(string, int) (string, int64)) {
			flip(t, filepath.Join(w.snaps, "snapshot.4"), 100)
			flip(t, filepath.Join(w.snaps, "snapshot.0"), 100)
		}, err: "no snapshot in SNAPS is whole", fresh: true},
		{name: "no snapshot", damage: func(t *testing.T, w *world, _ func(string, int) (string, int64)) {
			must(t, os.Remove(filepath.Join(w.snaps, "snapshot.4")))
			must(t, os.Remove(filepath.Join(w.snaps, "snapshot.0")))
		}, err: "no snapshot in SNAPS; a server writes one when it starts"},
		{name: "an empty newest log", damage: func(t *testing.T, w *world, _ func(string, int) (string, int64)) {
			must(t, os.WriteFile(filepath.Join(w.logs, "log.13"), nil, 0o644))
		}, end: 18},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, to := newWorld(t, ""), t.TempDir()
			w.creates(2)
			w.backUp(to)
			w.creates(2)
			w.snapshot(nil)
			w.creates(2)
			w.log.Roll()
			w.creates(6)
			w.log.Roll()
			w.creates(6)
			at := func(name string, record int) (string, int64) {
				path := filepath.Join(w.logs, name)
				return path, recordAt(t, path, record)
			}
			want, note := c.err, c.note
			if name, ok := c.place[0].(string); ok {
				path, offset := filepath.Join(w.logs, name), int64(0)
				if record := c.place[1].(int); record >= 0 {
					path, offset = at(name, record)
				}
				fill := strings.NewReplacer("FILE", path, "OFFSET", fmt.Sprint(offset))
				want, note = fill.Replace(want), fill.Replace(note)
			}
			fill := strings.NewReplacer("SNAPS", w.snaps)
			want, note = fill.Replace(want), fill.Replace(note)
			if c.damage != nil {
				c.damage(t, w, at)
			}
			// Into the backup that there is, and into a new one.
			for _, dir := range []string{to, t.TempDir()} {
				if c.fresh && dir == to {
					continue
				}
				r, err := Run(t.Context(), w.options(dir))
				if c.err != "" {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Fatalf("the error is %v, not %s", err, want)
					}
					continue
				}
				must(t, err)
				if notes := strings.Join(r.Notes, "; "); !strings.Contains(notes, note) || note == "" && notes != "" {
					t.Errorf("the notes are %q, not %q", notes, note)
				}
				if r.Manifest.End() != c.end {
					t.Errorf("the backup ends at %v", r.Manifest.End())
				}
				w.verify(dir)
				w.restores(dir, 3)
			}
			w.verify(to)
			if c.err != "" {
				w.restores(to, 1) // as it was
			}
		})
	}
}

// recordAt is the offset of a record of a log, counted from 0.
func recordAt(t *testing.T, path string, record int) int64 {
	t.Helper()
	found := int64(-1)
	_, err := readLog(txnlog.OS, part{path: path, size: -1}, func(r txnlog.Record) error {
		if record == 0 {
			found = r.Offset
		}
		record--
		return nil
	})
	must(t, err)
	if found < 0 {
		t.Fatalf("%s has no such record", path)
	}
	return found
}

// zero overwrites a part of a file, up to its end at most.
func zero(t *testing.T, path string, at, n int64) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, min(n, info.Size()-at)), at)
	must(t, err)
	must(t, f.Close())
}

// TestDamagedBackup flips bits all over a backup: verify finds each.
func TestDamagedBackup(t *testing.T) {
	w, to := newWorld(t, ""), t.TempDir()
	must(t, os.WriteFile(filepath.Join(w.dir, "myid"), []byte("1\n"), 0o644))
	w.creates(3)
	w.snapshot(func() { w.creates(2) })
	w.log.Roll()
	w.creates(2)
	r := w.backUp(to)
	for _, file := range r.Manifest.all() {
		for at := int64(0); at < file.Size; at += max(1, file.Size/40) {
			flip(t, file.path(to), at)
			problems, err := Verify(t.Context(), nil, to)
			must(t, err)
			if len(problems) != 1 || !errors.Is(problems[0], ErrDamaged) || !strings.Contains(problems[0].Error(), file.path(to)) {
				t.Errorf("%s, byte %d: %v", file.Stored, at, problems)
			}
			flip(t, file.path(to), at)
		}
		must(t, os.Rename(file.path(to), file.path(to)+"x"))
		if problems, _ := Verify(t.Context(), nil, to); len(problems) != 1 {
			t.Errorf("%s is gone: %v", file.Stored, problems)
		}
		must(t, os.Rename(file.path(to)+"x", file.path(to)))
	}
	// What a log has behind the manifest's size is none of the backup, as after a pass that was cut short.
	f, err := os.OpenFile(r.Manifest.Logs[1].path(to), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(strings.Repeat("half a record", 99))
	must(t, err)
	must(t, f.Close())
	w.verify(to)
	w.creates(1)
	w.backUp(to)
	if info, err := os.Stat(r.Manifest.Logs[1].path(to)); err != nil || info.Size() != r.Manifest.Logs[1].Size+recordAt(t, w.newestLog(), 1)-recordAt(t, w.newestLog(), 0) {
		t.Errorf("what was left over is still there: %d bytes, %v", info.Size(), err)
	}
	w.restores(to, 1)

	// A history that replays to something else than was recorded.
	m, err := Load(nil, to)
	must(t, err)
	for i := range m.Snapshots {
		m.Snapshots[i].Digest = nil
	}
	for i := range m.Logs {
		*m.Logs[i].Digest++
	}
	must(t, m.save(txnlog.OS, to))
	if _, err := Restore(t.Context(), RestoreOptions{From: to, DataDir: t.TempDir()}); !errors.Is(err, ErrDigest) {
		t.Errorf("a wrong digest gives %v", err)
	}
}
