package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"quoll/jute"
)

const (
	paceRate  = 1000 // writes per second
	paceConns = 10
	// paceSnapCount makes a server write a snapshot every 5 to 10 s at that rate, and noSnapCount none.
	paceSnapCount = "snapCount=10000"
	noSnapCount   = "snapCount=1000000000"
	// paceLongest ends a measurement in which no snapshot is ever finished.
	paceLongest = 5 * time.Minute
)

// paced is one request of an open load: when it was due, and how long after that its answer came.
type paced struct {
	due  time.Time
	took time.Duration
}

// pace sends requests when they are due, however late the answers to those before are, until the stop.
func (c *conn) pace(first time.Time, every time.Duration, src source, stop <-chan struct{}) ([]paced, error) {
	type sent struct {
		due  time.Time
		want int
	}
	flight := make(chan sent, 1<<16) // a minute at the full rate
	failed := make(chan error, 1)
	go func() {
		defer close(flight)
		var b []byte
		for due := first; ; due = due.Add(every) {
			select {
			case <-stop:
				return
			case <-time.After(time.Until(due)):
			}
			var want int
			b, want = src.next(b[:0])
			c.xid++
			binary.BigEndian.PutUint32(b[4:], uint32(c.xid))
			flight <- sent{due, want}
			if _, err := c.Write(b); err != nil {
				failed <- err
				return
			}
		}
	}()
	var all []paced
	for s := range flight {
		c.SetReadDeadline(time.Now().Add(replyTimeout))
		frame, err := c.frame()
		now := time.Now()
		if err == nil {
			c.reply++
			err = c.check(frame, s.want)
		}
		if err != nil {
			c.Close() // the sender ends with it
			for range flight {
			}
			return nil, err
		}
		all = append(all, paced{s.due, now.Sub(s.due)})
	}
	select {
	case err := <-failed:
		return nil, err
	default:
		return all, nil
	}
}

// paceAll drives a server at the fixed rate, setting random ones of n znodes, for as long as until waits.
func paceAll(addr string, n int, seed uint64, until func() error) ([]paced, error) {
	conns, err := dialFleet(paceConns, addr)
	if err != nil {
		return nil, err
	}
	tail := append(jute.AppendBuffer(nil, make([]byte, memorySize)), anyVersion...)
	stop := make(chan struct{})
	waited := make(chan error, 1)
	go func() {
		waited <- until()
		close(stop)
	}()
	var mu sync.Mutex
	var all []paced
	began := time.Now()
	err = conns.each(paceConns, func(i int, c *conn) error {
		random := list(1<<62, func(k int) step { return setOne(n, seed+uint64(i), k, tail) })
		const gap = time.Second / paceRate
		part, err := c.pace(began.Add(time.Duration(i)*gap), paceConns*gap, random, stop)
		mu.Lock()
		all = append(all, part...)
		mu.Unlock()
		if err != nil {
			return err
		}
		return c.finish()
	})
	if err == nil {
		err = <-waited
	}
	return all, err
}

// interval is a time in which a server has written a snapshot.
type interval struct{ from, to time.Time }

var snapshotTaken = regexp.MustCompile(`Snapshot taken in (\d+) ms`)

// snapshotWatch notes when a server says that it has written a snapshot, and how long that has taken.
type snapshotWatch struct {
	log *os.File
	buf []byte
	all []interval
}

// watchSnapshots begins with what e is going to say.
func watchSnapshots(e *entrant) (*snapshotWatch, error) {
	f, err := os.Open(e.LogPath)
	if err != nil {
		return nil, err
	}
	_, err = f.Seek(0, io.SeekEnd)
	return &snapshotWatch{log: f}, err
}

// look reads what has been said since the last time.
func (w *snapshotWatch) look() error {
	now := time.Now()
	more, err := io.ReadAll(w.log)
	if err != nil {
		return err
	}
	w.buf = append(w.buf, more...)
	end := 1 + slices.Index(w.buf, '\n')
	for ; end > 0; end = 1 + slices.Index(w.buf, '\n') {
		if m := snapshotTaken.FindSubmatch(w.buf[:end]); m != nil {
			ms, _ := strconv.Atoi(string(m[1]))
			w.all = append(w.all, interval{now.Add(-time.Duration(ms)*time.Millisecond - snapshotPoll), now})
		}
		w.buf = w.buf[end:]
	}
	return nil
}

const snapshotPoll = 5 * time.Millisecond

