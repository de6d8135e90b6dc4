package zabtest

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestSimulation runs QUOLL_SCHEDULES schedules (5,000) from the seed QUOLL_FIRST on, on QUOLL_CORES cores (all). No invariant may break, and everything that is
// counted must have happened.
func TestSimulation(t *testing.T) {
	c := Campaign{
		Schedules: Setting(t, "QUOLL_SCHEDULES", 5000), First: Setting(t, "QUOLL_FIRST", 0), Cores: Setting(t, "QUOLL_CORES", uint64(runtime.GOMAXPROCS(0))),
		Again: "go test ./zab/zabtest -run TestSeed",
	}
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // worlds are small and short
	var steps int
	var virtual time.Duration
	var all coverage
	began := time.Now()
	c.Run(t, func() Runner {
		w := NewWorld()
		ownSteps, ownVirtual := 0, time.Duration(0)
		return Runner{
			Run: func(seed uint64) *Failure {
				f := w.Run(seed)
				ownSteps += w.steps
				ownVirtual += w.now
				if f != nil {
					cover := w.cover
					w = NewWorld()
					w.cover = cover
				}
				return f
			},
			End: func() {
				steps += ownSteps
				virtual += ownVirtual
				all.add(&w.cover)
			},
		}
	})
	took := time.Since(began)
	t.Logf("%d schedules in %v: %.0f per second, %.0f steps each, %.0f virtual seconds per second", c.Schedules, took.Round(time.Millisecond),
		float64(c.Schedules)/took.Seconds(), float64(steps)/float64(c.Schedules), virtual.Seconds()/took.Seconds())
	table, zeros := all.table()
	t.Log(table)
	if len(zeros) > 0 && c.Schedules >= 5000 {
		t.Errorf("never reached: %q", zeros)
	}
}
