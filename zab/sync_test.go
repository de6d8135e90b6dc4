package zab

import (
	"fmt"
	"testing"
	"time"

	"quoll/zab/wire"
)

// z is the zxid e.c.
func z(epoch int64, counter int64) int64 { return epoch<<32 | counter }

// historyOf is a history of records, all of them applied but the last pending ones.
func historyOf(pending int, zxids ...int64) *history {
	h := &history{maxBytes: 1 << 20, maxCount: 500}
	var records []Record
	for _, z := range zxids[:len(zxids)-pending] {
		records = append(records, Record{Zxid: z})
	}
	last := int64(0)
	if len(records) > 0 {
		last = records[len(records)-1].Zxid
	}
	h.reset(last, records)
	for _, z := range zxids[len(zxids)-pending:] {
		h.push(Record{Zxid: z})
	}
	return h
}

// TestChoose is the table of section 4.6, row by row.
func TestChoose(t *testing.T) {
	epoch1 := []int64{z(1, 3), z(1, 4), z(1, 5)}
	two := append(append([]int64{}, epoch1...), z(2, 1), z(2, 2))
	inner := append(append([]int64{}, epoch1...), z(3, 1), z(3, 2))
	const diff, trunc, snap = wire.TypeDiff, wire.TypeTrunc, wire.TypeSnap
	for _, tt := range []struct {
		row   string
		h     *history
		force bool
		off   bool
		last  int64
		want  plan
	}{
		{"1 forced", historyOf(0, epoch1...), true, false, z(1, 5), plan{snap, z(1, 5), z(1, 5)}},
		{"2 the same", historyOf(0, epoch1...), false, false, z(1, 5), plan{diff, z(1, 5), z(1, 5)}},
		{"2 both empty", historyOf(0), false, false, 0, plan{diff, 0, 0}},
		{"3 ahead", historyOf(0, epoch1...), false, false, z(1, 7), plan{trunc, z(1, 5), z(1, 5)}},
		{"3 ahead, with what is proposed", historyOf(2, append(append([]int64{}, epoch1...), z(1, 6), z(1, 7))...), false, false, z(1, 7), plan{diff, z(1, 5), z(1, 7)}},
		{"3 ahead of what is proposed", historyOf(1, append(append([]int64{}, epoch1...), z(1, 6))...), false, false, z(1, 7), plan{trunc, z(1, 5), z(1, 5)}},
		{"3 ahead, of an epoch before what is proposed", historyOf(1, append(append([]int64{}, epoch1...), z(2, 1))...), false, false, z(1, 7), plan{trunc, z(1, 5), z(1, 5)}},
		{"3 ahead by an epoch (not as Java)", historyOf(0, epoch1...), false, false, z(2, 7), plan{snap, z(1, 5), z(1, 5)}},
		{"4 within", historyOf(0, epoch1...), false, false, z(1, 4), plan{diff, z(1, 5), z(1, 4)}},
		{"4 at the beginning", historyOf(0, epoch1...), false, false, z(1, 3), plan{diff, z(1, 5), z(1, 3)}},
		{"4 an epoch that has begun", historyOf(0, two...), false, false, z(2, 0), plan{diff, z(2, 2), z(2, 0)}},
		{"4 an old leader's rest", historyOf(0, two...), false, false, z(1, 9), plan{snap, z(2, 2), z(2, 2)}},
		{"4 an epoch that is not there", historyOf(0, inner...), false, false, z(2, 4), plan{snap, z(3, 2), z(3, 2)}},
		{"4 an e.0 that is not there", historyOf(0, inner...), false, false, z(2, 0), plan{diff, z(3, 2), z(2, 0)}},
		{"5 before", historyOf(0, epoch1...), false, false, z(1, 2), plan{}},
		{"5 nothing", historyOf(0, epoch1...), false, false, 0, plan{}},
		{"5 off", historyOf(0, epoch1...), false, true, z(1, 2), plan{snap, z(1, 5), z(1, 5)}},
		{"6 an e.0 ahead", historyOf(0, epoch1...), false, false, z(2, 0), plan{snap, z(1, 5), z(1, 5)}},
	} {
		o := Options{ForceSnapshotSync: tt.force, SnapshotSizeFactor: 0.33}
		if tt.off {
			o.SnapshotSizeFactor = -1
		}
		if got := choose(tt.last, tt.h, &o); got != tt.want {
			t.Errorf("row %s: %+v, not %+v", tt.row, got, tt.want)
		}
	}
}

