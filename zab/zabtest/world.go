package zabtest

import (
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"time"

	"quoll/ensemble"
	"quoll/zab"
)

// World runs seeds, one after the other. Its memory is kept from run to run.
type World struct {
	seed  uint64
	draw  draw
	now   time.Duration
	queue queue
	seq   uint32
	steps int

	servers []*server
	slots   [maxServers][maxServers]voteSlot
	// walls has a bit for each server that nothing reaches from a server.
	walls             [maxServers]uint16
	links, spareLinks []*link
	clients           []client
	actions, undos    []action
	// first is the config that the members begin with.
	first *ensemble.Config
	// sessions is the last session that was created.
	sessions int
	// arena has the bytes of everything that was sent or proposed in the run.
	arena []byte
	// quiet says that clients do nothing of their own.
	quiet bool
	// deadline is when what is awaited must be there.
	deadline time.Duration
	// cast makes whole servers, if it is set.
	cast Cast

	ledger
	ghost
	cover coverage
	// hash is a digest of everything that happened.
	hash uint64
	// trace gets a line for whatever a reader of the run wants to know, if it is set.
	trace func(line string)
	// cutAt is where a link is cut, in a story.
	cutAt cutPlace
	// traceVotes says that votes are traced too.
	traceVotes bool
	set        ensemble.Set
}

// maxServers bounds the servers of a run.
const maxServers = 7

// The purposes of streams.
const (
	purposePlan uint64 = iota << 48
	purposeDraw
	purposeServer
	purposeDisk
	purposeVotes
	purposeClient
	purposeLink
)

// addrs are the addresses of the servers.
var addrs = func() (a [maxServers + 1]struct{ quorum, election []ensemble.Addr }) {
	for i := range a {
		a[i].quorum = []ensemble.Addr{{Host: fmt.Sprintf("h%d", i), Port: 1}}
		a[i].election = []ensemble.Addr{{Host: fmt.Sprintf("h%d", i), Port: 2}}
	}
	return a
}()

func sortServers(s []ensemble.Server) {
	slices.SortFunc(s, func(a, b ensemble.Server) int { return int(a.ID - b.ID) })
}

// NewWorld returns a world without a run.
func NewWorld() *World { return new(World) }

// Failure is a broken invariant.
type Failure struct {
	Seed uint64
	// Invariant is the name of a row of the table of invariants, or "panic", "codec" or "contract".
	Invariant, Message string
	// At is the time in the run.
	At time.Duration
	// Stack is that of a panic.
	Stack string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d at %v: %s: %s", f.Seed, f.At, f.Invariant, f.Message)
}

// violation is what a broken invariant panics with.
type violation struct{ invariant, message string }

func (w *World) violate(invariant, format string, args ...any) {
	panic(violation{invariant, fmt.Sprintf(format, args...)})
}

// Run runs a seed and returns what broke, or nil.
func (w *World) Run(seed uint64) *Failure {
	r := streamOf(seed, purposeDraw)
	d := newDraw(&r)
	if w.cast != nil {
		d.solid(&r)
	}
	p := streamOf(seed, purposePlan)
	return w.run(seed, d, newPlan(&d, &p))
}

// run runs a plan.
func (w *World) run(seed uint64, d draw, plan []action) (failure *Failure) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		failure = &Failure{Seed: seed, At: w.now, Invariant: "panic", Message: fmt.Sprint(r)}
		if v, ok := r.(violation); ok {
			failure.Invariant, failure.Message = v.invariant, v.message
		} else {
			failure.Stack = string(debug.Stack())
		}
	}()
	w.begin(seed, d)
	w.actions = plan
	if w.cast != nil {
		w.castAll()
	}
	for i := range plan {
		w.planAt(due{kind: dueAction, number: uint64(i)}, plan[i].at)
	}
	for _, s := range w.servers {
		w.restartLater(s, s.rng.upTo(either[time.Duration](&s.rng, 1, 20, 200)*time.Millisecond))
	}
	for i := range w.clients {
		w.plan(due{kind: dueClient, number: uint64(i)}, w.clients[i].rng.upTo(d.pace))
	}
	w.runUntil(d.chaos)
	w.calm()
	if w.cast != nil {
		w.judge()
	}
	return nil
}

