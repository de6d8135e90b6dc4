package ensemble

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSet compares a set with a map under random changes.
func TestSet(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var set Set
	naive := map[int64]bool{}
	for range 1000 {
		sid := r.Int64N(20) - 10
		if r.IntN(2) == 0 {
			set = set.Add(sid)
			naive[sid] = true
		} else {
			set = set.Remove(sid)
			delete(naive, sid)
		}
		if want := sortedKeys(naive); !slices.Equal(set, Set(want)) {
			t.Fatalf("seed %d: %v, want %v", seed, set, want)
		}
		if set.Contains(sid) != naive[sid] || set.Contains(20) {
			t.Fatalf("seed %d: %v contains %d: %v", seed, set, sid, set.Contains(sid))
		}
	}
}
