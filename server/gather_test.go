package server

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// writer takes batches of requests as a sequencer does, each in the same time, and holds them as gather says.
type writer struct {
	gather
	now      time.Duration
	arrivals []arrival // of the requests that are here and of those that will come, in order
	known    int       // so many of them are here
	batches  int
	requests int
	held     time.Duration // for which requests waited for others, all together
}

type arrival struct {
	at time.Duration
	*habit
}

func (w *writer) add(a arrival) {
	i, _ := slices.BinarySearchFunc(w.arrivals, a.at+1, func(a arrival, at time.Duration) int { return int(a.at - at) })
	w.arrivals = slices.Insert(w.arrivals, i, a)
}

func (w *writer) look() {
	for ; w.known < len(w.arrivals) && w.arrivals[w.known].at <= w.now; w.known++ {
		w.came(w.arrivals[w.known].at, w.arrivals[w.known].habit)
	}
}

// batch takes one. again says how long its clients think before they ask again; ok is false if one does not.
func (w *writer) batch(round time.Duration, again func() (think time.Duration, ok bool)) {
	w.now = max(w.now, w.arrivals[0].at)
	began := w.now
	w.look()
	for wait := w.hold(w.now, w.known); wait > 0; wait = w.hold(w.now, w.known) {
		w.now += wait
		if w.known < len(w.arrivals) {
			w.now = min(w.now, w.arrivals[w.known].at)
		}
		w.look()
	}
	taken := slices.Clone(w.arrivals[:w.known])
	for _, a := range taken {
		w.held += w.now - max(a.at, began)
	}
	w.leave(w.now, len(taken))
	w.now += round
	w.look()
	w.arrivals, w.known = w.arrivals[len(taken):], w.known-len(taken)
	for _, a := range taken {
		w.replied(w.now, a.habit)
		if think, ok := again(); ok {
			w.add(arrival{w.now + think, a.habit})
		}
	}
	w.batches++
	w.requests += len(taken)
}

func (w *writer) perBatch() float64 { return float64(w.requests) / float64(w.batches) }

// TestGather: clients that ask again at once come to be in one batch, and those that do not hardly wait for each other.
func TestGather(t *testing.T) {
	const round = 200 * time.Microsecond
	rng := rand.New(rand.NewPCG(1, 1))
	eager := func() (time.Duration, bool) { return round/4 + time.Duration(rng.Int64N(int64(round))), true }
	slow := func(mean time.Duration) func() (time.Duration, bool) {
		return func() (time.Duration, bool) { return time.Duration(rng.ExpFloat64() * float64(mean)), true }
	}
	with := func(clients int) *writer {
		w := &writer{}
		for range clients {
			w.add(arrival{time.Duration(rng.Int64N(int64(10 * round))), new(habit)})
		}
		return w
	}
	for _, clients := range []int{1, 2, 5, 30, 1000} {
		w := with(clients)
		for range 100 {
			w.batch(round, eager)
		}
		w.batches, w.requests, w.held = 0, 0, 0
		for range 200 {
			w.batch(round, eager)
		}
		if want := min(float64(clients), gatherEnough) * 0.99; w.perBatch() < want {
			t.Errorf("%d clients: %.2f requests in a batch", clients, w.perBatch())
		}
		if clients == 1 && w.held > 0 {
			t.Errorf("one client waited %v", w.held)
		}
		// Half of them leave, and are waited for once.
		left, vain := clients/2, 0
		for range 100 {
			was := w.era
			w.batch(round, func() (time.Duration, bool) {
				if left--; left >= 0 {
					return 0, false
				}
				return eager()
			})
			vain += int(w.era - was)
		}
		if vain > 1 {
			t.Errorf("%d clients, of which half left: in vain %d times", clients, vain)
		}
	}
	// Each of them is late for once now and then, and the others are not taken for late, too.
	for _, clients := range []int{3, 10, 30} {
		w := with(clients)
		for range 2000 {
			w.batch(round, func() (time.Duration, bool) {
				think, _ := eager()
				if rng.IntN(33) == 0 {
					think += time.Duration(rng.ExpFloat64() * 5 * float64(round))
				}
				return think, true
			})
		}
		if w.perBatch() < 0.8*float64(clients) {
			t.Errorf("%d clients that are late for once now and then: %.2f requests in a batch", clients, w.perBatch())
		}
	}
	// Clients that take their time, fewer and more of them: their requests come like rain.
	for _, mean := range []time.Duration{3 * round, 10 * round, 100 * round, 1000 * round} {
		for _, every := range []time.Duration{round / 20, round / 3, round, 3 * round} {
			w := with(int(mean / every))
			for w.requests < 20_000 {
				w.batch(round, slow(mean))
			}
			if held := w.held / time.Duration(w.requests); held > round/10 {
				t.Errorf("a request each %v, of clients that think for %v: held for %v, where a batch takes %v", every, mean, held, round)
			}
		}
	}
}

// TestGatherLimit: a round that takes long does not make requests wait as long.
func TestGatherLimit(t *testing.T) {
	w := &writer{arrivals: []arrival{{0, new(habit)}, {1, new(habit)}}}
	for i := range 100 {
		if i == 50 {
			w.batches, w.requests = 0, 0
		}
		w.batch(time.Second, func() (time.Duration, bool) { return 100 * time.Microsecond, true })
	}
	if w.perBatch() < 1.9 {
		t.Errorf("%.2f requests in a batch", w.perBatch())
	}
	leaves := true
	w.batch(time.Second, func() (time.Duration, bool) { leaves = !leaves; return 0, leaves })
	w.held = 0
	w.batch(time.Second, func() (time.Duration, bool) { return 0, false })
	if w.held == 0 || w.held > gatherLimit {
		t.Errorf("held for %v", w.held)
	}
}
