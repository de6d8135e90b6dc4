package faultfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func syncDir(t *testing.T, dir string) {
	t.Helper()
	d := must[*os.File](t)(os.Open(dir))
	defer d.Close()
	check(t, d.Sync())
}

// tree is what a disk shows: the content of each file by path, directories with a slash.
func tree(t *testing.T, d *Disk) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "saved")
	check(t, d.Save(dir))
	return treeOf(t, dir)
}

func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	check(t, filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")
		switch {
		case err != nil || rel == "":
			return err
		case e.IsDir():
			all[rel+"/"] = ""
			return nil
		}
		b, err := os.ReadFile(p)
		all[rel] = string(b)
		return err
	}))
	return all
}

func TestIsAFileSystem(t *testing.T) {
	d := New(Options{})
	dir := MountFor(t, d).Dir
	check(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	f := must[*os.File](t)(os.Create(filepath.Join(dir, "a/b/f")))
	must[int](t)(f.Write([]byte("hello")))
	must[int](t)(f.WriteAt([]byte("far"), 3*pageSize-1))
	info := must[os.FileInfo](t)(f.Stat())
	if info.Size() != 3*pageSize+2 || d.Used() != 3*pageSize {
		t.Errorf("size %d, %d bytes used", info.Size(), d.Used())
	}
	check(t, f.Truncate(2*pageSize))
	check(t, f.Truncate(4))
	check(t, f.Truncate(6))
	check(t, f.Close())
	if err := os.Remove(filepath.Join(dir, "a")); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("a directory with a file in it is removed: %v", err)
	}
	check(t, os.Rename(filepath.Join(dir, "a/b/f"), filepath.Join(dir, "g")))
	check(t, os.Link(filepath.Join(dir, "g"), filepath.Join(dir, "a/link")))
	check(t, os.Remove(filepath.Join(dir, "a/b")))
	g := must[*os.File](t)(os.OpenFile(filepath.Join(dir, "g"), os.O_APPEND|os.O_WRONLY, 0))
	must[int](t)(g.WriteString("!"))
	check(t, g.Close())
	check(t, os.WriteFile(filepath.Join(dir, "h"), []byte("old content"), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "h"), []byte("new"), 0o644))
	for i := range 300 {
		check(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("many-%d", i)), nil, 0o644))
	}
	got := treeOf(t, dir)
	for i := range 300 {
		delete(got, fmt.Sprintf("many-%d", i))
	}
	want := map[string]string{"a/": "", "a/link": "hell\x00\x00!", "g": "hell\x00\x00!", "h": "new"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the directory shows %q, not %q", got, want)
	}
	// The same after a round through the machine's own file system.
	saved := filepath.Join(t.TempDir(), "saved")
	check(t, d.Save(saved))
	again := New(Options{})
	check(t, again.Load(saved))
	if a, b := tree(t, d), tree(t, again); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Error("Save and Load do not keep what is there")
	}
	if a, b := tree(t, again), tree(t, again.PowerCut(1)); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Error("what Load brings is not durable")
	}
}

// TestLikeTheMachine does the same random things to a file here and to one of the machine.
func TestLikeTheMachine(t *testing.T) {
	dir, real := MountFor(t, New(Options{})).Dir, t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	a := must[*os.File](t)(os.Create(filepath.Join(dir, "f")))
	defer a.Close()
	b := must[*os.File](t)(os.Create(filepath.Join(real, "f")))
	defer b.Close()
	for i := range 2000 {
		off, p := rng.Int64N(5*pageSize), make([]byte, rng.IntN(2*pageSize))
		for j := range p {
			p[j] = byte(rng.Int())
		}
		for _, f := range []*os.File{a, b} {
			switch i % 7 {
			case 0:
				check(t, f.Truncate(off))
			case 3:
				check(t, f.Sync())
			default:
				must[int](t)(f.WriteAt(p, off))
			}
		}
	}
	have, want := must[[]byte](t)(os.ReadFile(a.Name())), must[[]byte](t)(os.ReadFile(b.Name()))
	if !bytes.Equal(have, want) {
		t.Errorf("%d bytes here, %d there, and not the same", len(have), len(want))
	}
}

