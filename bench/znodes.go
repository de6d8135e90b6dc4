package main

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"

	"quoll/jute"
)

const (
	memorySize = 100  // bytes of data of each of the many znodes
	memoryFan  = 1000 // how many of them have one parent
)

func memoryParent(i int) string { return fmt.Sprintf("/p%05d", i) }

// memoryPath is the path of one of the many znodes.
func memoryPath(i int) string { return memoryParent(i/memoryFan) + "/" + keyName(i%memoryFan) }

// populate creates n znodes, 1000 below each of their parents.
func populate(addr string, n int) error {
	tail := append(jute.AppendBuffer(nil, make([]byte, memorySize)), openACL...)
	err := session(addr, func(c *conn) error {
		parent := func(i int) step { return create(memoryParent(i), tail) }
		return c.drive(list((n+memoryFan-1)/memoryFan, parent), setupDepth, window{}, nil)
	})
	if err != nil {
		return err
	}
	return together(addr, n, func(i int) step { return create(memoryPath(i), tail) })
}

// together sends n requests over some connections, as fast as the server answers.
func together(addr string, n int, request func(i int) step) error {
	const workers = 4
	conns, err := dialFleet(workers, addr)
	if err != nil {
		return err
	}
	return conns.each(workers, func(w int, c *conn) error {
		mine := func(i int) step { return request(i*workers + w) }
		if err := c.drive(list((n-w+workers-1)/workers, mine), setupDepth, window{}, nil); err != nil {
			return err
		}
		return c.finish()
	})
}

// overwrite sets the data of so many of the n znodes that populate made, at random.
func overwrite(addr string, n, sets int, seed uint64) error {
	return together(addr, sets, setOne(n, seed))
}

// setOne and getOne are requests for znodes that populate made, at random.
func setOne(n int, seed uint64) func(i int) step {
	tail := append(jute.AppendBuffer(nil, make([]byte, memorySize)), anyVersion...)
	return func(i int) step { return newStep(jute.OpSetData, randomPath(n, seed, i), tail, statLength) }
}

func getOne(n int, seed uint64) func(i int) step {
	return func(i int) step {
		return newStep(jute.OpGetData, randomPath(n, seed, i), noWatch, 4, memorySize, statLength)
	}
}

func randomPath(n int, seed uint64, i int) string {
	return memoryPath(int(rand.NewPCG(seed, uint64(i)).Uint64() % uint64(n)))
}

// has asks for the last of the n znodes that populate made.
func (e *entrant) has(n int) error {
	return session(e.addr, func(c *conn) error {
		return c.ask(newStep(jute.OpGetData, memoryPath(n-1), noWatch, 4, memorySize, statLength))
	})
}

const mega = 1 << 20

// memory is what a server needs for n znodes.
func memory(n int) func(*turn) ([]figure, error) {
	return func(t *turn) ([]figure, error) {
		n := t.many(n)
		empty, err := t.resident()
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if err := t.e.trimmed(func() error { return populate(t.e.addr, n) }); err != nil {
			return nil, err
		}
		took := time.Since(began)
		full, err := t.resident()
		if err != nil {
			return nil, err
		}
		if err := t.e.Stop(); err != nil {
			return nil, err
		}
		restart, err := firstAnswer(t.e.addr, t.e.Start)
		if err != nil {
			return nil, err
		}
		again, err := t.resident()
		return []figure{
			{"empty, MB", float64(empty) / mega},
			{"full, MB", float64(full) / mega},
			{"bytes for each", float64(full-empty) / float64(n)},
			{"creates/s", float64(n) / took.Seconds()},
			{"restart, ms", milliseconds(restart)},
			{"after the restart, MB", float64(again) / mega},
		}, err
	}
}

// The load of the pauses row when the znodes are there. While they are made there are the reads alone.
const (
	pauseReads  = 1000 // a second
	pauseWrites = 5000
	pauseTime   = time.Minute
)

// pauses is what clients that read notice of a server with n znodes and of its collector: while the znodes are made, as fast as the server takes
// them, and then under a load of a fixed rate.
func pauses(n int) func(*turn) ([]figure, error) {
	return func(t *turn) ([]figure, error) {
		n := t.many(n)
		said := len(t.e.Log())
		phase := func(name string, reads []paced, took time.Duration) []figure {
			log := t.e.Log()
			all := pausesIn(log[said:])
			said = len(log)
			tail := tailsOf(reads)
			longest, sum := time.Duration(0), time.Duration(0)
			for _, p := range all {
				longest, sum = max(longest, p), sum+p
			}
			return []figure{
				{name + "read p50, ms", milliseconds(tail.p50)},
				{name + "read p99.9, ms", milliseconds(tail.p999)},
				{name + "longest read, ms", milliseconds(tail.max)},
				{name + "pauses", float64(len(all))},
				{name + "longest pause, ms", milliseconds(longest)},
				{name + "pauses, % of the time", 100 * sum.Seconds() / took.Seconds()},
			}
		}
		root := func(int) step { return newStep(jute.OpExists, "/", noWatch, statLength) }
		began := time.Now()
		reads, err := paceAll(t.e.addr, pauseReads, root, func() error {
			return t.e.trimmed(func() error { return populate(t.e.addr, n) })
		})
		if err != nil {
			return nil, err
		}
		took := time.Since(began)
		all := append(phase("filling: ", reads, took), figure{"filling: creates/s", float64(n) / took.Seconds()})
		began = time.Now()
		length := t.long(pauseTime)
		stop := func() error { time.Sleep(length); return nil }
		writes := make(chan error, 1)
		var written []paced
		go func() {
			var err error
			written, err = paceAll(t.e.addr, pauseWrites, setOne(n, t.seed), func() error { return t.e.trimmed(stop) })
			writes <- err
		}()
		reads, err = paceAll(t.e.addr, pauseReads, getOne(n, t.seed+1), stop)
		if failed := <-writes; err == nil {
			err = failed
		}
		if err != nil {
			return nil, err
		}
		all = append(all, phase("full: ", reads, time.Since(began))...)
		return append(all, figure{"full: write p99.9, ms", milliseconds(tailsOf(written).p999)}), nil
	}
}

// What the servers say of the collector's pauses: the JVM with -Xlog:gc a line for each pause, Go with gctrace=1 one for each cycle, with two pauses
// around the part that goes on beside the program.
var (
	javaPause = regexp.MustCompile(`(?m)\[gc *\] GC\(\d+\) Pause .* ([0-9.]+)ms$`)
	goPause   = regexp.MustCompile(`(?m)^gc \d+ @.*: ([0-9.]+)\+[0-9.]+\+([0-9.]+) ms clock`)
)

// pausesIn is the pauses of which a log tells.
func pausesIn(log string) (all []time.Duration) {
	for _, pattern := range []*regexp.Regexp{javaPause, goPause} {
		for _, m := range pattern.FindAllStringSubmatch(log, -1) {
			for _, text := range m[1:] {
				ms, _ := strconv.ParseFloat(text, 64)
				all = append(all, time.Duration(ms*float64(time.Millisecond)))
			}
		}
	}
	return all
}

// long scales a time, to a second at least.
func (c *comparison) long(d time.Duration) time.Duration {
	return max(min(d, time.Second), d/time.Duration(c.scale))
}
