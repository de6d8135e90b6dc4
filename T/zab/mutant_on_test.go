//go:build mutants

package zab

import (
	"os"
	"testing"
)

// TestMain plants the fault that QUOLL_MUTANT names.
func TestMain(m *testing.M) {
	if name := os.Getenv("QUOLL_MUTANT"); !Plant(name) {
		panic("there is no fault " + name)
	}
	os.Exit(m.Run())
}

// TestFaultTable walks the table: every fault has its row and a sentence.
func TestFaultTable(t *testing.T) {
	seen := map[fault]bool{}
	for _, m := range Mutants() {
		if m.Sentence == "" || seen[m.fault] {
			t.Errorf("row %q has no sentence or a fault twice", m.Name)
		}
		seen[m.fault] = true
	}
	for f := fault(1); f <= acksForgotten; f++ {
		if !seen[f] {
			t.Errorf("fault %d has no row", f)
		}
	}
}
