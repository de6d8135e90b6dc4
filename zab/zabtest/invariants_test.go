package zabtest

import (
	"fmt"
	"testing"
)

// TestInvariants holds the table against section 8.3, which numbers I1 to I26.
func TestInvariants(t *testing.T) {
	rows := map[string]*invariant{}
	for i := range invariants {
		inv := &invariants[i]
		if rows[inv.name] != nil || inv.origin == "" || inv.claim == "" || (inv.check == nil) != (inv.when == nil) {
			t.Errorf("row %+v", inv)
		}
		rows[inv.name] = inv
	}
	for i := range 26 {
		if name := fmt.Sprintf("I%d", i+1); rows[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}
