package txnlog_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"quoll/jute"
	"quoll/txnlog"
	"quoll/txnlog/memfs"
)

func smallSnapshot(t testing.TB) *notes {
	n, _ := readNotes(t, diskWith(map[string][]byte{"snapshot.0": golden(t, "g2-snapshot.0")}))
	return n
}

// A snapshot has its name only when it is whole and durable, whatever fails; a crash at any moment leaves the old state or the new one.
func TestWriteSnapshotIsAtomic(t *testing.T) {
	n := smallSnapshot(t)
	for _, mode := range []txnlog.Compression{txnlog.Plain, txnlog.Gzip, txnlog.Snappy} {
		for at := 1; ; at++ {
			disk := diskWith(map[string][]byte{"snapshot.0": golden(t, "g2-snapshot.0")})
			broken := errors.New("broken")
			count := 0
			var crashed *memfs.FS
			disk.Fail = func(op, name string) error {
				if count++; count == at {
					crashed = disk.Crash(nil)
					return broken
				}
				return nil
			}
			path, _, err := txnlog.WriteSnapshot(disk, dir, 7, mode, n.source(nil, nil))
			if crashed == nil {
				if err != nil || at < 5 {
					t.Fatalf("%d operations: %v", at, err)
				}
				after := disk.Crash(nil)
				if _, info := readNotes(t, after); info.Zxid != 7 || files(t, after) != "snapshot.0 "+filepath.Base(path) {
					t.Errorf("after a crash behind the end: %s, loaded %s", files(t, after), info.File)
				}
				break
			}
			if !errors.Is(err, broken) {
				t.Errorf("operation %d failed: %v", at, err)
			}
			if got := files(t, disk); got != "snapshot.0" && got != strings.TrimSuffix("snapshot.0 snapshot.7."+string(mode), ".") {
				t.Errorf("operation %d failed: %s", at, got)
			}
			for _, disk := range []*memfs.FS{disk, crashed} {
				if _, info := readNotes(t, disk); info.Zxid != 0 && info.Zxid != 7 {
					t.Errorf("operation %d failed: loaded %s", at, info.File)
				}
			}
		}
	}
	broken := errors.New("broken")
	disk := diskWith(nil)
	src := n.source(nil, nil)
	src.Nodes = func(b []byte) ([]byte, bool, error) { return b, false, broken }
	if _, _, err := txnlog.WriteSnapshot(disk, dir, 7, txnlog.Plain, src); !errors.Is(err, broken) || files(t, disk) != "" {
		t.Errorf("a source that fails: %v, %s", err, files(t, disk))
	}
}

// Null and empty stay apart, as do null and empty ACL lists, through every form of the file.
func TestSnapshotNulls(t *testing.T) {
	n := &notes{
		acls: []txnlog.ACLList{{Number: 50, ACL: nil}, {Number: 7, ACL: []jute.ACL{}}},
		nodes: [][]byte{
			txnlog.AppendNode(nil, "", nil, -1, &jute.StatPersisted{}),
			txnlog.AppendNode(nil, "/empty", []byte{}, 50, &jute.StatPersisted{Pzxid: 9}),
			txnlog.AppendNode(nil, "/large", make([]byte, 1<<20), 7, &jute.StatPersisted{Version: -1}),
		},
	}
	for _, mode := range []txnlog.Compression{txnlog.Plain, txnlog.Gzip, txnlog.Snappy, "zstd"} {
		disk := diskWith(nil)
		path, _, err := txnlog.WriteSnapshot(disk, dir, 0x1a, mode, n.source(nil, nil))
		if err != nil {
			t.Fatal(err)
		}
		want := map[txnlog.Compression]string{txnlog.Gzip: ".gz", txnlog.Snappy: ".snappy"}[mode]
		if path != dir+"/snapshot.1a"+want {
			t.Errorf("mode %q: %s", mode, path)
		}
		got, info := readNotes(t, disk)
		if info.HasDigest || !slices.EqualFunc(got.nodes, n.nodes, slices.Equal) {
			t.Errorf("mode %q: the nodes differ", mode)
		}
		if len(got.acls) != 2 || got.acls[0].ACL != nil || got.acls[1].ACL == nil {
			t.Errorf("mode %q: ACL lists %#v", mode, got.acls)
		}
	}
}