// TestChooseFromLog is row 5 of the table when the log has been read.
func TestChooseFromLog(t *testing.T) {
	h := historyOf(0, z(3, 8), z(3, 9))
	read := func(later, snapshot int64, zxids ...int64) LogRead {
		r := LogRead{LaterBytes: later, SnapshotBytes: snapshot}
		for _, z := range zxids {
			r.Records = append(r.Records, Record{Zxid: z})
		}
		return r
	}
	const diff, trunc, snap = wire.TypeDiff, wire.TypeTrunc, wire.TypeSnap
	for _, tt := range []struct {
		name string
		last int64
		read LogRead
		want plan
	}{
		{"it is there", z(3, 2), read(0, 0, z(3, 2), z(3, 3)), plan{diff, z(3, 9), z(3, 2)}},
		{"a rest of the same epoch", z(1, 7), read(0, 0, z(1, 5), z(3, 1)), plan{snap, z(3, 9), z(3, 9)}},
		{"a hole", z(3, 3), read(0, 0, z(3, 2), z(3, 4)), plan{trunc, z(3, 2), z(3, 2)}},
		{"a new epoch", z(2, 0), read(0, 0, z(1, 5), z(3, 1)), plan{diff, z(3, 9), z(2, 0)}},
		{"the log begins later", z(1, 2), read(0, 0), plan{snap, z(3, 9), z(3, 9)}},
		{"the log is short enough", z(3, 2), read(330, 1000, z(3, 2), z(3, 3)), plan{diff, z(3, 9), z(3, 2)}},
		{"the log is too long", z(3, 2), read(331, 1000, z(3, 2), z(3, 3)), plan{snap, z(3, 9), z(3, 9)}},
	} {
		o := Options{SnapshotSizeFactor: 0.33}
		if got := chooseFromLog(tt.last, tt.read, h, &o); got != tt.want {
			t.Errorf("%s: %+v, not %+v", tt.name, got, tt.want)
		}
	}
}

func TestHistory(t *testing.T) {
	h := &history{maxBytes: 100, maxCount: 2}
	h.reset(0, nil)
	for i := int64(1); i <= 6; i++ {
		h.push(Record{Zxid: z(1, i), Data: make([]byte, 20)})
		if got := h.apply(z(1, i), nil); len(got) != 1 || got[0].Zxid != z(1, i) {
			t.Fatalf("%+v", got)
		}
		h.trim(z(1, 1))
	}
	if h.base != z(1, 1) {
		t.Errorf("what a learner waits for: %+v", h)
	}
	h.trim(z(1, 6))
	if h.base != z(1, 2) || h.first() != z(1, 3) || h.bytes != 80 || h.done != 4 {
		t.Errorf("by count: %+v", h)
	}
	h.push(Record{Zxid: z(1, 7), Data: make([]byte, 90)})
	if h.pendingBytes() != 90 || h.last() != z(1, 7) || h.applied != z(1, 6) {
		t.Errorf("pending: %+v", h)
	}
	h.apply(z(1, 7), nil)
	h.trim(z(1, 1))
	if h.first() != z(1, 7) || h.pendingBytes() != 0 {
		t.Errorf("by bytes: %+v", h)
	}
	for _, tt := range []struct {
		last, next int64
		want       bool
	}{
		{0, z(1, 1), true}, {z(1, 1), z(1, 2), true}, {z(1, 1), z(1, 3), false}, {z(1, 7), z(2, 1), true}, {z(1, 7), z(2, 2), false},
		{z(1, 7), z(1, 7), false}, {z(2, 1), z(1, 2), false}, {z(1, 0xfffffffe), z(1, 0xffffffff), false}, {z(2, 0), z(2, 1), true},
		{z(1, 7), z(2, 0), false}, {z(1, 0xffffffff), z(2, 0), false},
	} {
		if got := Follows(tt.last, tt.next); got != tt.want {
			t.Errorf("%#x behind %#x: %v", tt.next, tt.last, got)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a hole was taken")
		}
	}()
	h.push(Record{Zxid: z(1, 9)})
}

