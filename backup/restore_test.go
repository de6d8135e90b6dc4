package backup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quoll"
	"quoll/txnlog"
)

// TestTargetTime restores to times of a clock that steps back and forth: the rule is the last transaction, by zxid, with a time that is not
// later.
func TestTargetTime(t *testing.T) {
	w, to := newWorld(t, ""), t.TempDir()
	times := []int64{10, 20, 15, 30, 30, 5, 40, 50, 8, 60, 70}
	for i, at := range times {
		if i%4 == 3 {
			w.log.Roll()
		}
		w.now = at - 1
		w.create("/n" + string(rune('a'+i)))
	}
	w.backUp(to)
	for at := int64(4); at < 75; at++ {
		want := 0
		for i, is := range times {
			if is <= at {
				want = i + 1
			}
		}
		dir := t.TempDir()
		r, err := Restore(t.Context(), RestoreOptions{From: to, DataDir: dir, Target: AtTime(Time(at))})
		if want == 0 {
			if !errors.Is(err, ErrNoTarget) {
				t.Errorf("time %d: %v", at, err)
			}
			continue
		}
		must(t, err)
		if r.Zxid != Zxid(want) || int64(r.Time) != times[want-1] || load(t, dir, "") != w.states[Zxid(want)] {
			t.Errorf("time %d: %v of %v, and not 0x%x", at, r.Zxid, int64(r.Time), want)
		}
	}
}

// TestNoDigests restores the files of a server with digests switched off, which prove nothing.
func TestNoDigests(t *testing.T) {
	w, to := newWorld(t, ""), t.TempDir()
	w.backUp(to)
	w.noDigests = true
	w.creates(8)
	w.snapshot(func() { w.creates(3); w.sets() })
	w.creates(2)
	m := w.backUp(to).Manifest
	if s := m.Snapshots[1]; s.Zxid != 8 || s.Through < 12 {
		t.Errorf("the fuzzy snapshot is %+v", s)
	}
	for z := Zxid(1); z <= Zxid(w.zxid); z++ {
		dir := t.TempDir()
		r, err := Restore(t.Context(), RestoreOptions{From: to, DataDir: dir, Target: AtZxid(z)})
		must(t, err)
		if r.Verified || load(t, dir, "") != w.states[z] {
			t.Errorf("%v: verified is %v", z, r.Verified)
		}
	}
}

// TestDamagedSnapshotInBackup passes over a damaged snapshot if an older one serves the target.
func TestDamagedSnapshotInBackup(t *testing.T) {
	w, to := newWorld(t, ""), t.TempDir()
	w.creates(3)
	path := w.snapshot(nil)
	w.creates(1)
	r0 := w.backUp(to)
	flip(t, r0.Manifest.Snapshots[0].path(to), 90)
	r, err := Restore(t.Context(), RestoreOptions{From: to, DataDir: t.TempDir()})
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("with a damaged snapshot alone: %v, %v", r, err)
	}
	flip(t, r0.Manifest.Snapshots[0].path(to), 90)
	w.creates(1)
	w.snapshot(nil)
	w.creates(1)
	w.backUp(to)
	flip(t, filepath.Join(to, versionDir, "snapshot.5"), 90)
	dir := t.TempDir()
	r, err = Restore(t.Context(), RestoreOptions{From: to, DataDir: dir})
	must(t, err)
	if r.Snapshot != filepath.Base(path) || len(r.Notes) != 1 || load(t, dir, "") != w.states[6] {
		t.Errorf("%+v", r)
	}
}

// oldDirectory is a data directory that a quoll server has used, with one znode in it, and its log in another directory if split is set.
func oldDirectory(t *testing.T, split bool) (dataDir, logDir string) {
	t.Helper()
	dataDir, logDir = t.TempDir(), ""
	if split {
		logDir = t.TempDir()
	}
	w := newWorld(t, logDir)
	w.create("/old")
	must(t, w.log.Close())
	must(t, os.Rename(filepath.Join(w.dir, versionDir), filepath.Join(dataDir, versionDir)))
	must(t, start(t, dataDir, logDir, "/old", "/new"))
	return dataDir, logDir
}

