package txnlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"quoll/txnlog"
	"quoll/txnlog/memfs"
)

// history is a log in use and what was acknowledged of it.
type history struct {
	disk  *memfs.FS
	log   *txnlog.Log
	acked map[int64][]byte
	last  int64 // zxid
	tries int   // of batches, so that no two entries are the same
}

// open starts as a server does and fails the test if anything acknowledged is missing or changed.
func (h *history) open(t *testing.T) {
	t.Helper()
	if _, _, err := txnlog.PrepareDirs(h.disk, filepath.Dir(dir), "", true); err != nil {
		t.Fatal(err)
	}
	read := int64(0)
	res, err := txnlog.ReplayLogs(h.disk, dir, 0, true, 0, func(r txnlog.Record) error {
		if read++; r.Zxid != read {
			return fmt.Errorf("zxid 0x%x in place of 0x%x", r.Zxid, read)
		}
		if want := h.acked[read]; want != nil && !bytes.Equal(want, r.Entry) {
			return fmt.Errorf("%q was acknowledged, there is %q", want, r.Entry)
		}
		h.acked[read] = bytes.Clone(r.Entry) // who reads it now relies on it
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if read < h.last {
		t.Fatalf("0x%x was acknowledged, 0x%x read", h.last, read)
	}
	if err := res.Settle(h.disk); err != nil {
		t.Fatal(err)
	}
	h.last = read
	h.log = txnlog.NewLog(txnlog.LogOptions{Dir: dir, FS: h.disk, PreAlloc: 16 << 10, ForceSync: true})
}

// batch logs some transactions. It reports whether they were acknowledged, else the log was brought back, with as many attempts as that took.
func (h *history) batch(t *testing.T, rng *rand.Rand) (acknowledged bool, attempts int) {
	t.Helper()
	h.tries++
	var entries [][]byte
	for i := range 1 + rng.IntN(3) {
		entries = append(entries, remove(h.last+1+int64(i), fmt.Sprintf("/%d%s", h.tries, strings.Repeat("x", rng.IntN(1500)))))
		h.log.Append(h.last+1+int64(i), entries[i])
	}
	err := h.log.Sync()
	if err == nil {
		for _, e := range entries {
			h.last++
			h.acked[h.last] = e
		}
		return true, 0
	}
	if !errors.Is(err, txnlog.ErrLogFailed) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprintf("zxid 0x%x: ", h.last+1)) {
		t.Fatalf("the error is %v", err)
	}
	if again := h.log.Sync(); again == nil || again.Error() != err.Error() {
		t.Fatalf("after %v, Sync says %v", err, again)
	}
	for attempts = 1; ; attempts++ {
		err := h.log.Recover()
		if err == nil {
			// What clients see from now on must be what a power cut leaves.
			if _, res := zxids(t, h.disk.Crash(rng)); res.LastZxid != h.last {
				t.Fatalf("after Recover a power cut leaves 0x%x, acknowledged was 0x%x", res.LastZxid, h.last)
			}
			return false, attempts
		}
		if attempts == 5 {
			t.Fatalf("the log does not come back: %v", err)
		}
	}
}

// Any operation fails, once or a few times, at any moment: nothing acknowledged is lost, also if the power goes later, and the log goes on.
func TestFaultAnywhere(t *testing.T) {
	kinds := map[string]error{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC, "short": memfs.Short{Err: syscall.EIO}}
	rows := map[string]int{}
	script := func(t *testing.T, seed uint64, buffered bool, fail func(op, name string) error) (failed bool) {
		rng := rand.New(rand.NewPCG(seed, 0))
		h := &history{disk: diskWith(nil), acked: map[int64][]byte{}}
		h.disk.Buffered = buffered
		for range 3 {
			h.open(t)
			h.disk.Fail = fail
			for i := range 12 {
				if i%5 == 4 {
					h.log.Roll()
				}
				if ok, _ := h.batch(t, rng); !ok {
					failed = true
				}
			}
			if rng.IntN(2) == 0 {
				_ = h.log.Close()
			}
			h.disk = h.disk.Crash(rng)
		}
		h.open(t)
		return failed
	}
	var mu sync.Mutex // the watermark is synced by a goroutine of its own
	count := 0
	script(t, 1, false, func(op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		count++
		return nil
	})
	for kind, fault := range kinds {
		for at := 1; at <= count; at++ {
			for times := 1; times <= 3; times += 2 {
				n, what := 0, ""
				buffered := (at+times)%4 < 2
				name := fmt.Sprintf("%s at %d, %d times, buffered %v", kind, at, times, buffered)
				failed := false
				if !t.Run(name, func(t *testing.T) {
					failed = script(t, 1, buffered, func(op, name string) error {
						mu.Lock()
						defer mu.Unlock()
						if n++; n >= at && n < at+times && (kind != "short" || op == "write") {
							what = op
							return fault
						}
						return nil
					})
				}) {
					t.Fatalf("in %q", what)
				}
				rows[fmt.Sprintf("%s %s: failed %v", kind, what, failed)]++
			}
		}
	}
	for _, must := range []string{"EIO write: failed true", "EIO sync: failed true", "EIO rename: failed true", "EIO allocate: failed true", "EIO syncdir: failed true", "short write: failed true", "EIO create: failed true"} {
		if rows[must] == 0 {
			t.Errorf("never: %s", must)
		}
	}
	t.Log(rows)
}

// A sync fails once and takes the data with it, as Linux does it: later syncs succeed without.
func TestFailedSyncLosesPages(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		h := &history{disk: diskWith(nil), acked: map[int64][]byte{}}
		h.open(t)
		n, failed := 1+rng.IntN(40), false
		h.disk.Fail = func(op, name string) error {
			if op == "sync" && !strings.HasSuffix(name, "synced") {
				if n--; n == 0 {
					return syscall.EIO
				}
			}
			return nil
		}
		for range 40 {
			if rng.IntN(8) == 0 {
				h.log.Roll()
			}
			if ok, attempts := h.batch(t, rng); !ok {
				failed = true
				if attempts != 1 {
					t.Fatalf("%d attempts", attempts)
				}
			}
		}
		if !failed {
			t.Fatalf("seed %d: no sync failed", seed)
		}
		if h.disk.DropCache(); rng.IntN(2) == 0 {
			h.disk = h.disk.Crash(rng)
		}
		h.open(t)
	}
}

