package zabtest

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
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

// fields are the words of a variable of the environment.
func fields(t *testing.T, name string) []string {
	t.Helper()
	return strings.Fields(os.Getenv(name))
}

// TestSimulation runs QUOLL_SCHEDULES schedules (5,000) from QUOLL_FIRST on, on QUOLL_CORES cores.
func TestSimulation(t *testing.T) {
	schedules, first, cores := number(t, "QUOLL_SCHEDULES", 5000), number(t, "QUOLL_FIRST", 0), number(t, "QUOLL_CORES", 1)
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
						t.Errorf("%v\n%.1500s", f, f.Stack)
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
	fmt.Printf("%d schedules in %v: %.0f per second, %.0f steps each, %.0f virtual seconds per second\n", schedules, took.Round(time.Millisecond),
		float64(schedules)/took.Seconds(), float64(steps.Load())/float64(schedules), time.Duration(virtual.Load()).Seconds()/took.Seconds())
	if len(failures) > 0 {
		t.Errorf("failures: %v", failures)
	}
	zeros := all.print(os.Stdout)
	if len(zeros) > 0 {
		t.Errorf("never reached: %q", zeros)
	}
}
