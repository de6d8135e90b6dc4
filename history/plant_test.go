package history

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"quoll/jute"
)

// plant is a way to break a rule: by a fault of the simulated server, or by changing a valid history. spoil reports whether there
// was something to change.
type plant struct {
	rule  ruleID
	name  string
	fault fault
	spoil func(h *spoiler) bool
	quiet bool // where unanswered writes could be blamed
}

// plants has at least one row for each rule.
var plants = []plant{
	{rule: zxidUnique, name: "one zxid twice", spoil: func(h *spoiler) bool {
		return h.pair(func(a, b *Op) bool { return a.Writes() && b.Writes() && a.Zxid+1 == b.Zxid }, func(a, b *Op) { b.Zxid = a.Zxid })
	}},
	{rule: writeOrder, name: "two zxids swapped", spoil: func(h *spoiler) bool {
		return h.pair(func(a, b *Op) bool { return a.Writes() && b.Writes() && a.Return < b.Call }, func(a, b *Op) { a.Zxid, b.Zxid = b.Zxid, a.Zxid })
	}},
	{rule: readOrder, name: "stale sync", spoil: func(h *spoiler) bool {
		return h.pair(func(a, b *Op) bool { return a.Writes() && a.Return < b.Call && b.Op == jute.OpSync }, func(a, b *Op) { b.Zxid = a.Zxid - 1 })
	}},
	{rule: durability, name: "zxids of an acknowledged write given out again", fault: forgetZxid},
	{rule: durability, name: "acknowledged write lost", fault: forgetWrite},
	{rule: sessionOrder, name: "session goes back", spoil: func(h *spoiler) bool {
		return h.each(func(c *Connection, i int) bool {
			if i == 0 || c.Ops[i].Op != jute.OpSync || c.Ops[i-1].Writes() || i > 1 && c.Ops[i-2].Zxid >= c.Ops[i-1].Zxid {
				return false
			}
			c.Ops[i].Zxid = c.Ops[i-1].Zxid - 1
			return true
		})
	}},
	{rule: readYourWrites, name: "own write not seen", spoil: func(h *spoiler) bool {
		return h.each(func(c *Connection, i int) bool {
			if i == 0 || c.Ops[i].Op != jute.OpSync || !c.Ops[i-1].Writes() {
				return false
			}
			c.Ops[i].Zxid = c.Ops[i-1].Zxid - 1
			return true
		})
	}},
	{rule: replyCode, name: "wrong error", spoil: func(h *spoiler) bool {
		return h.op(func(o *Op) bool { return o.Op == jute.OpDelete && o.Err == jute.OK }, func(o *Op) { o.Err = jute.ErrNotEmpty })
	}},
	{rule: versions, name: "version skipped", spoil: func(h *spoiler) bool {
		return h.op(func(o *Op) bool { return o.Op == jute.OpSetData && o.Err == jute.OK }, func(o *Op) { o.Stat.Version++ })
	}},
	{rule: versions, name: "cversion skipped", spoil: func(h *spoiler) bool {
		return h.op(func(o *Op) bool { return o.Op == jute.OpSetACL && o.Err == jute.OK }, func(o *Op) { o.Stat.Cversion++ })
	}},
	{rule: sequence, name: "number given out twice", spoil: func(h *spoiler) bool {
		return h.op(func(o *Op) bool {
			return strings.HasSuffix(o.Path, "s-") && o.Err == jute.OK && o.Made > "/h/q/s-0000000000"
		}, func(o *Op) {
			var n int
			fmt.Sscanf(o.Made[len(o.Path):], "%d", &n)
			o.Made = fmt.Sprintf("%s%010d", o.Path, n-1)
		})
	}},
	{rule: atomicMulti, name: "one result of a multi wrong", spoil: func(h *spoiler) bool {
		return h.op(func(o *Op) bool { return len(o.Parts) > 1 && !o.failed() }, func(o *Op) { o.Parts[len(o.Parts)-1].Err = jute.ErrBadVersion })
	}},
	{rule: atomicMulti, name: "half a multi done", fault: halfMulti, quiet: true},
	{rule: openWrite, name: "half an unanswered multi done", fault: halfOpenMulti},
	{rule: openWrite, name: "unanswered write left out", fault: skipOpenWrite},
	{rule: openWrite, name: "change that nobody asked for", fault: strayWrite},
	{rule: readExistence, name: "znode not found", spoil: func(h *spoiler) bool {
		return h.op(func(o *Op) bool {
			return o.Op == jute.OpGetData && o.Err == jute.OK && o.Stat.EphemeralOwner == 0 && h.plain()
		},
			func(o *Op) { o.Part = Part{Op: o.Op, Path: o.Path, Err: jute.ErrNoNode} })
	}},
	{rule: readStat, name: "Stat with another version", spoil: func(h *spoiler) bool {
		return h.op(func(o *Op) bool { return o.Op == jute.OpExists && o.Err == jute.OK }, func(o *Op) { o.Stat.Version++ })
	}},
	{rule: readStat, name: "Stat with another owner", spoil: func(h *spoiler) bool {
		return h.op(func(o *Op) bool { return o.Op == jute.OpExists && o.Err == jute.OK }, func(o *Op) { o.Stat.EphemeralOwner += 1000 })
	}},
	{rule: readStat, name: "stale read", fault: staleRead, quiet: true},
	{rule: readData, name: "data of another write", spoil: func(h *spoiler) bool {
		return h.op(func(o *Op) bool { return o.Op == jute.OpGetData && o.Err == jute.OK }, func(o *Op) { o.Data.Tag++ })
	}},
	{rule: readChildren, name: "a child too few", spoil: func(h *spoiler) bool {
		return h.op(func(o *Op) bool { return o.Op == jute.OpGetChildren && o.Err == jute.OK && o.Children.Count > 0 }, func(o *Op) {
			o.Children.Count--
			o.Children.Sum -= 12345
		})
	}},
	{rule: ephemeralOutlives, name: "ephemeral of an ended session", fault: keepEphemeral, quiet: true},
	{rule: ephemeralEarly, name: "ephemeral of a live session vanishes", fault: dropEphemeral},
	{rule: sessionEnded, name: "write of an ended session", fault: deadAuthor},
	{rule: sessionEnded, name: "renewal of an ended session", spoil: func(h *spoiler) bool {
		return h.each(func(c *Connection, i int) bool {
			if c.Ops[i].Op != jute.OpCloseSession {
				return false
			}
			at := h.lives[len(h.lives)-1]
			h.lives[len(h.lives)-1] = append(at, &Connection{Session: c.Session, Call: h.sim.now + 1, Return: h.sim.now + 2})
			return true
		})
	}},
	{rule: sessionLost, name: "session lost", quiet: true, spoil: func(h *spoiler) bool {
		c := h.sim.clients[0].conn.Connection
		if h.sim.closing(h.sim.clients[0]) {
			return false
		}
		at := h.lives[len(h.lives)-1]
		h.lives[len(h.lives)-1] = append(at, &Connection{Refused: c.Session, Call: h.sim.now + 1, Return: h.sim.now + 2})
		return true
	}},
	{rule: watchMissing, name: "event lost", fault: loseEvent, quiet: true},
	{rule: watchTwice, name: "event repeated", fault: repeatEvent, quiet: true},
	{rule: watchUnasked, name: "event without a watch", fault: inventEvent, quiet: true},
	{rule: watchSurvives, name: "watches kept for the next connection", fault: keepWatches},
	{rule: watchWrong, name: "event with another path", fault: wrongEvent, quiet: true},
	{rule: watchLate, name: "event after the reply", spoil: func(h *spoiler) bool {
		return h.event(func(c *Connection, i int) bool {
			e := &c.Events[i]
			if e.After < c.Replies && c.Ops[e.After].Zxid >= e.Zxid {
				e.After++
				return true
			}
			return false
		})
	}},
	{rule: watchOrder, name: "two events swapped", spoil: func(h *spoiler) bool {
		return h.event(func(c *Connection, i int) bool {
			if i == 0 || c.Events[i-1].Zxid == c.Events[i].Zxid {
				return false
			}
			c.Events[i-1], c.Events[i] = c.Events[i], c.Events[i-1]
			return true
		})
	}},
}

