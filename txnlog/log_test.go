package txnlog_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quoll/jute"
	"quoll/txnlog"
	"quoll/txnlog/memfs"
)

func newLog(disk txnlog.FS, preAlloc int64) *txnlog.Log {
	return txnlog.NewLog(txnlog.LogOptions{Dir: dir, FS: disk, PreAlloc: preAlloc, ForceSync: true})
}

// zxids reads the logs and returns what they hold.
func zxids(t testing.TB, disk txnlog.FS) ([]int64, txnlog.ReadResult) {
	t.Helper()
	var got []int64
	res, err := txnlog.ReadLogs(disk, dir, 0, 0, func(r txnlog.Record) error {
		got = append(got, r.Zxid)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, res
}

func upTo(n int64) (zxids []int64) {
	for z := int64(1); z <= n; z++ {
		zxids = append(zxids, z)
	}
	return zxids
}

func files(t testing.TB, disk txnlog.FS) string {
	t.Helper()
	names, err := disk.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// acceptedByJava fails if a server that knows only the rules of FileTxnLog would not start from these logs: every record up to the end of
// a file has the right checksum, and the zxids of an epoch follow each other.
func acceptedByJava(t testing.TB, disk *memfs.FS) (last int64) {
	t.Helper()
	names, err := disk.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) }) // by hex number
	for _, name := range names {
		if !strings.HasPrefix(name, "log.") {
			t.Fatalf("file %s", name)
		}
		b, err := disk.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) < 16 || !bytes.HasPrefix(b, []byte("ZKLG")) {
			t.Fatalf("%s has the header %x", name, b[:min(16, len(b))])
		}
		for at := 16; at+12 <= len(b); {
			n := int(binary.BigEndian.Uint32(b[at+8:]))
			if n == 0 || at+12+n+1 > len(b) || b[at+12+n] != 'B' {
				break
			}
			e := b[at+12 : at+12+n]
			if !bytes.Equal(logOf(e)[16:24], b[at:at+8]) {
				t.Fatalf("%s: wrong checksum at offset %d", name, at)
			}
			zxid := record{at, e}.zxid()
			if at == 16 && name != fmt.Sprintf("log.%x", zxid) {
				t.Fatalf("%s begins with zxid 0x%x", name, zxid)
			}
			if last != 0 && zxid != last+1 {
				t.Fatalf("%s: zxid 0x%x follows 0x%x", name, zxid, last)
			}
			last = zxid
			at += 12 + n + 1
		}
	}
	return last
}

