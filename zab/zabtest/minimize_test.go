//go:build mutants

package zabtest

import (
	"testing"

	"quoll/zab"
)

// TestMinimize makes small what a planted fault breaks, and gets the same again.
func TestMinimize(t *testing.T) {
	zab.Plant("truncForgotten")
	defer zab.Plant("")
	n, f := hunt(0, 5000, nil)
	if f == nil {
		t.Fatal("nothing to make small")
	}
	c := Minimize(uint64(n - 1))
	r := streamOf(c.seed, purposeDraw)
	d := newDraw(&r)
	p := streamOf(c.seed, purposePlan)
	before := len(newPlan(&d, &p))
	t.Logf("%d faults of %d after %d runs", len(c.plan), before, c.Runs)
	if c.Failure.Invariant != f.Invariant || len(c.plan) >= before {
		t.Errorf("%v with %d faults became %v with %d", f, before, c.Failure, len(c.plan))
	}
	lines := c.Transcript()
	if last := lines[len(lines)-1]; last != c.Failure.Error() {
		t.Errorf("the transcript ends with %s", last)
	}
	for _, line := range lines {
		t.Log(line)
	}
}
