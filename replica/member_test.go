package replica

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quoll/config"
	"quoll/jute"
	"quoll/metrics"
	"quoll/tree"
	"quoll/txnlog"
	"quoll/txnlog/memfs"
	"quoll/zab"
)

const testDir = "/data/version-2"

func options(disk *memfs.FS) *Options {
	c := config.Defaults()
	c.DataDir, c.DataLogDir, c.DataDirAutocreate, c.DBAutocreate, c.PreAllocSizeKiB = "/data", "/data", true, true, 0
	return &Options{Config: c, FS: disk, StoreFS: disk.VFS(), Metrics: metrics.New(metrics.Null), Logger: slog.New(slog.DiscardHandler), Still: true}
}

func open(t testing.TB, disk *memfs.FS) *Member {
	t.Helper()
	m, err := Open(options(disk))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// zxid is epoch.counter.
func zxid(epoch, counter int64) int64 { return epoch<<32 | counter }

// record is a transaction that makes a znode whose name is its zxid.
func record(z int64) zab.Record {
	txn := tree.Txn{Path: fmt.Sprintf("/%x", z), ACL: []jute.ACL{{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}}, ParentCVersion: -1}
	txn.Zxid, txn.Type = z, int32(jute.OpCreate)
	return zab.Record{Zxid: z, Data: txn.Append(nil)}
}

// add logs, syncs and applies the records of zxids.
func add(t testing.TB, m *Member, zxids ...int64) {
	t.Helper()
	if err := tryAdd(m, zxids...); err != nil {
		t.Fatal(err)
	}
}

func tryAdd(m *Member, zxids ...int64) error {
	for _, z := range zxids {
		r := record(z)
		if err := m.Append([]zab.Record{r}); err != nil {
			return err
		}
		if err := m.Apply(&r, func(txn *tree.Txn) { m.Tree().Apply(txn, new(tree.Result), nil) }); err != nil {
			return err
		}
	}
	_, err := m.Sync()
	return err
}

// history is which zxids are in a tree.
func history(t *tree.Tree) (zxids []int64) {
	_ = t.Each(func(n *tree.Node) error {
		if s := n.Persisted(); s.Czxid != 0 {
			zxids = append(zxids, s.Czxid)
		}
		return nil
	})
	slices.Sort(zxids)
	return zxids
}

// stream is the state after transactions as a leader sends it.
func stream(t testing.TB, zxids ...int64) []byte {
	m := open(t, memfs.New())
	if err := m.PersistEpoch(zab.AcceptedEpoch, 9); err != nil {
		t.Fatal(err)
	}
	add(t, m, zxids...)
	var b bytes.Buffer
	if err := m.WriteStream(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestReplayAhead replays a log over the snapshot of a leader that is ahead of its zxid: the digests that do not fit until the transaction has come whose
// effect it has are no news, one after it is.
func TestReplayAhead(t *testing.T) {
	disk := memfs.New()
	m := open(t, disk)
	if _, err := m.Install(2, bytes.NewReader(stream(t, 1, 2, 4))); err != nil {
		t.Fatal(err)
	}
	leader := tree.New()
	for z := int64(1); z <= 6; z++ {
		txn, err := tree.DecodeTxn(record(z).Data)
		if err != nil {
			t.Fatal(err)
		}
		leader.Apply(&txn, new(tree.Result), nil)
		if txn.HasDigest, txn.Digest = true, leader.Digest(); z == 6 {
			txn.Digest++
		}
		if z > 2 {
			if err := m.Append([]zab.Record{{Zxid: z, Data: txn.Append(nil)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	if n, last := m.o.Metrics.DigestMismatches.Load(), m.Tree().LastZxid(); n != 1 || last != 6 {
		t.Errorf("%d mismatches were counted up to %x", n, last)
	}
}

// TestEpochFiles walks the rules at start of docs/spec/storage-format.md, section 8.2.
func TestEpochFiles(t *testing.T) {
	for _, tt := range []struct {
		name, current, accepted, staged string
		last                            int64
		want                            [2]int64 // accepted, current
		err                             string
	}{
		{"both are there", "2", "3", "", zxid(2, 1), [2]int64{3, 2}, ""},
		{"a last line without an end counts", "2\n", "3\r\nx", "", zxid(2, 1), [2]int64{3, 2}, ""},
		{"a standalone server's directory", "", "", "", zxid(2, 1), [2]int64{2, 2}, ""},
		{"an empty directory", "", "", "", 0, [2]int64{0, 0}, ""},
		{"the log is ahead", "1", "3", "", zxid(2, 1), [2]int64{3, 2}, ""},
		{"the log is ahead of both", "1", "1", "", zxid(2, 1), [2]int64{}, "the current epoch, 1, is older than the last zxid, 0x200000001, and so is the accepted epoch, 1"},
		{"the log is ahead and the epoch is staged", "1", "3", "2", zxid(2, 1), [2]int64{3, 2}, ""},
		{"the log is ahead of what is staged too", "1", "3", "1", zxid(2, 1), [2]int64{3, 2}, ""},
		{"what is staged is not needed", "2", "3", "3", zxid(2, 1), [2]int64{3, 2}, ""},
		{"accepted less than current", "2", "1", "", zxid(2, 1), [2]int64{}, "the accepted epoch, 1, is less than the current epoch, 2"},
		{"no number", "x", "1", "", zxid(1, 1), [2]int64{}, `found "x"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := memfs.New()
			m := open(t, disk)
			if tt.last != 0 {
				if err := m.PersistEpoch(zab.AcceptedEpoch, 9); err != nil {
					t.Fatal(err)
				}
				add(t, m, zxid(1, 1), tt.last)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"currentEpoch": tt.current, "acceptedEpoch": tt.accepted, "currentEpoch.tmp": tt.staged} {
				if text == "" {
					_ = disk.Remove(filepath.Join(testDir, name))
				} else {
					disk.WriteFile(filepath.Join(testDir, name), []byte(text))
				}
			}
			m, err := Open(options(disk))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, ErrEpoch) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.Epochs() != tt.want {
				t.Errorf("epochs %v, want %v", m.Epochs(), tt.want)
			}
			if behind := tt.current == "1" && tt.staged != "2"; m.Raised() != behind { // the log is of epoch 2
				t.Errorf("currentEpoch was raised: %v", m.Raised())
			}
			for file, name := range epochNames {
				if text, err := disk.ReadFile(filepath.Join(testDir, name)); err != nil || strings.TrimSpace(string(text[:1])) != fmt.Sprint(tt.want[file]) {
					t.Errorf("%s has %q, %v", name, text, err)
				}
			}
			if _, err := disk.ReadFile(filepath.Join(testDir, "currentEpoch.tmp")); err == nil {
				t.Error("currentEpoch.tmp is still there")
			}
		})
	}
}

// TestTrust lets a server come up without a disk.
func TestTrust(t *testing.T) {
	disk := memfs.New()
	o := options(disk)
	o.DBAutocreate = false
	again := func(m *Member) *Member {
		t.Helper()
		if m != nil {
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
		m, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	untrusted := func(m *Member, want bool, when string) {
		t.Helper()
		if got := m.Disk().Untrusted; got != want {
			t.Errorf("%s: untrusted is %v", when, got)
		}
	}
	m := again(nil)
	untrusted(m, true, "an empty disk")
	if list, _ := txnlog.Snapshots(disk, testDir); len(list) > 0 {
		t.Errorf("a server that may not vote has written %v", list)
	}
	if err := m.PersistEpoch(zab.AcceptedEpoch, 1); err != nil {
		t.Fatal(err)
	}
	m = again(m)
	untrusted(m, true, "the next start")
	add(t, m, zxid(1, 1))
	m = again(m)
	untrusted(m, true, "with a history that nothing has sealed")
	if got := history(m.Tree()); !slices.Equal(got, []int64{zxid(1, 1)}) {
		t.Errorf("the history is %x", got)
	}
	if err := m.PersistEpoch(zab.CurrentEpoch, 1); err != nil {
		t.Fatal(err)
	}
	untrusted(m, false, "sealed")
	m = again(m)
	untrusted(m, false, "sealed, and the next start")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}

	disk = memfs.New()
	o.FS, o.StoreFS = disk, disk.VFS()
	disk.WriteFile("/data/initialize", nil)
	m = again(nil)
	untrusted(m, false, "a disk that is to be empty")
	if _, err := disk.ReadFile("/data/initialize"); err == nil {
		t.Error("the file initialize is still there")
	}
	if list, _ := txnlog.Snapshots(disk, testDir); len(list) != 1 {
		t.Errorf("the snapshots are %v", list)
	}
	m = again(m)
	untrusted(m, false, "and the next start")
	_ = m.Close()
}

// TestTruncate cuts a log with the store and snapshots before and behind the cut.
func TestTruncate(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(m *Member) error
		refused bool
	}{
		{"only the log is ahead", func(*Member) error { return nil }, false},
		{"the store is ahead", func(m *Member) error { return m.Checkpoint() }, false},
		{"a snapshot is ahead", func(m *Member) error { return m.Snapshot() }, false},
		{"no snapshot is left", func(m *Member) error {
			if err := m.Snapshot(); err != nil {
				return err
			}
			return m.o.FS.Remove(filepath.Join(testDir, "snapshot.0"))
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := memfs.New()
			m := open(t, disk)
			if err := m.PersistEpoch(zab.AcceptedEpoch, 3); err != nil {
				t.Fatal(err)
			}
			add(t, m, zxid(1, 1), zxid(1, 2), zxid(1, 3))
			if err := tt.prepare(m); err != nil {
				t.Fatal(err)
			}
			add(t, m, zxid(1, 4), zxid(1, 5))
			err := m.Truncate(zxid(1, 2))
			if errors.Is(err, ErrNotTruncated) != tt.refused || !tt.refused && err != nil {
				t.Fatal(err)
			}
			want := []int64{zxid(1, 1), zxid(1, 2)}
			if tt.refused {
				want = append(want, zxid(1, 3), zxid(1, 4), zxid(1, 5))
			}
			if got := history(m.Tree()); !slices.Equal(got, want) || m.Disk().Zxid != want[len(want)-1] {
				t.Fatalf("the history is %x", got)
			}
			add(t, m, zxid(3, 1)) // of another history than what was cut
			want = append(want, zxid(3, 1))
			m = open(t, disk.Crash(nil))
			if got := history(m.Tree()); !slices.Equal(got, want) {
				t.Errorf("after a loss of power the history is %x, want %x", got, want)
			}
		})
	}
	t.Run("the zxid is in no log", func(t *testing.T) {
		m := open(t, memfs.New())
		add(t, m, 1, 2)
		if err := m.Truncate(zxid(1, 1)); !errors.Is(err, ErrNotTruncated) {
			t.Fatal(err)
		}
	})
}

// TestPowerCuts lets the power go before each operation of what changes a history, several times over, since what survives is drawn. A cut removes the files of a
// log one after another, so that it may be done in part.
func TestPowerCuts(t *testing.T) {
	old := []int64{zxid(1, 1), zxid(1, 2), zxid(1, 3), zxid(2, 1), zxid(2, 2)}
	sent := []int64{zxid(1, 1), zxid(1, 2), zxid(3, 1)}
	snapshot, low := stream(t, sent...), stream(t, old[:3]...)
	for _, tt := range []struct {
		name   string
		do     func(m *Member) error
		before [][]int64 // what may be found if it is not done
		after  []int64
	}{
		{"install", func(m *Member) error { _, err := m.Install(sent[2], bytes.NewReader(snapshot)); return err }, [][]int64{old}, sent},
		{"install of less", func(m *Member) error { _, err := m.Install(old[2], bytes.NewReader(low)); return err }, [][]int64{old, old[:4], old[:3]}, old[:3]},
		{"truncate", func(m *Member) error { return m.Truncate(old[2]) }, [][]int64{old, old[:4]}, old[:3]},
		{"append of a later epoch", func(m *Member) error { return tryAdd(m, zxid(3, 1)) }, [][]int64{old}, append(slices.Clone(old), zxid(3, 1))},
		{"snapshot", (*Member).Snapshot, [][]int64{old}, old},
		{"epoch", func(m *Member) error { return m.PersistEpoch(zab.CurrentEpoch, 3) }, [][]int64{old}, old},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			for n := 0; ; n++ {
				for range 8 {
					disk := memfs.New()
					var after *memfs.FS
					left := -1
					disk.Fail = func(string, string) error {
						if left == 0 && after == nil {
							after = disk.Crash(rng)
						}
						left--
						return nil
					}
					m := open(t, disk)
					if err := m.PersistEpoch(zab.AcceptedEpoch, 3); err != nil {
						t.Fatal(err)
					}
					add(t, m, old[:2]...)
					if err := m.Snapshot(); err != nil {
						t.Fatal(err)
					}
					add(t, m, old[2:4]...)
					if err := m.Snapshot(); err != nil {
						t.Fatal(err)
					}
					add(t, m, old[4:]...)
					left = n
					if err := tt.do(m); err != nil {
						t.Fatal(err)
					}
					if after == nil && left > 0 {
						return // it has fewer operations
					}
					if after == nil {
						continue
					}
					allowed := append(slices.Clone(tt.before), tt.after)
					got := open(t, after)
					if got.Raised() {
						t.Fatalf("power cut before operation %d: ZooKeeper would not start, since currentEpoch is behind the log", n)
					}
					h := history(got.Tree())
					if !slices.ContainsFunc(allowed, func(want []int64) bool { return slices.Equal(h, want) }) {
						t.Fatalf("power cut before operation %d: the history is %x", n, h)
					}
					if current := got.Epochs()[zab.CurrentEpoch]; current < got.Disk().Zxid>>32 || current == 3 && !slices.Equal(h, tt.after) && tt.name != "append of a later epoch" {
						t.Fatalf("power cut before operation %d: currentEpoch is %d with %x", n, current, h)
					}
				}
			}
		})
	}
}

// TestInstallBroken breaks a stream off.
func TestInstallBroken(t *testing.T) {
	disk := memfs.New()
	m := open(t, disk)
	add(t, m, 1, 2)
	s := stream(t, 1, 2, 3)
	var broken *StreamError
	if _, err := m.Install(3, io.LimitReader(bytes.NewReader(s), int64(len(s)-1))); !errors.As(err, &broken) {
		t.Fatal(err)
	}
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := history(m.Tree()); !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("the history is %x", got)
	}
	rest, err := m.Install(3, bytes.NewReader(append(s, "packet"...)))
	if err != nil || string(rest) != "packet" {
		t.Fatalf("%q, %v", rest, err)
	}
	if read, err := m.ReadLog(2, 1000)(); err != nil || len(read.Records) > 0 {
		t.Errorf("records that were replaced are read: %v, %v", read.Records, err)
	}
	add(t, m, 4)
	if read, err := m.ReadLog(4, 1000)(); err != nil || len(read.Records) != 1 {
		t.Errorf("%v, %v", read.Records, err)
	}
}

// TestReadLog reads from each place.
func TestReadLog(t *testing.T) {
	m := open(t, memfs.New())
	if err := m.PersistEpoch(zab.AcceptedEpoch, 3); err != nil {
		t.Fatal(err)
	}
	all := []int64{zxid(1, 1), zxid(1, 2), zxid(1, 3), zxid(3, 1), zxid(3, 2)}
	add(t, m, all[:2]...)
	m.log.Roll()
	add(t, m, all[2:]...)
	size := len(record(all[0]).Data)
	for _, tt := range []struct {
		from  int64
		bytes int
		want  []int64
		later bool
	}{
		{0, 1000, nil, false},
		{zxid(1, 1), 1000, all, true},
		{zxid(1, 1), 0, all[:2], true},
		{zxid(1, 1), 3 * size, all[:3], true},
		{zxid(1, 3), 1000, all[2:], false},
		{zxid(2, 7), 1000, all[2:], false},
		{zxid(3, 2), 1000, all[4:], false},
		{zxid(4, 1), 1000, all[4:], false},
	} {
		read, err := m.ReadLog(tt.from, tt.bytes)()
		records, later, snapshot := read.Records, read.LaterBytes, read.SnapshotBytes
		var got []int64
		for _, r := range records {
			got = append(got, r.Zxid)
			if string(r.Data) != string(record(r.Zxid).Data) {
				t.Errorf("record %x differs", r.Zxid)
			}
		}
		if err != nil || !slices.Equal(got, tt.want) || (later > 0) != tt.later || tt.want != nil && snapshot == 0 {
			t.Errorf("from %x, %d bytes: %x, later %d, snapshot %d, %v", tt.from, tt.bytes, got, later, snapshot, err)
		}
	}
}

// TestReadLogHole has a log from before a snapshot that was installed, as a loss of power right then and Java leave it.
func TestReadLogHole(t *testing.T) {
	disk := memfs.New()
	m := open(t, disk)
	if err := m.PersistEpoch(zab.AcceptedEpoch, 9); err != nil {
		t.Fatal(err)
	}
	add(t, m, zxid(1, 1), zxid(1, 2))
	name := filepath.Join(testDir, "log.100000001")
	old, err := disk.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Install(zxid(2, 2), bytes.NewReader(stream(t, zxid(1, 1), zxid(1, 2), zxid(1, 3), zxid(2, 1), zxid(2, 2)))); err != nil {
		t.Fatal(err)
	}
	disk.WriteFile(name, old)
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	add(t, m, zxid(3, 1), zxid(3, 2))
	for _, again := range []string{"", "after another start"} {
		for from, want := range map[int64]int{zxid(1, 1): 0, zxid(1, 9): 0, zxid(2, 2): 0, zxid(2, 9): 0, zxid(3, 1): 2, zxid(3, 2): 1} {
			if read, err := m.ReadLog(from, 1000)(); err != nil || len(read.Records) != want {
				t.Errorf("from %x %s: %d records, want %d, %v", from, again, len(read.Records), want, err)
			}
		}
		if err := m.Snapshot(); err != nil {
			t.Fatal(err)
		}
		if err := m.Reload(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReload forgets what was appended and not synced, and does not trust the page cache.
func TestReload(t *testing.T) {
	disk := memfs.New()
	failing := false
	disk.Fail = func(op, name string) error {
		if failing && op == "sync" && strings.Contains(name, "log.") {
			return errors.New("the disk fails")
		}
		return nil
	}
	m := open(t, disk)
	add(t, m, 1)
	failing = true
	if err := tryAdd(m, 2); !errors.Is(err, txnlog.ErrLogFailed) {
		t.Fatal(err)
	}
	if err := m.Reload(); err == nil {
		t.Fatal("it reads a log that cannot be synced")
	}
	failing = false
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := history(m.Tree()); !slices.Equal(got, []int64{1}) || m.Disk().Zxid != 1 {
		t.Errorf("the history is %x", got)
	}
	add(t, m, 2)
	if got := history(open(t, disk.Crash(nil)).Tree()); !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("after a loss of power the history is %x", got)
	}
}
