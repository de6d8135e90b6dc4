package store_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"quoll/store"
	"quoll/txnlog/memfs"
)

var seeds = flag.Int("seeds", 60, "seeds of the crash test")

// history is what the store held at each zxid; zxid 0 is nothing.
type history map[int64]*contents

// one returns which of the states from lo to hi a store holds; nothing else may be in it.
func (h history) one(s *store.Store, lo, hi int64) (int64, error) {
	got, err := load(s)
	if err != nil {
		return 0, err
	}
	zxid := got.state.Zxid
	if zxid < lo || zxid > hi {
		return 0, fmt.Errorf("zxid %d instead of %d to %d", zxid, lo, hi)
	}
	if d := h[zxid].diff(got); d != "" {
		return 0, fmt.Errorf("zxid %d: %s", zxid, d)
	}
	return zxid, nil
}

// Whatever a power cut leaves of what was not synced, the store holds the last commit, or the one that was under way.
func TestPowerCuts(t *testing.T) {
	store.SmallTables(t)
	inFlight := 0
	for seed := range *seeds {
		rng := rand.New(rand.NewPCG(uint64(seed), 1))
		disk := memfs.New()
		h := history{0: newContents()}
		want := newContents()
		// The clones are made right before a write or sync, by the goroutine that does it.
		type clone struct {
			disk   *memfs.FS
			lo, hi int64
		}
		var committed, begun atomic.Int64
		var cutting struct {
			sync.Mutex
			rng    *rand.Rand
			clones []clone
		}
		cutting.rng = rand.New(rand.NewPCG(uint64(seed), 2))
		disk.Fail = func(op, name string) error {
			cutting.Lock()
			defer cutting.Unlock()
			if len(cutting.clones) < 12 && cutting.rng.IntN(15) == 0 {
				lo := committed.Load()
				c := disk.Crash(cutting.rng)
				cutting.clones = append(cutting.clones, clone{c, lo, begun.Load()})
			}
			return nil
		}
		s := open(t, disk.VFS(), "dir/store")
		for i := range 10 {
			full := i == 0 && seed%2 == 0 || rng.IntN(5) == 0
			fill := want.change(rng, full, 50+rng.IntN(300))
			h[want.state.Zxid] = want.clone()
			begun.Store(want.state.Zxid)
			b := s.Begin(full)
			fill(b)
			if err := b.Commit(want.state); err != nil {
				t.Fatal(err)
			}
			committed.Store(want.state.Zxid)
			if rng.IntN(4) == 0 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = open(t, disk.VFS(), "dir/store")
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for i, c := range cutting.clones {
			s, err := store.Open(store.Options{FS: c.disk.VFS(), Dir: "dir/store"})
			if err != nil {
				t.Fatalf("seed %d, clone %d: %v", seed, i, err)
			}
			if left, err := c.disk.ReadDir("dir/store/stage"); err != nil || len(left) > 0 {
				t.Fatalf("seed %d, clone %d: staged tables %q, %v", seed, i, left, err)
			}
			zxid, err := h.one(s, c.lo, c.hi)
			if err != nil {
				t.Fatalf("seed %d, clone %d: %v", seed, i, err)
			}
			if zxid > c.lo {
				inFlight++
			}
			// And it goes on from there.
			after := h[zxid].clone()
			fill := after.change(rng, zxid == 0, 50)
			b := s.Begin(zxid == 0)
			fill(b)
			if err := b.Commit(after.state); err != nil {
				t.Fatal(err)
			}
			check(t, s, after)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d seeds; %d clones held the commit that was under way", *seeds, inFlight)
}

// A failed write, once or for good, is an error or does not matter; it never ends or hangs the process, and what is on disk is a commit.
func TestFailedWrites(t *testing.T) {
	store.SmallTables(t)
	for _, forGood := range []bool{false, true} {
		failed, survived, reached := 0, 0, true
		for at := int64(1); reached; at++ {
			rng := rand.New(rand.NewPCG(uint64(at), 3))
			fs := vfs.NewMem()
			var ops atomic.Int64
			var off, hit atomic.Bool
			inj := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind.ReadOrWrite() != errorfs.OpIsWrite && op.Kind != errorfs.OpOpenDir || off.Load() {
					return nil
				}
				if n := ops.Add(1); n == at || forGood && n > at {
					hit.Store(true)
					return &os.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
				}
				return nil
			}))
			h := history{0: newContents()}
			want := newContents()
			var committed, begun int64
			err := func() error {
				s, err := store.Open(store.Options{FS: inj, Dir: "dir/store"})
				if err != nil {
					return err
				}
				for i := range 10 {
					fill := want.change(rng, i == 5, 60)
					h[want.state.Zxid] = want.clone()
					begun = want.state.Zxid
					b := s.Begin(i == 5)
					fill(b)
					if err = b.Commit(want.state); err != nil {
						break
					}
					committed = begun
				}
				if err != nil && s.Err() == nil {
					// Only the batch failed: the store has what it had.
					off.Store(true)
					if _, damage := h.one(s, committed, committed); damage != nil && s.Err() == nil {
						t.Fatalf("write %d: after %v: %v", at, err, damage)
					}
				}
				if failure := s.Err(); failure != nil {
					b := s.Begin(false)
					if b.Commit(want.state) == nil {
						t.Fatalf("write %d: commit after %v", at, failure)
					}
					if _, err := s.View(); err == nil {
						t.Fatalf("write %d: view after %v", at, failure)
					}
					if s.Load(store.Loading{}) == nil {
						t.Fatalf("write %d: load after %v", at, failure)
					}
					s.Size()
				}
				return errors.Join(err, s.Close())
			}()
			reached = hit.Load()
			switch {
			case err == nil:
				survived++
			case !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), syscall.ENOSPC.Error()):
				t.Fatalf("write %d: %v", at, err)
			default:
				failed++
			}
			off.Store(true)
			// The same process opens it again, with whatever is left of the failed one.
			s, err := store.Open(store.Options{FS: inj, Dir: "dir/store"})
			if err != nil {
				t.Fatalf("write %d: %v", at, err)
			}
			zxid, err := h.one(s, committed, begun)
			if err != nil {
				t.Fatalf("write %d: %v", at, err)
			}
			s.Close()
			if at%3 == 0 {
				if err := store.Remove(store.Options{FS: inj, Dir: "dir/store"}); err != nil {
					t.Fatal(err)
				}
				zxid = 0
			}
			s = open(t, inj, "dir/store")
			if st, ok := s.State(); ok != (zxid != 0) || st.Zxid != zxid {
				t.Fatalf("write %d: %d, %t instead of %d", at, st.Zxid, ok, zxid)
			}
			after := h[zxid].clone()
			fill := after.change(rng, zxid == 0, 50)
			b := s.Begin(zxid == 0)
			fill(b)
			if err := b.Commit(after.state); err != nil {
				t.Fatal(err)
			}
			check(t, s, after)
			s.Close()
		}
		t.Logf("for good: %t; %d failed, %d survived", forGood, failed, survived)
	}
}