// However a log is cut in its last two records, reading gives exactly the complete ones, and writing goes on in a new file.
func TestEveryCut(t *testing.T) {
	whole := logOf(remove(1, "/a"), remove(2, "/bb"), remove(3, "/ccc"), remove(4, "/dddd"))
	recs := recordsOf(whole)
	for _, padding := range []int{0, 300} { // a truncated file, and one whose tail was never written
		for cut := recs[2].at; cut <= len(whole); cut++ {
			var complete int64
			for _, r := range recs {
				if r.end() <= cut {
					complete = r.zxid()
				}
			}
			disk := diskWith(map[string][]byte{"log.1": append(bytes.Clone(whole[:cut]), make([]byte, padding)...)})
			got, res := zxids(t, disk)
			if !slices.Equal(got, upTo(complete)) {
				t.Fatalf("cut at %d: read %v", cut, got)
			}
			if rest := bytes.Trim(whole[recs[complete-1].end():cut], "\x00"); (len(rest) == 0) != (res.Tail == nil) {
				t.Fatalf("cut at %d: tail %v", cut, res.Tail)
			}
			if res.Tail != nil {
				if err := res.Tail.Cut(disk); err != nil {
					t.Fatal(err)
				}
			}
			log := newLog(disk, 1<<10)
			for z := complete + 1; z <= complete+3; z++ {
				log.Append(z, remove(z, "/more"))
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			if last := acceptedByJava(t, disk); last != complete+3 {
				t.Fatalf("cut at %d: Java would read up to 0x%x", cut, last)
			}
			if got, res := zxids(t, disk); !slices.Equal(got, upTo(complete+3)) || res.Tail != nil {
				t.Fatalf("cut at %d: after writing on, read %v, tail %v", cut, got, res.Tail)
			}
		}
	}
}

// What was acknowledged is there after any loss of power, and Java starts from what our recovery leaves.
func TestPowerLoss(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for run := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, run))
		disk := diskWith(nil)
		disk.Buffered = rng.IntN(2) == 0
		var next int64 = 1
		for range 4 { // lives of the process
			log := newLog(disk, []int64{0, 4096, 64 << 10}[rng.IntN(3)])
			var synced int64
			if next > 1 {
				synced = next - 1
			}
			var mu sync.Mutex
			crashAt := rng.IntN(60)
			var after *memfs.FS
			var acked int64
			disk.Fail = func(op, name string) error {
				mu.Lock()
				defer mu.Unlock()
				if crashAt--; crashAt == 0 {
					after, acked = disk.Crash(rng), synced
				}
				return nil
			}
			for range 20 {
				for range rng.IntN(3) {
					log.Append(next, remove(next, "/"+strings.Repeat("x", rng.IntN(700))))
					next++
				}
				if err := log.Sync(); err != nil {
					t.Fatal(err)
				}
				mu.Lock()
				synced = next - 1
				mu.Unlock()
				if rng.IntN(5) == 0 {
					log.Roll()
				}
			}
			if after == nil {
				after, acked = disk.Crash(rng), synced
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			disk = after
			if _, _, err := txnlog.PrepareDirs(disk, filepath.Dir(dir), "", true); err != nil {
				t.Fatal(err)
			}
			var got []int64
			res, err := txnlog.ReplayLogs(disk, dir, 0, true, 0, func(r txnlog.Record) error {
				got = append(got, r.Zxid)
				return nil
			})
			if err != nil {
				t.Fatalf("run %d: %v", run, err)
			}
			if int64(len(got)) < acked || !slices.Equal(got, upTo(int64(len(got)))) {
				t.Fatalf("run %d: %d were acknowledged, read %v", run, acked, got)
			}
			if err := res.Settle(disk); err != nil {
				t.Fatal(err)
			}
			next = int64(len(got)) + 1
			if last := acceptedByJava(t, disk); last != next-1 {
				t.Fatalf("run %d: Java would read up to 0x%x, not 0x%x", run, last, next-1)
			}
		}
	}
}