func TestSnapshotLimit(t *testing.T) {
	n := &notes{nodes: [][]byte{txnlog.AppendNode(nil, "", make([]byte, 1000), -1, &jute.StatPersisted{})}}
	disk := diskWith(map[string][]byte{"snapshot.1a": snapshotOf(n, false, false)})
	for limit, fits := range map[int]bool{999: false, 1000: true, 0: true} {
		_, ok, err := txnlog.LoadNewestSnapshot(disk, dir, limit, func() txnlog.SnapshotSink { return &notes{} })
		if ok != fits || !fits && (!errors.Is(err, jute.ErrLength) || !errors.Is(err, txnlog.ErrNoValidSnapshot) || !strings.Contains(err.Error(), "Unreasonable length = 1000")) {
			t.Errorf("limit %d: %v, %v", limit, ok, err)
		}
	}
}

func TestSnapshotWithoutRoot(t *testing.T) {
	n := &notes{nodes: [][]byte{txnlog.AppendNode(nil, "/a", nil, -1, &jute.StatPersisted{})}}
	disk := diskWith(map[string][]byte{"snapshot.1a": snapshotOf(n, false, false)})
	if _, _, err := txnlog.LoadNewestSnapshot(disk, dir, 0, func() txnlog.SnapshotSink { return &notes{} }); !errors.Is(err, txnlog.ErrSnapshotNodes) {
		t.Errorf("the error is %v", err)
	}
}

// No more than 100 snapshots are tried.
func TestSnapshotsTried(t *testing.T) {
	damaged := append(make([]byte, 20), 0, 0, 0, 1, '/')
	all := map[string][]byte{"snapshot.0": golden(t, "g2-snapshot.0")}
	for i := range 100 {
		all[fmt.Sprintf("snapshot.%x", i+1)] = damaged
	}
	sink := func() txnlog.SnapshotSink { return &notes{} }
	if _, _, err := txnlog.LoadNewestSnapshot(diskWith(all), dir, 0, sink); !errors.Is(err, txnlog.ErrNoValidSnapshot) {
		t.Errorf("with 100 damaged: %v", err)
	}
	delete(all, "snapshot.1")
	if info, ok, err := txnlog.LoadNewestSnapshot(diskWith(all), dir, 0, sink); !ok || err != nil || len(info.Skipped) != 99 {
		t.Errorf("with 99 damaged: %v", err)
	}
}

