package zabtest

import (
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// Setting is a number from the environment, or otherwise if that does not have it.
func Setting(t testing.TB, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Campaign is schedules with seeds in a row, shared out among some cores.
type Campaign struct {
	Schedules, First, Cores uint64
	// Again is the command that repeats a seed, behind QUOLL_SEED.
	Again string
}

// Runner runs seeds on one core: Run gives what broke, or nil. End is called once, by one core at a time.
type Runner struct {
	Run func(seed uint64) *Failure
	End func()
}

// Run runs the schedules and reports the first failures of each invariant, and how many there were.
func (c Campaign) Run(t testing.TB, begin func() Runner) {
	t.Helper()
	var next atomic.Uint64
	var mu sync.Mutex
	failures := map[string]int{}
	var group sync.WaitGroup
	for range c.Cores {
		group.Go(func() {
			r := begin()
			for i := next.Add(1) - 1; i < c.Schedules; i = next.Add(1) - 1 {
				f := r.Run(c.First + i)
				if f == nil {
					continue
				}
				mu.Lock()
				if failures[f.Invariant]++; failures[f.Invariant] <= 3 {
					t.Errorf("%v\n%.3000s\nQUOLL_SEED=%d %s", f, f.Stack, f.Seed, c.Again)
				}
				mu.Unlock()
			}
			mu.Lock()
			defer mu.Unlock()
			r.End()
		})
	}
	group.Wait()
	if len(failures) > 0 {
		t.Errorf("failures: %v", failures)
	}
}
