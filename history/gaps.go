package history

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// gap is a zxid that no answered write has: an unanswered write, a session that was made or has expired, or nothing that anybody sees.
type gap struct {
	until  int64 // it was committed before this instant
	since  int64 // and after this one
	made   bool  // it may be a session that was made
	forced bool  // it can be nothing else
	before int   // gaps before it that are not forced
	shown  []fact
}

// fact is an answered operation that shows something of a znode.
type fact struct {
	path string
	step *step
	part *Part
}

// epochOf is the upper half of a zxid; counting starts anew in each.
func epochOf(zxid int64) int64 { return zxid >> 32 }

// gapLimit and epochLimit bound what a wild zxid makes us look at.
const (
	gapLimit   = 1 << 20
	epochLimit = 64
)

// unseenLimit is how many transactions that are nobody's unanswered write, sessions that begin and end above all, may have ended an epoch of an ensemble unseen.
const unseenLimit = 16

// fill adds to the batch a step for each zxid after last that no answered write has, and hands each zxid its events. open is how many
// unanswered writes there are: as many zxids may have ended an epoch unseen, or been all of it, and more if replies show later ones.
func (b *batch) fill(last int64, open int) {
	end := last
	for _, c := range b.conns {
		end = max(end, c.end)
	}
	var gaps []step
	shown := b.shown()
	if b.members {
		open += unseenLimit
	}
	between := func(from, to int64) { // exclusive
		for ; epochOf(from) != epochOf(to); from = max(epochOf(from)+1, epochOf(to)-epochLimit) << 32 {
			if from == 0 {
				continue
			}
			for z := from + 1; z <= max(from+int64(open), min(shown[epochOf(from)], from+gapLimit)); z++ {
				gaps = append(gaps, step{zxid: z})
			}
		}
		for z := max(from+1, to-gapLimit); z < to; z++ {
			gaps = append(gaps, step{zxid: z})
		}
	}
	for i := range b.steps {
		if s := &b.steps[i]; s.write() && s.zxid > last {
			between(last, s.zxid)
			last = s.zxid
		}
	}
	if end > last {
		between(last, end+1)
	}
	for i := range gaps {
		gaps[i].gap, gaps[i].rank = new(gap), math.MinInt64
	}
	b.bound(gaps)
	b.force(gaps)
	b.steps = merge(b.steps, gaps)
	b.deliver()
}

// shown is the highest zxid of each epoch that replies show.
func (b *batch) shown() map[int64]int64 {
	highest := map[int64]int64{}
	note := func(zxid int64) { highest[epochOf(zxid)] = max(highest[epochOf(zxid)], zxid) }
	for i := range b.steps {
		o := b.steps[i].op
		note(o.Zxid)
		for _, p := range o.parts() {
			note(max(p.Stat.Czxid, p.Stat.Mzxid, p.Stat.Pzxid))
		}
	}
	return highest
}

func merge(a, b []step) []step {
	if len(b) == 0 {
		return a
	}
	all := make([]step, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if compareSteps(a[0], b[0]) < 0 {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return append(append(all, a...), b...)
}

// bound finds when each gap was committed: after the call of all writes before it, and if there is only one server of all reads that
// do not show it; and before the return of all replies from it on.
func (b *batch) bound(gaps []step) {
	at, since := 0, int64(math.MinInt64)
	for i := range gaps {
		for ; at < len(b.steps) && b.steps[at].zxid < gaps[i].zxid; at++ {
			if s := &b.steps[at]; s.write() || !b.members {
				since = max(since, s.op.Call)
			}
		}
		gaps[i].gap.since = since
	}
	at, until := len(b.steps)-1, int64(Never)
	for i := len(gaps) - 1; i >= 0; i-- {
		for ; at >= 0 && b.steps[at].zxid >= gaps[i].zxid; at-- {
			until = min(until, b.steps[at].op.Return)
		}
		gaps[i].gap.until = until
	}
}

// force finds the gaps that can only be the making of sessions: where there are exactly as many of them as of sessions that must have
// been made within.
func (b *batch) force(gaps []step) {
	type span struct{ from, to int }
	var spans []span
	latest := int64(math.MinInt64)
	for i := range b.steps {
		if s := &b.steps[i]; s.write() || !b.members {
			latest = max(latest, s.op.Call)
		}
	}
	for _, c := range b.made {
		from := sort.Search(len(gaps), func(i int) bool { return gaps[i].gap.until >= c.Call })
		to := sort.Search(len(gaps), func(i int) bool { return gaps[i].gap.since > c.Return })
		if latest <= c.Return {
			to = len(gaps) + 1 // or after all that was seen
		}
		if from < to {
			spans = append(spans, span{from, to})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for i := 0; i < len(spans); {
		from, to, j := spans[i].from, spans[i].to, i+1
		for ; j < len(spans) && spans[j].from < to; j++ {
			to = max(to, spans[j].to)
		}
		for k := from; k < min(to, len(gaps)); k++ {
			gaps[k].gap.made, gaps[k].gap.forced = true, to-from == j-i && to <= len(gaps)
		}
		i = j
	}
}

// deliver hands the events to the steps of their zxids. One whose zxid has no step is handed to the next, which does not expect it.
func (b *batch) deliver() {
	// The sort is stable: a connection's events of one zxid stay in their order.
	slices.SortStableFunc(b.events, func(a, b received) int { return cmp.Compare(a.event.Zxid, b.event.Zxid) })
	events := b.events
	for i := range b.steps {
		s := &b.steps[i]
		if s.rank >= 0 {
			continue
		}
		n := 0
		for n < len(events) && events[n].event.Zxid <= s.zxid {
			n++
		}
		s.events, events = events[:n:n], events[n:]
	}
}
