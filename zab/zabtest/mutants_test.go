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

// TestMutants plants each fault of zab and counts how many schedules it takes until an invariant breaks: the median over QUOLL_TRIES (5) disjoint ranges of seeds, and
// in the end the median and the largest of those. A fault that is not found within QUOLL_SCHEDULES (20,000) in any of them is a hole of the simulation.
func TestMutants(t *testing.T) {
	limit, tries := Setting(t, "QUOLL_SCHEDULES", 20000), Setting(t, "QUOLL_TRIES", 5)
	only := strings.Fields(os.Getenv("QUOLL_MUTANTS"))
	defer zab.Plant("")
	type row struct {
		name     string
		schedule int
	}
	var medians []row
	for _, m := range zab.Mutants() {
		if len(only) > 0 && !slices.Contains(only, m.Name) {
			continue
		}
		if !zab.Plant(m.Name) {
			t.Fatalf("there is no %s", m.Name)
		}
		var took []int
		found := map[string]int{}
		for try := range tries {
			n, f := hunt(try*1_000_000, limit, bends[m.Name])
			took = append(took, n)
			if f != nil {
				found[f.Invariant]++
			}
		}
		slices.Sort(took)
		medians = append(medians, row{m.Name, took[len(took)/2]})
		fmt.Printf("%-28s %6d schedules, %v, found by %v: %s\n", m.Name, took[len(took)/2], took, found, m.Sentence)
		if len(found) == 0 {
			t.Errorf("%s is not found in %d schedules: %s", m.Name, limit, m.Sentence)
		}
	}
	if len(only) == 0 && len(medians) < 30 {
		t.Errorf("%d planted faults are too few", len(medians))
	}
	slices.SortFunc(medians, func(a, b row) int { return a.schedule - b.schedule })
	slowest := medians[len(medians)-1]
	fmt.Printf("%d planted faults, half of them within %d schedules, the slowest, %s, within %d\n", len(medians), medians[len(medians)/2].schedule, slowest.name, slowest.schedule)
}

// bends change the draws of a hunt for what the swarm, in which everything has its share, comes by too seldom.
var bends = map[string]func(*draw){
	"historyTellsNoConfig": (*draw).manyReconfigs,
	"oldLinkAccepted":      func(d *draw) { d.late = 1000; d.weights[faultCut], d.weights[faultHalfOpen] = 20, 20 },
}

// hunt runs seeds from first on until one fails.
func hunt(first, limit uint64, bend func(*draw)) (n int, f *Failure) {
	w := NewWorld()
	for i := range limit {
		seed := first + i
		r, p := streamOf(seed, purposeDraw), streamOf(seed, purposePlan)
		d := newDraw(&r)
		if bend != nil && !d.hierarchical && !d.staleObservers {
			bend(&d)
		}
		if f := w.run(seed, d, newPlan(&d, &p)); f != nil {
			return int(i + 1), f
		}
	}
	return int(limit), nil
}
