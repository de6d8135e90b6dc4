package zabtest

import (
	"os"
	"testing"
)

// TestSeed runs QUOLL_SEED and prints what happens.
func TestSeed(t *testing.T) {
	if os.Getenv("QUOLL_SEED") == "" {
		t.Skip("QUOLL_SEED is not set")
	}
	w := NewWorld()
	w.traceVotes = os.Getenv("QUOLL_VOTES") != ""
	w.trace = func(line string) { t.Log(line) }
	t.Logf("%+v", func() draw { r := streamOf(number(t, "QUOLL_SEED", 0), purposeDraw); return newDraw(&r) }())
	if f := w.Run(number(t, "QUOLL_SEED", 0)); f != nil {
		t.Errorf("%v\n%s", f, f.Stack)
	}
}
