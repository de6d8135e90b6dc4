package replicatest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Stats count what was done.
type Stats struct {
	Starts, PowerCuts, Failures, ColdStarts           int
	Truncates, Installs, Reloads                      int
	Checkpoints, Snapshots, StoreLoads, SnapshotLoads int
	Ops, Writes, Undecided                            int
	// Cut counts losses of power by the operation that came next.
	Cut map[string]int
}

// add adds the counts of others.
func (s *Stats) add(o *Stats) {
	to := s.counts()
	for i, n := range o.counts() {
		*to[i].n += *n.n
	}
	if s.Cut == nil {
		s.Cut = map[string]int{}
	}
	for kind, n := range o.Cut {
		s.Cut[kind] += n
	}
}

// count is a row of the table of counts.
type count struct {
	n    *int
	what string
}

// counts are the rows of the table.
func (s *Stats) counts() []count {
	return []count{
		{&s.Starts, "starts"}, {&s.PowerCuts, "losses of power in an operation of the disk"}, {&s.Failures, "operations of the disk that failed"},
		{&s.Truncates, "logs truncated"}, {&s.Installs, "snapshots installed"}, {&s.Reloads, "reloads"}, {&s.Checkpoints, "checkpoints"}, {&s.Snapshots, "snapshots written"},
		{&s.StoreLoads, "states loaded from the store"}, {&s.SnapshotLoads, "states loaded from a snapshot"}, {&s.ColdStarts, "starts of a server alone in the end"},
		{&s.Ops, "requests answered"}, {&s.Writes, "writes among them"}, {&s.Undecided, "histories not decided"},
	}
}

// String prints the table, and then the losses of power, the most frequent first.
func (s *Stats) String() string {
	var b strings.Builder
	for _, c := range s.counts() {
		fmt.Fprintf(&b, "%9d  %s\n", *c.n, c.what)
	}
	b.WriteString("losses of power by the operation that came next:\n")
	for _, kind := range slices.SortedFunc(maps.Keys(s.Cut), func(x, y string) int { return cmp.Or(cmp.Compare(s.Cut[y], s.Cut[x]), cmp.Compare(x, y)) }) {
		fmt.Fprintf(&b, "%9d  %s\n", s.Cut[kind], kind)
	}
	return b.String()
}
