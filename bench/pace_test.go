package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"quoll/compat/peer"
	"quoll/jute"
)

// TestPaceCountsTheStall stalls a server once: every request that was due meanwhile is late, and none is left out.
func TestPaceCountsTheStall(t *testing.T) {
	f := newFloor()
	const stall = 300 * time.Millisecond
	requests, answer := 0, f.answer
	f.answer = func(b []byte, xid int32, op jute.Op, body []byte) ([]byte, error) {
		if op == jute.OpSetData {
			if requests++; requests == 10 {
				time.Sleep(stall)
			}
		}
		return answer(b, xid, op, body)
	}
	c, err := dial(serveFloor(t, f))
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	time.AfterFunc(2*stall, func() { close(stop) })
	all, err := c.pace(time.Now(), time.Millisecond, list(1<<30, setOne(1000, 1)), stop)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.finish(); err != nil {
		t.Fatal(err)
	}
	late := 0
	for i, p := range all {
		if i > 0 && p.due.Sub(all[i-1].due) != time.Millisecond {
			t.Fatalf("request %d was due %v after the one before", i, p.due.Sub(all[i-1].due))
		}
		if p.took > stall/2 {
			late++
		}
	}
	if want := int(stall / 2 / time.Millisecond); len(all) != requests || late < want {
		t.Errorf("%d requests of %d, %d of them late, want %d or more", len(all), requests, late, want)
	}
	if got := tailsOf(all); got.max < stall || got.p999 < stall/2 {
		t.Errorf("%v", got)
	}
}

func TestPaceFailsWithTheServer(t *testing.T) {
	f := newFloor()
	answer := f.answer
	f.answer = func(b []byte, xid int32, op jute.Op, body []byte) ([]byte, error) {
		if op == jute.OpSetData {
			return jute.AppendReplyHeader(b, xid, 1, jute.ErrNoNode), nil
		}
		return answer(b, xid, op, body)
	}
	never := make(chan struct{})
	defer close(never)
	_, err := paceAll(serveFloor(t, f), 1000, setOne(1000, 1), func() error { <-never; return nil })
	var wrong *wrongReply
	if !errors.As(err, &wrong) {
		t.Errorf("%v", err)
	}
}

func TestSnapshotWatch(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	say := func(text string) {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = f.WriteString(text)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	say("Snapshot taken in 9 ms\n")
	w, err := watchSnapshots(&entrant{Process: &peer.Process{LogPath: name}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.log.Close()
	look := func(want int) {
		t.Helper()
		if err := w.look(); err != nil || len(w.all) != want {
			t.Fatalf("%d snapshots, %v; want %d", len(w.all), err, want)
		}
	}
	look(0)
	say("INFO Snapshot taken in 20")
	look(0)
	say("00 ms\nmore\n")
	look(1)
	i := w.all[0]
	if d := i.to.Sub(i.from); d < 2*time.Second || d > 2100*time.Millisecond {
		t.Errorf("it took %v", d)
	}
	ms := time.Millisecond
	inside, outside := w.within([]paced{{i.from.Add(-10 * ms), 5 * ms}, {i.from.Add(-10 * ms), 15 * ms}, {i.from.Add(ms), ms}, {i.to.Add(-ms), 5 * ms}, {i.to.Add(ms), ms}})
	if len(inside) != 3 || len(outside) != 2 {
		t.Errorf("%d inside, %d outside", len(inside), len(outside))
	}
}

func TestPausesIn(t *testing.T) {
	said := `[0.006s][info][gc] Using G1
[1.204s][info][gc] GC(0) Pause Young (Normal) (G1 Evacuation Pause) 23M->5M(3072M) 12.345ms
[1.304s][info][gc] GC(1) Concurrent Mark Cycle
[1.404s][info][gc          ] GC(1) Pause Remark 40M->40M(3072M) 0.500ms
[1.504s][info][gc] GC(1) Concurrent Mark Cycle 90.000ms
gc 7 @0.512s 2%: 0.031+4.1+0.25 ms clock, 0.062+0.3/3.9/0+0.50 ms cpu, 47->48->21 MB, 48 MB goal, 0 MB stacks, 0 MB globals, 2 P
time=2026-11-28T09:00:00Z level=INFO msg="gc 7 of something took 9.9 ms"
`
	us := time.Microsecond
	if got, want := pausesIn(said), []time.Duration{12345 * us, 500 * us, 31 * us, 250 * us}; !slices.Equal(got, want) {
		t.Errorf("pauses %v, want %v", got, want)
	}
}
