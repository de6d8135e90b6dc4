package replicatest

import (
	"os"
	"strconv"
	"strings"
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

// TestSimulation runs QUOLL_SCHEDULES schedules (300) from QUOLL_FIRST on.
func TestSimulation(t *testing.T) {
	schedules, first := number(t, "QUOLL_SCHEDULES", 300), number(t, "QUOLL_FIRST", 0)
	cast := New()
	defer cast.Close()
	w := zabtest.NewWorldOf(cast)
	failures := map[string]int{}
	began := time.Now()
	for seed := first; seed < first+schedules; seed++ {
		if f := w.Run(seed); f != nil {
			if failures[f.Invariant]++; failures[f.Invariant] <= 3 {
				t.Errorf("%v\n%.3000s", f, f.Stack)
			}
			w = zabtest.NewWorldOf(cast)
		}
	}
	took := time.Since(began)
	t.Logf("%d schedules in %v: %.1f per second", schedules, took.Round(time.Millisecond), float64(schedules)/took.Seconds())
	s := cast.Stats
	s.Cut = nil
	t.Logf("%+v\nlosses of power by the operation that came next:\n%s", s, strings.Join(sortedCounts(cast.Stats.Cut), "\n"))
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