// What is appended while a sync fails is gone with what it wrote.
func TestAppendedDuringAFailure(t *testing.T) {
	disk := diskWith(nil)
	log := newLog(disk, 1<<20)
	log.Append(1, remove(1, "/a"))
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	failed := false
	disk.Fail = func(op, name string) error {
		if op == "sync" && !failed {
			failed = true
			log.Append(3, remove(3, "/gone"))
			return syscall.EIO
		}
		return nil
	}
	log.Append(2, remove(2, "/gone"))
	if err := log.Sync(); !errors.Is(err, txnlog.ErrLogFailed) {
		t.Fatal(err)
	}
	if err := log.Recover(); err != nil {
		t.Fatal(err)
	}
	log.Append(2, remove(2, "/b"))
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	if got, _ := zxids(t, disk); !slices.Equal(got, upTo(2)) {
		t.Errorf("read %v", got)
	}
}

// A sync fails and the process ends. The next one finds the data in the page cache, but not on the disk: it must not rely on it.
func TestStaleCacheAfterRestart(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 2))
		h := &history{disk: diskWith(nil), acked: map[int64][]byte{}}
		h.open(t)
		for range rng.IntN(4) {
			h.batch(t, rng)
		}
		h.disk.Fail = func(op, name string) error {
			if op == "sync" && !strings.HasSuffix(name, "synced") {
				return syscall.EIO
			}
			return nil
		}
		h.log.Append(h.last+1, remove(h.last+1, "/stale"))
		if err := h.log.Sync(); err == nil {
			t.Fatal("the sync did not fail")
		}
		h.disk.Fail = nil
		h.open(t)
		h.disk = h.disk.Crash(nil)
		h.open(t)
	}
}