func TestPowerCutKeepsWhatWasSynced(t *testing.T) {
	for _, journal := range []bool{false, true} {
		d := New(Options{Journal: journal})
		dir := MountFor(t, d).Dir
		check(t, os.WriteFile(filepath.Join(dir, "unsynced"), []byte("x"), 0o644))
		f := must[*os.File](t)(os.Create(filepath.Join(dir, "f")))
		defer f.Close()
		synced, later := strings.Repeat("s", 3*pageSize), strings.Repeat("L", 3*pageSize)
		must[int](t)(f.WriteString(synced))
		check(t, f.Sync())
		if !journal {
			for seed := range uint64(50) {
				if _, ok := tree(t, d.PowerCut(seed))["f"]; !ok {
					break // as strict as it should be
				} else if seed == 49 {
					t.Error("the entry of a file is durable without an fsync of its directory")
				}
			}
			syncDir(t, dir)
		}
		must[int](t)(f.WriteAt([]byte(later), pageSize))
		outcomes, unsynced := map[string]bool{}, map[bool]bool{}
		for seed := range uint64(60) {
			after := tree(t, d.PowerCut(seed))
			got, ok := after["f"]
			if !ok || !strings.HasPrefix(got, synced[:pageSize]) || len(got) != 3*pageSize && len(got) != 4*pageSize {
				t.Fatalf("journal %v, seed %d: f is there: %v, with %d bytes", journal, seed, ok, len(got))
			}
			for i, c := range got {
				if c != 'L' && (c != 's' || i >= 3*pageSize) && (c != 0 || i < 3*pageSize) {
					t.Fatalf("journal %v, seed %d: byte %d of f is %q", journal, seed, i, c)
				}
			}
			outcomes[got] = true
			_, ok = after["unsynced"]
			unsynced[ok] = true
		}
		if len(outcomes) < 20 {
			t.Errorf("60 power cuts have %d outcomes", len(outcomes))
		}
		// A journal has made the older creation durable with f; strictly, the fsync of the directory has done it.
		if unsynced[false] {
			t.Errorf("journal %v: a file is lost although its directory operation was made durable", journal)
		}
		if a, b := tree(t, d.PowerCut(7)), tree(t, d.PowerCut(7)); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Error("two power cuts with one seed differ")
		}
	}
}

func TestPowerCutNeverHalvesARename(t *testing.T) {
	for _, journal := range []bool{false, true} {
		d := New(Options{Journal: journal})
		dir := MountFor(t, d).Dir
		check(t, os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o644))
		f := must[*os.File](t)(os.OpenFile(filepath.Join(dir, "temp"), os.O_CREATE|os.O_WRONLY, 0o644))
		must[int](t)(f.WriteString("new"))
		check(t, f.Sync())
		check(t, f.Close())
		syncDir(t, dir)
		d2 := must[*os.File](t)(os.Open(filepath.Join(dir, "old")))
		check(t, d2.Sync())
		check(t, d2.Close())
		check(t, os.Rename(filepath.Join(dir, "temp"), filepath.Join(dir, "old")))
		seen := map[string]bool{}
		for seed := range uint64(40) {
			after := tree(t, d.PowerCut(seed))
			seen[fmt.Sprint(after)] = true
		}
		if want := map[string]bool{"map[old:new]": true, "map[old:old temp:new]": true}; fmt.Sprint(seen) != fmt.Sprint(want) {
			t.Errorf("journal %v: outcomes %v", journal, seen)
		}
		syncDir(t, dir)
		if after := tree(t, d.PowerCut(3)); fmt.Sprint(after) != "map[old:new]" {
			t.Errorf("after the fsync of the directory: %v", after)
		}
	}
}

