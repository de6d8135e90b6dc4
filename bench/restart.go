package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quoll/jute"
)

// size is a number of znodes of 100 B that the rows restart, snapshot and store are measured with.
type size struct {
	name   string
	znodes int
	heap   string // of the JVM, fixed: so much that it never lacks memory
	// since has numbers of transactions between a start and the kill that ends it.
	since []int
	// restarts and others tell whether the row restart, and the other two, are in the default table.
	restarts, others bool
}

var sizes = []size{
	{"100k", 100_000, "1g", []int{0, 300_000}, true, false},
	{"1m", 1_000_000, "3g", []int{0, 300_000, 2_000_000}, true, true},
	{"5m", 5_000_000, "10g", []int{0, 300_000}, false, false},
}

func (s size) String() string {
	return thousands(float64(s.znodes)) + " znodes of " + fmt.Sprint(memorySize) + " B"
}

// filled has a server make the znodes of s and stop. What it has written stays until clean is called.
func (c *comparison) filled(name string, s size) (how entry, clean func(), err error) {
	how = c.entry
	how.work = filepath.Join(c.entry.work, "filled-"+name)
	how.heap = s.heap
	clean = func() { os.RemoveAll(how.work) }
	err = c.with(name, how, "fill", func(e *entrant) error {
		return e.trimmed(func() error {
			if err := populate(e.addr, s.znodes); err != nil {
				return err
			}
			return e.Stop()
		})
	})
	return how, clean, err
}

// trimmed calls do and deletes, while it runs, what the server no longer needs: five million creates make Java write many snapshots.
func (e *entrant) trimmed(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	for {
		select {
		case err := <-done:
			return err
		case <-time.After(2 * time.Second):
			if err := trimLogs(e.dir); err != nil {
				log.Printf("%s: %v", e.name, err)
			}
		}
	}
}

// restarts is how long a server takes from the start of its process to the first answered read: after a clean stop, and after kill -9
// with some numbers of transactions since its last start.
func (c *comparison) restarts(s size) ([]other, error) {
	type end struct {
		what  string
		sets  int
		clean bool
	}
	ends := []end{{"a clean stop", 0, true}}
	for _, n := range s.since {
		ends = append(ends, end{"kill -9, " + thousands(float64(n)) + " transactions after the start", n, false})
	}
	servers := c.stateful()
	samples := make([][][]time.Duration, len(ends))
	for i := range samples {
		samples[i] = make([][]time.Duration, len(servers))
	}
	// They take turns, and each is stopped where it is while it is another's, as in the loads.
	running := make([]*entrant, len(servers))
	for j, name := range servers {
		how, clean, err := c.filled(name, s)
		defer clean()
		if err != nil {
			return nil, err
		}
		if running[j], err = c.begin(name, how); err != nil {
			return nil, err
		}
		defer running[j].close()
		if err := running[j].pause(); err != nil {
			return nil, err
		}
	}
	for round := range c.rounds {
		for i, end := range ends {
			for j, e := range running {
				stop := e.Kill
				if end.clean {
					stop = e.Stop
				}
				took, err := e.restart(s, end.sets, c.seed+uint64(round), stop)
				if err != nil {
					return nil, e.failed("restart", err)
				}
				log.Printf("round %d/%d  %s: restart after %-45s %-6s %v; load %s", round+1, c.rounds, s, end.what, e.name, took, loadAverage())
				samples[i][j] = append(samples[i][j], took)
			}
		}
	}
	var all []other
	for i, end := range ends {
		all = append(all, other{s.String() + ": restart to the first answered read after " + end.what + ", ms", each(samples[i], func(t []time.Duration) float64 {
			return milliseconds(middle(t, func(d time.Duration) time.Duration { return d }))
		})})
	}
	return all, nil
}

// restart has a paused server set some data, stops it, and says how long the next start takes. After that it is paused again.
func (e *entrant) restart(s size, sets int, seed uint64, stop func() error) (took time.Duration, err error) {
	if err := e.resume(); err != nil {
		return 0, err
	}
	err = e.trimmed(func() error {
		if err := overwrite(e.addr, s.znodes, sets, seed); err != nil {
			return err
		}
		return stop()
	})
	if err != nil {
		return 0, err
	}
	if took, err = firstAnswer(e.addr, e.Start); err != nil {
		return 0, err
	}
	if err := e.has(s.znodes); err != nil {
		return 0, err
	}
	return took, e.pause()
}

// has asks for the last of the n znodes that populate made.
func (e *entrant) has(n int) error {
	return alone(e.addr, func(c *conn) error {
		get := newStep(jute.OpGetData, memoryPath(n-1), noWatch, 4, memorySize, statLength)
		return c.drive(list(1, func(int) step { return get }), 1, window{}, nil)
	})
}

// loadAverage is how busy the machine is, over one minute.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
