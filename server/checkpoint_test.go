package server

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

// tale is a logger's output, which goroutines may write and a test may read.
type tale struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *tale) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *tale) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *tale) has(text string) bool { return strings.Contains(l.String(), text) }

// startOn starts a server on a directory, with a checkpoint about every few kilobytes of log. It does not close it.
func startOn(t testing.TB, dir string, settings ...string) (*Server, *tale) {
	t.Helper()
	s, told, err := tryStartOn(t, dir, settings...)
	if err != nil {
		t.Fatal(err)
	}
	return s, told
}

func tryStartOn(t testing.TB, dir string, settings ...string) (*Server, *tale, error) {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{Set: append([]string{"dataDir=" + dir, "4lw.commands.whitelist=*", "extendedTypesEnabled=true", "preAllocSize=64"}, settings...)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := new(tale)
	s, err := Start(Options{Config: cfg, Listeners: []net.Listener{l}, Logger: slog.New(slog.NewTextHandler(told, nil)), CheckpointBytes: 4 << 10})
	if err != nil {
		_ = l.Close()
	}
	return s, told, err
}

// fill writes a bit of everything that a tree keeps.
func fill(t testing.TB, s *Server, seed uint64) {
	t.Helper()
	c, err := client.Connect(t.Context(), s.addr(), client.Options{Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abandon()
	rng := rand.New(rand.NewPCG(seed, 3))
	modes := []jute.CreateMode{jute.ModePersistent, jute.ModeEphemeral, jute.ModePersistentSequential, jute.ModeContainer}
	for i := range 60 {
		path := fmt.Sprintf("/n%d", rng.IntN(40))
		acl := client.OpenACL
		if rng.IntN(2) == 0 {
			acl = []jute.ACL{{Perms: jute.PermAll, Scheme: "ip", ID: fmt.Sprint("127.0.0.1/", 1+rng.IntN(8))}}
		}
		var code jute.Code
		switch rng.IntN(4) {
		case 0, 1:
			_, err = c.Create(t.Context(), path, fmt.Append(nil, seed, i), acl, modes[rng.IntN(len(modes))])
		case 2:
			_, err = c.Set(t.Context(), path, fmt.Append(nil, seed, i), -1)
		case 3:
			err = c.Delete(t.Context(), path, -1)
		}
		if err != nil && !errors.As(err, &code) {
			t.Fatal(err)
		}
	}
}

func state(s *Server) (text map[string]string) {
	s.readTree(func(t *tree.Tree) { text = treeText(t) })
	return text
}

// restart closes a server and compares what a new one finds. It returns what that said.
func restart(t *testing.T, s *Server, between func(dir string)) (*Server, string) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	dir := s.opts.DataDir
	between(dir)
	again, told := startOn(t, dir)
	want, got := state(s), state(again)
	for key := range want {
		if got[key] != want[key] {
			t.Errorf("%s is %s, was %s", key, got[key], want[key])
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s is %s and should not be there", key, got[key])
		}
	}
	return again, told.String()
}

func storeFiles(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "quoll/store", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in the store: %v", pattern, err)
	}
	return files
}

func flip(t *testing.T, file string, at int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 0x10
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// rewriteSnapshot writes the newest snapshot anew as a Java server would.
func rewriteSnapshot(t *testing.T, dir string) {
	t.Helper()
	var loader *tree.Loader
	v2 := filepath.Join(dir, "version-2")
	info, ok, err := txnlog.LoadNewestSnapshot(txnlog.OS, v2, 0, func() txnlog.SnapshotSink {
		loader = tree.NewLoader(false)
		return loader
	})
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	tr, err := loader.Finish()
	if err != nil {
		t.Fatal(err)
	}
	src := txnlog.SnapshotSource{Nodes: func(b []byte) ([]byte, bool, error) {
		err := tr.Each(func(n *tree.Node) error {
			st := n.Persisted()
			b = txnlog.AppendNode(b, n.Path(), n.Data(), tr.ACLNumber(n), &st)
			return nil
		})
		return b, false, err
	}}
	tr.EachSession(func(id int64, timeout int32) {
		src.Sessions = append(src.Sessions, txnlog.Session{ID: id, Timeout: timeout})
	})
	tr.EachACL(func(n int64, acl []jute.ACL) { src.ACLs = append(src.ACLs, txnlog.ACLList{Number: n, ACL: acl}) })
	if _, _, err := txnlog.WriteSnapshot(txnlog.OS, v2, info.Zxid, txnlog.Plain, src); err != nil {
		t.Fatal(err)
	}
}

// TestStoreIsChecked starts servers on directories to which something was done, and looks where they took the state from. Whatever it was,
// nothing is missing.
func TestStoreIsChecked(t *testing.T) {
	tests := []struct {
		name, says string
		do         func(t *testing.T, dir string)
	}{
		{"nothing was done", "from=store", func(*testing.T, string) {}},
		{"the store is gone", "from=snapshot.", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "quoll")); err != nil {
				t.Fatal(err)
			}
		}},
		{"the store is a file", "from=snapshot.", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "quoll/store")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "quoll/store"), []byte("hello"), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{"a damaged table", "from=snapshot.", func(t *testing.T, dir string) {
			for _, file := range storeFiles(t, dir, "*/*.sst") {
				flip(t, file, 20)
			}
		}},
		{"a damaged manifest", "from=snapshot.", func(t *testing.T, dir string) {
			for _, file := range storeFiles(t, dir, "*/MANIFEST-*") {
				flip(t, file, 10)
			}
		}},
		{"a cut manifest", "from=snapshot.", func(t *testing.T, dir string) {
			for _, file := range storeFiles(t, dir, "*/MANIFEST-*") {
				if err := os.Truncate(file, 3); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"another format", "from=snapshot.", func(t *testing.T, dir string) {
			if err := os.WriteFile(storeFiles(t, dir, "FORMAT")[0], []byte("quoll store 99\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{"a snapshot of another server", "was written by another server", rewriteSnapshot},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, _ := startOn(t, t.TempDir())
			for i := range uint64(3) {
				fill(t, s, i)
				if i == 1 {
					if _, err := s.Snapshot(); err != nil {
						t.Fatal(err)
					}
				}
			}
			s, told := restart(t, s, func(dir string) { test.do(t, dir) })
			if !strings.Contains(told, test.says) {
				t.Errorf("the log does not say %q:\n%s", test.says, told)
			}
			if rebuilt := test.says != "from=store"; strings.Contains(told, "from=store") == rebuilt {
				t.Errorf("it is not true that it was rebuilt: %v\n%s", rebuilt, told)
			}
			// And the store is good again.
			fill(t, s, 9)
			if _, err := s.Snapshot(); err != nil {
				t.Fatal(err)
			}
			s, told = restart(t, s, func(string) {})
			if !strings.Contains(told, "from=store") {
				t.Errorf("the store was not built anew:\n%s", told)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestNoPlaceForTheStore has a file where quoll's directory should be: the server serves all the same, and says why it writes no snapshot.
func TestNoPlaceForTheStore(t *testing.T) {
	s, _ := startOn(t, t.TempDir())
	fill(t, s, 1)
	s, told := restart(t, s, func(dir string) {
		if err := os.RemoveAll(filepath.Join(dir, "quoll")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "quoll"), []byte("hello"), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	defer s.Close()
	fill(t, s, 2)
	if _, err := s.Snapshot(); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("a snapshot without a store: %v\n%s", err, told)
	}
}

// TestStoreOfAnotherHistory takes the log back, or exchanges the store for that of another server: both must be noticed.
func TestStoreOfAnotherHistory(t *testing.T) {
	first, _ := startOn(t, t.TempDir())
	fill(t, first, 1)
	cut := first.lastZxid.Load()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	dir := first.opts.DataDir
	want := state(first)

	second, _ := startOn(t, dir)
	fill(t, second, 2)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	// A snapshot of the second run would be a state that the log no longer leads to.
	snapshots, err := filepath.Glob(filepath.Join(dir, "version-2/snapshot.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range snapshots {
		if !strings.HasSuffix(file, ".0") {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := txnlog.TruncateLogs(txnlog.OS, filepath.Join(dir, "version-2"), cut, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "quoll/synced")); err != nil {
		t.Fatal(err)
	}
	third, told := startOn(t, dir)
	if got := state(third); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after the log was taken back: %v, want %v", got, want)
	}
	if !strings.Contains(told.String(), "the log does not have the transaction") {
		t.Errorf("nobody noticed:\n%s", told)
	}
	fill(t, third, 3)
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}

	other, _ := startOn(t, t.TempDir())
	for i := range uint64(4) {
		fill(t, other, 10+i)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if third.lastZxid.Load() > other.lastZxid.Load() {
		t.Fatal("the other server's store must be one of a zxid that this log has")
	}
	swap := other.opts.DataDir
	if err := os.RemoveAll(filepath.Join(swap, "quoll/store")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "quoll/store"), filepath.Join(swap, "quoll/store")); err != nil {
		t.Fatal(err)
	}
	again, told := startOn(t, swap)
	defer again.Close()
	if got, want := state(again), state(other); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("with another server's store: %v, want %v", got, want)
	}
	if !strings.Contains(told.String(), "is another one in") {
		t.Errorf("nobody noticed:\n%s", told)
	}
}

// TestTwoServersOnOneDirectory must not be: the second one says why.
func TestTwoServersOnOneDirectory(t *testing.T) {
	s, _ := startOn(t, t.TempDir())
	defer s.Close()
	if _, _, err := tryStartOn(t, s.opts.DataDir); !errors.Is(err, txnlog.ErrDataDir) {
		t.Errorf("a second server on the directory: %v", err)
	}
}

// TestSnapshotsWithTheirLogs takes snapshots under load and purges, and starts from ZooKeeper's files alone after each.
func TestSnapshotsWithTheirLogs(t *testing.T) {
	s, _ := startOn(t, t.TempDir())
	for i := range uint64(8) {
		fill(t, s, i)
		taken, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		fill(t, s, 100+i)
		v2 := filepath.Join(s.opts.DataDir, "version-2")
		if _, err := txnlog.Purge(txnlog.OS, v2, v2, txnlog.MinRetain); err != nil {
			t.Fatal(err)
		}
		if name := fmt.Sprintf("snapshot.%x", taken.Zxid); filepath.Base(taken.File) != name {
			t.Errorf("the snapshot of 0x%x is %s", taken.Zxid, taken.File)
		}
		var told string
		s, told = restart(t, s, func(dir string) {
			if i%2 == 0 {
				if err := os.RemoveAll(filepath.Join(dir, "quoll/store")); err != nil {
					t.Fatal(err)
				}
			}
		})
		if strings.Contains(told, "from=store") != (i%2 == 1) {
			t.Errorf("round %d: %s", i, told)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshot(); err == nil {
		t.Error("a snapshot of a server that has stopped")
	}
}

// TestStoreOlderThanTheSnapshot puts a newer snapshot of quoll's own into a directory, as an operator restores by hand: the store and the log
// before it must not win.
func TestStoreOlderThanTheSnapshot(t *testing.T) {
	old, _ := startOn(t, t.TempDir())
	fill(t, old, 1)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	newer, _ := startOn(t, t.TempDir())
	for i := range uint64(6) {
		fill(t, newer, 20+i)
	}
	taken, err := newer.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	want := state(newer)
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(taken.File)
	if err != nil {
		t.Fatal(err)
	}
	dir := old.opts.DataDir
	if err := os.WriteFile(filepath.Join(dir, "version-2", filepath.Base(taken.File)), b, 0o644); err != nil {
		t.Fatal(err)
	}
	again, told := startOn(t, dir)
	defer again.Close()
	if got := state(again); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the snapshot of 0x%x is not what was loaded, but zxid 0x%x:\n%s", taken.Zxid, again.lastZxid.Load(), told)
	}
}