// One batch is one write and one sync, and a note in the page cache; a new file has its name when its first batch is on the disk.
func TestSyncOperations(t *testing.T) {
	disk := diskWith(nil)
	var ops []string
	disk.Fail = func(op, name string) error {
		ops = append(ops, op+" "+filepath.Base(name))
		return nil
	}
	var synced []string
	log := txnlog.NewLog(txnlog.LogOptions{Dir: dir, FS: disk, PreAlloc: 64 << 10, ForceSync: true, OnSync: func(took time.Duration, file string, size int64) {
		synced = append(synced, fmt.Sprint(took >= 0, " ", filepath.Base(file), " ", size))
	}})
	expect := func(want ...string) {
		t.Helper()
		if !slices.Equal(ops, want) {
			t.Errorf("operations %q", ops)
		}
		ops = nil
	}
	if err := log.Sync(); err != nil {
		t.Error(err)
	}
	expect()
	log.Append(1, remove(1, "/a"))
	log.Append(2, remove(2, "/a"))
	expect()
	if err := log.Sync(); err != nil {
		t.Error(err)
	}
	expect("create quoll-tmp.log.1", "truncate quoll-tmp.log.1", "allocate quoll-tmp.log.1", "write quoll-tmp.log.1", "write quoll-tmp.log.1", "sync quoll-tmp.log.1",
		"rename log.1", "syncdir version-2",
		"mkdir quoll", "syncdir data", "create synced", "write synced", "sync synced", "syncdir quoll", "write synced", "sync synced")
	log.Append(3, remove(3, "/a"))
	log.Append(4, remove(4, "/a"))
	if err := log.Sync(); err != nil {
		t.Error(err)
	}
	expect("write quoll-tmp.log.1", "sync quoll-tmp.log.1", "write synced")
	log.Append(5, remove(5, "/a"))
	log.Roll()
	log.Append(6, remove(6, "/a"))
	if err := log.Sync(); err != nil {
		t.Error(err)
	}
	expect("write quoll-tmp.log.1", "sync quoll-tmp.log.1", "truncate quoll-tmp.log.1",
		"create quoll-tmp.log.6", "truncate quoll-tmp.log.6", "allocate quoll-tmp.log.6", "write quoll-tmp.log.6", "write quoll-tmp.log.6", "sync quoll-tmp.log.6",
		"rename log.6", "syncdir version-2", "write synced", "sync synced")
	if want := []string{"true log.1 65552", "true log.1 65552", "true log.1 65552", "true log.6 65552"}; !slices.Equal(synced, want) {
		t.Errorf("heard of %q", synced)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	log.Append(7, remove(7, "/a"))
	if err := log.Sync(); !errors.Is(err, txnlog.ErrLogClosed) {
		t.Errorf("sync after close: %v", err)
	}
	if got, _ := zxids(t, disk); !slices.Equal(got, upTo(6)) {
		t.Errorf("read %v", got)
	}
}

// The sizes are those that FilePadding gives when each batch is flushed by itself; in blocks the file ends with the last one.
func TestPreAllocation(t *testing.T) {
	for _, c := range []struct {
		preAlloc int64
		batches  []int // bytes
		size     []int64
	}{
		{0, []int{100, 100}, []int64{116, 216}},
		{64 << 10, []int{100, 61000, 100, 10000}, []int64{65552, 65552, 65552, 71216}},
		{64 << 10, []int{61440, 100}, []int64{65552, 131088}}, // 4096 bytes left
		{64 << 10, []int{61439, 100}, []int64{65552, 65552}},
		{64 << 10, []int{100000, 100}, []int64{100016, 131072}}, // past the end: up to a multiple
		{1024, []int{100, 100}, []int64{1040, 2064}},
	} {
		disk, blocks := diskWith(nil), diskWith(nil)
		disk.Buffered = true
		log, blockLog := newLog(disk, c.preAlloc), newLog(blocks, c.preAlloc)
		end := int64(16)
		for i, n := range c.batches {
			end += int64(n)
			want := c.size[i]
			for _, one := range []struct {
				log  *txnlog.Log
				disk *memfs.FS
			}{{log, disk}, {blockLog, blocks}} {
				one.log.Append(int64(i+1), remove(int64(i+1), strings.Repeat("x", n-13-36)))
				if err := one.log.Sync(); err != nil {
					t.Fatal(err)
				}
				b, err := one.disk.ReadFile(filepath.Join(dir, "log.1"))
				if err != nil {
					t.Fatal(err)
				}
				if int64(len(b)) != want {
					t.Errorf("preAlloc %d, batches %v: size %d after batch %d, not %d", c.preAlloc, c.batches, len(b), i, want)
				}
				if c.preAlloc > 0 {
					want = max(want, (end+txnlog.BlockSize-1)/txnlog.BlockSize*txnlog.BlockSize)
				}
			}
		}
	}
}

func TestSizeLimit(t *testing.T) {
	disk := diskWith(nil)
	log := txnlog.NewLog(txnlog.LogOptions{Dir: dir, FS: disk, PreAlloc: 64 << 10, ForceSync: true, SizeLimit: 200})
	for z := range int64(8) {
		log.Append(z+1, remove(z+1, "/a")) // 51 bytes
		if err := log.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if got := files(t, disk); got != "log.1 log.5" {
		t.Errorf("files %s", got)
	}
}

func TestWithoutForceSync(t *testing.T) {
	disk := diskWith(nil)
	disk.Fail = func(op, name string) error {
		if strings.HasPrefix(op, "sync") {
			t.Errorf("%s %s", op, name)
		}
		return nil
	}
	log := txnlog.NewLog(txnlog.LogOptions{Dir: dir, FS: disk})
	log.Append(1, remove(1, "/a"))
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

// Appends go on while a batch is being synced, and are in a later batch.
func TestConcurrentUse(t *testing.T) {
	disk := diskWith(nil)
	log := newLog(disk, 64<<10)
	const n = 2000
	var appended sync.WaitGroup
	appended.Go(func() {
		for z := int64(1); z <= n; z++ {
			log.Append(z, remove(z, "/a"))
			if z%500 == 0 {
				log.Roll()
			}
		}
	})
	done := make(chan struct{})
	var syncers sync.WaitGroup
	for range 2 {
		syncers.Go(func() {
			for running := true; running; {
				select {
				case <-done:
					running = false
				default:
				}
				if err := log.Sync(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	appended.Wait()
	close(done)
	syncers.Wait()
	if got, _ := zxids(t, disk); !slices.Equal(got, upTo(n)) {
		t.Errorf("read %d records", len(got))
	}
	if got := files(t, disk); got != "log.1 log.1f5 log.3e9 log.5dd" {
		t.Errorf("files %s", got)
	}
}

func TestAppendWarnsOfOldZxid(t *testing.T) {
	var out bytes.Buffer
	log := txnlog.NewLog(txnlog.LogOptions{Dir: dir, FS: diskWith(nil), Logger: slog.New(slog.NewTextHandler(&out, nil))})
	log.Append(5, remove(5, "/a"))
	if out.Len() != 0 {
		t.Errorf("logged %s", &out)
	}
	log.Append(5, remove(5, "/a"))
	if !strings.Contains(out.String(), "zxid=0x5") {
		t.Errorf("logged %s", &out)
	}
}

// Reading takes the newest file that begins before the wanted zxid and all later ones, and no older one.
func TestReadFrom(t *testing.T) {
	disk := diskWith(map[string][]byte{
		"log.1":  {1, 2, 3}, // would be fatal
		"log.5":  logOf(remove(5, "/a"), remove(6, "/a"), remove(7, "/a")),
		"log.8":  logOf(remove(8, "/a")),
		"log.10": logOf(),
	})
	for from, want := range map[int64][]int64{6: {6, 7, 8}, 7: {7, 8}, 8: {8}, 9: nil} {
		var got []int64
		res, err := txnlog.ReadLogs(disk, dir, from, 0, func(r txnlog.Record) error {
			got = append(got, r.Zxid)
			return nil
		})
		first := map[int64]string{6: "log.5", 7: "log.5", 8: "log.5", 9: "log.8"}[from]
		if err != nil || !slices.Equal(got, want) || res.Records != int64(len(want)) || filepath.Base(res.Files[0]) != first {
			t.Errorf("from %d: read %v, %+v, %v", from, got, res, err)
		}
	}
	stop := errors.New("enough")
	_, err := txnlog.ReadLogs(disk, dir, 6, 0, func(r txnlog.Record) error { return stop })
	if !errors.Is(err, stop) || !strings.Contains(err.Error(), "log.5, offset 67, zxid 0x6") {
		t.Errorf("error of the callback: %v", err)
	}
	if _, err := txnlog.ReadLogs(disk, "/none", 0, 0, nil); err == nil {
		t.Error("a missing directory is not an error")
	}
	big := diskWith(map[string][]byte{"log.1": logOf(remove(1, strings.Repeat("x", 1000)))})
	if _, err := txnlog.ReadLogs(big, dir, 0, 1035, func(txnlog.Record) error { return nil }); !errors.Is(err, jute.ErrLength) {
		t.Errorf("an entry above the limit: %v", err)
	}
	if _, err := txnlog.ReadLogs(big, dir, 0, 1036, func(txnlog.Record) error { return nil }); err != nil {
		t.Errorf("an entry at the limit: %v", err)
	}
}

func TestTruncateLogs(t *testing.T) {
	all := func() *memfs.FS {
		return diskWith(map[string][]byte{
			"log.1":         logOf(remove(1, "/a"), remove(2, "/a"), remove(3, "/a")),
			"log.4":         padded(logOf(remove(4, "/a"), remove(5, "/a"))),
			"log.100000001": append(logOf(remove(0x100000001, "/a"), remove(0x100000002, "/a")), "torn"...),
			"snapshot.0":    {},
		})
	}
	for _, c := range []struct {
		zxid  int64
		files string
		left  []int64
	}{
		{0x100000007, "log.1 log.100000001 log.4 snapshot.0", []int64{1, 2, 3, 4, 5, 0x100000001, 0x100000002}},
		{0x100000001, "log.1 log.100000001 log.4 snapshot.0", []int64{1, 2, 3, 4, 5, 0x100000001}},
		{0x100000000, "log.1 log.4 snapshot.0", []int64{1, 2, 3, 4, 5}},
		{5, "log.1 log.4 snapshot.0", []int64{1, 2, 3, 4, 5}},
		{4, "log.1 log.4 snapshot.0", []int64{1, 2, 3, 4}},
		{3, "log.1 snapshot.0", []int64{1, 2, 3}},
		{1, "log.1 snapshot.0", []int64{1}},
		{0, "snapshot.0", nil},
	} {
		disk := all()
		if err := txnlog.TruncateLogs(disk, dir, c.zxid, 0); err != nil {
			t.Errorf("to 0x%x: %v", c.zxid, err)
		}
		disk = disk.Crash(nil)
		got, res := zxids(t, disk)
		if !slices.Equal(got, c.left) || res.Tail != nil || files(t, disk) != c.files {
			t.Errorf("to 0x%x: %s with %x, tail %v", c.zxid, files(t, disk), got, res.Tail)
		}
	}
	if err := txnlog.TruncateLogs(diskWith(nil), dir, 1, 0); err == nil || !strings.Contains(err.Error(), "no log files") {
		t.Errorf("without logs: %v", err)
	}
	damaged := diskWith(map[string][]byte{"log.1": changed(logOf(remove(1, "/a"), remove(2, "/a")), func(b []byte) { b[30] ^= 1 })})
	if err := txnlog.TruncateLogs(damaged, dir, 1, 0); !errors.Is(err, txnlog.ErrChecksum) {
		t.Errorf("damaged: %v", err)
	}
}

// A group of writes allocates nothing once the two buffers have grown.
func TestAppendAllocates(t *testing.T) {
	log := txnlog.NewLog(txnlog.LogOptions{Dir: dir, FS: discard{}, ForceSync: true})
	e := remove(1, strings.Repeat("x", 1000))
	zxid := int64(0)
	group := func() {
		for range 100 {
			zxid++
			log.Append(zxid, e)
		}
		if err := log.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	group()
	group()
	if n := testing.AllocsPerRun(100, group); n != 0 {
		t.Errorf("%v allocations for 100 appends and a sync", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			log := txnlog.NewLog(txnlog.LogOptions{Dir: dir, FS: discard{}})
			e := remove(1, strings.Repeat("x", size-36))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			zxid := int64(0)
			for b.Loop() {
				zxid++
				log.Append(zxid, e)
				if zxid%100 == 0 {
					if err := log.Sync(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkSync is the cost of one group of writes on the real disk.
func BenchmarkSync(b *testing.B) {
	for _, records := range []int{1, 100} {
		b.Run(fmt.Sprint(records), func(b *testing.B) {
			log := txnlog.NewLog(txnlog.LogOptions{Dir: b.TempDir(), PreAlloc: 64 << 20, ForceSync: true})
			e := remove(1, strings.Repeat("x", 1000-36))
			b.ReportAllocs()
			zxid := int64(0)
			for b.Loop() {
				for range records {
					zxid++
					log.Append(zxid, e)
				}
				if err := log.Sync(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadLogs(b *testing.B) {
	disk := diskWith(nil)
	log := newLog(disk, 0)
	const n = 20000
	e := remove(1, strings.Repeat("x", 1000-36))
	for z := int64(1); z <= n; z++ {
		binary.BigEndian.PutUint64(e[12:], uint64(z))
		log.Append(z, e)
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(n * 1013)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := txnlog.ReadLogs(disk, dir, 0, 0, func(txnlog.Record) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// discard is a file system that takes everything and keeps nothing.
type discard struct{ txnlog.FS }

func (discard) Create(string) (txnlog.File, error)    { return nothing{}, nil }
func (discard) Open(string) (txnlog.File, error)      { return nothing{}, nil }
func (discard) OpenWrite(string) (txnlog.File, error) { return nothing{}, nil }
func (discard) Rename(string, string) error           { return nil }
func (discard) SyncDir(string) error                  { return nil }

type nothing struct{ txnlog.File }

func (nothing) WriteAt(p []byte, off int64) (int, error) { return len(p), nil }
func (nothing) ReadAt([]byte, int64) (int, error)        { return 0, io.EOF }
func (nothing) Truncate(int64) error                     { return nil }
func (nothing) Sync() error                              { return nil }
func (nothing) Close() error                             { return nil }

// A disk with blocks larger than ours refuses the first write in blocks; the log goes on as on any file system.
func TestBlocksDoNotSuit(t *testing.T) {
	disk := diskWith(nil)
	log := newLog(disk, 64<<10)
	writes := 0
	disk.Fail = func(op, name string) error {
		if op == "write" && strings.Contains(name, "log.") {
			if writes++; writes == 1 {
				return errors.ErrUnsupported
			}
		}
		return nil
	}
	for z := range int64(9) {
		if z == 5 {
			log.Roll()
		}
		log.Append(z+1, remove(z+1, "/"+strings.Repeat("x", 20_000))) // too long for zeros ahead
		if err := log.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := zxids(t, disk); !slices.Equal(got, upTo(9)) {
		t.Errorf("read %v", got)
	}
	if writes != 10 {
		t.Errorf("%d writes", writes)
	}
}
