package history

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"quoll/jute"
)

// Sample is what happened to one znode during a part of one life, for Porcupine to judge. It believes no zxid, only when operations
// were called and returned, and what they answered: errors, versions, data and owners.
type Sample struct {
	Path string
	ops  []porcupine.Operation
}

// Samples takes at most count samples of about length operations each out of one life. Each begins at a moment at which no answered
// operation on its znode was under way, with the znode in a state that nobody knows. The life must be one of a single server, and no
// session may have expired in it.
func Samples(conns []*Connection, rng *rand.Rand, count, length int) []Sample {
	paths := map[string][]sampled{}
	for range count {
		if len(conns) == 0 {
			return nil
		}
		if c := conns[rng.IntN(len(conns))]; c.Replies > 0 {
			p := &c.Ops[rng.IntN(c.Replies)].Part
			if path := cmp.Or(p.Made, p.Path); p.Op != jute.OpSync && p.Op != jute.OpMulti && path != "" && !strings.HasSuffix(path, "-") {
				paths[path] = nil
			}
		}
	}
	for _, c := range conns {
		for i := range c.Ops {
			collect(paths, c, i)
		}
	}
	var samples []Sample
	for _, path := range sortedKeys(paths) {
		list := paths[path]
		slices.SortStableFunc(list, func(a, b sampled) int { return cmp.Compare(a.op.Call, b.op.Call) })
		if s := cut(path, list, rng.IntN(len(list)+1), length); len(s.ops) > 0 {
			samples = append(samples, s)
		}
	}
	return samples
}

func sortedKeys(m map[string][]sampled) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// sampled is an operation as it concerns one znode.
type sampled struct {
	op       *Op
	client   int
	session  int64
	parts    []Part
	answered bool // and the answer counts
}

// collect hands an operation to the znodes that it concerns.
func collect(paths map[string][]sampled, c *Connection, i int) {
	o := &c.Ops[i]
	s := sampled{op: o, client: c.Client, session: c.Session, answered: i < c.Replies}
	if !s.answered && !o.Writes() || s.answered && o.Op == jute.OpMulti && o.failed() {
		return // changes nothing, and what it says depends on other znodes
	}
	if o.Op == jute.OpCloseSession {
		for path := range paths {
			paths[path] = append(paths[path], s)
		}
		return
	}
	add := func(path string, p Part) {
		list, ok := paths[path]
		if !ok {
			return
		}
		if n := len(list); n > 0 && list[n-1].op == o { // another part of the same multi
			list[n-1].parts = append(list[n-1].parts, p)
			return
		}
		s.parts = []Part{p}
		paths[path] = append(list, s)
	}
	for _, p := range o.parts() {
		switch {
		case (p.Op == jute.OpCreate || p.Op == jute.OpCreate2) && jute.CreateMode(p.Mode).Sequential():
			if s.answered {
				add(p.Made, p)
				continue
			}
			for path := range paths {
				if len(path) == len(p.Path)+10 && strings.HasPrefix(path, p.Path) {
					add(path, p)
				}
			}
		case p.Writes(), p.Op == jute.OpCheck, p.Op == jute.OpExists, p.Op == jute.OpGetData:
			add(p.Path, p)
		}
	}
}

// cut takes length operations from the first quiet moment at or after the index.
func cut(path string, list []sampled, from, length int) Sample {
	last := int64(0)
	for i, s := range list {
		if i >= from && s.op.Call > last {
			from = i
			break
		}
		if s.answered {
			last = max(last, s.op.Return)
		}
		if i == len(list)-1 {
			return Sample{}
		}
	}
	if from == len(list) {
		return Sample{}
	}
	to := min(len(list), from+length)
	end := int64(Never)
	if to < len(list) {
		end = list[to].op.Call
	}
	sample := Sample{Path: path}
	for i, s := range list[:to] {
		if i < from && s.answered {
			continue
		}
		// What returns later may owe its answer to an operation that is not in the sample.
		s.answered = s.answered && s.op.Return < end
		if !s.answered && len(s.parts) > 0 && !s.parts[0].Writes() && s.op.Op != jute.OpMulti {
			continue
		}
		o := porcupine.Operation{ClientId: s.client, Input: &s, Call: s.op.Call, Return: Never}
		if s.answered {
			o.Return = s.op.Return
		}
		sample.ops = append(sample.ops, o)
	}
	return sample
}

