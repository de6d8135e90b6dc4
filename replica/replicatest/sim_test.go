package replicatest

import (
	"os"
	"testing"
	"time"

	"quoll/zab/zabtest"
)

// TestSimulation runs QUOLL_SCHEDULES schedules (300) from QUOLL_FIRST on, on QUOLL_CORES cores (1).
func TestSimulation(t *testing.T) {
	c := zabtest.Campaign{
		Schedules: zabtest.Setting(t, "QUOLL_SCHEDULES", 300), First: zabtest.Setting(t, "QUOLL_FIRST", 0), Cores: zabtest.Setting(t, "QUOLL_CORES", 1),
		Again: "go test ./replica/replicatest -run TestSeed -v",
	}
	var all Stats
	began := time.Now()
	c.Run(t, func() zabtest.Runner {
		cast := New()
		w := zabtest.NewWorldOf(cast)
		return zabtest.Runner{
			Run: func(seed uint64) *zabtest.Failure {
				f := w.Run(seed)
				if f != nil {
					w = zabtest.NewWorldOf(cast)
				}
				return f
			},
			End: func() {
				all.add(&cast.Stats)
				cast.Close()
			},
		}
	})
	took := time.Since(began)
	t.Logf("%d schedules in %v: %.1f per second\n%v", c.Schedules, took.Round(time.Millisecond), float64(c.Schedules)/took.Seconds(), &all)
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
	if f := w.Run(zabtest.Setting(t, "QUOLL_SEED", 0)); f != nil {
		t.Errorf("%v\n%s", f, f.Stack)
	}
}

// TestRepeatable runs schedules again, with other ones before them.
func TestRepeatable(t *testing.T) {
	cast := New()
	defer cast.Close()
	w := zabtest.NewWorldOf(cast)
	hashes := map[uint64]uint64{}
	n := zabtest.Setting(t, "QUOLL_SCHEDULES", 100)
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