// A changed bit anywhere is an error, or does not matter, or hides the last commits; it is never a wrong record and never a panic.
func TestBitFlips(t *testing.T) {
	store.SmallTables(t)
	rng := rand.New(rand.NewPCG(5, 6))
	fs := vfs.NewMem()
	h := history{0: newContents()}
	want := newContents()
	s := open(t, fs, "store")
	for i := range 12 {
		fill := want.change(rng, i == 0, 150)
		h[want.state.Zxid] = want.clone()
		b := s.Begin(i == 0)
		fill(b)
		if err := b.Commit(want.state); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	last := want.state.Zxid
	var files []string
	var walk func(dir string)
	walk = func(dir string) {
		names, err := fs.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			path := fs.PathJoin(dir, name)
			if info, err := fs.Stat(path); err != nil {
				t.Fatal(err)
			} else if info.IsDir() {
				walk(path)
			} else if info.Size() > 0 {
				files = append(files, path)
			}
		}
	}
	walk("store")
	outcomes := map[string]int{}
	for _, path := range files {
		b := read(t, fs, path)
		for i := range 25 {
			at := rng.IntN(len(b))
			if i < 5 {
				at = max(0, len(b)-1-rng.IntN(60)) // footers
			}
			bit := byte(1) << rng.IntN(8)
			c := vfs.NewMem()
			if ok, err := vfs.Clone(fs, c, "store", "store"); err != nil || !ok {
				t.Fatal(ok, err)
			}
			bad := append([]byte(nil), b...)
			bad[at] ^= bit
			write(t, c, path, bad)
			what := fmt.Sprintf("%s, byte %d, bit %x", path, at, bit)
			kind := path[strings.LastIndexAny(path, "/.")+1:]
			s, err := store.Open(store.Options{FS: c, Dir: "store"})
			if err != nil {
				outcomes[kind+" refused by Open"]++
			} else {
				zxid, err := h.one(s, 0, last)
				switch {
				case err != nil && strings.HasPrefix(err.Error(), "zxid"):
					t.Fatalf("%s: %v", what, err)
				case err != nil:
					outcomes[kind+" refused by Load"]++
				case zxid < last:
					outcomes[kind+" older commit"]++
				default:
					outcomes[kind+" harmless"]++
				}
				if v, err := s.View(); err == nil {
					if got, err := view(v); err == nil {
						if d := h[got.state.Zxid].diff(got); d != "" {
							t.Fatalf("%s: viewed: %s", what, d)
						}
					}
					v.Close()
				}
				s.Close()
			}
			// It is always cured.
			if err := store.Remove(store.Options{FS: c, Dir: "store"}); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			s = open(t, c, "store")
			if _, ok := s.State(); ok {
				t.Fatalf("%s: a state after Remove", what)
			}
			s.Close()
		}
	}
	t.Logf("%v", outcomes)
}