func TestPurge(t *testing.T) {
	snap := golden(t, "g2-snapshot.0")
	disk := diskWith(nil)
	for _, name := range []string{"snapshot.5", "snapshot.10", "snapshot.1a", "snapshot.20", "snapshot.30.old", "snapshot.foo"} {
		disk.WriteFile("/data/version-2/"+name, snap)
	}
	disk.WriteFile("/data/version-2/snapshot.40", []byte("cut"))
	disk.WriteFile("/data/version-2/currentEpoch", []byte("1"))
	for _, name := range []string{"log.1", "log.11", "log.15", "log.1b", "log.35", "log.foo"} {
		disk.WriteFile("/logs/version-2/"+name, logOf())
	}
	removed, err := txnlog.Purge(disk, "/logs/version-2", "/data/version-2", 3)
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range removed {
		removed[i] = filepath.Base(path)
	}
	// 30, 20 and 1a stay; log.15 may hold records after 1a.
	if got := strings.Join(removed, " "); got != "snapshot.foo snapshot.5 snapshot.10 log.foo log.1 log.11" {
		t.Errorf("removed %s", got)
	}
	if removed, err := txnlog.Purge(disk, "/logs/version-2", "/data/version-2", 3); err != nil || len(removed) != 0 {
		t.Errorf("again: removed %v, %v", removed, err)
	}
	if _, err := txnlog.Purge(disk, "/logs/version-2", "/data/version-2", 2); err == nil {
		t.Error("purged all but 2")
	}
	// With fewer snapshots than wanted, and none, nothing that is newer goes.
	few := diskWith(map[string][]byte{"snapshot.10": snap, "log.1": logOf(), "log.10": logOf(), "log.11": logOf()})
	if removed, err := txnlog.Purge(few, dir, dir, 5); err != nil || !slices.Equal(removed, []string{dir + "/log.1"}) {
		t.Errorf("with one snapshot: removed %v, %v", removed, err)
	}
	none := diskWith(map[string][]byte{"log.1": logOf(), "log.10": logOf()})
	if removed, err := txnlog.Purge(none, dir, dir, 3); err != nil || len(removed) != 0 {
		t.Errorf("without snapshots: removed %v, %v", removed, err)
	}
	only := diskWith(map[string][]byte{"snapshot.10": snap, "log.20": logOf(), "log.foo": nil})
	if removed, err := txnlog.Purge(only, dir, dir, 3); err != nil || !slices.Equal(removed, []string{dir + "/log.foo"}) {
		t.Errorf("with newer logs only: removed %v, %v", removed, err)
	}
}

func TestPrepareDirs(t *testing.T) {
	for _, c := range []struct {
		name     string
		files    []string
		data     string
		logs     string
		create   bool
		snapDir  string
		logDir   string
		err      string
		expected []string // left in snapDir
	}{
		{name: "made", data: "/d", create: true, snapDir: "/d/version-2", logDir: "/d/version-2"},
		{name: "two made", data: "/d", logs: "/l", create: true, snapDir: "/d/version-2", logDir: "/l/version-2"},
		{name: "not made", data: "/d", err: "/d/version-2: it does not exist"},
		{name: "found", files: []string{"/d/version-2/snapshot.0", "/d/version-2/log.1", "/d/version-2/quoll-tmp.3.snapshot.5"}, data: "/d", snapDir: "/d/version-2", logDir: "/d/version-2", expected: []string{"log.1", "snapshot.0"}},
		{name: "snapshot among logs", files: []string{"/l/version-2/snapshot.0"}, data: "/d", logs: "/l", create: true, err: "Log directory has snapshot files. Check if dataLogDir and dataDir configuration is correct."},
		{name: "log among snapshots", files: []string{"/d/version-2/log.1"}, data: "/d", logs: "/l", create: true, err: "Snapshot directory has log files."},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := memfs.New()
			for _, name := range c.files {
				disk.WriteFile(name, nil)
			}
			snapDir, logDir, err := txnlog.PrepareDirs(disk, c.data, c.logs, c.create)
			if c.err != "" {
				if !errors.Is(err, txnlog.ErrDataDir) || !strings.Contains(err.Error(), c.err) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil || snapDir != c.snapDir || logDir != c.logDir {
				t.Fatalf("%s and %s, %v", snapDir, logDir, err)
			}
			for _, d := range []string{snapDir, logDir} {
				if names, err := disk.ReadDir(d); err != nil || !slices.Equal(names, c.expected) {
					t.Errorf("%s holds %v, %v", d, names, err)
				}
			}
		})
	}
	disk := diskWith(nil)
	disk.Fail = func(op, name string) error {
		if op == "create" {
			return os.ErrPermission
		}
		return nil
	}
	if _, _, err := txnlog.PrepareDirs(disk, "/data", "", true); !errors.Is(err, txnlog.ErrDataDir) || !errors.Is(err, os.ErrPermission) {
		t.Errorf("a directory that cannot be written to: %v", err)
	}
}