// What was acknowledged is gone from the disk though it was synced: Recover says so, and goes on saying so.
func TestRecoverFindsDamage(t *testing.T) {
	disk := diskWith(nil)
	log := newLog(disk, 0)
	for z := range int64(5) {
		log.Append(z+1, remove(z+1, "/a"))
		if err := log.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	broken := true
	disk.Fail = func(op, name string) error {
		if op == "write" && broken {
			return syscall.EIO
		}
		return nil
	}
	log.Append(6, remove(6, "/a"))
	if err := log.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	broken = false
	whole, err := disk.ReadFile(filepath.Join(dir, "log.1"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"changed": changed(whole, func(b []byte) { b[80] ^= 1 }), "shorter": whole[:150], "zeros": changed(whole, func(b []byte) { clear(b[118:]) })} {
		disk.WriteFile(filepath.Join(dir, "log.1"), content)
		for range 2 {
			err := log.Recover()
			var damage *txnlog.DamageError
			if !errors.As(err, &damage) || !strings.Contains(err.Error(), "log.1 was synced up to offset 271, zxid 0x5") || damage.Advice == "" {
				t.Errorf("%s: %v", name, err)
			}
		}
		log.Append(6, remove(6, "/a"))
		if err := log.Sync(); !errors.Is(err, txnlog.ErrLogFailed) {
			t.Errorf("%s: sync says %v", name, err)
		}
	}
	disk.WriteFile(filepath.Join(dir, "log.1"), whole)
	if err := log.Recover(); err != nil {
		t.Error(err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	if err := log.Recover(); !errors.Is(err, txnlog.ErrLogClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A full disk shows before anything is written, and the last of its room is used.
func TestFullDisk(t *testing.T) {
	disk := diskWith(nil)
	log := newLog(disk, 1<<20)
	disk.SetLimit(20_480) // of which the watermark takes 8192
	z := int64(0)
	var err error
	for err == nil {
		log.Append(z+1, remove(z+1, strings.Repeat("x", 1000)))
		if err = log.Sync(); err == nil {
			z++
		}
	}
	if !txnlog.IsFull(err) || !strings.Contains(err.Error(), "fallocate") || z != 11 {
		t.Fatalf("after %d: %v", z, err)
	}
	if err := log.Recover(); !txnlog.IsFull(err) {
		t.Fatalf("on a full disk Recover says %v", err)
	}
	disk.SetLimit(100_000)
	if err := log.Recover(); err != nil {
		t.Fatal(err)
	}
	log.Append(z+1, remove(z+1, "/a"))
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	if got, _ := zxids(t, disk); int64(len(got)) != z+1 {
		t.Errorf("read %d", len(got))
	}
}

func TestReserve(t *testing.T) {
	disk := diskWith(nil)
	disk.SetLimit(1000)
	path := "/data/quoll/reserve"
	r := txnlog.NewReserve(disk, dir, 600)
	fits := func(n int64) bool {
		f, err := disk.Create("/data/other")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		defer disk.Remove("/data/other")
		return f.(txnlog.Allocator).Allocate(0, n) == nil
	}
	for range 2 {
		if err := r.Make(401); !txnlog.IsFull(err) || r.Held() || !fits(1000) {
			t.Errorf("without room for the margin: %v, held %v", err, r.Held())
		}
		if err := r.Make(400); err != nil || !r.Held() || fits(401) || !fits(400) {
			t.Errorf("with room: %v, held %v", err, r.Held())
		}
		if err := txnlog.NewReserve(disk, dir, 600).Make(0); err != nil || fits(401) {
			t.Errorf("a file of an earlier process: %v", err)
		}
		if err := r.Release(); err != nil || r.Held() || !fits(1000) {
			t.Errorf("given up: %v", err)
		}
		if _, err := disk.ReadFile(path); err == nil {
			t.Error("the file is there")
		}
		if err := r.Release(); err != nil {
			t.Errorf("given up twice: %v", err)
		}
	}
	disk.Fail = func(op, name string) error { // a file system without allocation
		if op == "allocate" {
			return errors.ErrUnsupported
		}
		return nil
	}
	if err := r.Make(500); !txnlog.IsFull(err) || !fitsWritten(disk, 1000) {
		t.Errorf("by writing, without room: %v", err)
	}
	if err := r.Make(400); err != nil || fitsWritten(disk, 401) || !fitsWritten(disk, 400) {
		t.Errorf("by writing: %v", err)
	}
}

func fitsWritten(disk *memfs.FS, n int) bool {
	f, err := disk.Create("/data/other")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	defer disk.Remove("/data/other")
	_, err = f.WriteAt(make([]byte, n), 0)
	return err == nil
}

// The watermark decides what damage is.
func TestWatermark(t *testing.T) {
	// log.1 has zxids 1 to 5, of which 1 to 3 are synced, at offset 169.
	var marked []byte
	base := func() *memfs.FS {
		disk := diskWith(nil)
		log := newLog(disk, 0)
		for z := range int64(3) {
			log.Append(z+1, remove(z+1, "/a"))
		}
		if err := log.Sync(); err != nil {
			t.Fatal(err)
		}
		if marked == nil {
			marked, _ = disk.ReadFile(txnlog.WatermarkPath(dir))
		}
		disk.WriteFile(filepath.Join(dir, "log.1"), logOf(remove(1, "/a"), remove(2, "/a"), remove(3, "/a"), remove(4, "/a"), remove(5, "/a")))
		return disk
	}
	file := func(disk *memfs.FS, name string, change func(b []byte) []byte) {
		path := filepath.Join(dir, name)
		b, err := disk.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		disk.WriteFile(path, change(b))
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { return changed(b, func(b []byte) { b[at] ^= 1 }) }
	}
	cut := func(at int) func([]byte) []byte { return func(b []byte) []byte { return bytes.Clone(b[:at]) } }
	zero := func(from, to int) func([]byte) []byte {
		return func(b []byte) []byte { return changed(b, func(b []byte) { clear(b[from:to]) }) }
	}
	const first, second, fourth, fifth, end = 16, 67, 169, 220, 271
	for _, c := range []struct {
		name   string
		change func(*memfs.FS)
		snap   int64 // zxid of the state
		none   bool  // there is no state
		last   int64 // zxid read
		err    error
		text   string
	}{
		{name: "nothing", change: func(*memfs.FS) {}, last: 5},
		{name: "checksum behind", change: func(d *memfs.FS) { file(d, "log.1", flip(fourth+30)) }, last: 3},
		{name: "checksum far behind", change: func(d *memfs.FS) { file(d, "log.1", flip(fifth+30)) }, last: 4},
		{name: "length behind", change: func(d *memfs.FS) { file(d, "log.1", flip(fourth+8)) }, last: 3},
		{name: "zeros behind, a whole record after", change: func(d *memfs.FS) { file(d, "log.1", zero(fourth, fifth)) }, last: 3},
		{name: "cut behind", change: func(d *memfs.FS) { file(d, "log.1", cut(fifth+7)) }, last: 4},
		{name: "cut at it", change: func(d *memfs.FS) { file(d, "log.1", cut(fourth)) }, last: 3},
		{name: "checksum before", change: func(d *memfs.FS) { file(d, "log.1", flip(second+30)) }, err: txnlog.ErrChecksum, text: "log.1, offset 67, zxid 0x1: CRC check failed: entry of 38 bytes; /data/version-2/log.1 was synced up to offset 169, zxid 0x3; restore"},
		{name: "length before", change: func(d *memfs.FS) { file(d, "log.1", flip(second+8)) }, text: "was synced up to offset 169"},
		{name: "last record before", change: func(d *memfs.FS) { file(d, "log.1", flip(fourth-5)) }, err: txnlog.ErrChecksum},
		{name: "last mark before", change: func(d *memfs.FS) { file(d, "log.1", flip(fourth-1)) }, err: txnlog.ErrMissing, text: "log.1, offset 118, zxid 0x2: transactions that were on the disk are gone: the last record was partial"},
		{name: "zeros to the end before", change: func(d *memfs.FS) { file(d, "log.1", zero(second, end)) }, err: txnlog.ErrMissing, text: "offset 67, zxid 0x1"},
		{name: "cut before", change: func(d *memfs.FS) { file(d, "log.1", cut(fourth-1)) }, err: txnlog.ErrMissing, text: "cut off"},
		{name: "cut at a record before", change: func(d *memfs.FS) { file(d, "log.1", cut(second)) }, err: txnlog.ErrMissing, text: "offset 67, zxid 0x1"},
		{name: "emptied", change: func(d *memfs.FS) { file(d, "log.1", cut(0)) }, err: txnlog.ErrMissing, text: "log.1, offset 0"},
		{name: "header", change: func(d *memfs.FS) { file(d, "log.1", flip(1)) }, err: txnlog.ErrMagic, text: "was synced"},
		{name: "file gone", change: func(d *memfs.FS) { _ = d.Remove(filepath.Join(dir, "log.1")) }, err: txnlog.ErrMissing, text: "log.1, offset 169, zxid 0x3: transactions that were on the disk are gone: the file does not exist, and no snapshot has them; restore"},
		{name: "file gone, accepted", change: func(d *memfs.FS) {
			_ = d.Remove(filepath.Join(dir, "log.1"))
			_ = txnlog.ForgetWatermark(d, dir)
		}},
		{name: "file gone, a snapshot has it", snap: 3, change: func(d *memfs.FS) { _ = d.Remove(filepath.Join(dir, "log.1")) }},
		{name: "file gone, the snapshot is older", snap: 2, change: func(d *memfs.FS) { _ = d.Remove(filepath.Join(dir, "log.1")) }, err: txnlog.ErrMissing},
		{name: "directory emptied", none: true, change: func(d *memfs.FS) { _ = d.Remove(filepath.Join(dir, "log.1")) }},
		{name: "damage before, no watermark", change: func(d *memfs.FS) {
			file(d, "log.1", zero(second, end))
			_ = d.Remove(txnlog.WatermarkPath(dir))
		}, last: 1},
		{name: "Java has run", change: func(d *memfs.FS) {
			file(d, "log.1", cut(fifth))
			d.WriteFile(filepath.Join(dir, "log.5"), append(logOf(remove(5, "/b"), remove(6, "/b")), "torn"...))
		}, last: 6},
		{name: "Java has run, its file is damaged", change: func(d *memfs.FS) {
			d.WriteFile(filepath.Join(dir, "log.6"), logOf(remove(6, "/b"), remove(7, "/b")))
			file(d, "log.6", flip(50))
		}, err: txnlog.ErrChecksum},
		{name: "Java has run, the file before is cut", change: func(d *memfs.FS) {
			file(d, "log.1", cut(second))
			d.WriteFile(filepath.Join(dir, "log.2"), logOf(remove(2, "/b"), remove(3, "/b")))
		}, err: txnlog.ErrMissing},
		{name: "file replaced by a later epoch", change: func(d *memfs.FS) {
			_ = d.Remove(filepath.Join(dir, "log.1"))
			d.WriteFile(filepath.Join(dir, "log.100000001"), logOf(remove(0x100000001, "/b")))
		}, err: txnlog.ErrMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := base()
			c.change(disk)
			var last int64
			res, err := txnlog.ReplayLogs(disk, dir, c.snap, !c.none, 0, func(r txnlog.Record) error {
				last = r.Zxid
				return nil
			})
			if c.err != nil || c.text != "" {
				var damage *txnlog.DamageError
				if !errors.As(err, &damage) || damage.Advice == "" || c.err != nil && !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.text) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil || last != c.last {
				t.Fatalf("read up to 0x%x, %v", last, err)
			}
			if err := res.Settle(disk); err != nil {
				t.Fatal(err)
			}
			disk = disk.Crash(nil)
			w, ok, err := txnlog.ReadWatermark(disk, dir)
			if err != nil || ok != (last > 0 || c.snap > 0) || ok && last > 0 && w.Zxid != last {
				t.Errorf("the watermark is %v, %v, %v", &w, ok, err)
			}
			if last > 0 {
				acceptedByJava(t, disk)
			}
		})
	}
}

// The watermark of a process that was killed is exact; that of a power cut is not ahead; a torn slot leaves the other.
func TestWatermarkFile(t *testing.T) {
	disk := diskWith(nil)
	log := newLog(disk, 4096)
	for z := range int64(10) {
		log.Append(z+1, remove(z+1, "/a"))
		if err := log.Sync(); err != nil {
			t.Fatal(err)
		}
		if w, ok, err := txnlog.ReadWatermark(disk, dir); err != nil || !ok || w != (txnlog.Watermark{File: filepath.Join(dir, "log.1"), Offset: 16 + 51*(z+1), Zxid: z + 1}) {
			t.Fatalf("after zxid %d: %v, %v, %v", z+1, &w, ok, err)
		}
		if w, ok, _ := txnlog.ReadWatermark(disk.Crash(nil), dir); !ok || w.Zxid > z+1 {
			t.Fatalf("after zxid %d and a crash: %v, %v", z+1, &w, ok)
		}
	}
	log.Roll()
	log.Append(11, remove(11, "/a"))
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	if w, ok, _ := txnlog.ReadWatermark(disk.Crash(nil), dir); !ok || filepath.Base(w.File) != "log.b" || w.Offset != 67 || w.Zxid != 11 {
		t.Errorf("after a roll and a crash: %v, %v", &w, ok)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if w, ok, _ := txnlog.ReadWatermark(disk.Crash(nil), dir); !ok || w.Zxid != 11 {
		t.Errorf("after Close and a crash: %v, %v", &w, ok)
	}
	path := txnlog.WatermarkPath(dir)
	whole, err := disk.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range len(whole) {
		torn := memfs.New()
		torn.WriteFile(path, changed(whole, func(b []byte) { b[at] ^= 1 }))
		if w, ok, err := txnlog.ReadWatermark(torn, dir); err != nil || !ok || w.Zxid < 10 {
			t.Fatalf("byte %d changed: %v, %v, %v", at, &w, ok, err)
		}
	}
	for size := range len(whole) {
		short := memfs.New()
		short.WriteFile(path, whole[:size])
		if w, ok, err := txnlog.ReadWatermark(short, dir); err != nil || ok && w.Zxid < 10 {
			t.Fatalf("cut to %d bytes: %v, %v, %v", size, &w, ok, err)
		}
	}
	if err := txnlog.ForgetWatermark(disk, dir); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := txnlog.ReadWatermark(disk.Crash(nil), dir); ok || err != nil {
		t.Errorf("forgotten, and there: %v", err)
	}
	if err := txnlog.ForgetWatermark(disk, dir); err != nil {
		t.Error(err)
	}
}