func read(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	if err := fs.MkdirAll(fs.PathDir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(append([]byte(nil), b...)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestForeignDirectories(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		err   string
	}{
		{"newer format", map[string]string{"store/FORMAT": "quoll store 2\n", "store/1/x": "x"}, "newer quoll, in format 2"},
		{"odd format", map[string]string{"store/FORMAT": "quoll store one\n"}, "not that of a store"},
		{"empty format", map[string]string{"store/FORMAT": ""}, "not that of a store"},
		{"long format", map[string]string{"store/FORMAT": strings.Repeat("quoll store 1", 1000)}, "not that of a store"},
		{"somebody's files", map[string]string{"store/log.1": "ZKLG"}, "log.1 is not of a store"},
		{"no format", map[string]string{"store/1/CURRENT": "MANIFEST-000001\n"}, "FORMAT is missing"},
		{"garbage for a database", map[string]string{"store/FORMAT": "quoll store 1\n", "store/7/MANIFEST-000001": "garbage", "store/7/marker.manifest.000001.MANIFEST-000001": ""}, "7"},
		{"a database from Pebble's first version", map[string]string{"store/FORMAT": "quoll store 1\n", "store/1/CURRENT": "MANIFEST-000001\n"}, "1"},
		{"not a directory", map[string]string{"store": "file"}, "store"},
		{"only what an early crash left", map[string]string{"store/LOCK": "", "store/FORMAT.tmp": "quo"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			for path, text := range c.files {
				write(t, fs, path, []byte(text))
			}
			s, err := store.Open(store.Options{FS: fs, Dir: "store"})
			if err == nil {
				s.Close()
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("error %v instead of one with %q", err, c.err)
			}
			if err := store.Remove(store.Options{FS: fs, Dir: "store"}); err != nil {
				t.Fatal(err)
			}
			open(t, fs, "store").Close()
		})
	}
}

// again runs the same test in a process of its own, where the environment variable STORE_TEST has the value.
func again(t *testing.T, value string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "STORE_TEST="+value)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// Two stores in one directory, of one process and of two.
func TestLocked(t *testing.T) {
	if dir := os.Getenv("STORE_TEST"); dir != "" {
		_, err := store.Open(store.Options{Dir: dir})
		err2 := store.Remove(store.Options{Dir: dir})
		fmt.Printf("locked: %t %t\n", errors.Is(err, store.ErrLocked), errors.Is(err2, store.ErrLocked))
		return
	}
	dir := t.TempDir()
	s := open(t, nil, dir)
	if _, err := store.Open(store.Options{Dir: dir}); !errors.Is(err, store.ErrLocked) {
		t.Fatal(err)
	}
	if out := again(t, dir); !strings.Contains(out, "locked: true true") {
		t.Fatal(out)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, nil, dir).Close()
}

func TestWrongBatches(t *testing.T) {
	store.SmallTables(t)
	s := open(t, vfs.NewMem(), "store")
	defer s.Close()
	stat := benchStat(1)
	for _, c := range []struct {
		name string
		full bool
		fill func(*store.Batch)
		err  string
	}{
		{"descending", false, func(b *store.Batch) { b.Put("/a/b", nil, 0, stat); b.Put("/a", nil, 0, stat) }, "after"},
		{"twice", false, func(b *store.Batch) { b.Put("/a", nil, 0, stat); b.Delete("/a") }, "after"},
		{"zero byte", false, func(b *store.Batch) { b.Put("/a\x00b", nil, 0, stat) }, "path"},
		{"relative", true, func(b *store.Batch) { b.Put("a", nil, 0, stat) }, "path"},
		{"deleted in full", true, func(b *store.Batch) { b.Put("", nil, 0, stat); b.Delete("/a") }, "deleted in a full batch"},
		{"twice in a run", true, func(b *store.Batch) { b.Put("/a", nil, 0, stat); b.Put("/a", nil, 0, stat) }, "after"},
		{"twice in two runs", true, func(b *store.Batch) {
			b.Put("/a", nil, 0, stat)
			b.Put("/b", make([]byte, 20000), 0, stat)
			b.Put("/a", nil, 0, stat)
		}, "more than once"},
	} {
		b := s.Begin(c.full)
		c.fill(b)
		if err := b.Commit(store.State{Zxid: 9}); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: error %v instead of one with %q", c.name, err, c.err)
		}
	}
	b := s.Begin(false)
	b.Put("/x", nil, 0, stat)
	b.Abort()
	if _, ok := s.State(); ok || s.Err() != nil {
		t.Fatal("a state", s.Err())
	}
	if _, err := s.View(); err == nil {
		t.Fatal("a view of nothing")
	}
}

// A view stays as it was while commits and a full one replace everything.
func TestViewIsConsistent(t *testing.T) {
	store.SmallTables(t)
	rng := rand.New(rand.NewPCG(7, 8))
	s := open(t, nil, t.TempDir())
	defer s.Close()
	want := newContents()
	views := map[*store.View]*contents{}
	for i := range 20 {
		fill := want.change(rng, i%7 == 3, 400)
		b := s.Begin(i%7 == 3)
		fill(b)
		if err := b.Commit(want.state); err != nil {
			t.Fatal(err)
		}
		v, err := s.View()
		if err != nil {
			t.Fatal(err)
		}
		views[v] = want.clone()
	}
	for v, want := range views {
		got, err := view(v)
		if err != nil {
			t.Fatal(err)
		}
		if d := want.diff(got); d != "" {
			t.Fatal(d)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Close leaves no goroutine behind. The goroutines of failed stores stay, so this looks in another process.
func TestCloseEndsGoroutines(t *testing.T) {
	if os.Getenv("STORE_TEST") == "" {
		again(t, "alone")
		return
	}
	ours := func() (stacks []string) {
		b := make([]byte, 1<<20)
		for _, g := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
			if strings.Contains(g, "pebble") {
				stacks = append(stacks, g)
			}
		}
		return stacks
	}
	s := open(t, vfs.NewMem(), "store")
	want := newContents()
	fill := want.change(rand.New(rand.NewPCG(1, 1)), true, 1000)
	b := s.Begin(true)
	fill(b)
	if err := b.Commit(want.state); err != nil {
		t.Fatal(err)
	}
	check(t, s, want)
	if len(ours()) == 0 {
		t.Fatal("no goroutine of Pebble was seen")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); len(ours()) > 0; runtime.Gosched() {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("left behind:\n%s", strings.Join(ours(), "\n\n"))
		}
	}
}
