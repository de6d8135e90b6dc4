package zabtest

import (
	"os"
	"strings"
	"testing"
)

// TestSeed runs QUOLL_SEED and, if it fails, prints a transcript of as little of it as fails. With QUOLL_VOTES it prints the whole run, votes included.
func TestSeed(t *testing.T) {
	if os.Getenv("QUOLL_SEED") == "" {
		t.Skip("QUOLL_SEED is not set")
	}
	seed := Setting(t, "QUOLL_SEED", 0)
	if os.Getenv("QUOLL_VOTES") != "" {
		w := NewWorld()
		w.traceVotes, w.trace = true, func(line string) { t.Log(line) }
		if f := w.Run(seed); f != nil {
			t.Errorf("%v\n%s", f, f.Stack)
		}
		return
	}
	if c := Minimize(seed); c != nil {
		t.Errorf("after %d runs:\n%s\n%s", c.Runs, strings.Join(c.Transcript(), "\n"), c.Failure.Stack)
	}
}

// TestReplay runs each seed in a new world, and again in one that has run others: the same happens.
func TestReplay(t *testing.T) {
	used := NewWorld()
	hashes := map[uint64]bool{}
	for seed := range uint64(100) {
		fresh := NewWorld()
		fresh.Run(seed)
		used.Run(seed)
		if fresh.hash != used.hash || fresh.steps != used.steps || fresh.now != used.now {
			t.Errorf("seed %d: hash %x, %d steps, %v; then %x, %d, %v", seed, fresh.hash, fresh.steps, fresh.now, used.hash, used.steps, used.now)
		}
		hashes[fresh.hash] = true
	}
	if len(hashes) < 100 {
		t.Errorf("100 seeds have %d hashes", len(hashes))
	}
}
