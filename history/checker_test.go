package history

import (
	"fmt"
	"slices"
	"testing"

	"quoll/jute"
)

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

// TestLogged has so many unanswered writes that only the log can say what they have done. A log that is wrong must not make a violation.
func TestLogged(t *testing.T) {
	var all Report
	for seed := range uint64(20) {
		s := simulate(simConfig{seed: seed, clients: 20, steps: 6000, crashes: true, multis: seed%3 != 0, expiry: seed%2 == 0})
		r := Check(Options{Logged: s.logged}, s.lives...)
		if len(r.Violations) > 0 || r.Undecided != "" {
			t.Errorf("seed %d: %v %s", seed, r.Violations, r.Undecided)
		}
		all.Open += r.Open
		all.Done += r.Done

		s = simulate(simConfig{seed: seed, clients: 4, steps: 3000, crashes: true, multis: seed%3 != 0, expiry: seed%2 == 0})
		for by := range int64(3) {
			wrong := func(zxid int64) (Logged, bool) { return s.logged(zxid + by - 1) }
			if r := Check(Options{Logged: wrong}, s.lives...); len(r.Violations) > 0 || r.Undecided != "" {
				t.Errorf("seed %d, wrong by %d: %v %s", seed, by-1, r.Violations, r.Undecided)
			}
		}
	}
	t.Logf("%d writes that nobody answered, of which %d were done", all.Open, all.Done)
}

// TestTornEpoch has logs that name forty unanswered writes at the end of an epoch, of which only the first so many were committed: what the next epoch shows does not say which.
func TestTornEpoch(t *testing.T) {
	const writes, epoch = 40, int64(1) << 32
	for done := 0; done <= writes; done += 13 {
		writer := &Connection{Session: 1, New: true, Call: 1, Return: 2, Ops: []Op{{Part: Part{Op: jute.OpCreate, Path: "/q", Made: "/q"}, Zxid: epoch + 1, Call: 3, Return: 4}}, Replies: 1}
		life := []*Connection{writer}
		var children Children
		for i := range writes {
			path := fmt.Sprintf("/q/%d", i)
			life = append(life, &Connection{Session: int64(2 + i), New: true, Call: 5, Return: 6, Ops: []Op{{Part: Part{Op: jute.OpCreate, Path: path}, Call: 7, Return: Never}}})
			if i < done {
				children.Add([]byte(path[3:]))
			}
		}
		logged := func(zxid int64) (Logged, bool) {
			i := zxid - epoch - 2
			return Logged{Session: i + 2}, i >= 0 && i < writes
		}
		reader := &Connection{Session: 1, Call: 10, Return: 11, Replies: 2, Ops: []Op{
			{Part: Part{Op: jute.OpCreate, Path: "/r", Made: "/r"}, Zxid: 2*epoch + 1, Call: 12, Return: 13},
			{Part: Part{Op: jute.OpGetChildren, Path: "/q", Children: children}, Zxid: 2*epoch + 1, Call: 14, Return: 15},
		}}
		r := Check(Options{Members: true, Logged: logged}, append(life, reader))
		if len(r.Violations) > 0 || r.Undecided != "" || r.Done != done {
			t.Errorf("%d of %d done: found %d, %v %s", done, writes, r.Done, r.Violations, r.Undecided)
		}
	}
}

// TestRefused has logs that name forty unanswered writes, every second of which was refused since its session had moved.
func TestRefused(t *testing.T) {
	const writes, epoch = 40, int64(1) << 32
	life := []*Connection{{Session: 1, New: true, Call: 1, Return: 2, Ops: []Op{{Part: Part{Op: jute.OpCreate, Path: "/q", Made: "/q"}, Zxid: epoch + 1, Call: 3, Return: 4}}, Replies: 1}}
	var children Children
	for i := range writes {
		path := fmt.Sprintf("/q/%d", i)
		life = append(life, &Connection{Session: int64(2 + i), New: true, Call: 5, Return: 6, Ops: []Op{{Part: Part{Op: jute.OpCreate, Path: path}, Call: 7, Return: Never}}})
		if i%2 == 0 {
			children.Add([]byte(path[3:]))
		}
	}
	logged := func(zxid int64) (Logged, bool) {
		i := zxid - epoch - 2 - writes // behind the sessions
		return Logged{Session: i + 2, Refused: i%2 == 1}, i >= 0 && i < writes
	}
	reader := &Connection{Session: 1, Call: 10, Return: 11, Replies: 2, Ops: []Op{
		{Part: Part{Op: jute.OpCreate, Path: "/r", Made: "/r"}, Zxid: epoch + 2 + 2*writes, Call: 12, Return: 13},
		{Part: Part{Op: jute.OpGetChildren, Path: "/q", Children: children}, Zxid: epoch + 2 + 2*writes, Call: 14, Return: 15},
	}}
	r := Check(Options{Members: true, Logged: logged}, append(life, reader))
	if len(r.Violations) > 0 || r.Undecided != "" {
		t.Errorf("%v %s", r.Violations, r.Undecided)
	}
}