// start starts and stops a server, which must have one znode and not the other.
func start(t *testing.T, dataDir, logDir, has, not string) error {
	t.Helper()
	set := map[string]string{"admin.enableServer": "false"}
	if logDir != "" {
		set["dataLogDir"] = logDir
	}
	s, err := quoll.Start(quoll.Options{Dir: dataDir, Set: set})
	if err != nil {
		return err
	}
	must(t, s.Close())
	tree := load(t, dataDir, logDir)
	if !strings.Contains(tree, `"`+has+`"`) || strings.Contains(tree, `"`+not+`"`) {
		t.Errorf("the server has no %s, or it has %s:\n%s", has, not, tree)
	}
	return nil
}

// TestCrash ends a restore at every step: then the old directory is there, or a server refuses to start, and the next restore makes up for it.
func TestCrash(t *testing.T) {
	for _, split := range []bool{false, true} {
		w, to := newWorld(t, ""), t.TempDir()
		w.create("/new")
		w.backUp(to)
		errCrash := errors.New("crash")
		steps := 0
		for at := 1; ; at++ {
			dataDir, logDir := oldDirectory(t, split)
			o := RestoreOptions{From: to, DataDir: dataDir, DataLogDir: logDir}
			if _, err := Restore(t.Context(), o); !errors.Is(err, ErrNotEmpty) {
				t.Errorf("without force: %v", err)
			}
			must(t, start(t, dataDir, logDir, "/old", "/new"))
			o.Force = true
			n, step := 0, ""
			o.crash = func(name string) error {
				if n++; n == at {
					step = name
					return errCrash
				}
				return nil
			}
			r, err := Restore(t.Context(), o)
			if err == nil {
				must(t, start(t, dataDir, logDir, "/new", "/old"))
				if split && len(r.Aside) != 2 || !split && len(r.Aside) != 1 {
					t.Errorf("aside are %v", r.Aside)
				}
				// What was there before can be put back.
				for _, dir := range r.Aside {
					must(t, os.RemoveAll(strings.TrimSuffix(dir, asideSuffix+"1")))
					must(t, os.Rename(dir, strings.TrimSuffix(dir, asideSuffix+"1")))
				}
				must(t, start(t, dataDir, logDir, "/old", "/new"))
				break
			}
			if !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			steps++
			if err := start(t, dataDir, logDir, "/old", "/new"); step == "swap" {
				must(t, err)
			} else if err == nil || !strings.Contains(err.Error(), unfinished) {
				t.Fatalf("a server starts after a crash at %s: %v", step, err)
			}
			o.crash = nil
			_, err = Restore(t.Context(), o)
			must(t, err)
			must(t, start(t, dataDir, logDir, "/new", "/old"))
			found := ""
			for _, dir := range []string{dataDir, logDir} {
				asides, err := filepath.Glob(filepath.Join(dir, versionDir+asideSuffix+"*", "*"))
				must(t, err)
				found += strings.Join(asides, " ")
			}
			if !strings.Contains(found, "log.1") || !strings.Contains(found, "snapshot.0") {
				t.Errorf("after a crash at %s the old files are %s", step, found)
			}
		}
		if steps < 4 {
			t.Errorf("only %d steps", steps)
		}
	}
}

