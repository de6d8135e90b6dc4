package server

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"quoll/client"
	"quoll/jute"
	"quoll/txnlog/memfs"
)

// faultCase is one fault of the disk: its operations from one on fail, that many of them.
type faultCase struct {
	name   string
	err    error
	writes bool // of writes only
	length int
	retry  bool // outlasts what the server tries at once, so that it must try again later
}

var faultCases = []faultCase{
	{name: "EIO", err: syscall.EIO, length: 1},
	{name: "ENOSPC", err: syscall.ENOSPC, length: 1},
	{name: "short write", err: memfs.Short{Err: syscall.ENOSPC}, writes: true, length: 1},
	{name: "EIO for a while", err: syscall.EIO, length: 3, retry: true},
	{name: "ENOSPC for a while", err: syscall.ENOSPC, length: 3, retry: true},
}

// TestDiskFaults lets the disk fail at each of its operations in turn, while a server starts and while it is under load. The server must go on
// answering reads, must take writes again when the disk does, and whatever it acknowledged must be there after a power cut that leaves
// nothing unsynced, after one that leaves some, and after a restart.
//
// `make powercuts` does it for every operation; otherwise some of them are tried.
func TestDiskFaults(t *testing.T) {
	seed := seeded(t)
	for _, f := range faultCases {
		for _, phase := range []string{"start", "load"} {
			t.Run(f.name+" in "+phase, func(t *testing.T) {
				step, workers := 41, 4
				if f.retry {
					step, workers = 4*step, 24 // most of the time of these is waiting
				}
				if os.Getenv(powerCutsEnv) != "" {
					step = 1
				}
				var next, cases, hits atomic.Int64
				next.Store(int64(rand.N(step)))
				var work sync.WaitGroup
				for range workers {
					work.Go(func() {
						for !t.Failed() {
							at := int(next.Add(int64(step))) - step
							w := newWorld(rand.New(rand.NewPCG(seed, uint64(at))))
							hit, err := w.fail(f, phase, at)
							if err != nil {
								t.Errorf("operation %d: %v", at, err)
							}
							cases.Add(1)
							if !hit {
								return
							}
							hits.Add(1)
						}
					})
				}
				work.Wait()
				t.Logf("%d operations failed, one in each of %d runs", hits.Load(), cases.Load())
			})
		}
	}
}