// TestMembers has a write through one member of an ensemble and reads through another that lags behind, over a change of epochs.
func TestMembers(t *testing.T) {
	const first, second = 1<<32 + 1, 2<<32 + 1
	create := func(path string, zxid, call int64) Op {
		return Op{Part: Part{Op: jute.OpCreate, Path: path, Made: path}, Zxid: zxid, Call: call, Return: call + 1}
	}
	ask := func(op jute.Op, code jute.Code, zxid, call int64) Op {
		return Op{Part: Part{Op: op, Path: "/b", Err: code}, Zxid: zxid, Call: call, Return: call + 1}
	}
	for _, c := range []struct {
		name    string
		members bool
		reads   []Op
		want    []string
	}{
		{"a stale read", true, []Op{ask(jute.OpGetChildren, jute.ErrNoNode, first, 40)}, nil},
		{"a stale read from one server", false, []Op{ask(jute.OpGetChildren, jute.ErrNoNode, first, 40)}, []string{"read-order"}},
		{"a read after sync", true, []Op{ask(jute.OpSync, jute.OK, second, 40), ask(jute.OpGetChildren, jute.OK, second, 50)}, nil},
		{"a sync that does not catch up", true, []Op{ask(jute.OpSync, jute.OK, first, 40)}, []string{"read-order"}},
		{"a read that goes back", true, []Op{ask(jute.OpGetChildren, jute.OK, second, 40), ask(jute.OpGetChildren, jute.ErrNoNode, first, 50)}, []string{"session-order"}},
		{"a read of the future", true, []Op{ask(jute.OpGetChildren, jute.OK, second, 20)}, []string{"write-order"}},
		{"a read that is not of its zxid", true, []Op{ask(jute.OpGetChildren, jute.OK, first, 40)}, []string{"read-existence"}},
	} {
		writer := &Connection{Session: 1, New: true, Call: 1, Return: 2, Ops: []Op{create("/a", first, 10), create("/b", second, 30)}, Replies: 2}
		reader := &Connection{Session: 2, New: true, Call: 1, Return: 2, Ops: c.reads, Replies: len(c.reads)}
		var got []string
		for _, v := range Check(Options{Members: c.members}, []*Connection{writer, reader}).Violations {
			got = append(got, v.Rule)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
}

// TestLateEphemerals has a delete fail for an ephemeral that went with its session just before, as a leader that is Java may have it.
func TestLateEphemerals(t *testing.T) {
	const first = 1<<32 + 1
	for _, c := range []struct {
		java   bool
		behind int64 // the session's end
		want   []string
	}{
		{true, 1, nil},
		{true, underWay, []string{"reply-code"}},
		{false, 1, []string{"reply-code"}},
	} {
		op := func(op jute.Op, path string, mode int32, code jute.Code, zxid int64) Op {
			o := Op{Part: Part{Op: op, Path: path, Mode: mode, Version: -1, Err: code}, Zxid: zxid, Call: 10 * (zxid - first), Return: 10*(zxid-first) + 15}
			if op == jute.OpCreate && code == jute.OK {
				o.Made = path
			}
			return o
		}
		end := first + c.behind
		stays := []Op{op(jute.OpCreate, "/a", 0, jute.OK, first), op(jute.OpDelete, "/a", 0, jute.ErrNotEmpty, end+2), op(jute.OpCreate, "/a", 0, jute.ErrNodeExists, end+3)}
		goes := []Op{op(jute.OpCreate, "/a/x", 1, jute.OK, first+1), op(jute.OpCloseSession, "", 0, jute.OK, end+1)}
		if c.behind == underWay {
			stays[1].Zxid += underWay
			stays[2].Zxid += underWay
		}
		lives := []*Connection{
			{Session: 1, New: true, Call: 1, Return: 2, Ops: stays, Replies: len(stays)},
			{Session: 2, New: true, Call: 1, Return: 2, Ops: goes, Replies: len(goes)},
		}
		var got []string
		for _, v := range Check(Options{Java: c.java}, lives).Violations {
			got = append(got, v.Rule)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	s := simulate(simConfig{seed: 1, clients: 16, steps: 100_000, multis: true})
	ops := 0
	for b.Loop() {
		ops += Check(Options{}, s.lives...).Ops
	}
	b.ReportMetric(float64(ops)/b.Elapsed().Seconds(), "ops/s")
}
