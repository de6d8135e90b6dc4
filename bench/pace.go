package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	paceConns   = 10
	noSnapCount = "snapCount=1000000000" // makes a server write no snapshot
	// paceLongest is how much longer than planned a measurement goes on in which no snapshot was finished.
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

// paceAll drives a server at a fixed rate, in requests a second, for as long as until waits.
func paceAll(addr string, rate int, request func(i int) step, until func() error) ([]paced, error) {
	conns, err := dialFleet(paceConns, addr)
	if err != nil {
		return nil, err
	}
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
		gap := time.Second / time.Duration(rate)
		mine := list(math.MaxInt, func(k int) step { return request(k*paceConns + i) })
		part, err := c.pace(began.Add(time.Duration(i)*gap), paceConns*gap, mine, stop)
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

const writeRate = 1000 // writes a second of the rate rows

// rate is the latencies of a fixed rate of writes, and of those among them that were under way while a snapshot was being written.
func rate(length time.Duration) func(*turn) ([]figure, error) {
	return func(t *turn) ([]figure, error) {
		// The start may be followed by a snapshot of its own.
		if err := t.settle(); err != nil {
			return nil, err
		}
		w, err := watchSnapshots(t.e)
		if err != nil {
			return nil, err
		}
		defer w.log.Close()
		length, none := t.long(length), slices.Contains(t.row.stage.config, noSnapCount)
		began := time.Now()
		all, err := paceAll(t.e.addr, writeRate, setOne(t.many(t.row.stage.znodes), t.seed+uint64(t.round)), func() error {
			return t.e.trimmed(func() error {
				for {
					time.Sleep(snapshotPoll)
					if err := w.look(); err != nil {
						return err
					}
					switch d := time.Since(began) - length; {
					case d > paceLongest:
						return fmt.Errorf("no snapshot within %v", d+length)
					case d > 0 && (none || len(w.all) > 0):
						return nil
					}
				}
			})
		})
		if err != nil {
			return nil, err
		}
		inside, outside := w.within(all)
		within, without, whole := tailsOf(inside), tailsOf(outside), tailsOf(all)
		figures := []figure{
			{"p50, ms", milliseconds(whole.p50)},
			{"p99.9, ms", milliseconds(whole.p999)},
			{"longest, ms", milliseconds(whole.max)},
		}
		if none {
			return figures, nil
		}
		took := time.Duration(0)
		for _, i := range w.all {
			took += i.to.Sub(i.from) / time.Duration(len(w.all))
		}
		return append(figures,
			figure{"p99.9 while no snapshot is written, ms", milliseconds(without.p999)},
			figure{"p99.9 while a snapshot is written, ms", milliseconds(within.p999)},
			figure{"longest while a snapshot is written, ms", milliseconds(within.max)},
			figure{"snapshots", float64(len(w.all))},
			figure{"writing a snapshot, ms", milliseconds(took)},
		), nil
	}
}
