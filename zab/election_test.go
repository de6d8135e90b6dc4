package zab

import (
	"slices"
	"testing"
	"time"

	"quoll/ensemble"
	"quoll/zab/wire"
)

func TestVoteOrder(t *testing.T) {
	c := testConfig(t, "server.1=a:1:2", "server.2=b:1:2", "server.3=c:1:2", "group.1=1:2:3", "weight.1=1", "weight.2=1", "weight.3=0")
	for _, tt := range []struct {
		name string
		a, b ballot
		want bool
	}{
		{"epoch before zxid", ballot{leader: 1, epoch: 2, zxid: 1}, ballot{leader: 2, epoch: 1, zxid: 9}, true},
		{"zxid before sid", ballot{leader: 1, epoch: 1, zxid: 3}, ballot{leader: 2, epoch: 1, zxid: 2}, true},
		{"sid", ballot{leader: 2, epoch: 1, zxid: 3}, ballot{leader: 1, epoch: 1, zxid: 3}, true},
		{"the same", ballot{leader: 2, epoch: 1, zxid: 3}, ballot{leader: 2, epoch: 1, zxid: 3}, false},
		{"no weight", ballot{leader: 3, epoch: 9, zxid: 9}, ballot{leader: 1, epoch: 1, zxid: 1}, false},
		{"nobody", ballot{leader: 1, epoch: 0, zxid: 0}, ballot{leader: noVote, epoch: 0, zxid: 0}, true},
		{"round does not matter", ballot{leader: 1, round: 9}, ballot{leader: 2, round: 1}, false},
	} {
		if got := tt.a.beats(tt.b, c); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestVotesAgree(t *testing.T) {
	looking := ballot{leader: 1, zxid: 2, round: 3, epoch: 4, version: 2}
	following := looking
	following.state = Following
	with := func(b ballot, change func(*ballot)) ballot { change(&b); return b }
	for _, tt := range []struct {
		name string
		a, b ballot
		want bool
	}{
		{"the same", looking, looking, true},
		{"looking, other zxid", looking, with(looking, func(b *ballot) { b.zxid++ }), false},
		{"looking, other round", looking, with(looking, func(b *ballot) { b.round++ }), false},
		{"looking against following, other zxid", looking, with(following, func(b *ballot) { b.zxid++ }), false},
		{"following, other zxid and round", following, with(following, func(b *ballot) { b.zxid++; b.round = -1 }), true},
		{"following, other epoch", following, with(following, func(b *ballot) { b.epoch++ }), false},
		{"following, other epoch, one of 3.4", following, with(following, func(b *ballot) { b.epoch++; b.version = 0 }), true},
		{"following another", following, with(following, func(b *ballot) { b.leader++; b.version = 0 }), false},
	} {
		if got := tt.a.agrees(tt.b); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
		if tt.a.agrees(tt.b) != tt.b.agrees(tt.a) {
			t.Errorf("%s is not symmetric", tt.name)
		}
	}
}

// solo is one node whose surroundings are written by a test.
type solo struct {
	t    *testing.T
	n    *Node
	now  time.Duration
	disk Disk
}

func newSolo(t *testing.T, sid int64, d Disk, c *ensemble.Config) *solo {
	o := Options{SID: sid, Tick: 100 * time.Millisecond, InitLimit: 10, SyncLimit: 5, Reconfig: true}
	return &solo{t: t, n: New(o, State{Disk: d, Committed: c}), disk: d}
}

// effects returns the effects of one kind since the last call of any.
func pick[E Effect](effects []Effect) []E {
	var out []E
	for _, e := range effects {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

func (s *solo) step(events ...Event) []Effect {
	for _, ev := range events {
		s.n.Step(s.now, ev)
	}
	return effectsOf(s.n)
}

// effectsOf returns effects that stay as they are.
func effectsOf(n *Node) []Effect {
	effects := n.Effects(nil)
	for i, e := range effects {
		if e, ok := e.(Send); ok {
			effects[i] = Send{e.Link, slices.Clone(e.Packets)}
		}
	}
	return effects
}

func (s *solo) wait(d time.Duration) []Effect {
	s.now += d
	return s.step(Tick{})
}

// vote is a notification.
func vote(state Role, leader, zxid, round, epoch int64) wire.Notification {
	return wire.Notification{State: int32(state), Leader: leader, Zxid: zxid, Round: round, PeerEpoch: epoch, Version: 2}
}

func TestElectionRules(t *testing.T) {
	c := members(t, 0, 1, 2, 3, -4)
	const z = 1<<32 | 5
	fresh := func() *solo {
		s := newSolo(t, 2, Disk{Zxid: z, AcceptedEpoch: 1, CurrentEpoch: 1}, c)
		s.step()
		return s
	}
	role := func(s *solo, want Role) {
		t.Helper()
		if s.n.Role() != want {
			t.Errorf("it is %v, not %v", s.n.Role(), want)
		}
	}
	t.Run("first votes", func(t *testing.T) {
		s := newSolo(t, 2, Disk{Zxid: z, AcceptedEpoch: 1, CurrentEpoch: 1}, c)
		votes := pick[Notify](s.step())
		if len(votes) != 2 || votes[0].To != 1 || votes[1].To != 3 {
			t.Fatalf("%+v", votes)
		}
		if v := votes[0].Vote; v.Leader != 2 || v.Zxid != z || v.Round != 1 || v.PeerEpoch != 1 || v.State != 0 || v.Config != c.String() {
			t.Errorf("%+v", v)
		}
	})
	t.Run("backs off", func(t *testing.T) {
		s := fresh()
		at := time.Duration(0)
		for _, d := range []time.Duration{200, 400, 800, 1600} {
			at += d * time.Millisecond
			if got := s.n.Deadline(); got != at {
				t.Fatalf("deadline %v, not %v", got, at)
			}
			if len(pick[Notify](s.wait(at-s.now))) != 2 {
				t.Fatal("no votes")
			}
		}
	})
	t.Run("a quorum settles after the wait", func(t *testing.T) {
		s := fresh()
		s.step(Heard{1, vote(Looking, 2, z, 1, 1)})
		s.wait(199 * time.Millisecond)
		role(s, Looking)
		s.wait(time.Millisecond)
		role(s, Leading)
	})
	t.Run("a better vote in time", func(t *testing.T) {
		s := fresh()
		s.step(Heard{1, vote(Looking, 2, z, 1, 1)})
		s.wait(100 * time.Millisecond)
		if votes := pick[Notify](s.step(Heard{3, vote(Looking, 3, z, 1, 1)})); len(votes) != 2 || votes[0].Vote.Leader != 3 {
			t.Fatalf("%+v", votes)
		}
		s.wait(200 * time.Millisecond)
		role(s, Following)
	})
	t.Run("a later round", func(t *testing.T) {
		s := fresh()
		votes := pick[Notify](s.step(Heard{1, vote(Looking, 1, 3, 7, 1)}))
		if len(votes) != 2 || votes[0].Vote.Round != 7 || votes[0].Vote.Leader != 2 {
			t.Errorf("%+v", votes)
		}
	})
	t.Run("R5: an older round is answered", func(t *testing.T) {
		s := fresh()
		s.step(Heard{1, vote(Looking, 1, 3, 7, 1)})
		votes := pick[Notify](s.step(Heard{3, vote(Looking, 3, z+9, 2, 1)}))
		if len(votes) != 1 || votes[0].To != 3 || votes[0].Vote.Round != 7 || votes[0].Vote.Leader != 2 {
			t.Errorf("%+v", votes)
		}
	})
	t.Run("R4: a stranger is answered and not counted", func(t *testing.T) {
		s := fresh()
		for _, from := range []int64{4, 9} {
			votes := pick[Notify](s.step(Heard{from, vote(Looking, 2, z, 1, 1)}))
			if len(votes) != 1 || votes[0].To != from {
				t.Errorf("%+v", votes)
			}
		}
		s.wait(time.Second)
		role(s, Looking)
	})
	t.Run("a vote for a stranger does not count", func(t *testing.T) {
		s := fresh()
		s.step(Heard{1, vote(Looking, 9, z+9, 1, 1)}, Heard{3, vote(Looking, 9, z+9, 1, 1)})
		s.wait(time.Second)
		role(s, Looking)
		votes := pick[Notify](s.step(Heard{3, vote(Looking, 9, z+9, 5, 1)})) // but they meet in its round
		if len(votes) != 2 || votes[0].Vote.Leader != 2 || votes[0].Vote.Round != 5 {
			t.Errorf("%+v", votes)
		}
	})
	t.Run("an established leader must say so itself", func(t *testing.T) {
		s := fresh()
		s.step(Heard{1, vote(Following, 3, 7, 4, 2)})
		role(s, Looking)
		s.step(Heard{3, vote(Following, 3, 7, 4, 2)})
		role(s, Looking)
		dials := pick[Dial](s.step(Heard{3, vote(Leading, 3, 8, -1, 2)}))
		role(s, Following)
		if len(dials) != 1 || dials[0].SID != 3 || s.n.Status().Round != -1 {
			t.Errorf("%+v, round %d", dials, s.n.Status().Round)
		}
	})
	t.Run("a leader that names another has not said so", func(t *testing.T) {
		s := newSolo(t, 2, Disk{Zxid: z, AcceptedEpoch: 1, CurrentEpoch: 1}, members(t, 0, 1, 2, 3, 4, 5))
		s.step(Heard{5, vote(Leading, 1, 7, -1, 2)}) // it has put server 1 in its place
		s.step(Heard{1, vote(Following, 5, 7, 4, 2)}, Heard{3, vote(Following, 5, 7, 4, 2)}, Heard{4, vote(Following, 5, 7, 4, 2)})
		role(s, Looking)
		s.step(Heard{5, vote(Leading, 5, 7, 4, 2)})
		role(s, Following)
	})
	t.Run("established votes of different epochs are not one quorum", func(t *testing.T) {
		s := fresh()
		s.step(Heard{1, vote(Following, 3, 7, 4, 1)}, Heard{3, vote(Leading, 3, 8, 4, 2)})
		role(s, Looking)
	})
	t.Run("R6: who looks is told the leader", func(t *testing.T) {
		s := fresh()
		s.step(Heard{1, vote(Following, 3, 7, 4, 2)}, Heard{3, vote(Leading, 3, 7, 4, 2)})
		votes := pick[Notify](s.step(Heard{1, vote(Looking, 1, 7, 9, 2)}, Heard{3, vote(Leading, 3, 7, 4, 2)}))
		if len(votes) != 1 || votes[0].To != 1 || votes[0].Vote.Leader != 3 || votes[0].Vote.Round != 4 || votes[0].Vote.State != int32(Following) {
			t.Errorf("%+v", votes)
		}
	})
	t.Run("R3: a newer config begins anew", func(t *testing.T) {
		s := fresh()
		newer := members(t, 1<<32|3, 1, 2, 3, 4)
		v := vote(Looking, 1, 0, 1, 0)
		v.Config = newer.String()
		effects := s.step(Heard{1, v})
		if got := pick[Configure](effects); len(got) != 1 || got[0].Committed.Version != newer.Version {
			t.Errorf("%+v", got)
		}
		if votes := pick[Notify](effects); len(votes) != 3 || votes[0].Vote.Round != 2 {
			t.Errorf("%+v", votes)
		}
	})
	t.Run("R3: not without reconfig", func(t *testing.T) {
		o := Options{SID: 2, InitLimit: 10, SyncLimit: 5}
		n := New(o, State{Committed: c})
		v := vote(Looking, 1, 0, 1, 0)
		v.Config = members(t, 1<<32|3, 1, 2, 3, 4).String()
		n.Effects(nil)
		n.Step(0, Heard{1, v})
		if e := n.Effects(nil); len(e) != 1 || e[0].(Notify).To != 1 { // only the answer that its own vote is better
			t.Errorf("%+v", e)
		}
	})
	t.Run("a worse vote is answered once", func(t *testing.T) {
		s := fresh()
		worse := Heard{1, vote(Looking, 1, z, 1, 1)}
		votes := pick[Notify](s.step(worse))
		if len(votes) != 1 || votes[0].To != 1 || votes[0].Vote.Leader != 2 || votes[0].Vote.Round != 1 {
			t.Errorf("%+v", votes)
		}
		if votes := pick[Notify](s.step(worse)); len(votes) != 0 {
			t.Errorf("again: %+v", votes)
		}
	})
	t.Run("an untrusted database counts nothing and is not counted", func(t *testing.T) {
		s := newSolo(t, 2, Disk{Untrusted: true}, c)
		if v := pick[Notify](s.step())[0].Vote; v.Zxid != -1 {
			t.Errorf("%+v", v)
		}
		s.step(Heard{1, vote(Looking, 2, 0, 1, 0)}, Heard{3, vote(Looking, 2, 0, 1, 0)})
		s.wait(time.Second)
		role(s, Looking)
		s = fresh()
		s.step(Heard{1, vote(Looking, 2, -1, 1, 0)}, Heard{3, vote(Looking, 3, -1, 9, 9)})
		s.wait(time.Second)
		role(s, Looking)
	})
	t.Run("an observer votes for nobody", func(t *testing.T) {
		s := newSolo(t, 4, Disk{Zxid: z, AcceptedEpoch: 1, CurrentEpoch: 1}, c)
		votes := pick[Notify](s.step())
		if len(votes) != 3 || votes[0].Vote.Leader != noVote || votes[0].Vote.Zxid != noVote || votes[0].Vote.PeerEpoch != noVote {
			t.Errorf("%+v", votes)
		}
		s.step(Heard{1, vote(Following, 3, 7, 4, 2)}, Heard{3, vote(Leading, 3, 7, 4, 2)})
		role(s, Observing)
	})
	t.Run("a pending config needs its quorum too", func(t *testing.T) {
		o := Options{SID: 2, InitLimit: 10, SyncLimit: 5, Reconfig: true}
		n := New(o, State{Disk: Disk{Zxid: z, AcceptedEpoch: 1, CurrentEpoch: 1}, Committed: c, LastSeen: members(t, 1<<32|4, 2, 5, 6)})
		n.Step(0, Heard{1, vote(Looking, 2, z, 1, 1)})
		n.Step(time.Second, Tick{})
		if n.Role() != Looking {
			t.Error(n.Role())
		}
		n.Step(time.Second, Heard{5, vote(Looking, 2, z, 1, 1)})
		n.Step(2*time.Second, Tick{})
		if n.Role() != Leading {
			t.Error(n.Role())
		}
	})
	t.Run("a vote for this server that is not true any more", func(t *testing.T) {
		s := fresh()
		votes := pick[Notify](s.step(Heard{1, vote(Looking, 2, z+4, 1, 1)}))
		if len(votes) != 2 || votes[0].Vote.Round != 2 || votes[0].Vote.Zxid != z {
			t.Errorf("%+v", votes)
		}
	})
	t.Run("a vote for one that is gone is given up", func(t *testing.T) {
		o := Options{SID: 2, InitLimit: 10, SyncLimit: 5, MaxNotificationInterval: time.Second}
		s := &solo{t: t, n: New(o, State{Disk: Disk{Zxid: z, AcceptedEpoch: 1, CurrentEpoch: 1}, Committed: members(t, 0, 1, 2, 3, 4, 5, 6, 7)})}
		for range 10 {
			s.step(Heard{5, vote(Looking, 5, z+1, 1, 1)})
			if last := pick[Notify](s.wait(time.Second)); len(last) != 6 || last[0].Vote.Leader != 5 || last[0].Vote.Round != 1 {
				t.Errorf("it does not vote for one that repeats its vote: %+v", last)
			}
		}
		s.step(Heard{1, vote(Looking, 5, z+1, 1, 1)}) // another's word for it is not its own
		if last := pick[Notify](s.wait(2 * time.Second)); len(last) != 6 || last[0].Vote.Leader != 2 || last[0].Vote.Round != 2 {
			t.Errorf("%+v", last)
		}
	})
	t.Run("a reconfig in the history decides", func(t *testing.T) {
		s := newSolo(t, 2, Disk{Zxid: z, AcceptedEpoch: 1, CurrentEpoch: 1, Config: members(t, 1<<32|3, 2, 5)}, c)
		if votes := pick[Notify](s.step()); len(votes) != 3 || votes[2].To != 5 {
			t.Errorf("%+v", votes)
		}
		s.step(Heard{1, vote(Looking, 2, z, 1, 1)}, Heard{3, vote(Looking, 2, z, 1, 1)})
		s.wait(time.Second)
		role(s, Looking)
		s.step(Heard{5, vote(Looking, 2, z, 1, 1)})
		s.wait(time.Second)
		role(s, Leading)
	})
	t.Run("read-only", func(t *testing.T) {
		n := New(Options{SID: 2, InitLimit: 10, SyncLimit: 5, ReadOnly: true, Tick: time.Second}, State{Committed: c})
		n.Step(2*time.Second, Tick{})
		if got := pick[ServeReadOnly](n.Effects(nil)); len(got) != 1 {
			t.Fatal("it does not serve")
		}
		n.Step(2*time.Second, Heard{1, vote(Following, 3, 7, 4, 2)})
		n.Step(2*time.Second, Heard{3, vote(Leading, 3, 7, 4, 2)})
		if got := pick[StopServing](n.Effects(nil)); len(got) != 1 {
			t.Error("it goes on")
		}
	})
}

// TestStrangersAndTables is that votes of sids that nobody has neither push out those of voters nor lift the limit on answers.
func TestStrangersAndTables(t *testing.T) {
	s := newSolo(t, 1, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, members(t, 0, 1, 2, 3))
	s.step()
	sent := 0
	for i := range int64(300) {
		for range 2 {
			sent += len(pick[Notify](s.step(Heard{1000 + i, vote(Looking, 1000+i, 0, 1, 0)})))
		}
	}
	if sent != 100 {
		t.Errorf("%d answers", sent)
	}
	s.now += s.n.opts.MinNotificationInterval / 2
	if got := pick[Notify](s.step(Heard{5000, vote(Looking, 5000, 0, 1, 0)})); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	s.step(DiskFailed{"test"})
	for i := range int64(300) {
		s.step(Heard{1000 + i, vote(Looking, 1000+i, 0, 1, 0)})
	}
	s.step(Heard{2, vote(Following, 3, 0, 1, 1)}, Heard{3, vote(Leading, 3, 0, 1, 1)})
	s.step(Restored{Restore: s.n.restore, Disk: s.disk})
	if s.n.Role() != Following {
		t.Errorf("it is %v", s.n.Role())
	}
}

func TestValidate(t *testing.T) {
	good := Options{InitLimit: 1, SyncLimit: 1}
	for i, change := range []func(o *Options){
		func(o *Options) { o.InitLimit = 0 },
		func(o *Options) { o.Tick = time.Microsecond },
		func(o *Options) { o.FinalizeWait = -1 },
		func(o *Options) { o.MinNotificationInterval = -1 },
		func(o *Options) { o.MaxDiffs = -1 },
		func(o *Options) { o.LinkBytes = 1 },
	} {
		bad := good
		if change(&bad); bad.Validate() == nil || good.Validate() != nil {
			t.Errorf("change %d: %v", i, good.Validate())
		}
	}
}
