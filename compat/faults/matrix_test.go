package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"quoll/compat/faultfs"
	"quoll/compat/peer"
)

// places are the kinds of file that rules tell apart.
var places = []struct{ name, glob string }{
	{"log", "version-2/*log.*"},
	{"snapshot", "version-2/*snapshot.*"},
	{"directory version-2", "version-2"},
	{"dataDir/quoll", "quoll/"},
}

// fault is a row of what can befall an operation.
type fault struct {
	name    string
	ops     []faultfs.Op
	fault   faultfs.Fault
	forever bool // it stays
	journal bool
	cutLast bool // the power goes at the end
	// lies says that the disk has broken its promises, so that no server can keep its own.
	lies bool
}

var writes = []faultfs.Op{faultfs.Create, faultfs.Write, faultfs.Truncate, faultfs.Fsync, faultfs.Rename, faultfs.Unlink, faultfs.Mkdir, faultfs.FsyncDir}

var faultRows = []fault{
	{name: "EIO", ops: writes, fault: faultfs.EIO},
	{name: "EIO from then on", ops: []faultfs.Op{faultfs.Create, faultfs.Write, faultfs.Fsync, faultfs.Rename}, fault: faultfs.EIO, forever: true},
	{name: "ENOSPC", ops: writes, fault: faultfs.ENOSPC},
	{name: "ENOSPC from then on", ops: []faultfs.Op{faultfs.Create, faultfs.Write, faultfs.Truncate}, fault: faultfs.ENOSPC, forever: true},
	{name: "short write", ops: []faultfs.Op{faultfs.Write}, fault: faultfs.Short},
	{name: "EIO, what was to be synced dropped", ops: []faultfs.Op{faultfs.Fsync}, fault: faultfs.FsyncDrop},
	{name: "EIO, then a power cut at the end", ops: []faultfs.Op{faultfs.Write, faultfs.Fsync, faultfs.FsyncDir, faultfs.Rename}, fault: faultfs.EIO, journal: true, cutLast: true},
	{name: "power cut, journalling file system", ops: writes, fault: faultfs.Cut, journal: true},
	{name: "power cut, directories as POSIX has them", ops: writes, fault: faultfs.Cut},
	{name: "EIO", ops: []faultfs.Op{faultfs.Read}, fault: faultfs.EIO},
	{name: "bit flipped on the way", ops: []faultfs.Op{faultfs.Read}, fault: faultfs.FlipRead},
	{name: "bit flipped on the medium", ops: []faultfs.Op{faultfs.Write}, fault: faultfs.FlipMedia},
	{name: "says OK, then a power cut at the end", ops: []faultfs.Op{faultfs.Fsync}, fault: faultfs.FsyncLie, forever: true, journal: true, cutLast: true, lies: true},
}

// job is a case of either sort.
type job struct {
	group string // row of the table
	name  string
	lies  bool
	seed  uint64
	run   func(kind peer.Kind) (outcome, bool, error)
}

// size of a matrix.
type size struct {
	positions int // of each disk fault at each kind of operation and file
	perRegion int // flipped bits in each region of a file
	keepBytes int // one in about so many of the byte cases is run
	keepDisk  int // and of the disk cases
	javaEvery int // one in so many of the cases is run on ZooKeeper too
	fsyncs    int
	fsyncJava int
}

var (
	short = size{positions: 12, perRegion: 1, keepBytes: 25, keepDisk: 40, javaEvery: 10, fsyncs: 20, fsyncJava: 1}
	long  = size{positions: 12, perRegion: 2, keepBytes: 1, keepDisk: 1, javaEvery: 20, fsyncs: 200, fsyncJava: 20}
)

func sizeOf(t *testing.T) size {
	switch v := os.Getenv("QUOLL_FAULTS"); v {
	case "":
		return short
	case "long":
		return long
	default:
		t.Fatalf("QUOLL_FAULTS=%s is not long", v)
		return size{}
	}
}

