package main

import (
	"errors"
	"slices"
	"time"

	"quoll/jute"
)

// cost is what one measurement of a load says.
type cost struct {
	ops            float64 // per second
	p50, p99, p999 time.Duration
	cpu            time.Duration // of the server per operation; 0 if its process is not known
	generator      time.Duration // CPU time of this program per operation
}

// The figures of a load.
const (
	opsRate      = "ops/s"
	p50          = "p50, µs"
	p99          = "p99, µs"
	p999         = "p99.9, µs"
	cpuEach      = "CPU µs/op"
	generatorCPU = "generator CPU µs/op"
)

func (c cost) figures() []figure {
	return []figure{
		{opsRate, c.ops}, {p50, micros(c.p50)}, {p99, micros(c.p99)}, {p999, micros(c.p999)},
		{cpuEach, micros(c.cpu)}, {generatorCPU, micros(c.generator)},
	}
}

// timing is how long a measurement takes.
type timing struct {
	warmup   time.Duration // before the part that counts
	duration time.Duration
}

// errNoReply is the error of a measurement without a figure: no reply came while it counted.
var errNoReply = errors.New("no reply within the duration of the measurement")

// target is a server or an ensemble.
type target struct {
	addrs []string // of each server, host:port
	pids  []int    // of their processes, as far as they are known
}

// cpu is the CPU time that the processes have used so far.
func (t target) cpu() (sum time.Duration, err error) {
	for _, pid := range t.pids {
		d, err := cpuTime(pid)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// catchUp returns when every server has what the first one had.
func (t target) catchUp(root string) error {
	for _, addr := range t.addrs[1:] {
		sync := newStep(jute.OpSync, root, nil, 4, len(root))
		if err := session(addr, func(c *conn) error { return c.ask(sync) }); err != nil {
			return err
		}
	}
	return nil
}

// measure drives a target with a load, its connections spread over the servers. root must differ between the measurements on
// a target; it is the znode under which everything happens, and which is gone in the end.
func measure(at target, root string, r load, t timing, seed uint64) (cost, error) {
	var f cost
	s := &scene{root: root, keys: r.keys, data: make([]byte, r.size), seed: seed}
	for i := range s.data {
		s.data[i] = byte('a' + i%26)
	}
	if err := session(at.addrs[0], s.setUp); err != nil {
		return f, err
	}
	if err := at.catchUp(s.root); err != nil {
		return f, err
	}
	conns, err := dialFleet(r.conns, at.addrs...)
	if err != nil {
		return f, err
	}
	plans := make([]source, r.conns)
	for i := range plans {
		plans[i] = r.plan(s, i)
	}
	parts := make([]*result, r.conns)
	from := time.Now().Add(t.warmup)
	w := window{from, from.Add(t.duration)}
	var before, after, own, ownAfter time.Duration
	sampled := make(chan error, 1)
	go func() {
		sampled <- func() (err error) {
			time.Sleep(time.Until(w.from))
			if before, err = at.cpu(); err != nil {
				return err
			}
			own = ownCPU()
			time.Sleep(time.Until(w.to))
			ownAfter = ownCPU()
			after, err = at.cpu()
			return err
		}()
	}()
	err = conns.each(r.conns, func(i int, c *conn) error {
		parts[i] = newResult()
		return c.drive(plans[i], r.depth, w, parts[i])
	})
	if err != nil {
		return f, err
	}
	if err := <-sampled; err != nil {
		return f, err
	}
	if err := conns.finish(); err != nil {
		return f, err
	}
	if err := session(at.addrs[0], s.tearDown); err != nil {
		return f, err
	}
	total := parts[0]
	for _, p := range parts[1:] {
		total.add(p)
	}
	if total.ops == 0 {
		return f, errNoReply
	}
	quantile := func(percent float64) time.Duration { return time.Duration(total.latency.ValueAtQuantile(percent)) }
	return cost{
		ops: float64(total.ops) / t.duration.Seconds(),
		p50: quantile(50), p99: quantile(99), p999: quantile(99.9),
		cpu:       (after - before) / time.Duration(total.ops),
		generator: (ownAfter - own) / time.Duration(total.ops),
	}, nil
}

// session calls do with a session of its own.
func session(addr string, do func(*conn) error) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	return errors.Join(do(c), c.finish())
}

// middle is the median; of an even number the mean of the two in the middle.
func middle[T ~int64 | ~float64](all []T) T {
	v := slices.Sorted(slices.Values(all))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}
