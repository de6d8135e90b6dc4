package server

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog/memfs"
)

// TestRestoreLosesPower takes the power before each operation of a restore and of the writes behind it: a start finds the old state or, once the restore was acknowledged, the new one
// with what was acknowledged since.
func TestRestoreLosesPower(t *testing.T) {
	seed := seeded(t)
	type remains struct {
		op       string
		disk     *memfs.FS
		restored bool
		written  int // writes acknowledged since
	}
	disk := memfs.New()
	var mu sync.Mutex
	var cuts []remains
	watching, restored, written := false, false, 0
	disk.Fail = func(op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		if watching {
			for _, rng := range []*rand.Rand{nil, rand.New(rand.NewPCG(seed, uint64(len(cuts))))} {
				cuts = append(cuts, remains{op + " " + name, disk.Crash(rng), restored, written})
			}
		}
		return nil
	}
	s := startRestorable(t, disk)
	c := connect(t, s)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Create(t.Context(), "/a", []byte("before"), client.OpenACL, jute.ModePersistent))
	taken, err := s.Snapshot()
	must(nil, err)
	snapshot, err := disk.ReadFile(taken.File)
	must(nil, err)
	must(c.Set(t.Context(), "/a", []byte("after"), -1))
	note := func(set func()) {
		mu.Lock()
		defer mu.Unlock()
		set()
	}
	note(func() { watching = true })
	zxid, err := s.Restore(bytes.NewReader(snapshot))
	must(nil, err)
	note(func() { restored = true })
	again := connect(t, s)
	session, _, _ := again.Session()
	for i := range 2 {
		must(again.Create(t.Context(), fmt.Sprint("/new", i), nil, client.OpenACL, jute.ModePersistent))
		note(func() { written = i + 1 })
	}
	must(nil, s.Close())
	note(func() { watching = false })
	if len(cuts) < 20 {
		t.Errorf("only %d power cuts", len(cuts))
	}
	for _, cut := range cuts {
		s := startRestorable(t, cut.disk)
		s.readTree(func(tr *tree.Tree) {
			data := "nothing"
			if n := tr.Lookup("/a"); n != nil {
				data = string(n.Data())
			}
			isNew := tr.LastZxid() >= zxid
			switch {
			case isNew && data != "before", !isNew && data != "after":
				t.Errorf("before %q: /a has %q at zxid 0x%x, and the restore is 0x%x", cut.op, data, tr.LastZxid(), zxid)
			case cut.restored && !isNew:
				t.Errorf("before %q: the restore was acknowledged, and the state is the old one", cut.op)
			}
			if _, ok := tr.SessionTimeout(session); !ok && cut.written > 0 {
				t.Errorf("before %q: LOST: a session that was made behind the restore", cut.op)
			}
			for i := range cut.written {
				if tr.Lookup(fmt.Sprint("/new", i)) == nil {
					t.Errorf("before %q: LOST: /new%d was acknowledged", cut.op, i)
				}
			}
		})
		if n := s.metrics.DigestMismatches.Load(); n > 0 {
			t.Errorf("before %q: %d digests do not match", cut.op, n)
		}
		must(nil, s.Close())
	}
}

// TestRestoreOfNoRoom leaves everything as it was when the disk takes no snapshot.
func TestRestoreOfNoRoom(t *testing.T) {
	disk := memfs.New()
	full := false
	var mu sync.Mutex
	disk.Fail = func(op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		if full && strings.Contains(name, "snapshot") {
			return syscall.ENOSPC
		}
		return nil
	}
	s := startRestorable(t, disk)
	taken, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := disk.ReadFile(taken.File)
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, s)
	mu.Lock()
	full = true
	mu.Unlock()
	if _, err := s.Restore(bytes.NewReader(snapshot)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	if _, err := c.Create(t.Context(), "/still", nil, client.OpenACL, jute.ModePersistent); err != nil {
		t.Errorf("the connection and the log: %v", err)
	}
	if _, err := (&Server{}).Restore(nil); !errors.Is(err, ErrCannotRestore) {
		t.Error(err)
	}
}

func startRestorable(t *testing.T, disk *memfs.FS) *Server {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{Set: []string{"dataDir=/data", "clientPort=0", "preAllocSize=1"}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(Options{Config: cfg, Listeners: []net.Listener{l}, FS: disk, StoreFS: disk.VFS()})
	if err != nil {
		_ = l.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