// within splits requests into those that were under way while a snapshot was, and the rest.
func (w *snapshotWatch) within(all []paced) (inside, outside []paced) {
	for _, p := range all {
		if slices.ContainsFunc(w.all, func(i interval) bool { return p.due.Before(i.to) && p.due.Add(p.took).After(i.from) }) {
			inside = append(inside, p)
		} else {
			outside = append(outside, p)
		}
	}
	return inside, outside
}

// tailOf is the latencies that matter of an open load.
type tailOf struct {
	p50, p999, max time.Duration
}

func tailsOf(all []paced) (t tailOf) {
	if len(all) == 0 {
		return t
	}
	slices.SortFunc(all, func(a, b paced) int { return int(a.took - b.took) })
	return tailOf{all[len(all)/2].took, all[len(all)*999/1000].took, all[len(all)-1].took}
}

func (t tailOf) String() string {
	return fmt.Sprintf("p50 %v p99.9 %v max %v", t.p50.Round(time.Microsecond), t.p999.Round(time.Microsecond), t.max.Round(time.Microsecond))
}

// snapshots is what a load of a fixed rate notices of the snapshots that are written beside it: against the same load with a snapCount
// that is never reached.
func (c *comparison) snapshots(s size) ([]other, error) {
	type sample struct {
		without, with, whole tailOf        // whole: with what is not within a snapshot
		took                 time.Duration // of a snapshot
	}
	long := 4 * c.duration
	servers := c.stateful()
	samples := make([][]sample, len(servers))
	for j, name := range servers {
		how, clean, err := c.filled(name, s)
		defer clean()
		if err != nil {
			return nil, err
		}
		for round := range c.rounds {
			var now sample
			for _, snapCount := range []string{noSnapCount, paceSnapCount} {
				how.more = []string{snapCount}
				err := c.with(name, how, "snapshot", func(e *entrant) error {
					// The start may be followed by a snapshot of its own.
					if err := e.settle(); err != nil {
						return err
					}
					w, err := watchSnapshots(e)
					if err != nil {
						return err
					}
					defer w.log.Close()
					began := time.Now()
					wait := func() error {
						for {
							time.Sleep(snapshotPoll)
							if err := w.look(); err != nil {
								return err
							}
							switch d := time.Since(began); {
							case d > paceLongest:
								return fmt.Errorf("no snapshot within %v", d)
							case d > long && (snapCount == noSnapCount || len(w.all) > 0):
								return nil
							}
						}
					}
					all, err := paceAll(e.addr, s.znodes, c.seed+uint64(round), wait)
					if err != nil {
						return err
					}
					inside, outside := w.within(all)
					log.Printf("round %d/%d  %s, %-20s %-6s %d requests, %d snapshots; outside: %v; inside %d: %v; load %s", round+1, c.rounds, s, snapCount, name,
						len(all), len(w.all), tailsOf(outside), len(inside), tailsOf(inside), loadAverage())
					if snapCount == noSnapCount {
						now.without = tailsOf(outside)
						return e.Stop()
					}
					now.with, now.whole = tailsOf(inside), tailsOf(all)
					for _, i := range w.all {
						now.took += i.to.Sub(i.from) / time.Duration(len(w.all))
					}
					return e.Stop()
				})
				if err != nil {
					return nil, err
				}
			}
			samples[j] = append(samples[j], now)
		}
		clean()
	}
	figure := func(what string, field func(sample) time.Duration) other {
		return other{fmt.Sprintf("%s writes/s over %s%s, ms", thousands(paceRate), s, what), each(samples, func(all []sample) float64 {
			return milliseconds(middle(all, field))
		})}
	}
	all := []other{
		figure(", no snapshot: p99.9", func(s sample) time.Duration { return s.without.p999 }),
		figure(", no snapshot: max", func(s sample) time.Duration { return s.without.max }),
		figure(", a snapshot being written: p99.9", func(s sample) time.Duration { return s.with.p999 }),
		figure(", a snapshot being written: max", func(s sample) time.Duration { return s.with.max }),
		figure(", a snapshot every 5 to 10 s, all of that time: p99.9", func(s sample) time.Duration { return s.whole.p999 }),
		figure(": writing a snapshot takes", func(s sample) time.Duration { return s.took }),
	}
	times := other{fmt.Sprintf("%s writes/s over %s: p99.9 with a snapshot / without", thousands(paceRate), s), nil}
	for j := range servers {
		times.values = append(times.values, all[2].values[j]/all[0].values[j])
	}
	return append(all, times), nil
}
