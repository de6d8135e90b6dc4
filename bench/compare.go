package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// comparison is one run of the program.
type comparison struct {
	servers []string
	entry
	timing
	rounds  int
	seed    uint64
	scale   int
	results *results // of this run alone, and of those before it that the report shows too
	save    func() error
	done    int // measurements
	total   int
}

// turn is one measurement: a row on a server in a round.
type turn struct {
	*comparison
	row    row
	server string
	label  string // of the server in the results
	e      *entrant
	round  int
	znode  string // under which it may make what it likes
}

// many scales a number of znodes, sessions or requests, unless it is small.
func (c *comparison) many(n int) int {
	if n <= keyCount {
		return n
	}
	return max(1, n/c.scale)
}

// run measures the rows, stage by stage.
func (c *comparison) run(rows []row) error {
	var stages []*stage
	for _, r := range rows {
		if !slices.Contains(stages, r.stage) {
			stages = append(stages, r.stage)
		}
		c.total += c.roundsOf(r) * len(c.cast(r.stage))
	}
	for _, s := range stages {
		part := slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.stage != s })
		if err := c.act(s, part); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) roundsOf(r row) int {
	if r.once {
		return 1
	}
	return c.rounds
}

// cast is the servers that take part in a stage. The floor has no state to fill and no sessions to keep.
func (c *comparison) cast(s *stage) []string {
	switch {
	case s.arms != nil && !slices.Contains(c.servers, "quoll"):
		return nil
	case s.arms != nil:
		return s.arms
	case s.floor:
		return c.servers
	}
	return slices.DeleteFunc(slices.Clone(c.servers), func(name string) bool { return name == "floor" })
}

// act measures the rows of a stage. The servers take turns row by row, in an order that reverses each round, and each runs only while it
// is its turn.
func (c *comparison) act(s *stage, rows []row) error {
	servers := c.cast(s)
	dir := filepath.Join(c.entry.work, "stage")
	defer os.RemoveAll(dir)
	standing := make([]*entrant, len(servers))
	labels := slices.Clone(servers)
	order := make([]int, len(servers))
	for i, name := range servers {
		order[i] = i
		// The same name may be there twice, to see how much two equal servers differ.
		if slices.Contains(servers[:i], name) {
			labels[i] = fmt.Sprintf("%s %d", name, i+1)
		}
		if s.fresh {
			continue
		}
		e, err := c.begin(name, s, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		defer e.close()
		standing[i] = e
		if err := c.prepare(e, s); err != nil {
			return e.failed("preparation", err)
		}
		if err := e.pause(); err != nil {
			return err
		}
	}
	for round := range c.rounds {
		for i, r := range rows {
			if round >= c.roundsOf(r) {
				continue
			}
			for _, j := range order {
				t := &turn{
					comparison: c, row: r, server: servers[j], label: labels[j], e: standing[j], round: round,
					znode: fmt.Sprintf("/bench-%d-%02d-%03d", os.Getpid(), round, i),
				}
				if err := t.take(filepath.Join(dir, "fresh")); err != nil {
					return err
				}
			}
		}
		slices.Reverse(order)
	}
	return nil
}

// begin starts a server for a stage.
func (c *comparison) begin(name string, s *stage, work string) (*entrant, error) {
	how := c.entry
	how.stage, how.work = s, work
	if s.heap != "" {
		how.heap = s.heap
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}
	start := entrants[name]
	if c.isGiven() {
		start = given
	}
	e, err := start(how)
	if err == nil {
		c.results.Runs[len(c.results.Runs)-1].Versions[name] = e.version
	}
	return e, err
}

// prepare gives a server its znodes, or drives it as long as it needs to compile, allocate and grow what it has for its usual work.
func (c *comparison) prepare(e *entrant, s *stage) error {
	if s.znodes > 0 {
		return e.trimmed(func() error { return populate(e.addr, c.many(s.znodes)) })
	}
	if c.warmup == 0 || c.isGiven() {
		return nil
	}
	for i, name := range []string{"mixed50", "create-delete", "children", "exists"} {
		w := workloads[slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })]
		if _, err := measure(e.target(), fmt.Sprintf("/bench-warm-%d", i), load{w, 10, 20, 100}, timing{duration: 2 * c.warmup}, c.seed); err != nil && !errors.Is(err, errNoReply) {
			return err
		}
	}
	return nil
}

// take measures the row and notes what it said. Where no server stands ready it starts one in the directory fresh.
func (t *turn) take(fresh string) (err error) {
	m := measurement{Row: t.row.name, Server: t.label, Run: len(t.results.Runs) - 1, Round: t.round + 1, Began: time.Now().UTC()}
	before, err := others(t.e)
	if err != nil {
		return err
	}
	if t.row.stage.fresh {
		defer os.RemoveAll(fresh)
		if t.e, err = t.begin(t.server, t.row.stage, fresh); err != nil {
			return err
		}
		defer t.e.close()
	} else if err := t.e.resume(); err != nil {
		return err
	}
	if m.Figures, err = t.row.measure(t); err != nil {
		return t.e.failed(t.row.name, err)
	}
	after, err := others(t.e)
	if err != nil {
		return err
	}
	m.Seconds = time.Since(m.Began).Seconds()
	m.Others = max(0, (after-before).Seconds()/m.Seconds)
	if !t.row.stage.fresh {
		if err := t.e.trim(); err != nil {
			return err
		}
		if err := t.e.pause(); err != nil {
			return err
		}
	}
	t.done++
	log.Printf("%d/%d  %-24s round %d  %-8s %v", t.done, t.total, m.Row, m.Round, m.Server, m)
	t.results.Measurements = append(t.results.Measurements, m)
	return t.save()
}

// others is the CPU time that all processes but this one, its children and e have used.
func others(e *entrant) (time.Duration, error) {
	sum, err := busyTime()
	sum -= ownCPU() + childrenCPU()
	if e == nil || err != nil {
		return sum, err
	}
	for _, pid := range e.target().pids {
		living, err := cpuTime(pid)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // that of one that has ended is among the children's
			return 0, err
		}
		sum -= living
	}
	return sum, nil
}

// isGiven reports whether the servers ran already.
func (c *comparison) isGiven() bool { return len(c.entry.given.addrs) > 0 }
