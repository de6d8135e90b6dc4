package history

import "testing"

// seeds is how many simulated histories each test looks at.
const seeds = 300

func TestValidHistories(t *testing.T) {
	var all Report
	for seed := range uint64(seeds) {
		cfg := simConfig{seed: seed, clients: 2 + int(seed%5), steps: 3000, crashes: seed%4 != 0, multis: seed%3 != 0, expiry: seed%2 == 0}
		s := simulate(cfg)
		r := Check(Options{}, s.lives...)
		if len(r.Violations) > 0 || r.Undecided != "" {
			t.Errorf("seed %d: %v %s", seed, r.Violations, r.Undecided)
		}
		all.Lives += r.Lives
		all.Ops += r.Ops
		all.Open += r.Open
		all.Done += r.Done
		all.Events += r.Events
	}
	t.Logf("%+v", all)
	if all.Open == 0 || all.Done == 0 || all.Done == all.Open || all.Events == 0 || all.Lives <= seeds {
		t.Errorf("these histories show too little: %+v", all)
	}
}
