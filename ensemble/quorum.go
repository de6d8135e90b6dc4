package ensemble

import (
	"cmp"
	"slices"
)

// Quorum reports whether the servers of the set can decide together (QuorumVerifier.containsQuorum). Only voters of c count, whatever else is
// in the set; in Java it is up to the caller to leave others out. Any two quorums of a config have a voter in common. It does not allocate.
//
// Without a hierarchy more than half of the voters are needed. With one, more than half of the groups that have any weight must each be there with
// more than half of their weight.
func (c *Config) Quorum(set Set) bool {
	if c.Hierarchical {
		return c.hierarchicalQuorum(set)
	}
	voters, present := 0, 0
	for i := range c.Servers {
		if s := &c.Servers[i]; s.Role == Participant {
			voters++
			if set.Contains(s.ID) {
				present++
			}
		}
	}
	return present > voters/2
}

func (c *Config) hierarchicalQuorum(set Set) bool {
	groups, present := 0, 0
	for _, g := range c.Groups {
		var all, have int64
		for _, sid := range g.Members {
			w := c.Weight(sid)
			all += w
			if set.Contains(sid) && c.IsVoter(sid) {
				have += w
			}
		}
		if all == 0 {
			continue
		}
		groups++
		if have > all/2 {
			present++
		}
	}
	return present > groups/2
}

// Weight returns how much the vote of a server counts; a server of weight 0 votes but is never elected (FastLeaderElection.totalOrderPredicate).
// Without a hierarchy everybody has 1, also those who are no members. With one, a server without a weight has 0.
func (c *Config) Weight(sid int64) int64 {
	if !c.Hierarchical {
		return 1
	}
	i, ok := slices.BinarySearchFunc(c.Weights, sid, func(w Weight, sid int64) int { return cmp.Compare(w.SID, sid) })
	if !ok {
		return 0
	}
	return c.Weights[i].Weight
}
