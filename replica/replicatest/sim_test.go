package replicatest

import (
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quoll/zab/zabtest"
)

// number is a number from the environment, or a default.
func number(t *testing.T, name string, def uint64) uint64 {
	s := os.Getenv(name)
	if s == "" {
		return def
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestSimulation runs QUOLL_SCHEDULES schedules (300) from QUOLL_FIRST on, on QUOLL_CORES cores (1).
func TestSimulation(t *testing.T) {
	schedules, first, cores := number(t, "QUOLL_SCHEDULES", 300), number(t, "QUOLL_FIRST", 0), number(t, "QUOLL_CORES", 1)
	var next atomic.Uint64
	var group sync.WaitGroup
	var mu sync.Mutex
	var all Stats
	failures := map[string]int{}
	began := time.Now()
	for range cores {
		group.Go(func() {
			cast := New()
			defer cast.Close()
			w := zabtest.NewWorldOf(cast)
			for i := next.Add(1) - 1; i < schedules; i = next.Add(1) - 1 {
				f := w.Run(first + i)
				if f == nil {
					continue
				}
				mu.Lock()
				if failures[f.Invariant]++; failures[f.Invariant] <= 3 {
					t.Errorf("%v\n%.3000s", f, f.Stack)
				}
				mu.Unlock()
				w = zabtest.NewWorldOf(cast)
			}
			mu.Lock()
			all.add(&cast.Stats)
			mu.Unlock()
		})
	}
	group.Wait()
	took := time.Since(began)
	t.Logf("%d schedules in %v: %.1f per second\n%v", schedules, took.Round(time.Millisecond), float64(schedules)/took.Seconds(), &all)
	if len(failures) > 0 {
		t.Errorf("failures: %v", failures)
	}
}

// TestSeed runs QUOLL_SEED and prints what happens.
func TestSeed(t *testing.T) {
	if os.Getenv("QUOLL_SEED") == "" {
		t.Skip("QUOLL_SEED is not set")
	}
	cast := New()
	defer cast.Close()
	w := zabtest.NewWorldOf(cast)
	w.Trace(func(line string) { t.Log(line) })
	if f := w.Run(number(t, "QUOLL_SEED", 0)); f != nil {
		t.Errorf("%v\n%s", f, f.Stack)
	}
}

// TestRepeatable runs schedules again, with other ones before them.
func TestRepeatable(t *testing.T) {
	cast := New()
	defer cast.Close()
	w := zabtest.NewWorldOf(cast)
	hashes := map[uint64]uint64{}
	n := number(t, "QUOLL_SCHEDULES", 100)
	for seed := range n {
		w.Run(seed)
		hashes[seed] = w.Hash()
	}
	w = zabtest.NewWorldOf(cast)
	differ := 0
	for seed := n; seed > 0; seed-- {
		if w.Run(seed - 1); w.Hash() != hashes[seed-1] {
			differ++
			t.Logf("seed %d goes another way", seed-1)
		}
	}
	if differ > 0 {
		t.Errorf("%d of %d schedules are not repeatable", differ, n)
	}
}
