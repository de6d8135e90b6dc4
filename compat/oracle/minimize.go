package oracle

import (
	"slices"

	"quoll/compat/script"
)

// minimize leaves out of a round what its difference does not need, with at most this many attempts, each on fresh servers.
func minimize(f *flavour, round [][]*script.Step, d *difference, attempts int) ([][]*script.Step, *difference) {
	// Nothing after the difference matters.
	round = slices.Clone(round[:d.program+1])
	last := round[d.program]
	round[d.program] = last[:min(d.step+1, len(last))]
	try := func(candidate [][]*script.Step) bool {
		if attempts--; attempts < 0 || len(candidate) == 0 {
			return false
		}
		found, err := play(f, candidate, nil)
		if found == nil || err != nil {
			return false
		}
		round, d = candidate, found
		return true
	}
	reduce(len(round)-1, func(from, to int) bool { return try(slices.Delete(slices.Clone(round), from, to)) })
	for i := len(round) - 1; i >= 0; i-- {
		reduce(len(round[i]), func(from, to int) bool {
			rest := slices.Delete(slices.Clone(round[i]), from, to)
			candidate := slices.Clone(round)
			if candidate[i] = rest; len(rest) == 0 {
				return false
			}
			return try(candidate)
		})
	}
	for i, program := range round {
		for j := len(program) - 1; j >= 0; j-- {
			reduce(len(round[i][j].Request.Parts), func(from, to int) bool {
				s := round[i][j]
				q := s.Request
				q.Parts = slices.Delete(slices.Clone(q.Parts), from, to)
				candidate := slices.Clone(round)
				candidate[i] = slices.Clone(candidate[i])
				candidate[i][j] = script.NewStep(s.Conn, q)
				return len(q.Parts) > 0 && try(candidate)
			})
		}
	}
	return round, d
}

// reduce tries to take away ranges of n items, large ones first, from the end. without must say whether it went well.
func reduce(n int, without func(from, to int) bool) {
	for size := (n + 1) / 2; size > 0; size /= 2 {
		for to := n; to > 0; to -= size {
			from := max(0, to-size)
			if without(from, to) {
				n -= to - from
			}
		}
	}
}