func seedOf(t *testing.T) uint64 {
	value := os.Getenv("QUOLL_FAULTS_SEED")
	if value == "" {
		return 1
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// tempDir is on memory if there is some: nothing here depends on the machine's own disk.
func tempDir(t *testing.T) string {
	at := os.TempDir()
	if _, err := os.Stat("/dev/shm"); err == nil {
		at = "/dev/shm"
	}
	dir, err := os.MkdirTemp(at, "quoll-faults-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestMatrix runs the single-fault matrix.
func TestMatrix(t *testing.T) {
	faultfs.Check(t)
	if _, err := peer.Binary(); err != nil {
		t.Fatal(err)
	}
	sz, seed, temp := sizeOf(t), seedOf(t), tempDir(t)
	t.Logf("QUOLL_FAULTS_SEED=%d", seed)
	kinds := peer.Kinds
	if _, err := peer.Classpath("zookeeper"); err != nil {
		if os.Getenv("QUOLL_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Logf("NOT RUN on Apache ZooKeeper: %v", err)
		kinds = kinds[1:]
	}
	begin := time.Now()
	table := newTable("The single-fault matrix")
	for _, kind := range slices.Backward(kinds) {
		jobs := append(sample(diskJobs(t, kind, temp, sz, seed), sz.keepDisk, seed), sample(byteJobs(t, kind, temp, sz, seed), sz.keepBytes, seed)...)
		if kind.Name == "java" {
			jobs = sample(jobs, sz.javaEvery, seed)
		}
		runAll(t, kind, jobs, table)
	}
	table.print(t, fmt.Sprintf("%d cases on quoll, %d on Apache ZooKeeper 3.9.5 (about one in %d of those that its files have), in %v, seed %d",
		table.cases("quoll"), table.cases("java"), sz.javaEvery, time.Since(begin).Round(time.Second), seed))
}

// sample takes about one in n of the jobs.
func sample(jobs []job, n int, seed uint64) (some []job) {
	rng := rand.New(rand.NewPCG(seed, 0x73616d70))
	for _, j := range jobs {
		if n <= 1 || rng.IntN(n) == 0 {
			some = append(some, j)
		}
	}
	return some
}

// diskJobs makes the faults of the disk, spread over what a run without faults does.
func diskJobs(t *testing.T, kind peer.Kind, temp string, sz size, seed uint64) (jobs []job) {
	counts := traced(t, kind, temp, seed)
	n := uint64(0)
	for _, f := range faultRows {
		for _, op := range f.ops {
			for _, p := range places {
				total := counts[string(op)+" "+p.name]
				for i := range min(sz.positions, total) {
					n++
					nth := 1 + i*total/min(sz.positions, total)
					c := diskCase{rule: faultfs.Rule{Op: op, Glob: p.glob, Nth: nth, Fault: f.fault}, journal: f.journal, cutLast: f.cutLast}
					if f.forever {
						c.rule.Count = -1
					}
					s := seed*1_000_003 + n
					jobs = append(jobs, job{
						group: fmt.Sprintf("%s: %s", op, f.name), name: fmt.Sprintf("disk %d: %v, %s", n, c.rule, f.name), lies: f.lies, seed: s,
						run: func(kind peer.Kind) (outcome, bool, error) { return c.run(kind, temp, s) },
					})
				}
			}
		}
	}
	return jobs
}

// traced counts the operations of a run without faults.
func traced(t *testing.T, kind peer.Kind, temp string, seed uint64) map[string]int {
	disk := faultfs.New(faultfs.Options{Seed: seed})
	at := filepath.Join(temp, "traced-"+kind.Name)
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	m, err := disk.Mount(at)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Unmount()
	// Reads are only in the events if a rule matches them.
	for _, p := range places {
		disk.Inject(faultfs.Rule{Op: faultfs.Read, Glob: p.glob, Count: -1, Fault: "traced"})
	}
	w := newWork(seed)
	during, err := script(kind, at, w, nil)
	if err != nil || during != wentOn || len(w.wrong) > 0 {
		t.Fatalf("without any fault %s %s: %v %v", kind.Name, during, err, w.wrong)
	}
	counts := map[string]int{}
	for _, e := range disk.Events() {
		for _, p := range places {
			if (faultfs.Rule{Op: e.Op, Glob: p.glob}).Matches(e.Op, e.Path) {
				counts[string(e.Op)+" "+p.name]++
			}
		}
	}
	t.Logf("%s: a run without faults has %d acknowledged writes and these operations: %v", kind.Name, w.acked, counts)
	return counts
}

func byteJobs(t *testing.T, kind peer.Kind, temp string, sz size, seed uint64) (jobs []job) {
	im, err := takeImage(kind, temp, seed)
	if err != nil {
		t.Fatal(err)
	}
	cases := im.cases(sz.perRegion, rand.New(rand.NewPCG(seed, 0x62797465)))
	for i, c := range cases {
		s := seed*1_000_003 + uint64(i)
		jobs = append(jobs, job{
			group: c.group(), name: fmt.Sprintf("bytes %d: %v", i, c), seed: s,
			run: func(peer.Kind) (outcome, bool, error) { return im.run(c, temp, s) },
		})
	}
	return jobs
}

// runAll runs the jobs, as many at a time as there are processors.
func runAll(t *testing.T, kind peer.Kind, jobs []job, table *table) {
	only := regexp.MustCompile(os.Getenv("QUOLL_FAULTS_ONLY"))
	for _, j := range jobs {
		table.row(j.group)
	}
	queue := make(chan job)
	var workers sync.WaitGroup
	for range min(runtime.NumCPU(), 4) {
		workers.Go(func() {
			for j := range queue {
				o, ok, err := j.run(kind)
				if err != nil {
					t.Errorf("%s, %s: %v", kind.Name, j.name, err)
					continue
				}
				if !ok {
					continue // the fault found nothing to befall
				}
				table.add(kind.Name, j, o)
			}
		})
	}
	for _, j := range jobs {
		if only.MatchString(j.name) {
			queue <- j
		}
	}
	close(queue)
	workers.Wait()
}