// fail runs a server whose disk fails once, from an operation of the phase on. It reports whether there was one so late.
func (w *world) fail(f faultCase, phase string, at int) (hit bool, err error) {
	var mu sync.Mutex
	entered, seen, failed, what := phase == "start", 0, 0, ""
	over := make(chan struct{})
	// Soon after the fault the power goes as well.
	var after *cut
	wait, rng := w.rng.IntN(30), rand.New(rand.NewPCG(w.rng.Uint64(), 3))
	var running atomic.Pointer[Server]
	fails := func(op, name string) bool {
		mu.Lock()
		defer mu.Unlock()
		if failed > 0 && after == nil {
			if wait--; wait < 0 {
				after = w.script.now("")
				after.disk = w.disk.Crash(rng)
			}
		}
		if !entered || f.writes && op != "write" {
			return false
		}
		if seen++; seen <= at || failed >= f.length {
			return false
		}
		if failed++; failed == 1 {
			what = op + " " + fileKind(name)
		}
		if failed == f.length {
			close(over)
		}
		return true
	}
	w.disk.Fail = func(op, name string) error {
		if !fails(op, name) {
			return nil
		}
		// Disks take their time to fail, and meanwhile more requests come in.
		for i := 0; i < 20 && running.Load() != nil && running.Load().local.pending() < 3; i++ {
			time.Sleep(time.Millisecond)
		}
		return fmt.Errorf("%s %s: %w", op, name, f.err)
	}
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		if hit = failed > 0; err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
	}()
	config := w.config(false)
	config.AutopurgePurgeInterval = 0 // so that the log is there from the beginning
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return false, err
	}
	s, err := Start(Options{Config: config, Listeners: []net.Listener{l}, FS: w.disk, StoreFS: w.disk.VFS(), CheckpointBytes: 4 << 10})
	if err != nil {
		_ = l.Close()
		if !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOSPC) {
			return false, fmt.Errorf("the start does not fail with the disk's error: %w", err)
		}
		return false, w.survives(w.remains())
	}
	running.Store(s)
	mu.Lock()
	if entered = phase == "load" || failed > 0; !entered {
		mu.Unlock()
		return false, s.Close()
	}
	entered = failed > 0
	mu.Unlock()
	stop := make(chan struct{})
	var load sync.WaitGroup
	reads, err := newReader(s.addr())
	if err == nil {
		load.Go(func() { reads.run(stop) })
	}
	mu.Lock()
	entered = true
	mu.Unlock()
	for i := range 2 {
		seed := w.rng.Uint64()
		load.Go(func() { w.script.client(s.addr(), i, rand.New(rand.NewPCG(seed, 1)), stop) })
	}
	// The load lasts until the fault is over and enough was acknowledged before and after it.
	written := func(n int) error {
		w.script.mu.Lock()
		n += len(w.script.acked)
		w.script.mu.Unlock()
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			w.script.mu.Lock()
			have := len(w.script.acked)
			w.script.mu.Unlock()
			if have >= n {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("only %d writes of %d were acknowledged in %v", have, n, patience)
			}
		}
	}
	if err == nil {
		err = written(150)
	}
	mu.Lock()
	begun := failed > 0
	mu.Unlock()
	if begun {
		select {
		case <-over:
		case <-time.After(patience):
		}
	}
	if err == nil {
		err = written(50)
	}
	close(stop)
	load.Wait()
	if reads != nil {
		err = errors.Join(err, reads.err)
	}
	remains := w.remains()
	err = errors.Join(err, s.Close())
	mu.Lock()
	if after != nil {
		after.moment, after.own = "power lost soon after", true
		remains = append(remains, after)
	}
	mu.Unlock()
	if err == nil {
		err = w.survives(remains)
	}
	return true, err
}

// remains returns what may be left of the disk now: after two losses of power, of which one spares nothing unsynced, and after a restart.
func (w *world) remains() []*cut {
	list := []*cut{w.script.now("power lost and all that was unsynced"), w.script.now("power lost"), w.script.now("restart")}
	for i, disk := range []*memfs.FS{w.disk.Crash(nil), w.disk.Crash(w.rng), w.disk} {
		list[i].disk, list[i].own = disk, true
	}
	return list
}

// survives checks that servers start on these disks, with all that was acknowledged and with what their own logs say.
func (w *world) survives(remains []*cut) error {
	for _, c := range remains {
		c.disk.Fail = nil
		if _, err := w.reopen(c.disk, c); err != nil {
			return fmt.Errorf("%s: %w", c.moment, err)
		}
	}
	return nil
}

// reader reads all the time through one connection, which must never end.
type reader struct {
	*client.RawConn
	err error
}

// newReader makes a session, after a few attempts if need be: a disk that fails takes none.
func newReader(addr string) (*reader, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return nil, err
		}
		_ = nc.SetDeadline(deadline)
		r := &reader{RawConn: client.NewRawConn(nc)}
		if _, err = r.Handshake(&jute.ConnectRequest{Timeout: 7_200_000}); err == nil {
			return r, nil
		}
		_ = nc.Close()
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the reader gets no session: %w", err)
		}
	}
}

func (r *reader) run(stop chan struct{}) {
	defer r.Close()
	for xid := int32(1); ; xid++ {
		_ = r.SetDeadline(time.Now().Add(patience))
		err := r.Request(xid, jute.OpGetData, &jute.PathWatchRequest{Path: []byte("/")})
		if err == nil {
			_, _, err = r.Reply()
		}
		if err != nil {
			r.err = fmt.Errorf("read %d: %w", xid, err)
			return
		}
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}