func TestRules(t *testing.T) {
	open := func(t *testing.T, rules ...Rule) (*Disk, *os.File) {
		d := New(Options{Seed: 1})
		dir := MountFor(t, d).Dir
		f := must[*os.File](t)(os.Create(filepath.Join(dir, "log.1")))
		t.Cleanup(func() { f.Close() })
		must[int](t)(f.WriteString("0123456789"))
		check(t, f.Sync())
		d.Inject(rules...)
		return d, f
	}
	read := func(t *testing.T, f *os.File) string {
		b := make([]byte, 100)
		n, err := f.ReadAt(b, 0)
		if n == 0 {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	for _, c := range []struct {
		fault Fault
		errno syscall.Errno
	}{{EIO, syscall.EIO}, {ENOSPC, syscall.ENOSPC}} {
		t.Run(string(c.fault), func(t *testing.T) {
			d, f := open(t, Rule{Op: Write, Glob: "log.*", Nth: 2, Count: 2, Fault: c.fault})
			for i, want := range []error{nil, c.errno, c.errno, nil} {
				if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, want) {
					t.Errorf("write %d: %v, want %v", i+1, err, want)
				}
			}
			if len(d.Fired()) != 2 {
				t.Errorf("fired: %v", d.Fired())
			}
		})
	}
	t.Run("other operations", func(t *testing.T) {
		d, f := open(t)
		dir := filepath.Dir(f.Name())
		for _, r := range []struct {
			op Op
			do func() error
		}{
			{Create, func() error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o644) }},
			{Truncate, func() error { return f.Truncate(3) }},
			{Fsync, f.Sync},
			{Rename, func() error { return os.Rename(f.Name(), filepath.Join(dir, "log.2")) }},
			{Unlink, func() error { return os.Remove(f.Name()) }},
			{Mkdir, func() error { return os.Mkdir(filepath.Join(dir, "d"), 0o755) }},
			{Read, func() error { _, err := f.ReadAt(make([]byte, 1), 0); return err }},
			{FsyncDir, func() error {
				d, err := os.Open(dir)
				if err != nil {
					return err
				}
				defer d.Close()
				return d.Sync()
			}},
		} {
			before := fmt.Sprint(tree(t, d))
			d.Inject(Rule{Op: r.op, Glob: map[bool]string{true: ".", false: "*"}[r.op == FsyncDir], Fault: EIO})
			if err := r.do(); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: %v", r.op, err)
			}
			if after := fmt.Sprint(tree(t, d)); after != before {
				t.Errorf("%s has failed and done something: %s, was %s", r.op, after, before)
			}
			if fired := d.Fired(); len(fired) == 0 || fired[len(fired)-1].Op != r.op {
				t.Errorf("%s: fired %v", r.op, fired)
			}
			d.Heal()
		}
	})
	t.Run("short", func(t *testing.T) {
		_, f := open(t, Rule{Op: Write, Glob: "log.*", Fault: Short})
		if _, err := f.WriteAt([]byte("abcdef"), 0); !errors.Is(err, syscall.ENOSPC) {
			t.Error(err)
		}
		if got := read(t, f); got != "abc3456789" {
			t.Error(got)
		}
		must[int](t)(f.WriteAt([]byte("abcdef"), 0))
	})
	t.Run("fsync drops", func(t *testing.T) {
		_, f := open(t, Rule{Op: Fsync, Glob: "log.*", Fault: FsyncDrop})
		must[int](t)(f.WriteAt([]byte("new and longer than it was"), 0))
		if err := f.Sync(); !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		if got := read(t, f); got != "0123456789" {
			t.Error(got)
		}
		check(t, f.Sync())
		if got := read(t, f); got != "0123456789" {
			t.Error(got)
		}
	})
	t.Run("fsync lies", func(t *testing.T) {
		d, f := open(t, Rule{Op: Fsync, Glob: "log.*", Fault: FsyncLie})
		syncDir(t, filepath.Dir(f.Name()))
		must[int](t)(f.WriteAt([]byte("new"), 0))
		check(t, f.Sync())
		outcomes := map[string]bool{}
		for seed := range uint64(60) {
			outcomes[tree(t, d.PowerCut(seed))["log.1"]] = true
		}
		if !outcomes["0123456789"] {
			t.Errorf("the power cuts show %v", outcomes)
		}
		check(t, f.Sync())
		if got := tree(t, d.PowerCut(1))["log.1"]; got != "new3456789" {
			t.Error(got)
		}
	})
	for _, fault := range []Fault{FlipRead, FlipMedia} {
		t.Run(string(fault), func(t *testing.T) {
			op := Read
			if fault == FlipMedia {
				op = Write
			}
			_, f := open(t, Rule{Op: op, Glob: "log.*", Fault: fault})
			if fault == FlipMedia {
				must[int](t)(f.WriteAt([]byte("0123456789"), 0))
			}
			bits := 0
			for i, c := range read(t, f) {
				for x := byte(c) ^ "0123456789"[i]; x > 0; x &= x - 1 {
					bits++
				}
			}
			if again := read(t, f); bits != 1 || (again == "0123456789") != (fault == FlipRead) {
				t.Errorf("%d bits are flipped; read again it is %q", bits, again)
			}
		})
	}
	t.Run("O_SYNC", func(t *testing.T) {
		d, f := open(t)
		syncDir(t, filepath.Dir(f.Name()))
		g := must[*os.File](t)(os.OpenFile(f.Name(), os.O_WRONLY|os.O_SYNC, 0))
		defer g.Close()
		must[int](t)(g.WriteAt([]byte("durable"), 0))
		for seed := range uint64(20) {
			if got := tree(t, d.PowerCut(seed))["log.1"]; got != "durable789" {
				t.Fatal(got)
			}
		}
	})
}

