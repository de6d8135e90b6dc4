//go:build mutants

package replicatest

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/replica"
	"quoll/zab/zabtest"
)

// TestMutants plants each fault of package replica and counts how many schedules it takes until something breaks, from QUOLL_FIRST on. One that is not found within
// QUOLL_SCHEDULES (5,000) is a hole of the simulation. QUOLL_MUTANTS names those to try.
func TestMutants(t *testing.T) {
	limit, first := zabtest.Setting(t, "QUOLL_SCHEDULES", 5000), zabtest.Setting(t, "QUOLL_FIRST", 0)
	only := strings.Fields(strings.ReplaceAll(os.Getenv("QUOLL_MUTANTS"), ",", " "))
	defer replica.Plant("")
	for _, m := range replica.Mutants() {
		if len(only) > 0 && !slices.Contains(only, m.Name) {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			replica.Plant(m.Name)
			cast := New()
			defer cast.Close()
			w := zabtest.NewWorldOf(cast)
			began := time.Now()
			for i := range limit {
				if f := w.Run(first + i); f != nil {
					t.Logf("%s: found in schedule %d, after %v, by %.160v", m.Sentence, i+1, time.Since(began).Round(time.Millisecond), f)
					return
				}
			}
			t.Errorf("%s: not found in %d schedules", m.Sentence, limit)
		})
	}
}
