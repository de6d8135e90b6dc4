package quorum

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quoll/metrics"
	"quoll/zab"
)

// slowReads is an App whose reads of the log last until they are let go.
type slowReads struct {
	App
	reading, goOn, synced chan struct{}
	done                  atomic.Bool
}

func (a *slowReads) Append([]zab.Record) error { return nil }

func (a *slowReads) Sync() (int64, error) {
	a.synced <- struct{}{}
	return 1, nil
}

func (a *slowReads) ReadLog(int64, int) func() (zab.LogRead, error) {
	return func() (zab.LogRead, error) {
		close(a.reading)
		<-a.goOn
		a.done.Store(true)
		return zab.LogRead{}, nil
	}
}

// TestReadLogBesideSyncs reads the log for a learner: what is appended meanwhile is made durable, and what makes the log another one waits for the end of the read.
func TestReadLogBesideSyncs(t *testing.T) {
	a := &slowReads{reading: make(chan struct{}), goOn: make(chan struct{}), synced: make(chan struct{}, 1)}
	p := &Peer{app: a, log: slog.New(slog.DiscardHandler), disk: newQueue(), reads: newQueue(), state: newQueue(), behind: newGauge(behindLimit, nil), wake: make(chan struct{}, 1)}
	p.counters.m = metrics.New(metrics.Null)
	p.logging.m = p.counters.m
	p.turn.ended = true // there is no node
	var running sync.WaitGroup
	running.Go(func() { p.disk.run(p.sync) })
	running.Go(func() { p.reads.run(nil) })
	running.Go(func() { p.state.run(nil) })
	defer running.Wait()
	defer func() {
		p.disk.close()
		p.reads.close()
		p.state.close()
	}()
	await := func(what string, c <-chan struct{}) {
		t.Helper()
		select {
		case <-c:
		case <-time.After(30 * time.Second):
			t.Error("never: " + what)
		}
	}
	p.readLog(zab.ReadLog{From: 1})
	await("the log is read", a.reading)
	p.append([]zab.Record{{Zxid: 1}})
	await("the sync beside the read", a.synced)
	done := make(chan struct{})
	p.standStill(func() {
		defer close(done)
		if !a.done.Load() {
			t.Error("the log becomes another one while it is read")
		}
	})
	select {
	case <-done: // too early, which was told
	case <-time.After(20 * time.Millisecond):
	}
	close(a.goOn)
	await("nothing is read any more", done)
}