// spoiler changes a valid history in one place.
type spoiler struct {
	sim   *sim
	lives [][]*Connection
}

// plain reports whether znodes change in no other way than by single writes of one life.
func (h *spoiler) plain() bool { return !h.sim.multis && !h.sim.crashes }

// each offers the answered operations in a random order.
func (h *spoiler) each(spoil func(c *Connection, i int) bool) bool {
	type place struct {
		c *Connection
		i int
	}
	var places []place
	for _, life := range h.lives {
		for _, c := range life {
			for i := range c.Replies {
				places = append(places, place{c, i})
			}
		}
	}
	h.sim.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
	return slices.ContainsFunc(places, func(p place) bool { return spoil(p.c, p.i) })
}

func (h *spoiler) op(want func(*Op) bool, spoil func(*Op)) bool {
	return h.each(func(c *Connection, i int) bool {
		if !want(&c.Ops[i]) {
			return false
		}
		spoil(&c.Ops[i])
		return true
	})
}

func (h *spoiler) pair(want func(a, b *Op) bool, spoil func(a, b *Op)) bool {
	return h.op(func(b *Op) bool {
		return h.op(func(a *Op) bool { return want(a, b) }, func(a *Op) { spoil(a, b) })
	}, func(*Op) {})
}

func (h *spoiler) event(spoil func(c *Connection, i int) bool) bool {
	return h.each(func(c *Connection, _ int) bool {
		for i := range c.Events {
			if spoil(c, i) {
				return true
			}
		}
		return false
	})
}

// TestPlantedViolations breaks each rule in many histories, and wants it found by its name in each of them.
func TestPlantedViolations(t *testing.T) {
	planted := map[ruleID]bool{}
	for _, p := range plants {
		planted[p.rule] = true
		t.Run(Rules[p.rule].Name+"/"+p.name, func(t *testing.T) {
			found := 0
			for seed := uint64(0); found < 10; seed++ {
				if seed == 3000 {
					t.Fatalf("only %d of 3000 histories had room for this", found)
				}
				cfg := simConfig{seed: seed, clients: 3, steps: 1500, crashes: seed%2 == 0, multis: seed%4 < 2, expiry: seed%8 < 4, fault: p.fault}
				if p.quiet {
					cfg.crashes, cfg.expiry = false, false
				}
				s := simulate(cfg)
				h := &spoiler{sim: s, lives: s.lives}
				if p.spoil != nil && !p.spoil(h) || p.fault != noFault && !s.struck {
					continue
				}
				found++
				opts := Options{}
				if found%2 == 0 {
					opts.Logged = s.logged
				}
				r := Check(opts, h.lives...)
				if !slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Rule == Rules[p.rule].Name }) {
					t.Errorf("seed %d: not found; %s%.2000v", seed, r.Undecided, r.Violations)
				}
			}
		})
	}
	for id, rule := range Rules {
		if !planted[ruleID(id)] {
			t.Errorf("nothing is planted for %s", rule.Name)
		}
		if rule.Name == "" || rule.Means == "" || rule.Origin == "" {
			t.Errorf("rule %d is not described: %+v", id, rule)
		}
	}
}
