package history

import (
	"math/rand/v2"
	"slices"
	"testing"

	"quoll/jute"
)

func TestPorcupineValid(t *testing.T) {
	samples, ops := 0, 0
	for seed := range uint64(seeds / 3) {
		s := simulate(simConfig{seed: seed, clients: 3, steps: 3000, crashes: seed%4 != 0, multis: seed%3 != 0})
		rng := rand.New(rand.NewPCG(seed, 2))
		for _, life := range s.lives {
			for _, sample := range Samples(life, rng, 10, 40) {
				samples++
				ops += sample.Len()
				if !sample.Linearizable() {
					t.Errorf("seed %d: %s is not linearizable", seed, sample.Path)
				}
			}
		}
	}
	t.Logf("%d samples with %d operations", samples, ops)
	if samples == 0 || ops < 3*samples {
		t.Error("these samples show too little")
	}
}

// TestPorcupinePlanted plants what can be seen without zxids on one znode, and wants it found wherever the sample reaches it.
func TestPorcupinePlanted(t *testing.T) {
	for _, p := range plants {
		visible := p.rule == readData || p.rule == readExistence || p.rule == versions && p.name == "version skipped" || p.rule == readStat || p.rule == replyCode || p.rule == ephemeralEarly
		if !visible {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			found, tried := 0, 0
			for seed := uint64(0); found < 10; seed++ {
				if seed == 1000 {
					t.Fatalf("found %d times in %d histories", found, tried)
				}
				s := simulate(simConfig{seed: seed, clients: 3, steps: 1500, fault: p.fault})
				h := &spoiler{sim: s, lives: s.lives}
				if p.spoil != nil && !p.spoil(h) || p.fault != noFault && !s.struck {
					continue
				}
				tried++
				rng := rand.New(rand.NewPCG(seed, 2))
				ok := true
				for range 20 {
					ok = ok && !slices.ContainsFunc(Samples(h.lives[0], rng, 50, 60), func(s Sample) bool { return !s.Linearizable() })
				}
				if !ok {
					found++
				}
			}
			t.Logf("found in %d of %d histories", found, tried)
			if found*6 < tried { // a read that is late by a moment may still be linearizable
				t.Errorf("found in %d of %d histories", found, tried)
			}
		})
	}
}

// TestPorcupineSees pins single steps of the model.
func TestPorcupineSees(t *testing.T) {
	get := func(tag uint64, version int32) Op {
		return Op{Part: Part{Op: jute.OpGetData, Path: "/a", Data: Data{Tag: tag}, Stat: jute.Stat{Version: version}}}
	}
	set := func(tag uint64, version int32) Op {
		return Op{Part: Part{Op: jute.OpSetData, Path: "/a", Data: Data{Tag: tag}, Version: -1, Stat: jute.Stat{Version: version}}}
	}
	for _, c := range []struct {
		name string
		ops  []Op
		open bool // the last one was not answered, and was called first
		want bool
	}{
		{"the state at the beginning is unknown", []Op{get(1, 1), get(1, 1)}, false, true},
		{"data changes by itself", []Op{get(1, 1), get(2, 1)}, false, false},
		{"set and get", []Op{set(1, 1), get(1, 1)}, false, true},
		{"lost", []Op{set(1, 1), set(2, 2), get(1, 1)}, false, false},
		{"an unanswered write done late", []Op{get(1, 1), get(2, 2), set(2, 0)}, true, true},
		{"an unanswered write not done", []Op{get(1, 1), get(1, 1), set(2, 0)}, true, true},
		{"an unanswered write undone", []Op{get(1, 1), get(2, 2), get(1, 1), set(2, 0)}, true, false},
	} {
		conn := &Connection{Session: 1, Ops: c.ops, Replies: len(c.ops)}
		for i := range c.ops {
			c.ops[i].Call, c.ops[i].Return = int64(10*i+10), int64(10*i+15)
		}
		conns := []*Connection{conn}
		if c.open {
			last := c.ops[len(c.ops)-1]
			last.Call, last.Return = 1, Never
			conn.Ops, conn.Replies = c.ops[:len(c.ops)-1], len(c.ops)-1
			conns = append(conns, &Connection{Session: 2, Ops: []Op{last}})
		}
		paths := map[string][]sampled{"/a": nil}
		for _, conn := range conns {
			for i := range conn.Ops {
				collect(paths, conn, i)
			}
		}
		list := paths["/a"]
		slices.SortStableFunc(list, func(a, b sampled) int { return int(a.op.Call - b.op.Call) })
		if got := cut("/a", list, 0, 100).Linearizable(); got != c.want {
			t.Errorf("%s: linearizable %v", c.name, got)
		}
	}
}
