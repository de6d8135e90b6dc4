package ensemble

import (
	"fmt"
	"testing"

	"quoll/client"
	"quoll/jute"
)

// TestReconfigDuringSnapshot changes the role of a member, and then takes it out of the ensemble and back in, while it gets the leader's snapshot.
// It does not hit each moment: a proposal that a learner is not sent, and an activation that it misses, are found by the simulation of zab (outstandingForgotten and
// activationMissedInSync in TestMutants).
func TestReconfigDuringSnapshot(t *testing.T) {
	short := []string{"3.9.5,quoll,quoll,quoll", "quoll,quoll,3.9.5,quoll"}
	longer := append(short, "3.9.5,quoll,quoll,3.9.5", "quoll,3.9.5,3.9.5,quoll", "3.9.5,3.9.5,3.9.5,3.9.5", "quoll,quoll,quoll,quoll")
	for _, kinds := range assignments(t, short, longer) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			t.Parallel()
			e := build(t, Options{Kinds: kinds, Config: []string{"reconfigEnabled=true", "skipACL=yes", "snapshotSizeFactor=-1"}})
			check(t, e.Start(e.Members[:3]...))
			leader := serving(t, e)
			ctx, cancel := patient()
			defer cancel()
			c, err := connect(ctx, nil, leader)
			check(t, err)
			defer func() { _ = c.Close() }()
			for i := range 600 { // more transactions than are in memory, and more bytes than a connection takes at once
				_, err := c.Create(ctx, fmt.Sprintf("/large-%d", i), make([]byte, 100_000), client.OpenACL, jute.ModePersistent)
				check(t, err)
			}
			learner := e.Member(4)
			reconfig := func(joining, leaving string) {
				t.Helper()
				_, _, err := c.Reconfig(ctx, joining, leaving, "", -1)
				check(t, err)
			}
			as := func(role string) string {
				return fmt.Sprintf("server.4=127.0.0.1:%d:%d:%s;127.0.0.1:%d", learner.quorum, learner.election, role, learner.client)
			}
			snapshot := func() {
				t.Helper()
				check(t, learner.Kill())
				check(t, learner.Wipe())
				check(t, learner.Start())
				check(t, e.await(func() bool { return e.Synchronized(learner) == Snap }))
			}
			snapshot()
			reconfig(as("observer"), "")
			learner.Observer = true
			serving(t, e)
			reconfig(as("participant"), "")
			learner.Observer = false
			serving(t, e)
			snapshot()
			reconfig("", "4")
			reconfig(as("participant"), "")
			serving(t, e)
			check(t, e.Settle("/settled"))
			_, err = e.SameTrees()
			check(t, err)
			check(t, c.Close())
			check(t, e.Stop())
			check(t, e.SameDigests())
		})
	}
}