// TestOtherDisk has version-2 on another disk than the directory that it is linked into: that is found out before anything is touched.
func TestOtherDisk(t *testing.T) {
	other, err := os.MkdirTemp("/dev/shm", "quoll")
	if err != nil {
		t.Skip("no /dev/shm: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(other) })
	w, to := newWorld(t, ""), t.TempDir()
	w.create("/new")
	w.backUp(to)
	dir := t.TempDir()
	if err := os.Rename(other, filepath.Join(dir, "probe")); err == nil {
		t.Skip("/dev/shm is on the disk of ", dir)
	}
	must(t, os.Symlink(other, filepath.Join(dir, versionDir)))
	if _, err := Restore(t.Context(), RestoreOptions{From: to, DataDir: dir}); err == nil || !strings.Contains(err.Error(), "one file system") {
		t.Errorf("onto another disk: %v", err)
	}
	if left, err := os.ReadDir(other); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

// TestMember puts back what a member has promised, and nothing that is not true of the restored log.
func TestMember(t *testing.T) {
	w, to := newWorld(t, ""), t.TempDir()
	file := func(dir, name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			return "none"
		}
		must(t, err)
		return string(b)
	}
	if _, err := Restore(t.Context(), RestoreOptions{From: to, DataDir: t.TempDir()}); !errors.Is(err, ErrNoBackup) {
		t.Error(err)
	}
	w.creates(2)
	w.backUp(to)
	if _, err := Restore(t.Context(), RestoreOptions{From: to, DataDir: t.TempDir(), Member: true}); err == nil || !strings.Contains(err.Error(), "no myid") {
		t.Error(err)
	}
	w.zxid = 1 << 32
	w.creates(2)
	for name, text := range map[string]string{"myid": "2\n", "version-2/currentEpoch": "3", "version-2/acceptedEpoch": "4"} {
		must(t, os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644))
	}
	dynamic := filepath.Join(t.TempDir(), "zoo.cfg.dynamic.100000000")
	must(t, os.WriteFile(dynamic, []byte("server.2=a:1:2;3"), 0o644))
	o := w.options(to)
	o.DynamicConfig = dynamic
	_, err := Run(t.Context(), o)
	must(t, err)
	w.verify(to)
	if got := file(to, "config/zoo.cfg.dynamic.100000000"); got != "server.2=a:1:2;3" {
		t.Errorf("the dynamic configuration is %q", got)
	}
	for _, c := range []struct {
		target                  Target
		member                  bool
		myid, current, accepted string
	}{
		{Target{}, false, "none", "none", "none"},
		{Target{}, true, "2\n", "3", "4"},
		{AtZxid(1<<32 + 1), true, "2\n", "1", "4"},
		{AtZxid(2), true, "2\n", "0", "4"},
	} {
		dir := t.TempDir()
		_, err := Restore(t.Context(), RestoreOptions{From: to, DataDir: dir, Target: c.target, Member: c.member})
		must(t, err)
		if myid, current, accepted := file(dir, "myid"), file(dir, "version-2/currentEpoch"), file(dir, "version-2/acceptedEpoch"); myid != c.myid || current != c.current || accepted != c.accepted {
			t.Errorf("%+v: myid %q, currentEpoch %q, acceptedEpoch %q", c, myid, current, accepted)
		}
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "myid"), []byte("1"), 0o644))
	if _, err := Restore(t.Context(), RestoreOptions{From: to, DataDir: dir, Member: true}); err == nil || !strings.Contains(err.Error(), `member "1"`) {
		t.Errorf("into another member's directory: %v", err)
	}
}

// TestCompressed backs up and restores a compressed snapshot as it is.
func TestCompressed(t *testing.T) {
	for _, c := range []txnlog.Compression{txnlog.Gzip, txnlog.Snappy} {
		w, to := newWorld(t, ""), t.TempDir()
		w.compression = c
		w.creates(3)
		w.snapshot(nil)
		w.creates(1)
		w.backUp(to)
		w.restores(to, 1)
		info, err := os.Stat(filepath.Join(w.snaps, "snapshot.3."+string(c)))
		must(t, err)
		for at := int64(16); at < info.Size(); at += 40 { // behind the headers, of which not every bit counts
			flip(t, filepath.Join(w.snaps, "snapshot.3."+string(c)), at)
			if r, err := Run(t.Context(), w.options(t.TempDir())); err != nil || len(r.Notes) != 1 {
				t.Errorf("%s, byte %d damaged: %v, %v", c, at, r, err)
			}
			flip(t, filepath.Join(w.snaps, "snapshot.3."+string(c)), at)
		}
	}
}
