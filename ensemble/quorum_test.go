package ensemble

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestQuorum: the hierarchy is the one that was seen at work with Apache ZooKeeper 3.9.5: no quorum without server 4.
func TestQuorum(t *testing.T) {
	const five = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2\nserver.5=e:1:2\n"
	for _, test := range []struct {
		config string
		set    Set
		want   bool
	}{
		{"", nil, false},
		{"server.1=a:1:2", nil, false},
		{"server.1=a:1:2", Set{1}, true},
		{"server.1=a:1:2\nserver.2=b:1:2", Set{1}, false},
		{"server.1=a:1:2\nserver.2=b:1:2", Set{1, 2}, true},
		{five, Set{2, 5}, false},
		{five, Set{2, 4, 5}, true},
		{five, Set{-7, 2, 5, 9}, false}, // strangers
		{"server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer", Set{1, 3}, false}, // an observer
		{five + "group.1=1:2:3\ngroup.2=4:5\nweight.5=0", Set{1, 2, 3, 5}, false},
		{five + "group.1=1:2:3\ngroup.2=4:5\nweight.5=0", Set{1, 4, 5}, false},
		{five + "group.1=1:2:3\ngroup.2=4:5\nweight.5=0", Set{1, 3, 4}, true},
		{five + "group.1=1:2\ngroup.2=3\ngroup.3=4:5\nweight.4=0\nweight.5=0", Set{1, 2}, false}, // two groups count
		{five + "group.1=1:2\ngroup.2=3\ngroup.3=4:5\nweight.4=0\nweight.5=0", Set{1, 2, 3}, true},
		{"server.1=a:1:2\nserver.2=b:1:2:observer\ngroup.1=1:2\nweight.2=5", Set{1, 2}, false}, // weight that never comes
	} {
		c, err := Parse(test.config)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Quorum(test.set); got != test.want {
			t.Errorf("%v of %s: %v", test.set, strings.ReplaceAll(test.config, "\n", " "), got)
		}
	}
}

func TestWeight(t *testing.T) {
	c, err := Parse("server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2\nweight.2=0")
	if err != nil || c.Weight(1) != 1 || c.Weight(2) != 0 || c.Weight(3) != 0 {
		t.Error(err, c.Weight(1), c.Weight(2), c.Weight(3))
	}
	if c, err = Parse("server.1=a:1:2"); err != nil || c.Weight(1) != 1 || c.Weight(3) != 1 {
		t.Error(err, c.Weight(1), c.Weight(3))
	}
}

// TestQuorumRandom compares all sets of random ensembles with a naive count, and looks for two quorums without a common voter.
func TestQuorumRandom(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	hierarchies := 0
	for range 2000 {
		c := randomConfig(t, r)
		if c.Hierarchical {
			hierarchies++
		}
		var quorums []Set
		for bits := range 1 << len(c.Servers) {
			var set Set
			for i, s := range c.Servers {
				if bits>>i&1 == 1 {
					set = append(set, s.ID)
				}
			}
			got := c.Quorum(set)
			if want := naiveQuorum(c, set); got != want {
				t.Fatalf("seed %d: %v of\n%s\nis %v, want %v", seed, set, c, got, want)
			}
			if !got {
				continue
			}
			for _, other := range quorums {
				if !shareVoter(c, set, other) {
					t.Fatalf("seed %d: %v and %v are both quorums of\n%s", seed, set, other, c)
				}
			}
			quorums = append(quorums, set)
		}
		if n := testing.AllocsPerRun(1, func() { c.Quorum(Set{1, 3, 5}) }); n != 0 {
			t.Fatalf("%v allocations", n)
		}
	}
	if hierarchies < 500 {
		t.Fatalf("seed %d: only %d hierarchies", seed, hierarchies)
	}
}

func randomConfig(t *testing.T, r *rand.Rand) *Config {
	var b Builder
	add := func(key, format string, args ...any) {
		if err := b.Add(key, fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	members := map[int64][]string{}
	hierarchical := r.IntN(2) == 0
	for sid := int64(1); sid <= 1+r.Int64N(6); sid++ {
		role := Participant
		if r.IntN(4) == 0 {
			role = Observer
		}
		add(fmt.Sprintf("server.%d", sid), "h:1:2:%s", role)
		if !hierarchical {
			continue
		}
		if weight := r.IntN(5); role == Observer || weight < 4 {
			add(fmt.Sprintf("weight.%d", sid), "%d", weight)
		}
		if role == Participant || r.IntN(2) == 0 {
			gid := r.Int64N(4)
			members[gid] = append(members[gid], fmt.Sprint(sid))
		}
	}
	for gid, sids := range members {
		add(fmt.Sprintf("group.%d", gid), "%s", strings.Join(sids, ":"))
	}
	c, err := b.Config()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// naiveQuorum does what the specification says, with maps.
func naiveQuorum(c *Config, set Set) bool {
	voters, in := map[int64]bool{}, map[int64]bool{}
	for _, s := range c.Servers {
		if s.Role == Participant {
			voters[s.ID] = true
		}
	}
	for _, sid := range set {
		if voters[sid] {
			in[sid] = true
		}
	}
	if !c.Hierarchical {
		return 2*len(in) > len(voters)
	}
	weight := map[int64]int64{}
	for _, w := range c.Weights {
		weight[w.SID] = w.Weight
	}
	total, have := map[int64]int64{}, map[int64]int64{}
	for _, g := range c.Groups {
		for _, sid := range g.Members {
			total[g.ID] += weight[sid]
			if in[sid] {
				have[g.ID] += weight[sid]
			}
		}
	}
	groups, good := 0, 0
	for gid := range total {
		if total[gid] > 0 {
			groups++
		}
		if 2*have[gid] > total[gid] {
			good++
		}
	}
	return 2*good > groups
}

func shareVoter(c *Config, a, b Set) bool {
	for _, sid := range a {
		if b.Contains(sid) && c.IsVoter(sid) {
			return true
		}
	}
	return false
}
