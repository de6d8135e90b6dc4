package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
	"quoll/txnlog/memfs"
)

// diskServer is a server on a disk in memory that can fail.
type diskServer struct {
	*Server
	disk  *memfs.FS
	fault atomic.Pointer[func(op, name string) error] // for files of the log
	said  *tale
}

// startOnDisk starts a server. The store has a disk of its own.
func startOnDisk(t *testing.T, disk *memfs.FS, settings ...string) *diskServer {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{Set: append([]string{"dataDir=/data", "preAllocSize=64", "tickTime=50", "minSessionTimeout=50", "maxSessionTimeout=3600000"}, settings...)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &diskServer{disk: disk, said: &tale{}}
	disk.Fail = func(op, name string) error {
		if fault := d.fault.Load(); fault != nil && strings.Contains(name, "/version-2") && !strings.Contains(name, "snapshot") {
			return (*fault)(op, filepath.Base(name))
		}
		return nil
	}
	d.Server, err = Start(Options{
		Config: cfg, Listeners: []net.Listener{l}, FS: disk, StoreFS: memfs.New().VFS(), Logger: slog.New(slog.NewTextHandler(d.said, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.fail(nil)
		d.Close()
		if t.Failed() {
			t.Logf("%s", d.said.String())
		}
	})
	return d
}

// fail sets what happens to operations on the log; nil is that they work.
func (d *diskServer) fail(fault func(op, name string) error) {
	if fault == nil {
		d.fault.Store(nil)
	} else {
		d.fault.Store(&fault)
	}
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func set(t *testing.T, c *client.Client, path, data string) error {
	_, err := c.Set(soon(t), path, []byte(data), -1)
	if errors.Is(err, jute.ErrNoNode) {
		_, err = c.Create(soon(t), path, []byte(data), client.OpenACL, jute.ModePersistent)
	}
	return err
}

// readback starts another server on what a power cut leaves of the disk, and returns the data of a znode.
func (d *diskServer) readback(t *testing.T, path string) string {
	t.Helper()
	again := startOnDisk(t, d.disk.Crash(rand.New(rand.NewPCG(1, 2))))
	data, _, err := connect(t, again.Server).Get(soon(t), path, false)
	if err != nil {
		t.Fatalf("after a power cut: %v", err)
	}
	return string(data)
}

// A write or sync of the log fails once. Who waits for it loses the connection, nobody else notices, and what was acknowledged stays.
func TestLogFailsOnce(t *testing.T) {
	for _, op := range []string{"write", "sync", "allocate", "rename", "syncdir", "create"} {
		t.Run(op, func(t *testing.T) {
			d := startOnDisk(t, memfs.New())
			writer, reader := connect(t, d.Server), connect(t, d.Server)
			acked := "none"
			check := func(err error) {
				if err != nil {
					t.Fatal(err)
				}
			}
			check(set(t, writer, "/a", acked))
			if op != "write" && op != "sync" {
				d.local.log.Roll()
			}
			var failed atomic.Bool
			d.fail(func(did, name string) error {
				if did == op && failed.CompareAndSwap(false, true) {
					return syscall.EIO
				}
				return nil
			})
			// If both are sent before one fails the other must not be carried out.
			var second error
			var both sync.WaitGroup
			both.Go(func() { second = set(t, writer, "/b", "second") })
			first := error(nil)
			for i := 0; first == nil && i < 1000; i++ {
				if first = set(t, writer, "/a", fmt.Sprint(i)); first == nil {
					acked = fmt.Sprint(i)
				}
			}
			both.Wait()
			if first == nil && second == nil || !failed.Load() {
				t.Fatalf("no write failed: %v, %v", first, second)
			}
			if data, _, err := reader.Get(soon(t), "/a", false); err != nil || string(data) != acked {
				t.Errorf("a reader sees %q, %v; acknowledged was %q", data, err, acked)
			}
			check(set(t, reader, "/c", "later"))
			_, stat, err := reader.Get(soon(t), "/a", false)
			check(err)
			if stat, err = reader.Set(soon(t), "/a", []byte(acked), stat.Version); err != nil || stat.Mzxid != d.lastZxid.Load() {
				t.Errorf("a conditional write: %+v, %v", stat, err)
			}
			if n := d.metrics.DigestMismatches.Load(); n != 0 {
				t.Errorf("%d wrong digests", n)
			}
			if !d.said.has("could not be written") || !d.said.has("version-2/log.") || !d.said.has("takes writes again") {
				t.Error("the log is silent")
			}
			eventually(t, "no request is outstanding", func() bool { return d.outstanding.Load() == 0 })
			if got := d.readback(t, "/a"); got != acked {
				t.Errorf("after a power cut %q, acknowledged was %q", got, acked)
			}
		})
	}
}

// A client has sent several writes when the first of them fails: none of them is carried out afterwards.
func TestLogFailsInPipeline(t *testing.T) {
	d := startOnDisk(t, memfs.New(), "snapCount=1000000")
	other := connect(t, d.Server)
	if err := set(t, other, "/a", "0"); err != nil {
		t.Fatal(err)
	}
	raw := client.NewRawConn(dial(t, d.Server))
	if _, err := raw.Handshake(&jute.ConnectRequest{Timeout: 60000}); err != nil {
		t.Fatal(err)
	}
	// The first sync is that of another connection, which so leaves the second to the sequencer's own goroutine: the third connection is read on meanwhile.
	arrived, release, syncs := make(chan struct{}), make(chan struct{}), atomic.Int32{}
	d.fail(func(op, name string) error {
		if op != "sync" {
			return nil
		}
		n := syncs.Add(1)
		if n <= 2 {
			arrived <- struct{}{}
			<-release
		}
		if n == 2 {
			return syscall.EIO
		}
		return nil
	})
	written := make(chan error)
	go func() { written <- set(t, other, "/a", "0") }()
	<-arrived
	request := func(n int) {
		if err := raw.Request(int32(n), jute.OpSetData, &jute.Operation{Op: jute.OpSetData, Path: []byte("/a"), Data: fmt.Append(nil, n), Version: -1}); err != nil {
			t.Error(err)
		}
	}
	request(1)
	eventually(t, "the first request is in the inbox", func() bool { return d.local.pending() == 1 })
	release <- struct{}{}
	<-arrived
	for n := 2; n < 10; n++ {
		request(n)
	}
	eventually(t, "the requests are in the inbox", func() bool { return d.local.pending() == 8 })
	release <- struct{}{}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if h, _, err := raw.Reply(); err == nil {
		t.Errorf("a reply: %+v", h)
	}
	if err := set(t, other, "/b", "later"); err != nil {
		t.Fatal(err)
	}
	if data, _, err := other.Get(soon(t), "/a", false); err != nil || string(data) != "0" {
		t.Errorf("/a is %q, %v", data, err)
	}
	if got := d.readback(t, "/a"); got != "0" {
		t.Errorf("after a power cut /a is %q", got)
	}
}

// While the log does not come back, there are reads and nothing else; sessions do not expire; then everything goes on.
func TestLogFailsForAWhile(t *testing.T) {
	d := startOnDisk(t, memfs.New())
	c, victim := connect(t, d.Server), connect(t, d.Server)
	if err := set(t, c, "/a", "0"); err != nil {
		t.Fatal(err)
	}
	// A session of a client that is gone, and that would expire soon.
	raw := client.NewRawConn(dial(t, d.Server))
	answer, err := raw.Handshake(&jute.ConnectRequest{Timeout: 50})
	if err != nil {
		t.Fatal(err)
	}
	var syncs atomic.Int64
	d.fail(func(op, name string) error {
		if op == "sync" {
			syncs.Add(1)
			return syscall.EIO
		}
		return nil
	})
	if err := set(t, victim, "/a", "lost"); err == nil {
		t.Fatal("a write was acknowledged")
	}
	before := d.lastZxid.Load()
	if err := set(t, c, "/a", "refused"); !errors.Is(err, jute.ErrNotReadOnly) {
		t.Errorf("a write got %v", err)
	}
	if err := set(t, c, "/new", ""); !errors.Is(err, jute.ErrNotReadOnly) {
		t.Errorf("a create got %v", err)
	}
	if data, _, err := c.Get(soon(t), "/a", false); err != nil || string(data) != "0" {
		t.Errorf("a read got %q, %v", data, err)
	}
	if _, err := client.NewRawConn(dial(t, d.Server)).Handshake(&jute.ConnectRequest{Timeout: 1000}); err == nil {
		t.Error("a session was made")
	}
	tried := syncs.Load()
	eventually(t, "the disk is tried again", func() bool { return syncs.Load() >= tried+2 }) // the session would be long gone
	if d.sessions.get(answer.SessionID) == nil {
		t.Error("a session expired")
	}
	if d.said.has("Expiring") {
		t.Error("a session was about to expire")
	}
	if n := d.lastZxid.Load(); n != before {
		t.Errorf("zxid 0x%x was 0x%x", n, before)
	}
	d.fail(nil)
	eventually(t, "writes again", func() bool { return set(t, c, "/a", "1") == nil })
	eventually(t, "the session expires", func() bool { return d.sessions.get(answer.SessionID) == nil })
	connect(t, d.Server)
	if got := d.readback(t, "/a"); got != "1" {
		t.Errorf("after a power cut /a is %q", got)
	}
}

// The disk takes everything but the log: not every write is tried on it.
func TestLogSeemsToRecover(t *testing.T) {
	d := startOnDisk(t, memfs.New())
	c := connect(t, d.Server)
	if err := set(t, c, "/a", "0"); err != nil {
		t.Fatal(err)
	}
	d.fail(func(op, name string) error {
		if op == "write" && strings.Contains(name, "log.") {
			return syscall.EIO
		}
		return nil
	})
	eventually(t, "writes are refused", func() bool { return errors.Is(set(t, c, "/a", "1"), jute.ErrNotReadOnly) })
	d.fail(nil)
	eventually(t, "writes again", func() bool { return set(t, c, "/a", "1") == nil })
}

// A full disk: data is refused, sessions begin, live and end, and with room everything goes on.
func TestFullDisk(t *testing.T) {
	d := startOnDisk(t, memfs.New())
	c := connect(t, d.Server)
	fill := func() (acked int) {
		t.Helper()
		for n := 0; ; n++ {
			err := set(t, c, "/a", strings.Repeat(fmt.Sprint(n%10), 20_000)+fmt.Sprint(n))
			if err != nil {
				return n - 1
			}
			if n == 1000 {
				t.Fatal("the disk does not fill")
			}
		}
	}
	for range 2 {
		d.disk.SetLimit(d.disk.Used() + 300_000)
		last := fill()
		c = connect(t, d.Server)
		if err := set(t, c, "/a", "refused"); !errors.Is(err, jute.ErrNotReadOnly) {
			t.Fatalf("a write got %v", err)
		}
		if _, err := d.disk.ReadFile("/data/quoll/reserve"); err == nil {
			t.Error("the reserve is there")
		}
		if data, _, err := c.Get(soon(t), "/a", false); err != nil || !strings.HasSuffix(string(data), fmt.Sprint(last)) {
			t.Errorf("a read got %d bytes, %v; the last one acknowledged is %d", len(data), err, last)
		}
		short, err := client.NewRawConn(dial(t, d.Server)).Handshake(&jute.ConnectRequest{Timeout: 50})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "a session expires", func() bool { return d.sessions.get(short.SessionID) == nil })
		other := connect(t, d.Server)
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		if n := d.outstanding.Load(); n != 0 {
			t.Errorf("%d requests outstanding", n)
		}
		d.disk.SetLimit(0)
		eventually(t, "writes again", func() bool { return set(t, c, "/a", "more") == nil })
		if _, err := d.disk.ReadFile("/data/quoll/reserve"); err != nil {
			t.Errorf("the reserve: %v", err)
		}
		if got := d.readback(t, "/a"); got != "more" {
			t.Errorf("after a power cut /a is %q", got)
		}
	}
}

// With the reserve used up as well nothing is written, until there is room.
func TestFullDiskWithoutReserve(t *testing.T) {
	d := startOnDisk(t, memfs.New())
	c := connect(t, d.Server)
	if err := set(t, c, "/a", "0"); err != nil {
		t.Fatal(err)
	}
	d.fail(func(op, name string) error {
		if op == "allocate" || op == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	d.disk.SetLimit(1)
	if err := set(t, c, "/a", "1"); err == nil {
		t.Fatal("a write was acknowledged")
	}
	if _, err := client.NewRawConn(dial(t, d.Server)).Handshake(&jute.ConnectRequest{Timeout: 1000}); err == nil {
		t.Error("a session was made")
	}
	d.fail(nil)
	d.disk.SetLimit(0)
	eventually(t, "sessions again", func() bool {
		_, err := client.NewRawConn(dial(t, d.Server)).Handshake(&jute.ConnectRequest{Timeout: 1000})
		return err == nil
	})
	if got := d.readback(t, "/a"); got != "0" {
		t.Errorf("after a power cut /a is %q", got)
	}
}

// What was acknowledged is gone from the disk: the server stays read-only and says so.
func TestLogLosesWhatWasAcknowledged(t *testing.T) {
	d := startOnDisk(t, memfs.New())
	c, writer := connect(t, d.Server), connect(t, d.Server)
	if err := set(t, c, "/a", "0"); err != nil {
		t.Fatal(err)
	}
	d.fail(func(op, name string) error {
		if op == "sync" && strings.HasPrefix(name, "log.") || strings.HasPrefix(name, "quoll-tmp.log") {
			names, _ := d.disk.ReadDir("/data/version-2")
			for _, name := range names {
				if strings.HasPrefix(name, "log.") {
					b, _ := d.disk.ReadFile("/data/version-2/" + name)
					b[40] ^= 1
					d.disk.WriteFile("/data/version-2/"+name, b)
				}
			}
			d.fail(nil)
			return syscall.EIO
		}
		return nil
	})
	if err := set(t, writer, "/a", "1"); err == nil {
		t.Fatal("a write was acknowledged")
	}
	eventually(t, "the log says so", func() bool { return d.said.has("CRC check failed") && d.said.has("snapshot write") })
	if err := set(t, c, "/a", "2"); !errors.Is(err, jute.ErrNotReadOnly) {
		t.Errorf("a write got %v", err)
	}
	if data, _, err := c.Get(soon(t), "/a", false); err != nil || string(data) != "0" {
		t.Errorf("a read got %q, %v", data, err)
	}
	taken, err := d.Snapshot()
	if err != nil || taken.Zxid != d.lastZxid.Load() {
		t.Errorf("a snapshot of what is in memory: %+v, %v", taken, err)
	}
}
