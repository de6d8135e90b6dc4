package main

import (
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"quoll/jute"
)

// comparison is one run of the program against servers that it starts itself.
type comparison struct {
	servers []string
	entry
	timing
	rounds   int
	seed     uint64
	versions map[string]string // what the servers say of themselves, once they have been started
}

// begin starts a server.
func (c *comparison) begin(name string, how entry) (*entrant, error) {
	if err := os.MkdirAll(how.work, 0o755); err != nil {
		return nil, err
	}
	e, err := entrants[name](how)
	if err == nil {
		c.versions[name] = e.version
	}
	return e, err
}

// stateful is the servers without the floor, which has no state to fill and no sessions to keep.
func (c *comparison) stateful() []string {
	return slices.DeleteFunc(slices.Clone(c.servers), func(name string) bool { return name == "floor" })
}

// loads measures the rows, each on every server in every round, and returns the medians: figures[i][j] is row i on server j. Each
// entrant is an ensemble of so many members; of one, it is a server that stands alone.
func (c *comparison) loads(table []row, servers []string, members int) (all [][]figures, err error) {
	dir := filepath.Join(c.entry.work, "loads")
	defer os.RemoveAll(dir)
	running := make([]*entrant, len(servers))
	for i, name := range servers {
		// The same name may be there twice, to see how much two equal servers differ.
		how := c.entry
		how.work, how.members = filepath.Join(dir, strconv.Itoa(i)), members
		e, err := c.begin(name, how)
		if err != nil {
			return nil, err
		}
		defer e.close()
		running[i] = e
		if err := c.warm(e); err != nil {
			return nil, e.failed("warm-up", err)
		}
		if err := e.pause(); err != nil {
			return nil, err
		}
	}
	samples := make([][][]figures, len(table))
	for i := range samples {
		samples[i] = make([][]figures, len(servers))
	}
	order := make([]int, len(servers))
	for i := range order {
		order[i] = i
	}
	for round := range c.rounds {
		for i, r := range table {
			for _, j := range order {
				f, err := c.turn(running[j], fmt.Sprintf("bench-%02d-%03d", round, i), r)
				if err != nil {
					return nil, running[j].failed(r.String(), err)
				}
				log.Printf("round %d/%d  %-24s %-6s %s", round+1, c.rounds, r, servers[j], f)
				samples[i][j] = append(samples[i][j], f)
			}
		}
		slices.Reverse(order)
	}
	for _, row := range samples {
		var medians []figures
		for _, s := range row {
			medians = append(medians, median(s))
		}
		all = append(all, medians)
	}
	return all, nil
}

// warm drives a server as long as it needs to compile, allocate and grow what it has for its usual work.
func (c *comparison) warm(e *entrant) error {
	for i, name := range []string{"mixed50", "create-delete", "children", "exists"} {
		r := row{workloads[slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })], 1, 10, 20, 100}
		if _, err := measure(e.target(), fmt.Sprintf("bench-warm-%d", i), r, timing{duration: 2 * c.warmup}, c.seed); err != nil {
			return err
		}
	}
	return nil
}

// turn measures one row on one server, which runs only while it does.
func (c *comparison) turn(e *entrant, name string, r row) (figures, error) {
	if err := e.resume(); err != nil {
		return figures{}, err
	}
	f, err := measure(e.target(), name, r, c.timing, c.seed)
	if err != nil {
		return f, err
	}
	for _, m := range e.all() {
		if m.dir == "" {
			continue
		}
		if err := trimLogs(m.dir); err != nil {
			return f, err
		}
	}
	return f, e.pause()
}

// fresh calls do with a server of its own on an empty directory.
func (c *comparison) fresh(name, part string, do func(*entrant) error) error {
	how := c.entry
	how.work, how.grow = filepath.Join(c.entry.work, part), true
	defer os.RemoveAll(how.work)
	return c.with(name, how, part, do)
}

// with calls do with a server that is gone in the end; its directory stays.
func (c *comparison) with(name string, how entry, part string, do func(*entrant) error) error {
	server, err := c.begin(name, how)
	if err != nil {
		return err
	}
	defer server.close()
	if err := do(server); err != nil {
		return server.failed(part, err)
	}
	return nil
}

// starts is how long each server takes from the start of its process on an empty directory to its first answer: medians over
// the rounds.
func (c *comparison) starts() ([]other, error) {
	servers := c.stateful()
	samples := make([][]time.Duration, len(servers))
	for round := range c.rounds {
		for i, name := range servers {
			d, err := c.start(name)
			if err != nil {
				return nil, err
			}
			log.Printf("round %d/%d  start on an empty directory %-6s %v", round+1, c.rounds, name, d)
			samples[i] = append(samples[i], d)
		}
	}
	return []other{{"start on an empty directory to the first answer, ms", each(samples, func(s []time.Duration) float64 {
		return milliseconds(middle(s, func(d time.Duration) time.Duration { return d }))
	})}}, nil
}

func (c *comparison) start(name string) (took time.Duration, err error) {
	// The server that fresh starts is only used to find out how to start it; what counts is the start of the same command
	// on the directory when that is empty again.
	err = c.fresh(name, "start", func(e *entrant) error {
		if err := e.Kill(); err != nil {
			return err
		}
		if e.dir != "" {
			if err := os.RemoveAll(e.dir); err != nil {
				return err
			}
			if err := os.Mkdir(e.dir, 0o755); err != nil {
				return err
			}
		}
		took, err = firstAnswer(e.addr, e.Start)
		return err
	})
	return took, err
}

