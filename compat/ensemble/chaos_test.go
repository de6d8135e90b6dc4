package ensemble

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"quoll/compat/peer"
	"quoll/history"
	"quoll/jute"
)

// TestChaos has clients on all members of an ensemble while members are killed and paused and their links cut, in either direction, delayed
// and reset, for QUOLL_ENSEMBLE_SECONDS on each assignment. The checker of package history and Porcupine judge what the clients were told.
// Now and then there is a calm, in which all members must come to serve, and to show the same.
func TestChaos(t *testing.T) {
	seconds := pick(t, "QUOLL_ENSEMBLE_SECONDS", 40, 1200)
	seed := peer.Setting(t, "QUOLL_ENSEMBLE_SEED", time.Now().UnixNano())
	longer := []string{"3.9.5,3.9.5,3.9.5", "quoll,quoll,quoll", "quoll,3.9.5,quoll", "3.9.5,quoll,3.9.5", "quoll,quoll,quoll,quoll,quoll"}
	for _, kinds := range assignments(t, longer[:3], longer) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			t.Logf("QUOLL_ENSEMBLE_SEED=%d", seed)
			newChaos(t, kinds, seed).run(time.Duration(seconds) * time.Second)
		})
	}
}

const (
	players  = 8
	perRound = 15 * time.Second // of faults between two calms
)

type chaos struct {
	*testing.T
	*Ensemble
	rng     *rand.Rand
	players []*player
	checker *history.Checker
	faults  map[string]int
	samples int
	judged  int           // violations that were looked at
	longest time.Duration // until all served after a round
}

func newChaos(t *testing.T, kinds []Kind, seed int64) *chaos {
	e := build(t, Options{Kinds: kinds, Network: true, Tick: 200, Config: []string{"maxSessionTimeout=60000", "minSessionTimeout=1000"}})
	x := &chaos{T: t, Ensemble: e, rng: rand.New(rand.NewPCG(uint64(seed), 0)), checker: history.NewChecker(history.Options{Members: true}), faults: map[string]int{}}
	for id := range players {
		x.players = append(x.players, newPlayer(id, seed+1, e.Members))
	}
	return x
}

func (x *chaos) run(length time.Duration) {
	check(x.T, x.Start())
	serving(x.T, x.Ensemble)
	start, rounds := time.Now(), 0
	for first := true; first || time.Since(start) < length && !x.Failed() && x.checker.Report().Undecided == ""; first = false {
		records := x.round(first, min(perRound, length))
		x.calm()
		records = append(records, x.seen()...)
		x.checker.Life(records)
		x.sample(records)
		x.verdict()
		rounds++
	}
	for _, text := range x.Mismatches() {
		x.Error(text)
	}
	check(x.T, x.Settle("/settled"))
	check(x.T, x.Ensemble.Stop())
	check(x.T, x.SameDigests())
	r := x.checker.Report()
	var faults []string
	for name, n := range x.faults {
		faults = append(faults, fmt.Sprintf("%d %s", n, name))
	}
	sort.Strings(faults)
	x.Logf("%d requests answered (%d of them writes), %d events, %d sessions in %v and %d rounds; faults: %s; all served at the latest %v after the last fault of a round",
		r.Ops, r.Writes, r.Events, r.Sessions, time.Since(start).Round(time.Second), rounds, strings.Join(faults, ", "), x.longest.Round(time.Millisecond))
	x.Logf("%d writes that nobody answered, of which %d were done; %d samples of Porcupine; undecided: %q", r.Open, r.Done, x.samples, r.Undecided)
}

// round plays and does faults meanwhile.
func (x *chaos) round(first bool, length time.Duration) (records []*history.Connection) {
	if first {
		check(x.T, x.players[0].prepare())
		records = x.players[0].records
	}
	stop := make(chan struct{})
	var work sync.WaitGroup
	errs := make(chan error, players)
	for _, p := range x.players {
		work.Go(func() { errs <- p.life(stop) })
	}
	for end := time.Now().Add(length); time.Now().Before(end) && len(errs) == 0; {
		x.fault()
	}
	x.heal()
	healed := time.Now()
	// The last requests are answered, by the members that serve again.
	_, served := x.Serving()
	x.longest = max(x.longest, time.Since(healed))
	close(stop)
	work.Wait()
	check(x.T, served)
	for range x.players {
		if err := <-errs; err != nil {
			x.Error(err)
		}
	}
	for _, p := range x.players {
		records = append(records, p.records...)
	}
	return records
}

