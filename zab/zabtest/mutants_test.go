//go:build mutants

package zabtest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"quoll/zab"
)

// TestMutants plants each fault of zab and counts how many schedules it takes until an invariant breaks: the median over QUOLL_TRIES (5) disjoint
// ranges of seeds. A fault that is not found within QUOLL_SCHEDULES (20,000) in any of them is a hole of the simulation.
func TestMutants(t *testing.T) {
	limit, tries := Setting(t, "QUOLL_SCHEDULES", 20000), Setting(t, "QUOLL_TRIES", 5)
	only := map[string]bool{}
	for name := range strings.FieldsSeq(os.Getenv("QUOLL_MUTANTS")) {
		only[name] = true
	}
	for _, m := range zab.Mutants() {
		if len(only) > 0 && !only[m.Name] {
			continue
		}
		if !zab.Plant(m.Name) {
			t.Fatalf("there is no %s", m.Name)
		}
		var took []int
		found := map[string]int{}
		for try := range tries {
			n, f := hunt(try*1_000_000, limit)
			took = append(took, n)
			if f != nil {
				found[f.Invariant]++
			}
		}
		slices.Sort(took)
		fmt.Printf("%-28s %6d schedules, found by %v: %s\n", m.Name, took[len(took)/2], found, m.Sentence)
		if len(found) == 0 {
			t.Errorf("%s is not found in %d schedules: %s", m.Name, limit, m.Sentence)
		}
	}
	zab.Plant("")
}

// hunt runs seeds from first on until one fails.
func hunt(first, limit uint64) (n int, f *Failure) {
	w := NewWorld()
	for i := range limit {
		if f := w.Run(first + i); f != nil {
			return int(i + 1), f
		}
	}
	return int(limit), nil
}
