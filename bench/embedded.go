package main

import (
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"quoll/compat/peer"
	"quoll/config"
	"quoll/server"
)

// The arms of the store row.
const (
	storeOff = "without-store"
	storeOn  = "with-store"
)

// embeddedIfAsked makes this process a quoll server if its arguments are "embedded DIRECTORY ADDRESS STORE PROFILE": with its store or,
// if STORE is without-store, with one that it never brings up to date. ZooKeeper's snapshots are written in neither case. It serves until
// SIGTERM, and writes a profile of its CPU time.
func embeddedIfAsked() {
	if len(os.Args) != 6 || os.Args[1] != "embedded" {
		return
	}
	if err := embedded(os.Args[2], os.Args[3], os.Args[4] == storeOff, os.Args[5]); err != nil {
		log.Fatal("embedded: ", err)
	}
	os.Exit(0)
}

func embedded(dir, addr string, noStore bool, profile string) error {
	debug.SetGCPercent(30) // the headroom of the binary for a tree of this size
	cfg, _, err := config.Load(config.Sources{Set: append([]string{"dataDir=" + dir, noSnapCount}, settings...)})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	f, err := os.Create(profile)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	o := server.Options{Config: cfg, Listeners: []net.Listener{l}, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if noStore {
		o.CheckpointBytes = math.MaxInt64
	}
	s, err := server.Start(o)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	select {
	case <-stop:
	case <-s.Done():
	}
	pprof.StopCPUProfile() // before what Close writes
	return s.Close()
}

// startEmbedded starts a quoll of this program's own as one of the arms of the store row.
func startEmbedded(work, arm string) (*entrant, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := peer.FreePort()
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	dir := filepath.Join(work, "data")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p := &peer.Process{
		Args:    []string{self, "embedded", dir, addr, arm, filepath.Join(work, profileName)},
		LogPath: filepath.Join(work, "embedded.log"),
		Ready:   func() error { return askOnce(addr) },
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	return &entrant{Process: p, name: arm, addr: addr, dir: dir, close: p.Kill}, nil
}

// profileName is a file beside the data directory.
const profileName = "cpu.profile"

// expense is what a load of writes costs a server.
type expense struct {
	ops      float64       // per second
	cpu      time.Duration // per operation, with what follows until the server is quiet again
	resident int64         // bytes, after that
}

// expend measures n operations.
func (e *entrant) expend(n int, do func() error) (x expense, err error) {
	before, err := cpuTime(e.PID())
	if err != nil {
		return x, err
	}
	began := time.Now()
	if err := e.trimmed(do); err != nil {
		return x, err
	}
	x.ops = float64(n) / time.Since(began).Seconds()
	after, err := e.quiet()
	if err != nil {
		return x, err
	}
	x.cpu = (after - before) / time.Duration(n)
	x.resident, err = memoryOf(e.PID(), "VmRSS")
	return x, err
}

// quiet waits until the server uses no more than two hundredths of a processor, and returns its CPU time.
func (e *entrant) quiet() (time.Duration, error) {
	for last := time.Duration(-1); ; time.Sleep(time.Second) {
		now, err := cpuTime(e.PID())
		if err != nil || last >= 0 && now-last <= 2*tick {
			return now, err
		}
		last = now
	}
}

// storeFunctions are those that there would be no work for without a store.
var storeFunctions = []struct{ name, focus string }{
	{"Pebble", `cockroachdb/pebble`},
	{"the store, captures included", `cockroachdb/pebble|quoll/store\.|tree\.\(\*Capture\)|tree\.\(\*Tree\)\.[cC]apture|server\.\(\*checkpoint`},
}

var accounted = regexp.MustCompile(`Showing nodes accounting for [^,]*, ([0-9.]+)% of`)

// share is the part of a profile, in percent, that was spent in functions that focus matches and what they call.
func share(profile, focus string) (float64, error) {
	out, err := exec.Command("go", "tool", "pprof", "-top", "-nodefraction=0", "-nodecount=1000000", "-focus="+focus, profile).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("go tool pprof: %w\n%s", err, out)
	}
	m := accounted.FindSubmatch(out)
	if m == nil {
		if strings.Contains(string(out), "matched no samples") {
			return 0, nil
		}
		return 0, fmt.Errorf("go tool pprof says no share:\n%s", out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// storeCost is what quoll's store costs under nothing but writes, creates of n znodes and then as many setData over them: the same program with
// a store that it brings up to date and with one that it does not.
func storeCost(n int) func(*turn) ([]figure, error) {
	return func(t *turn) ([]figure, error) {
		n, e := t.many(n), t.e
		creates, err := e.expend(n, func() error { return populate(e.addr, n) })
		if err != nil {
			return nil, err
		}
		sets, err := e.expend(n, func() error { return overwrite(e.addr, n, n, t.seed+uint64(t.round)) })
		if err != nil {
			return nil, err
		}
		peak, err := memoryOf(e.PID(), "VmHWM")
		if err != nil {
			return nil, err
		}
		files := int64(0)
		filepath.WalkDir(filepath.Join(e.dir, "quoll"), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					files += info.Size()
				}
			}
			return nil
		})
		if err := e.Stop(); err != nil {
			return nil, err
		}
		all := []figure{
			{"creates/s", creates.ops},
			{"CPU µs/create", micros(creates.cpu)},
			{"after the creates, MB", float64(creates.resident) / mega},
			{"writes/s", sets.ops},
			{"CPU µs/write", micros(sets.cpu)},
			{"after the writes, MB", float64(sets.resident) / mega},
			{"most ever, MB", float64(peak) / mega},
			{"files of the store, MB", float64(files) / mega},
		}
		for _, f := range storeFunctions {
			percent, err := share(filepath.Join(filepath.Dir(e.dir), profileName), f.focus)
			if err != nil {
				return nil, err
			}
			all = append(all, figure{"CPU profile in " + f.name + ", %", percent})
		}
		return all, nil
	}
}