// fault does one thing for a moment, and sometimes a second one beside it.
func (x *chaos) fault() {
	m := x.Members[x.rng.IntN(len(x.Members))]
	o := x.others(m)[x.rng.IntN(len(x.Members)-1)]
	moment := time.Duration(100+x.rng.IntN(3000)) * time.Millisecond
	name := ""
	switch x.rng.IntN(10) {
	case 0, 1:
		name = "kill"
		check(x.T, m.Kill())
		check(x.T, m.Start())
	case 2:
		name = "kill of the leader"
		for _, l := range x.Members {
			if l.Mode() == "leader" {
				check(x.T, l.Kill())
				check(x.T, l.Start())
				break
			}
		}
	case 3:
		name = "pause"
		check(x.T, m.Pause())
	case 4:
		name = "isolation"
		for _, o := range x.others(m) {
			x.Network.Cut(m.ID, o.ID)
			x.Network.Cut(o.ID, m.ID)
		}
	case 5:
		name = "member that is not heard"
		for _, o := range x.others(m) {
			x.Network.Cut(m.ID, o.ID)
		}
	case 6:
		name = "member that hears nobody"
		for _, o := range x.others(m) {
			x.Network.Cut(o.ID, m.ID)
		}
	case 7:
		name = "cut link"
		x.Network.Cut(m.ID, o.ID)
		x.Network.Cut(o.ID, m.ID)
	case 8:
		name = "delay"
		for _, a := range x.Members {
			for _, b := range x.others(a) {
				x.Network.Delay(a.ID, b.ID, time.Duration(x.rng.IntN(100))*time.Millisecond)
			}
		}
	case 9:
		name = "reset"
		x.Network.Reset(m.ID, o.ID)
		moment /= 4
	}
	x.faults[name]++
	time.Sleep(moment) // the fault lasts so long
	if x.rng.IntN(4) > 0 {
		x.heal()
		time.Sleep(time.Duration(x.rng.IntN(1500)) * time.Millisecond)
	}
}

// heal ends all faults.
func (x *chaos) heal() {
	x.Network.Heal()
	for _, m := range x.Members {
		check(x.T, m.Resume())
	}
}

// calm waits until all members serve, and compares what they show.
func (x *chaos) calm() {
	serving(x.T, x.Ensemble)
	_, err := x.SameTrees()
	check(x.T, err)
}

// seen is what a look at everything shows.
func (x *chaos) seen() []*history.Connection {
	p := x.players[0]
	p.records = nil
	check(x.T, p.look())
	return p.records
}

// sample has Porcupine judge the writes below certain: it knows neither reads of old state nor sessions that end by themselves.
func (x *chaos) sample(records []*history.Connection) {
	for _, s := range history.Samples(certainWrites(records), x.rng, 40, 40) {
		x.samples++
		if !s.Linearizable() {
			x.Errorf("%s is not linearizable by Porcupine", s.Path)
		}
	}
}

// certainWrites are copies of the records with nothing else in them.
func certainWrites(records []*history.Connection) (filtered []*history.Connection) {
	for _, r := range records {
		c := *r
		c.Ops, c.Replies = nil, 0
		for i, o := range r.Ops {
			switch o.Op {
			case jute.OpMulti, jute.OpCloseSession:
			case jute.OpCreate, jute.OpCreate2, jute.OpDelete, jute.OpSetData:
				if !strings.HasPrefix(o.Path, certain) {
					continue
				}
			default:
				continue
			}
			c.Ops = append(c.Ops, o)
			if i < r.Replies {
				c.Replies++
			}
		}
		filtered = append(filtered, &c)
	}
	return filtered
}

// verdict fails the test for what the checker has found. A leader that is Java answers a sync at once, so after one another member may
// have written meanwhile (9.2 in docs/spec/ensemble-protocol.md): that is said, and no failure.
func (x *chaos) verdict() {
	r := x.checker.Report()
	java := slices.ContainsFunc(x.Members, func(m *Member) bool { return m.Kind() != Quoll })
	for _, v := range r.Violations[x.judged:] {
		if java && v.Rule == "read-order" {
			x.Logf("a sync that ZooKeeper answers too early: %v", v)
			continue
		}
		x.Error(v)
	}
	x.judged = len(r.Violations)
	if r.Undecided != "" {
		x.Logf("UNDECIDED, and nothing checked behind: %s", r.Undecided)
	}
}
