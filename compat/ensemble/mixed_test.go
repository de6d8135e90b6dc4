package ensemble

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"quoll/client"
	"quoll/jute"
)

// TestMixed has every member lead in turn, followed by the others and an observer of the other kind, and fails over, and brings members
// back by DIFF, TRUNC and SNAP.
func TestMixed(t *testing.T) {
	short := []string{"quoll,3.9.5,3.9.5", "3.9.5,quoll,quoll"}
	longer := []string{
		"3.9.5,3.9.5,3.9.5", "quoll,3.9.5,3.9.5", "3.9.5,quoll,3.9.5", "3.9.5,3.9.5,quoll", "quoll,quoll,3.9.5", "quoll,3.9.5,quoll", "3.9.5,quoll,quoll", "quoll,quoll,quoll",
	}
	for _, kinds := range assignments(t, short, longer) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			t.Parallel()
			newMixed(t, kinds).run()
		})
	}
}

// TestOld is TestMixed with versions before 3.9.
func TestOld(t *testing.T) {
	short := []string{"3.4.14,quoll,3.8.4", "quoll,3.5.10,3.6.4"}
	longer := []string{}
	for _, old := range Old {
		longer = append(longer, fmt.Sprintf("%s,quoll,quoll", old), fmt.Sprintf("quoll,%s,quoll", old), fmt.Sprintf("quoll,%s,%[1]s", old))
	}
	longer = append(longer, short...)
	for _, kinds := range assignments(t, short, longer) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			t.Parallel()
			newMixed(t, kinds).run()
		})
	}
}

// mixed is three voters and an observer.
type mixed struct {
	*testing.T
	*Ensemble
	voters []*Member
	writes int
	ways   map[string]int // how members came back
}

func newMixed(t *testing.T, kinds []Kind) *mixed {
	// The observer is of the other kind than the first voter.
	observer := Quoll
	if kinds[0] == Quoll {
		observer = kinds[max(0, slices.IndexFunc(kinds, func(k Kind) bool { return k != Quoll }))]
	}
	// A history that is not in memory, and never read from the log, makes a SNAP.
	e := build(t, Options{Kinds: append(slices.Clone(kinds), observer), Observers: 1, Config: []string{"snapshotSizeFactor=-1", "maxSessionTimeout=60000"}})
	return &mixed{T: t, Ensemble: e, voters: e.Members[:3], ways: map[string]int{}}
}

func (x *mixed) run() {
	x.start(x.Members...)
	for _, m := range x.voters {
		x.lead(m)
		x.write()
		x.failOver(m)
		x.tail(false)
		x.tail(true)
		x.wiped()
	}
	x.behind()
	x.write()
	znodes, err := x.Agree()
	check(x.T, err)
	x.Logf("%d znodes after %d writes; %v", znodes, x.writes, x.ways)
}

// start starts members in this order and waits until all serve.
func (x *mixed) start(members ...*Member) *Member {
	x.Helper()
	check(x.T, x.Start(members...))
	return serving(x.T, x.Ensemble)
}

func (x *mixed) kill(members ...*Member) {
	x.Helper()
	for _, m := range members {
		check(x.T, m.Kill())
	}
}

// without are the voters but one.
func (x *mixed) without(m *Member) (others []*Member) {
	for _, v := range x.voters {
		if v != m {
			others = append(others, v)
		}
	}
	return others
}

// connect connects a client to members.
func (x *mixed) connect(ctx context.Context, events func(client.Event), members ...*Member) *client.Client {
	x.Helper()
	c, err := connect(ctx, events, members...)
	check(x.T, err)
	return c
}

func patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// write writes through every member that runs: znodes, data, a multi, deletions.
func (x *mixed) write() {
	x.Helper()
	ctx, cancel := patient()
	defer cancel()
	for _, m := range x.Members {
		if !m.Running() {
			continue
		}
		c := x.connect(ctx, nil, m)
		for range 10 {
			x.writes++
			path := fmt.Sprintf("/w%d", x.writes)
			_, err := c.Create(ctx, path, []byte(m.String()), client.OpenACL, jute.ModePersistent)
			if err == nil {
				_, err = c.Set(ctx, path, []byte("again"), 0)
			}
			if err == nil {
				_, err = c.Create(ctx, path+"/s-", nil, client.OpenACL, jute.ModePersistentSequential)
			}
			if err == nil && x.writes%3 == 0 {
				_, err = c.Create(ctx, path+"/e", nil, client.OpenACL, jute.ModeEphemeral)
			}
			if err == nil && x.writes%5 == 0 {
				_, err = c.Multi(ctx, jute.Operation{Op: jute.OpCreate, Path: []byte(path + "/m"), ACL: openACL}, jute.Operation{Op: jute.OpDelete, Path: []byte(path + "/m"), Version: -1})
			}
			if err != nil {
				x.Fatalf("writing %s through %v: %v\n%s", path, m, err, x.Tails(25))
			}
		}
		check(x.T, c.Close())
	}
}

// lead makes a member the leader: it alone of those that elect has the last write.
func (x *mixed) lead(m *Member) {
	x.Helper()
	others := x.without(m)
	last := others[1]
	x.kill(last)
	serving(x.T, x.Ensemble)
	x.write()
	check(x.T, x.Ensemble.Stop())
	if leader := x.start(m, last, x.Members[3]); leader != m {
		x.Fatalf("%v leads, and %v has more", leader, m)
	}
	x.start(others[0])
	x.came(others[0], Diff, Snap)
}

// came checks how a member was brought to the state of its leader.
func (x *mixed) came(m *Member, ways ...string) {
	x.Helper()
	way := x.Synchronized(m)
	x.ways[fmt.Sprintf("%s from %s to %s", way, serving(x.T, x.Ensemble).Kind(), m.Kind())]++
	if !slices.Contains(ways, way) {
		x.Errorf("%v was brought to the state of its leader by %q, and not by %v", m, way, ways)
	}
}

// failOver kills the leader, which a client with a session, an ephemeral znode and watches is connected to.
func (x *mixed) failOver(leader *Member) {
	x.Helper()
	ctx, cancel := patient()
	defer cancel()
	x.writes++
	path := fmt.Sprintf("/f%d", x.writes)
	events := make(chan client.Event, 100)
	others := x.without(leader)
	moving := x.connect(ctx, func(e client.Event) {
		if e.Type != client.EventNone {
			events <- e
		}
	}, append([]*Member{leader}, others...)...)
	defer moving.Abandon()
	session, _, _ := moving.Session()
	for _, p := range []string{path, path + "/data", path + "/gone"} {
		_, err := moving.Create(ctx, p, nil, client.OpenACL, jute.ModePersistent)
		check(x.T, err)
	}
	_, err := moving.Create(ctx, path+"/ephemeral", nil, client.OpenACL, jute.ModeEphemeral)
	check(x.T, err)
	_, _, err = moving.Get(ctx, path+"/data", true)
	check(x.T, err)
	_, err = moving.Exists(ctx, path+"/gone", true)
	check(x.T, err)
	if _, err = moving.Exists(ctx, path+"/new", true); !errors.Is(err, jute.ErrNoNode) {
		x.Fatal(err)
	}
	x.kill(leader)

	// Before or after the client has moved: setWatches tells what happened meanwhile.
	other := x.connect(ctx, nil, others...)
	retry := func(do func() error, done jute.Code) {
		for again := false; ; again = true {
			err := do()
			if err == nil || again && errors.Is(err, done) {
				return
			}
			if !errors.Is(err, jute.ErrConnectionLoss) {
				x.Fatalf("writing below %s after the leader died: %v\n%s", path, err, x.Tails(25))
			}
		}
	}
	retry(func() error { _, err := other.Set(ctx, path+"/data", []byte("changed"), -1); return err }, jute.OK)
	retry(func() error { return other.Delete(ctx, path+"/gone", -1) }, jute.ErrNoNode)
	retry(func() error {
		_, err := other.Create(ctx, path+"/new", nil, client.OpenACL, jute.ModePersistent)
		return err
	}, jute.ErrNodeExists)
	missing := map[string]jute.EventType{path + "/data": jute.EventNodeDataChanged, path + "/gone": jute.EventNodeDeleted, path + "/new": jute.EventNodeCreated}
	for len(missing) > 0 {
		select {
		case e := <-events:
			if missing[e.Path] != e.Type {
				x.Errorf("event %v, and missing are %v", e, missing)
			}
			delete(missing, e.Path)
		case <-ctx.Done():
			x.Fatalf("no events %v\n%s", missing, x.Tails(25))
		}
	}
	retry(func() error { return moving.Sync(ctx, path) }, jute.OK)
	if id, _, _ := moving.Session(); id != session {
		x.Errorf("session %#x became %#x", session, id)
	}
	retry(func() error { return other.Sync(ctx, path) }, jute.OK)
	retry(func() error {
		stat, err := other.Exists(ctx, path+"/ephemeral", false)
		if err == nil && stat.EphemeralOwner != session {
			x.Errorf("the ephemeral znode of session %#x is %+v", session, stat)
		}
		return err
	}, jute.OK)
	x.start(leader)
	x.came(leader, Diff)
	retry(func() error { return moving.Close() }, jute.OK)
	check(x.T, other.Close())
}

