package memfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"quoll/txnlog/memfs"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCrashOutcomes tells every outcome of a crash that the package promises, and no other, for a file of two sectors of which one was
// synced, in a directory of which nothing was.
func TestCrashOutcomes(t *testing.T) {
	disk := memfs.New()
	check(t, disk.MkdirAll("/d"))
	check(t, disk.SyncDir("/"))
	disk.WriteFile("/d/old", []byte("old"))
	f, err := disk.Create("/d/f")
	check(t, err)
	write := func(s string, off int64) {
		t.Helper()
		_, err := f.WriteAt([]byte(s), off)
		check(t, err)
	}
	write("a", 0)
	check(t, f.Sync())
	write("b", 0)
	write("c", 512)
	check(t, disk.Rename("/d/old", "/d/new"))
	rng := rand.New(rand.NewPCG(1, 2))
	seen := map[string]int{}
	const crashes = 20000
	for range crashes {
		after := disk.Crash(rng)
		state := ""
		names, err := after.ReadDir("/d")
		check(t, err)
		for _, name := range names {
			b, err := after.ReadFile("/d/" + name)
			check(t, err)
			state += fmt.Sprintf(" %s:%s", name, slices.DeleteFunc(b, func(c byte) bool { return c == 0 }))
			if name == "f" {
				state += fmt.Sprint("/", len(b))
			}
		}
		seen[state]++
	}
	// Each name is there or not; the length is 1 or 513; the first sector a or b, the second c or empty.
	contents := []string{"", " f:a/1", " f:b/1", " f:a/513", " f:b/513", " f:ac/513", " f:bc/513"}
	want := 0
	for _, f := range contents {
		for _, n := range []string{"", " new:old"} {
			for _, o := range []string{"", " old:old"} {
				want++
				if seen[f+n+o] < crashes/1000 {
					t.Errorf("%q happens %d times in %d", f+n+o, seen[f+n+o], crashes)
				}
			}
		}
	}
	if len(seen) != want {
		t.Errorf("%d outcomes, want %d: %v", len(seen), want, seen)
	}
	if names, err := disk.Crash(nil).ReadDir("/d"); err != nil || !slices.Equal(names, []string{"old"}) {
		t.Errorf("without luck there are %v, %v", names, err)
	}
}

// TestFailedSync is what Linux does: the second sync succeeds without the pages of the first.
func TestFailedSync(t *testing.T) {
	disk := memfs.New()
	disk.WriteFile("/f", []byte("old"))
	fail := false
	disk.Fail = func(op, name string) error {
		if fail && op == "sync" {
			return errors.New("broken")
		}
		return nil
	}
	f, err := disk.OpenWrite("/f")
	check(t, err)
	_, err = f.WriteAt([]byte("new"), 0)
	check(t, err)
	fail = true
	if f.Sync() == nil {
		t.Fatal("the sync did not fail")
	}
	fail = false
	check(t, f.Sync())
	read := func(disk *memfs.FS) string {
		b, err := disk.ReadFile("/f")
		check(t, err)
		return string(b)
	}
	if got := read(disk); got != "new" {
		t.Errorf("the cache has %q", got)
	}
	if got := read(disk.Crash(nil)); got != "old" {
		t.Errorf("the disk has %q", got)
	}
	if disk.DropCache(); read(disk) != "old" {
		t.Errorf("without the cache there is %q", read(disk))
	}
}

// TestFaults lets single operations fail, half fail, and lie.
func TestFaults(t *testing.T) {
	disk := memfs.New()
	disk.WriteFile("/f", nil)
	broken := errors.New("broken")
	var next error
	disk.Fail = func(op, name string) error {
		err := next
		next = nil
		return err
	}
	f, err := disk.OpenWrite("/f")
	check(t, err)
	next = memfs.Short{Err: broken}
	if n, err := f.WriteAt([]byte("abcd"), 0); n != 2 || !errors.Is(err, broken) {
		t.Errorf("a short write: %d, %v", n, err)
	}
	next = memfs.ErrLie
	check(t, f.Sync())
	if b, _ := disk.ReadFile("/f"); string(b) != "ab" {
		t.Errorf("half a write is %q", b)
	}
	if b, _ := disk.Crash(nil).ReadFile("/f"); string(b) != "" {
		t.Errorf("a sync that lies left %q", b)
	}
	next = broken
	if err := disk.Rename("/f", "/g"); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := disk.ReadFile("/f"); err != nil {
		t.Error(err)
	}
	check(t, f.Close())
	if f.Close() == nil || f.Sync() == nil {
		t.Error("a closed file can be used")
	}
}