// begin makes a world of servers that are down.
func (w *World) begin(seed uint64, d draw) {
	w.seed, w.draw = seed, d
	w.now, w.seq, w.steps, w.sessions = 0, 0, 0, 0
	w.queue = w.queue[:0]
	w.walls = [maxServers]uint16{}
	w.spareLinks = append(w.spareLinks, w.links...)
	w.links, w.undos, w.arena = w.links[:0], w.undos[:0], w.arena[:0]
	w.hash, w.quiet, w.cutAt = seed, false, cutPlace{}
	w.ledger.reset()
	for len(w.servers) < d.servers {
		w.servers = append(w.servers, new(server))
	}
	w.servers = w.servers[:d.servers]
	version := int64(0)
	if d.staleObservers {
		version = 5
	}
	w.first = w.config(version, d.members)
	w.ghost.reset(w)
	for i, s := range w.servers {
		*s = server{w: w, index: int8(i), sid: int64(i + 1), links: s.links[:0], effects: s.effects[:0],
			app: app{line: s.line[:0], syncs: s.syncs[:0], revalidations: s.revalidations[:0]}, rng: streamOf(seed, purposeServer+uint64(i)), wake: never}
		s.clock = clock{rate: unitRate}
		s.initial = w.first
		if s.initial.Server(s.sid) == nil {
			s.initial = w.config(0, append(slices.Clone(d.members), s.sid))
		}
		if c := s.initial.Server(s.sid); d.staleObservers && c.Role == ensemble.Observer {
			s.initial = w.config(0, d.members)
			s.initial.Server(s.sid).Client = &ensemble.Addr{Host: "h", Port: 3} // or the two would be equal
		}
		s.disk = disk{committed: s.initial, seen: s.initial, ops: s.disk.ops[:0], slow: 1, rng: streamOf(seed, purposeDisk+uint64(i)), steady: d.steady}
		if i == d.rogue {
			s.disk.epochs[zab.AcceptedEpoch] = math.MaxInt32 - 1
		}
		s.ghost.wiped()
		for j := range w.servers {
			w.slots[i][j] = voteSlot{rng: streamOf(seed, purposeVotes+uint64(i)<<8+uint64(j))}
		}
	}
	w.clients = slices.Grow(w.clients[:0], d.clients)
	for i := range d.clients {
		w.clients = append(w.clients, client{w: w, index: i, rng: streamOf(seed, purposeClient+uint64(i))})
	}
	w.cover.runs++
}

// plan lets something happen after a while.
func (w *World) plan(d due, after time.Duration) { w.planAt(d, w.now+after) }

func (w *World) planAt(d due, at time.Duration) {
	w.seq++
	d.at, d.seq = max(at, w.now), w.seq
	w.queue.push(d)
}

// runUntil lets happen what is due up to a time.
func (w *World) runUntil(end time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= end {
		w.next()
	}
	w.now = end
}

// next lets the next thing happen.
func (w *World) next() {
	d := w.queue.pop()
	w.now = d.at
	s := w.servers[d.server]
	if d.kind <= dueVote && d.kind != dueDisk && s.pausedUntil > w.now {
		d.at = s.pausedUntil // in the old order
		w.queue.push(d)
		return
	}
	w.mark(uint64(d.kind)<<8|uint64(uint8(d.server)), uint64(d.at))
	alive := s.up && s.life == d.life
	switch d.kind {
	case dueTick:
		if alive {
			s.tick()
		}
	case dueFlush:
		if alive && s.flushing {
			s.run()
		}
	case dueDisk:
		if alive {
			s.diskPhase()
		}
	case dueFrame:
		w.link(d.link).arrive(int(d.end))
	case dueSent:
		w.link(d.link).sent(int(d.end))
	case dueDown:
		w.link(d.link).down(int(d.end))
	case dueVote:
		w.voteArrives(w.servers[d.from], s)
	case dueDial:
		if alive {
			s.dialDone(w.servers[d.from], zab.DialID(d.number))
		}
	case dueClient:
		if w.quiet {
			return
		}
		c := &w.clients[d.number]
		w.plan(d, c.rng.upTo(2*w.draw.pace))
		c.act()
	case dueAction:
		switch i := int(d.number &^ undoBit); {
		case d.number&undoBit == 0 && i < len(w.actions):
			w.act(&w.actions[i])
		case d.number&undoBit != 0 && i < len(w.undos):
			w.act(&w.undos[i])
		}
	case dueRestart:
		if !s.up && !s.out {
			s.start()
		}
	}
}

// server returns the server with a sid, or nil.
func (w *World) server(sid int64) *server {
	if sid < 1 || int(sid) > len(w.servers) {
		return nil
	}
	return w.servers[sid-1]
}

// mask returns the servers for which ok holds, a bit for each.
func (w *World) mask(ok func(s *server) bool) (mask uint16) {
	for _, s := range w.servers {
		if ok(s) {
			mask |= 1 << s.index
		}
	}
	return mask
}

// quorum reports whether the servers of a mask are a quorum of a config.
func (w *World) quorum(c *ensemble.Config, mask uint16) bool {
	w.set = w.set[:0]
	for i := range w.servers {
		if mask>>i&1 == 1 {
			w.set = append(w.set, int64(i+1))
		}
	}
	return c.Quorum(w.set)
}

// mark adds to the hash of the run.
func (w *World) mark(a, b uint64) {
	w.hash = (w.hash^a*0x9e3779b97f4a7c15^b)*0x100000001b3 ^ w.hash>>29
}