// TestSyncMethods has a follower come back with each kind of history and looks at what it is sent and that it ends with the same.
func TestSyncMethods(t *testing.T) {
	type result struct {
		first wire.Type
		snaps int
	}
	for _, tt := range []struct {
		name   string
		missed int // transactions while it is away
		keep   int // bytes of history
		from   int // records that the leader's log lacks at its beginning
		want   result
	}{
		{"memory", 20, 0, 0, result{wire.TypeDiff, 0}},
		{"log", 60, 300, 0, result{wire.TypeDiff, 0}},
		{"snapshot", 60, 300, 40, result{wire.TypeSnap, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 3, members(t, 0, 1, 2, 3), 1, 2, 3)
			options := w.options
			w.options = func(sid int64) Options {
				o := options(sid)
				o.HistoryBytes, o.SnapshotSizeFactor = tt.keep, 1
				return o
			}
			w.start()
			w.until(6*time.Second, "a leader", w.settled)
			w.propose(10)
			w.until(2*time.Second, "ten", func() bool { return len(w.history) == 10 && w.settled() })
			w.run(100 * time.Millisecond)
			w.host(1).crash()
			for range tt.missed {
				w.propose(1)
				w.run(20 * time.Millisecond)
			}
			w.run(100 * time.Millisecond)
			w.host(3).logFrom = tt.from
			w.snaps = 0
			w.start()
			w.until(2*time.Second, "all again", w.settled)
			if w.snaps != tt.want.snaps {
				t.Errorf("%d snapshots", w.snaps)
			}
			if want := fmt.Sprintf("learner 1 at 1.a gets %v", tt.want.first); !w.saw(want) {
				t.Errorf("never %q", want)
			}
		})
	}
}

// TestFallenBehind is a learner with a slow disk, and then with a link that stands still, while thousands are committed: it is sent them all, from memory or from
// the log, and is not cut off.
func TestFallenBehind(t *testing.T) {
	for _, keep := range []int{0, 2000} {
		for _, sid := range []int64{1, -1} {
			w := newWorld(t, 3, members(t, 0, sid, 2, 3, 4), 1, 2, 3, 4)
			w.fast = true
			options := w.options
			w.options = func(sid int64) Options {
				o := options(sid)
				o.HistoryBytes, o.SnapshotSizeFactor, o.LinkWindow = keep, 1, 20_000
				return o
			}
			for _, h := range w.hosts[1:] {
				h.start()
			}
			w.until(5*time.Second, "a leader", func() bool { return w.leaderHost() != nil })
			w.run(500 * time.Millisecond)
			load := func(transactions int) {
				for range transactions / 40 {
					w.propose(40)
					w.run(10 * time.Millisecond)
				}
			}
			w.host(1).slow = 300
			w.host(1).start()
			load(3000)
			w.reconfigure(sid, 2, 3, 4, -9)
			load(2000)
			w.host(1).slow = 0
			w.until(5*time.Second, "all have all", w.settled)
			for _, l := range w.links {
				if l.ends[0] == w.host(1) {
					l.pause[0] = true
				}
			}
			load(2000) // of which the link takes a part
			w.reconfigure(sid, 2, 3, 4)
			w.run(50 * time.Millisecond)
			for _, l := range w.links {
				l.pause[0] = false
				for _, run := range l.paused[0] {
					run()
				}
				l.paused[0] = nil
			}
			w.until(5*time.Second, "all have all", w.settled)
			if w.saw("is cut off") || len(w.history) != 7002 {
				w.fatalf("%d transactions", len(w.history))
			}
			in, _ := w.host(1).node.Configs()
			if leads, _ := w.leaderHost().node.Configs(); in.Version != leads.Version || epochOf(in.Version) != 1 {
				t.Errorf("config %x is in force, %x at the leader", in.Version, leads.Version)
			}
		}
	}
}