// TestContent compares files, which keep no zeros at their ends, with plain byte slices through writes, changes of length, and syncs that
// work or fail.
func TestContent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		disk := memfs.New()
		disk.WriteFile("/f", nil)
		broken := false
		disk.Fail = func(op, name string) error {
			if broken && op == "sync" {
				return errors.New("broken")
			}
			return nil
		}
		f, err := disk.OpenWrite("/f")
		check(t, err)
		var now, durable []byte
		written := map[int]bool{} // sectors
		resize := func(b []byte, size int) []byte {
			return append(b[:min(len(b), size)], make([]byte, max(0, size-len(b)))...)
		}
		for range 12 {
			at, size := rng.IntN(2000), rng.IntN(2000)
			switch rng.IntN(6) {
			case 0:
				check(t, f.Truncate(int64(size)))
				for s := len(now) / 512; s*512 < size; s++ {
					written[s] = true
				}
				now = resize(now, size)
			case 1:
				broken = rng.IntN(2) == 0
				if err := f.Sync(); (err != nil) != broken {
					t.Fatal(err)
				}
				if !broken {
					durable = resize(durable, len(now))
					for s := range written {
						if s*512 < len(now) {
							copy(durable[s*512:min(s*512+512, len(now))], now[s*512:])
						}
					}
				}
				clear(written)
			default:
				p := bytes.Repeat([]byte{byte(1 + rng.IntN(250))}, size)
				_, err := f.WriteAt(p, int64(at))
				check(t, err)
				for s := min(at, len(now)) / 512; s*512 < at+size; s++ { // with the hole in between
					written[s] = true
				}
				now = resize(now, max(len(now), at+size))
				copy(now[at:], p)
			}
			for what, c := range map[string]struct {
				disk *memfs.FS
				want []byte
			}{"cached": {disk, now}, "durable": {disk.Crash(nil), durable}} {
				if got, err := c.disk.ReadFile("/f"); err != nil || !bytes.Equal(got, c.want) {
					t.Fatalf("%s: %d bytes, want %d; %v", what, len(got), len(c.want), err)
				}
			}
			some := make([]byte, rng.IntN(1000))
			if n, _ := f.ReadAt(some, int64(at)); !bytes.Equal(some[:n], now[min(at, len(now)):min(at+len(some), len(now))]) {
				t.Fatalf("%d of %d bytes at %d", n, len(some), at)
			}
		}
	}
}

// TestPebble runs the real thing on it: what was committed with a sync is there after any crash.
func TestPebble(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	disk := memfs.New()
	check(t, disk.MkdirAll("/data"))
	check(t, disk.SyncDir("/"))
	committed := 0
	for range 20 {
		db, err := pebble.Open("/data/db", &pebble.Options{FS: disk.VFS(), Logger: quiet{t}})
		check(t, err)
		for i := range committed {
			_, closer, err := db.Get(fmt.Append(nil, i))
			check(t, err)
			check(t, closer.Close())
		}
		for range rng.IntN(20) {
			check(t, db.Set(fmt.Append(nil, committed), make([]byte, 700), pebble.Sync))
			committed++
			if rng.IntN(5) == 0 {
				check(t, db.Flush())
			}
		}
		check(t, db.Set([]byte("unsynced"), make([]byte, 3000), pebble.NoSync))
		if _, err := pebble.Open("/data/db", &pebble.Options{FS: disk.VFS(), Logger: quiet{t}}); err == nil {
			t.Fatal("the lock does not hold")
		}
		after := disk.Crash(rng)
		check(t, db.Close())
		disk = after
	}
}

type quiet struct{ *testing.T }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