// tail has the leader log what nobody else has, and die. Then it must lose that: by a cut, or if the others have gone on in the next
// epoch by a snapshot.
func (x *mixed) tail(goneOn bool) {
	x.Helper()
	ctx, cancel := patient()
	defer cancel()
	leader := serving(x.T, x.Ensemble)
	c := x.connect(ctx, nil, leader)
	defer c.Abandon()
	others := x.without(leader)
	for _, m := range others {
		check(x.T, m.Pause())
	}
	x.writes++
	path := fmt.Sprintf("/tail%d-", x.writes)
	for i := range 5 {
		req := &jute.CreateRequest{Path: fmt.Appendf(nil, "%s%d", path, i), ACL: openACL}
		check(x.T, c.Send(jute.OpCreate, req, func(client.Reply) {}))
	}
	marker := path + "4"
	if err := x.await(func() bool { return leader.OnDisk(marker) }); err != nil {
		x.Fatalf("%v has not logged %s after %v\n%s", leader, marker, err, x.Tails(25))
	}
	x.kill(leader)
	x.kill(others...)
	c.Abandon()
	next := x.start(others...)
	ways := []string{Trunc}
	if goneOn {
		x.write()
		ways = []string{Snap}
		if next.Kind() == "3.4.14" {
			ways = append(ways, Trunc) // it cuts across epochs
		}
	}
	x.start(leader)
	x.came(leader, ways...)
	x.write()
	all, err := leader.Tree()
	check(x.T, err)
	for p := range all {
		if len(p) > len(path) && p[:len(path)] == path {
			x.Errorf("%s is on %v, and was never committed", p, leader)
		}
	}
}

// wiped is a follower that has lost its disk.
func (x *mixed) wiped() {
	x.Helper()
	m := x.without(serving(x.T, x.Ensemble))[x.writes%2]
	x.kill(m)
	check(x.T, m.Wipe())
	x.write()
	x.start(m)
	x.came(m, Snap)
}

// behind is a follower that misses more than its leader has in memory.
func (x *mixed) behind() {
	x.Helper()
	m := x.without(serving(x.T, x.Ensemble))[0]
	x.kill(m)
	leader := serving(x.T, x.Ensemble)
	ctx, cancel := patient()
	defer cancel()
	c := x.connect(ctx, nil, leader)
	defer c.Close()
	_, err := c.Create(ctx, "/behind", nil, client.OpenACL, jute.ModePersistent)
	check(x.T, err)
	load := x.StartLoad("/behind", 8)
	_, err = load.Await(1500)
	check(x.T, err)
	_, err = load.Stop()
	check(x.T, err)
	x.start(m)
	x.came(m, Snap)
	check(x.T, load.Present(x.Ensemble))
}
