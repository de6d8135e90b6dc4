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
// if STORE is without-store, with one that it never brings up to date. It serves until SIGTERM, and writes a profile of its CPU time.
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
	debug.SetGCPercent(30) // what the binary has for a large tree
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

// startEmbedded starts a quoll of this program's own, with its store or without.
func startEmbedded(work string, store bool) (*entrant, error) {
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
	name := storeOff
	if store {
		name = storeOn
	}
	p := &peer.Process{
		Args:    []string{self, "embedded", dir, addr, name, filepath.Join(work, "cpu.profile")},
		LogPath: filepath.Join(work, "embedded.log"),
		Ready:   func() error { return askOnce(addr) },
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	return &entrant{Process: p, name: "quoll", addr: addr, dir: dir, close: p.Kill}, nil
}

// expense is what a load of writes costs a server.
type expense struct {
	ops      float64       // per second
	cpu      time.Duration // per operation, with what follows until the server is quiet again
	resident int64         // bytes, after that
	peak     int64         // bytes, since the start of the process
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
	if x.resident, err = memoryOf(e.PID(), "VmRSS"); err != nil {
		return x, err
	}
	x.peak, err = memoryOf(e.PID(), "VmHWM")
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

// stores is what quoll's store costs under nothing but writes, creates of s.znodes znodes and then as many setData over them: the same
// program with a store that it brings up to date and with one that it does not. ZooKeeper's snapshots are written in neither arm.
func (c *comparison) stores(s size) ([]other, error) {
	type sample struct {
		creates, sets expense
		shares        []float64
		files         int64 // bytes in the store
	}
	samples := make([][]sample, 2) // off, on
	arm := func(round int, store bool) (now sample, err error) {
		work, err := os.MkdirTemp(c.entry.work, "store-")
		if err != nil {
			return now, err
		}
		defer os.RemoveAll(work)
		e, err := startEmbedded(work, store)
		if err != nil {
			return now, err
		}
		defer e.close()
		if now.creates, err = e.expend(s.znodes, func() error { return populate(e.addr, s.znodes) }); err != nil {
			return now, e.failed("store", err)
		}
		if now.sets, err = e.expend(s.znodes, func() error { return overwrite(e.addr, s.znodes, s.znodes, c.seed+uint64(round)) }); err != nil {
			return now, e.failed("store", err)
		}
		filepath.WalkDir(filepath.Join(e.dir, "quoll"), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					now.files += info.Size()
				}
			}
			return nil
		})
		if err := e.Stop(); err != nil {
			return now, err
		}
		for _, f := range storeFunctions {
			percent, err := share(filepath.Join(work, "cpu.profile"), f.focus)
			if err != nil {
				return now, err
			}
			now.shares = append(now.shares, percent)
		}
		log.Printf("round %d/%d  %s, store %-5v creates %.0f/s %v CPU, %d MB; sets %.0f/s %v CPU, %d MB, peak %d MB; shares %.1f %%; load %s", round+1, c.rounds, s, store,
			now.creates.ops, now.creates.cpu, now.creates.resident>>20, now.sets.ops, now.sets.cpu, now.sets.resident>>20, now.sets.peak>>20, now.shares, loadAverage())
		return now, nil
	}
	for round := range c.rounds {
		for _, i := range []int{round % 2, 1 - round%2} {
			now, err := arm(round, i == 1)
			if err != nil {
				return nil, err
			}
			samples[i] = append(samples[i], now)
		}
	}
	figure := func(what string, field func(sample) float64) other {
		return other{s.String() + ": " + what, each(samples, func(all []sample) float64 { return middle(all, field) })}
	}
	var all []other
	for _, load := range []struct {
		name string
		of   func(sample) expense
	}{{"creates", func(s sample) expense { return s.creates }}, {"setData over them", func(s sample) expense { return s.sets }}} {
		all = append(all,
			figure(load.name+"/s", func(s sample) float64 { return load.of(s).ops }),
			figure(load.name+", CPU µs each", func(s sample) float64 { return float64(load.of(s).cpu) / float64(time.Microsecond) }),
			figure(load.name+", resident memory after them, MB", func(s sample) float64 { return float64(load.of(s).resident) / (1 << 20) }))
	}
	all = append(all,
		figure("most resident memory ever, MB", func(s sample) float64 { return float64(s.sets.peak) / (1 << 20) }),
		figure("files of the store, MB", func(s sample) float64 { return float64(s.files) / (1 << 20) }))
	for i, f := range storeFunctions {
		all = append(all, figure("share of the CPU profile in "+f.name+", %", func(s sample) float64 { return s.shares[i] }))
	}
	return all, nil
}