// memory is what a server needs for many znodes.
type memory struct {
	empty   int64         // resident bytes after the start
	full    int64         // resident bytes with the znodes
	rate    float64       // znodes created in a second
	restart time.Duration // from the start of the process, on the directory with the znodes, to its first answer
	again   int64         // resident bytes after that
}

const memorySize = 100 // bytes of data of each of the many znodes

// memories fills each server with n znodes.
func (c *comparison) memories(n int) ([]other, error) {
	var all []memory
	for _, name := range c.stateful() {
		var m memory
		err := c.fresh(name, "memory", func(e *entrant) (err error) {
			if m.empty, err = e.resident(); err != nil {
				return err
			}
			began := time.Now()
			if err := populate(e.addr, n); err != nil {
				return err
			}
			m.rate = float64(n) / time.Since(began).Seconds()
			if m.full, err = e.resident(); err != nil {
				return err
			}
			if err := e.Stop(); err != nil {
				return err
			}
			if m.restart, err = firstAnswer(e.addr, e.Start); err != nil {
				return err
			}
			m.again, err = e.resident()
			return err
		})
		if err != nil {
			return nil, err
		}
		log.Printf("%d znodes  %-6s %d MB empty, %d MB full, %.0f creates/s, restart in %v, then %d MB", n, name, m.empty>>20, m.full>>20, m.rate, m.restart, m.again>>20)
		all = append(all, m)
	}
	many := thousands(float64(n)) + " znodes of " + strconv.Itoa(memorySize) + " B"
	return []other{
		{"resident memory when empty, MB", each(all, func(m memory) float64 { return float64(m.empty) / (1 << 20) })},
		{many + ": resident memory, MB", each(all, func(m memory) float64 { return float64(m.full) / (1 << 20) })},
		{many + ": bytes for each", each(all, func(m memory) float64 { return float64(m.full-m.empty) / float64(n) })},
		{many + ": creates/s", each(all, func(m memory) float64 { return m.rate })},
		{many + ": restart to the first answer, ms", each(all, func(m memory) float64 { return milliseconds(m.restart) })},
		{many + ": resident memory after the restart, MB", each(all, func(m memory) float64 { return float64(m.again) / (1 << 20) })},
	}, nil
}

// memoryFan is how many of the many znodes have one parent.
const memoryFan = 1000

func memoryParent(i int) string { return fmt.Sprintf("/p%05d", i) }

// memoryPath is the path of one of the many znodes.
func memoryPath(i int) string { return memoryParent(i/memoryFan) + "/" + keyName(i%memoryFan) }

// populate creates n znodes.
func populate(addr string, n int) error {
	tail := append(jute.AppendBuffer(nil, make([]byte, memorySize)), openACL...)
	err := alone(addr, func(c *conn) error {
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
	tail := append(jute.AppendBuffer(nil, make([]byte, memorySize)), anyVersion...)
	return together(addr, sets, func(i int) step { return setOne(n, seed, i, tail) })
}

// setOne is the i-th of the requests that overwrite znodes at random.
func setOne(n int, seed uint64, i int, tail []byte) step {
	return newStep(jute.OpSetData, memoryPath(int(rand.NewPCG(seed, uint64(i)).Uint64()%uint64(n))), tail, statLength)
}

// idle is what connections cost that do nothing but ping.
type idle struct {
	bytes float64       // resident memory for each connection
	cpu   time.Duration // of the server for each ping
}

// idles opens n sessions on each server.
func (c *comparison) idles(n int) ([]other, error) {
	var all []idle
	for _, name := range c.stateful() {
		var cost idle
		err := c.fresh(name, "idle", func(e *entrant) error {
			// The first connections bring what all of them share.
			first, err := dialFleet(100, e.addr)
			if err != nil {
				return err
			}
			before, err := e.resident()
			if err != nil {
				return err
			}
			conns, err := dialFleet(n, e.addr)
			if err != nil {
				return err
			}
			conns = append(conns, first...)
			defer conns.close()
			ping := func(_ int, c *conn) error { return c.ping() }
			if err := conns.each(64, ping); err != nil {
				return err
			}
			after, err := e.resident()
			if err != nil {
				return err
			}
			busy, err := cpuTime(e.PID())
			if err != nil {
				return err
			}
			if err := conns.each(64, ping); err != nil {
				return err
			}
			then, err := cpuTime(e.PID())
			cost = idle{float64(after-before) / float64(n), (then - busy) / time.Duration(len(conns))}
			return err
		})
		if err != nil {
			return nil, err
		}
		log.Printf("%d idle connections  %-6s %.0f bytes each, %v a ping", n, name, cost.bytes, cost.cpu)
		all = append(all, cost)
	}
	many := thousands(float64(n)) + " idle connections: "
	return []other{
		{many + "resident bytes for each", each(all, func(i idle) float64 { return i.bytes })},
		{many + "CPU for each ping, µs", each(all, func(i idle) float64 { return float64(i.cpu) / float64(time.Microsecond) })},
	}, nil
}

// each is a value of every item.
func each[S any](all []S, value func(S) float64) []float64 {
	var v []float64
	for _, s := range all {
		v = append(v, value(s))
	}
	return v
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// resident is the memory of the server when it has settled.
func (e *entrant) resident() (int64, error) {
	if err := e.settle(); err != nil {
		return 0, err
	}
	return residentBytes(e.PID())
}