func TestCutHoldsWhatComesAfterIt(t *testing.T) {
	d := New(Options{Seed: 4, Journal: true})
	m := MountFor(t, d)
	f := must[*os.File](t)(os.Create(filepath.Join(m.Dir, "f")))
	defer f.Close()
	must[int](t)(f.WriteString("durable"))
	check(t, f.Sync())
	d.Inject(Rule{Op: Write, Glob: "f", Fault: Cut})
	done := make(chan error)
	go func() {
		_, err := f.WriteAt([]byte("LATE"), 0)
		done <- err
	}()
	<-d.Cut()
	go func() { done <- os.Mkdir(filepath.Join(m.Dir, "d"), 0o755) }()
	select {
	case err := <-done:
		t.Fatalf("an operation comes back after the power cut: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	d.Release()
	for range 2 {
		if err := <-done; !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
	}
	got := tree(t, d.Image())
	if len(got) != 1 || len(got["f"]) != 7 || !strings.HasSuffix(got["f"], "ble") {
		t.Errorf("%q", got)
	}
}

func TestFullDisk(t *testing.T) {
	d := New(Options{Space: 4 * pageSize})
	dir := MountFor(t, d).Dir
	f := must[*os.File](t)(os.Create(filepath.Join(dir, "f")))
	defer f.Close()
	if n, err := f.Write(make([]byte, 6*pageSize)); n != 4*pageSize || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%d bytes, %v", n, err)
	}
	// What has its place can be written again, nothing else.
	must[int](t)(f.WriteAt([]byte("again"), pageSize))
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	var st syscall.Statfs_t
	check(t, syscall.Statfs(dir, &st))
	if st.Bavail != 0 || st.Blocks != 4 {
		t.Errorf("%d of %d blocks are free", st.Bavail, st.Blocks)
	}
	// Room that was reserved behind the end of a file is found there.
	d.SetSpace(5 * pageSize)
	check(t, syscall.Fallocate(int(f.Fd()), 1, 4*pageSize, pageSize))
	if info := must[os.FileInfo](t)(f.Stat()); info.Size() != 4*pageSize {
		t.Errorf("the file has %d bytes", info.Size())
	}
	tree(t, d)
	must[int](t)(f.WriteAt([]byte("reserved"), 4*pageSize))
	if err := syscall.Fallocate(int(f.Fd()), 0, 5*pageSize, pageSize); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	d.SetSpace(6 * pageSize)
	must[int](t)(f.WriteAt([]byte("more"), 5*pageSize))
	check(t, f.Truncate(pageSize))
	check(t, os.WriteFile(filepath.Join(dir, "g"), make([]byte, pageSize), 0o644))
	if d.Used() != 2*pageSize {
		t.Errorf("%d bytes used", d.Used())
	}
	check(t, os.Remove(filepath.Join(dir, "g")))
	if d.Used() != pageSize {
		t.Errorf("%d bytes used", d.Used())
	}
}

func TestSocket(t *testing.T) {
	d := New(Options{})
	at := filepath.Join(MountFor(t, d).Dir, "s")
	l := must[net.Listener](t)(net.Listen("unix", at))
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Write([]byte("hello"))
			c.Close()
		}
	}()
	c := must[net.Conn](t)(net.Dial("unix", at))
	defer c.Close()
	if b := must[[]byte](t)(io.ReadAll(c)); string(b) != "hello" {
		t.Errorf("%q", b)
	}
	if got := tree(t, d); len(got) > 0 {
		t.Errorf("a socket is saved: %v", got)
	}
}

func TestUnmountFreesTheDirectory(t *testing.T) {
	d := New(Options{})
	m := MountFor(t, d)
	f := must[*os.File](t)(os.Create(filepath.Join(m.Dir, "f")))
	defer f.Close() // still open when the mount goes
	check(t, m.Unmount())
	if _, err := os.Stat(filepath.Join(m.Dir, "f")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a file can be written after its disk was unmounted")
	}
}

func TestMountsOfTheDeadAreSwept(t *testing.T) {
	const variable = "FAULTFS_DIE_ON"
	if dir := os.Getenv(variable); dir != "" {
		if _, err := New(Options{}).Mount(dir); err != nil {
			t.Fatal(err)
		}
		os.Exit(0) // without unmounting
	}
	Check(t)
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestMountsOfTheDeadAreSwept$")
	cmd.Env = append(os.Environ(), variable+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(dir); !errors.Is(err, syscall.ENOTCONN) {
		t.Fatalf("the process is dead, and its mount answers: %v", err)
	}
	sweepMounts()
	if _, err := os.ReadDir(dir); err != nil {
		t.Error(err)
	}
}
