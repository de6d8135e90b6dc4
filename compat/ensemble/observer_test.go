package ensemble

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// TestObserverMaster has an observer that is served by the follower (observerMasterPort), with two voters: the kinds are those of the follower and the leader to begin
// with, and of the observer.
func TestObserverMaster(t *testing.T) {
	short := []string{"quoll,3.9.5,3.9.5", "3.9.5,quoll,quoll"}
	longer := []string{"3.9.5,3.9.5,3.9.5", "quoll,3.9.5,3.9.5", "quoll,quoll,3.9.5", "3.9.5,quoll,3.9.5", "3.9.5,3.9.5,quoll", "3.9.5,quoll,quoll", "quoll,3.9.5,quoll", "quoll,quoll,quoll"}
	for _, kinds := range assignments(t, short, longer) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			t.Parallel()
			observed(t, kinds)
		})
	}
}

func observed(t *testing.T, kinds []Kind) {
	port, err := peer.FreePort()
	check(t, err)
	e := build(t, Options{Kinds: kinds, Observers: 1, Config: []string{fmt.Sprint("observerMasterPort=", port), "snapshotSizeFactor=-1", "maxSessionTimeout=60000", "reconfigEnabled=true", "skipACL=yes"}})
	x := &mixed{T: t, Ensemble: e, voters: e.Members[:2], ways: map[string]int{}}
	observer := e.Member(3)
	x.start(e.Members...)
	x.served(observer)
	x.write()

	// A session goes from server to server: each asks the leader about it.
	var p prober
	for range 3 {
		for _, m := range []*Member{observer, e.Member(1), observer, e.Member(2)} {
			check(t, p.write([]*Member{m}))
		}
	}
	ctx, cancel := patient()
	defer cancel()
	check(t, p.write([]*Member{observer}))
	x.watched(observer, serving(t, e))

	// A config that is put in force meanwhile: one more observer, which nobody starts.
	c := x.connect(ctx, nil, observer)
	_, _, err = c.Reconfig(ctx, "server.4=127.0.0.1:1:2:observer;127.0.0.1:3", "", "", -1)
	check(t, err)
	if text, _, err := c.GetConfig(ctx, false); err != nil || !strings.Contains(string(text), "server.4=") {
		t.Errorf("behind a reconfig the config is %q, %v", text, err)
	}
	check(t, c.Close())

	// Many syncs and writes of many clients at a time.
	makeRoot(t, ctx, e, "/load")
	load := e.StartLoad("/load", 12)
	syncing := x.connect(ctx, nil, observer)
	for range 200 {
		check(t, syncing.Sync(ctx, "/load"))
	}
	check(t, syncing.Close())
	_, err = load.Await(500)
	check(t, err)
	result, err := load.Stop()
	check(t, err)

	// Whoever is lost comes back: the observer with what it had, or with nothing, and who serves it, and the leader. There is no load meanwhile: a snapshot that
	// Java sends then is of no one moment, so that it finds digests wrong.
	for _, wipe := range []bool{false, true} {
		x.kill(observer)
		want := Diff
		if wipe {
			check(t, observer.Wipe())
			want = Snap
		}
		x.write()
		x.start(observer)
		x.served(observer)
		x.came(observer, want)
	}
	for range 2 {
		leader := serving(t, e)
		for _, m := range append(x.without(leader), leader) {
			x.kill(m)
			x.start(m)
			x.served(observer)
			x.write()
		}
	}
	check(t, p.write([]*Member{observer}))

	check(t, load.Present(e))
	_, err = x.SameTrees()
	check(t, err)
	p.hangUp()
	check(t, x.Settle("/settled"))
	check(t, x.Ensemble.Stop())
	check(t, x.SameDigests())
	t.Logf("%d writes acknowledged; %v", result.Acked, x.ways)
}

// served waits until the follower says that it serves the observer. The observer names any voter, since here they have the same address.
func (x *mixed) served(observer *Member) {
	x.Helper()
	var master, served string
	err := x.await(func() bool {
		follower := x.without(serving(x.T, x.Ensemble))[0]
		master, served = observer.Metric("zk_observer_master_id"), follower.Metric("zk_synced_observers")
		return (master == "1" || master == "2") && served == "1"
	})
	if err != nil {
		x.Fatalf("the observer learns from server %q, and the follower serves %q observers: %v\n%s", master, served, err, x.Tails(40))
	}
}

// watched sees events at a member of what is done through another, before and after it is moved there by a setWatches.
func (x *mixed) watched(at, by *Member) {
	x.Helper()
	ctx, cancel := patient()
	defer cancel()
	events := make(chan client.Event, 100)
	c := x.connect(ctx, func(e client.Event) {
		if e.Type != client.EventNone {
			events <- e
		}
	}, at)
	defer c.Close()
	other := x.connect(ctx, nil, by)
	defer other.Close()
	const path = "/watched"
	if _, err := c.Exists(ctx, path, true); !errors.Is(err, jute.ErrNoNode) {
		x.Fatal(err)
	}
	next := func(want jute.EventType) {
		x.Helper()
		select {
		case e := <-events:
			if e.Path != path || e.Type != want {
				x.Errorf("event %v", e)
			}
		case <-time.After(patience):
			x.Fatalf("no event at %v of what %v did\n%s", at, by, x.Tails(25))
		}
	}
	_, err := other.Create(ctx, path, nil, client.OpenACL, jute.ModePersistent)
	check(x.T, err)
	next(jute.EventNodeCreated)
	_, _, err = c.Get(ctx, path, true)
	check(x.T, err)
	_, err = other.Set(ctx, path, []byte("x"), -1)
	check(x.T, err)
	next(jute.EventNodeDataChanged)
	data, _, err := c.Get(ctx, path, false)
	if err != nil || !slices.Equal(data, []byte("x")) {
		x.Errorf("behind its event %s is %q, %v", path, data, err)
	}
}