// Len is the number of operations.
func (s Sample) Len() int { return len(s.ops) }

// Linearizable reports whether Porcupine finds an order in which the operations could have happened. The time that takes has no bound
// but for small samples.
func (s Sample) Linearizable() bool { return porcupine.CheckOperations(znodeModel, s.ops) }

// znode is the state of the model.
type znode struct {
	known   bool // otherwise nothing is
	exists  bool
	hasData bool // data is known
	data    Data
	version int32
	owner   int64
}

var znodeModel = (&porcupine.NondeterministicModel{
	Init:  func() []any { return []any{znode{}} },
	Equal: func(a, b any) bool { return a == b },
	Step: func(state, input, _ any) []any {
		z, s := state.(znode), input.(*sampled)
		if s.op.Op == jute.OpCloseSession {
			if z.exists && z.owner == s.session {
				z = znode{known: true}
			}
			return []any{z}
		}
		after, ok := z, true
		for i := range s.parts {
			if after, ok = after.step(&s.parts[i], s); !ok {
				break
			}
		}
		switch {
		case s.answered && ok:
			return []any{after}
		case s.answered:
			return nil
		case !ok || after == z:
			return []any{z}
		}
		// It may also have failed for a reason that another znode has.
		return []any{z, after}
	},
}).ToModel()

// step is the znode after an operation, if that can be done and, when it was answered, answered so.
func (z znode) step(p *Part, s *sampled) (znode, bool) {
	if s.answered && p.Err != jute.OK {
		return z, z.refuses(p)
	}
	absent, present := z.known && !z.exists, !z.known || z.exists
	conditional := z.known && p.Version != -1 && p.Version != z.version
	switch p.Op {
	case jute.OpCreate, jute.OpCreate2:
		made := znode{known: true, exists: true, hasData: true, data: p.Data}
		if jute.CreateMode(p.Mode).Ephemeral() {
			made.owner = s.session
		}
		return made, absent || !z.known
	case jute.OpDelete:
		return znode{known: true}, present && !conditional
	case jute.OpCheck:
		return z, present && !conditional
	case jute.OpSetData:
		if !present || conditional {
			return z, false
		}
		if z.known {
			z.version++
		}
		if s.answered {
			z, present = z.shown(&p.Stat)
		}
		z.hasData, z.data = z.known, p.Data
		if !z.known {
			z.data = Data{}
		}
		return z, present
	case jute.OpSetACL:
		return z, present
	case jute.OpExists:
		return z.shown(&p.Stat)
	case jute.OpGetData:
		if z.hasData && z.data != p.Data {
			return z, false
		}
		z, ok := z.shown(&p.Stat)
		z.hasData, z.data = true, p.Data
		return z, ok
	}
	return z, true
}

// shown is the znode once a Stat of it is seen, if it can be its own.
func (z znode) shown(stat *jute.Stat) (znode, bool) {
	if z.known && (!z.exists || z.version != stat.Version || z.owner != stat.EphemeralOwner) {
		return z, false
	}
	z.known, z.exists, z.version, z.owner = true, true, stat.Version, stat.EphemeralOwner
	return z, true
}

// refuses reports whether the znode can be the reason of an error; other znodes may be as well.
func (z znode) refuses(p *Part) bool {
	switch {
	case !z.known:
		return true
	case p.Err == jute.ErrNoNode, p.Err == jute.ErrNoChildrenForEphemerals:
		return !z.exists
	case p.Err == jute.ErrNodeExists, p.Err == jute.ErrNotEmpty:
		return z.exists
	case p.Err == jute.ErrBadVersion && p.Op != jute.OpSetACL:
		return z.exists && p.Version != z.version
	}
	return true
}