// The real file system does what the one in memory does.
func TestOS(t *testing.T) {
	home := filepath.Join(t.TempDir(), "new", "data")
	snapDir, logDir, err := txnlog.PrepareDirs(txnlog.OS, home, "", true)
	if err != nil {
		t.Fatal(err)
	}
	n := smallSnapshot(t)
	if _, _, err := txnlog.WriteSnapshot(txnlog.OS, snapDir, 0, txnlog.Gzip, n.source(nil, nil)); err != nil {
		t.Fatal(err)
	}
	log := txnlog.NewLog(txnlog.LogOptions{Dir: logDir, PreAlloc: 64 << 10, ForceSync: true})
	for z := int64(1); z <= 5; z++ {
		log.Append(z, remove(z, "/a"))
		if z == 3 {
			log.Roll()
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := txnlog.OS.ReadDir(logDir)
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"log.1", "log.4", "snapshot.0.gz"}) {
		t.Errorf("files %v, %v", names, err)
	}
	f, err := os.OpenFile(filepath.Join(logDir, "log.4"), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("torn"), int64(len(logOf(remove(4, "/a"), remove(5, "/a")))))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	count := func(from int64) (got []int64) {
		res, err := txnlog.ReadLogs(txnlog.OS, logDir, from, 0, func(r txnlog.Record) error {
			got = append(got, r.Zxid)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if res.Tail != nil {
			if err := res.Tail.Cut(txnlog.OS); err != nil {
				t.Fatal(err)
			}
		}
		return got
	}
	if got := count(1); !slices.Equal(got, upTo(5)) {
		t.Errorf("read %v", got)
	}
	if info, err := os.Stat(filepath.Join(logDir, "log.4")); err != nil || info.Size() != int64(len(logOf(remove(4, "/a"), remove(5, "/a")))) {
		t.Errorf("the torn log was not cut: %v", err)
	}
	if err := txnlog.TruncateLogs(txnlog.OS, logDir, 3, 0); err != nil {
		t.Fatal(err)
	}
	if got := count(1); !slices.Equal(got, upTo(3)) {
		t.Errorf("read %v", got)
	}
	if info, ok, err := txnlog.LoadNewestSnapshot(txnlog.OS, snapDir, 0, func() txnlog.SnapshotSink { return &notes{} }); !ok || err != nil || info.Nodes != len(n.nodes) {
		t.Errorf("loaded %+v, %v", info, err)
	}
	if _, _, err := txnlog.PrepareDirs(txnlog.OS, filepath.Join(home, "version-2", "log.1"), "", true); !errors.Is(err, txnlog.ErrDataDir) {
		t.Errorf("a file in place of the directory: %v", err)
	}
}

// counting is a sink that adds up what it gets.
type counting struct{ bytes int }

func (c *counting) Session(int64, int32) { c.bytes += 12 }

func (c *counting) ACL(_ int64, acl []jute.ACL) { c.bytes += len(acl) }

func (c *counting) Node(path string, data []byte, acl int64, stat jute.StatPersisted) error {
	c.bytes += len(path) + len(data)
	return nil
}

func FuzzReadLogs(f *testing.F) {
	for _, name := range []string{"g1-log.1", "g6-log.1", "g7-log.100000001"} {
		f.Add(golden(f, name))
	}
	f.Add(logOf(remove(1, "/a"))[:40])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		disk := diskWith(map[string][]byte{"log.1": b})
		var got [][]byte
		read := func() (txnlog.ReadResult, error) {
			got = nil
			return txnlog.ReadLogs(disk, dir, 0, 0, func(r txnlog.Record) error {
				if r.Offset < 16 || r.Offset+int64(len(r.Entry)) > int64(len(b)) {
					t.Fatalf("a record of %d bytes at %d", len(r.Entry), r.Offset)
				}
				got = append(got, slices.Clone(r.Entry))
				return nil
			})
		}
		res, err := read()
		if err != nil {
			var damage *txnlog.DamageError
			if !errors.As(err, &damage) {
				t.Fatal(err)
			}
			return
		}
		// What was read is what the file begins with, and a cut keeps it.
		first := got
		if whole := logOf(got...); len(got) > 0 && string(whole[16:]) != string(b[16:len(whole)]) {
			t.Error("the records are not the file's")
		}
		if res.Tail != nil {
			if err := res.Tail.Cut(disk); err != nil {
				t.Fatal(err)
			}
			if res, err = read(); err != nil || res.Tail != nil && !res.Tail.Hole {
				t.Errorf("after the cut: %v, %v", res.Tail, err)
			}
			if !slices.EqualFunc(first, got, slices.Equal) {
				t.Error("the cut changed what is read")
			}
		}
		if len(b) > 0 {
			if err := txnlog.TruncateLogs(disk, dir, 5, 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzReadSnapshot(f *testing.F) {
	for name, suffix := range map[string]string{"g2-snapshot.0": "", "g3-snapshot.1a": "", "g4-snapshot.1a.gz": ".gz", "g5-snapshot.1a.snappy": ".snappy"} {
		f.Add(suffix, golden(f, name))
	}
	f.Fuzz(func(t *testing.T, suffix string, b []byte) {
		if suffix != ".gz" && suffix != ".snappy" {
			suffix = ""
			b = append(b[:len(b):len(b)], "\x00\x00\x00\x01/"...) // or else it would not be opened
		}
		disk := diskWith(map[string][]byte{"snapshot.1a" + suffix: b})
		sink := &counting{}
		info, ok, err := txnlog.LoadNewestSnapshot(disk, dir, 0, func() txnlog.SnapshotSink { return sink })
		if suffix == "" && sink.bytes > len(b) {
			t.Errorf("%d bytes came out of %d", sink.bytes, len(b))
		}
		if !ok {
			if err != nil && !errors.Is(err, txnlog.ErrNoValidSnapshot) {
				t.Fatal(err)
			}
			return
		}
		n, _ := readNotes(t, disk)
		if len(n.nodes) != info.Nodes || info.Zxid != 0x1a {
			t.Errorf("%d nodes, %+v", len(n.nodes), info)
		}
	})
}

// Lengths and counts that a file claims do not decide what is allocated.
func TestClaimsAreNotTrusted(t *testing.T) {
	head := "ZKSN\x00\x00\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff"
	huge := map[string]string{
		"sessions":    head + "\x7f\xff\xff\xff",
		"ACL lists":   head + "\x00\x00\x00\x00\x7f\xff\xff\xff",
		"ACL":         head + "\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x7f\xff\xff\xff",
		"path":        head + "\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff\xff\xff",
		"data":        head + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff\xff\xff",
		"snappy":      "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\x7f\xff\xff\xff",
		"snappy bomb": "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x06\xff\xff\xff\xff\x07\x00",
	}
	for _, name := range slices.Sorted(maps.Keys(huge)) {
		content, file := huge[name], "snapshot.1a"
		if strings.HasPrefix(name, "snappy") {
			file += ".snappy"
		} else {
			content += "\x00\x00\x00\x01/"
		}
		disk := diskWith(map[string][]byte{file: []byte(content)})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := txnlog.LoadNewestSnapshot(disk, dir, 1<<31-1, func() txnlog.SnapshotSink { return &counting{} })
		runtime.ReadMemStats(&after)
		if !errors.Is(err, txnlog.ErrNoValidSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes for a file of %d", name, n, len(content))
		}
	}
	disk := diskWith(map[string][]byte{"log.1": append(logOf(), "\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff\xff\xff"...)})
	if res, err := txnlog.ReadLogs(disk, dir, 0, 1<<31-1, nil); err != nil || res.Tail == nil {
		t.Errorf("log: %v, %v", res.Tail, err)
	}
}
