package zabtest

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

// TestSimulation runs QUOLL_SCHEDULES schedules (5,000) from the seed QUOLL_FIRST on, on QUOLL_CORES cores (all). No invariant may break, and everything that is
// counted must have happened.
func TestSimulation(t *testing.T) {
	schedules, first, cores := number(t, "QUOLL_SCHEDULES", 5000), number(t, "QUOLL_FIRST", 0), number(t, "QUOLL_CORES", uint64(runtime.GOMAXPROCS(0)))
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // worlds are small and short
	var next, steps atomic.Uint64
	var virtual atomic.Int64
	var mu sync.Mutex
	var all coverage
	failures := map[string]int{}
	began := time.Now()
	var group sync.WaitGroup
	for range cores {
		group.Go(func() {
			w := NewWorld()
			for {
				i := next.Add(1) - 1
				if i >= schedules {
					break
				}
				f := w.Run(first + i)
				steps.Add(uint64(w.steps))
				virtual.Add(int64(w.now))
				if f != nil {
					mu.Lock()
					failures[f.Invariant]++
					if failures[f.Invariant] <= 3 {
						t.Errorf("%v\n%.1500s\nQUOLL_SEED=%d go test ./zab/zabtest -run TestSeed", f, f.Stack, f.Seed)
					}
					mu.Unlock()
					cover := w.cover
					w = NewWorld()
					w.cover = cover
				}
			}
			mu.Lock()
			all.add(&w.cover)
			mu.Unlock()
		})
	}
	group.Wait()
	took := time.Since(began)
	t.Logf("%d schedules in %v: %.0f per second, %.0f steps each, %.0f virtual seconds per second", schedules, took.Round(time.Millisecond),
		float64(schedules)/took.Seconds(), float64(steps.Load())/float64(schedules), time.Duration(virtual.Load()).Seconds()/took.Seconds())
	if len(failures) > 0 {
		t.Errorf("failures: %v", failures)
	}
	table, zeros := all.table()
	t.Log(table)
	if len(zeros) > 0 && schedules >= 5000 {
		t.Errorf("never reached: %q", zeros)
	}
}
