//go:build mutants

package replica

import "testing"

// TestFaultTable walks the table: every fault has its row and a sentence.
func TestFaultTable(t *testing.T) {
	seen := map[fault]bool{}
	for _, m := range Mutants() {
		if m.Sentence == "" || seen[m.fault] || !Plant(m.Name) {
			t.Errorf("row %q has no sentence, or a fault twice", m.Name)
		}
		seen[m.fault] = true
	}
	Plant("")
	for f := fault(1); f <= streamWithoutSessions; f++ {
		if !seen[f] {
			t.Errorf("fault %d has no row", f)
		}
	}
}
