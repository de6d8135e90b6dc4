package zab

import (
	"slices"
	"testing"
	"time"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab/wire"
)

// follower is a solo node that follows 3, with a leader that the test plays.
type follower struct {
	*solo
	link LinkID
}

// follow elects 3 for a node of sid 1 and promises it the epoch.
func follow(t *testing.T, d Disk, epoch int64, c *ensemble.Config) *follower {
	t.Helper()
	s := newSolo(t, 1, d, c)
	f := &follower{s, 7}
	dials := pick[Dial](s.step(Heard{2, vote(Following, 3, 0, 1, 1)}, Heard{3, vote(Leading, 3, 0, 1, 1)}))
	if len(dials) != 1 {
		t.Fatalf("dials %+v", dials)
	}
	sent := sends(s.step(LinkUp{f.link, dials[0].Dial}))
	if len(sent) != 1 || sent[0].Packet.Type != wire.TypeFollowerInfo || sent[0].Packet.Zxid != zxidOf(d.AcceptedEpoch) {
		t.Fatalf("sent %+v", sent)
	}
	effects := f.leads(wire.TypeLeaderInfo, zxidOf(epoch), (&wire.LeaderInfo{ProtocolVersion: wire.ProtocolVersion}).Append(nil))
	if len(sends(effects)) != 0 {
		t.Fatalf("it answers before acceptedEpoch is durable: %+v", effects)
	}
	s.disk.AcceptedEpoch = epoch
	sent = sends(s.step(EpochPersisted{AcceptedEpoch, epoch}))
	if len(sent) != 1 || sent[0].Packet.Type != wire.TypeAckEpoch || sent[0].Packet.Zxid != d.Zxid {
		t.Fatalf("sent %+v", sent)
	}
	return f
}

// leads receives a packet of the leader.
func (f *follower) leads(kind wire.Type, zxid int64, data []byte) []Effect {
	if data == nil && (kind == wire.TypeProposal || kind == wire.TypeInform) {
		data = txn(zxid, "")
	}
	return f.step(Received{f.link, []wire.Packet{{Type: kind, Zxid: zxid, Data: data}}})
}

// acks are the zxids of the ACKs among effects.
func acks(effects []Effect) (zxids []int64) {
	for _, s := range sends(effects) {
		if s.Packet.Type == wire.TypeAck {
			zxids = append(zxids, s.Packet.Zxid)
		}
	}
	return zxids
}

// synchronized brings the follower to UPTODATE by an empty DIFF.
func (f *follower) synchronized(epoch int64, config *ensemble.Config) {
	f.t.Helper()
	f.leads(wire.TypeDiff, 0, nil)
	f.sealed(epoch, config)
	if got := acks(f.leads(wire.TypeUpToDate, -1, nil)); !slices.Equal(got, []int64{zxidOf(epoch)}) {
		f.t.Fatalf("acks %x", got)
	}
}

// sealed sends NEWLEADER and lets the disk be fast.
func (f *follower) sealed(epoch int64, config *ensemble.Config) {
	f.t.Helper()
	f.leads(wire.TypeNewLeader, zxidOf(epoch), []byte(config.String()))
	f.disk.CurrentEpoch = epoch
	if got := acks(f.step(EpochPersisted{CurrentEpoch, epoch})); !slices.Equal(got, []int64{zxidOf(epoch)}) {
		f.t.Fatalf("acks %x", got)
	}
}

// txn is a transaction as it is in a proposal.
func txn(zxid int64, body string) []byte {
	return append((&jute.TxnHeader{Zxid: zxid}).Append(nil), body...)
}

// reconfigTxn is a reconfig as it is in a proposal.
func reconfigTxn(c *ensemble.Config) []byte {
	header := jute.TxnHeader{Zxid: c.Version, Type: int32(jute.OpReconfig)}
	txn := jute.SetDataTxn{Path: configNode, Data: []byte(c.String()), Version: -1}
	return txn.Append(header.Append(nil))
}

func designate(sid int64) []byte { return (&wire.Activation{Leader: sid}).Append(nil) }

// TestFollowerOrder is I16: the history on the disk, then the epoch, then ACK; and proposals are acknowledged one by one when they are durable, but not
// before UPTODATE.
func TestFollowerOrder(t *testing.T) {
	c := members(t, z(1, 0), 1, 2, 3)
	f := follow(t, Disk{Zxid: z(1, 1), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
	f.leads(wire.TypeDiff, z(1, 2), nil)
	effects := f.step(
		Received{7, []wire.Packet{{Type: wire.TypeProposal, Zxid: z(1, 2), Data: txn(z(1, 2), "a")}}},
		Received{7, []wire.Packet{{Type: wire.TypeCommit, Zxid: z(1, 2)}}},
		Received{7, []wire.Packet{{Type: wire.TypeProposal, Zxid: z(2, 1), Data: txn(z(2, 1), "b")}}}, // a Java leader's outstanding proposal
		Received{7, []wire.Packet{{Type: wire.TypeNewLeader, Zxid: z(2, 0), Data: []byte(c.String())}}},
	)
	if a := pick[Append](effects); len(a) != 1 || len(a[0].Records) != 2 {
		t.Errorf("appended %+v", a)
	}
	if len(pick[PersistEpoch](effects)) != 0 || len(acks(effects)) != 0 {
		t.Errorf("before the log is synced: %+v", effects)
	}
	effects = f.step(Synced{z(2, 1)})
	if p := pick[PersistEpoch](effects); len(p) != 1 || p[0] != (PersistEpoch{CurrentEpoch, 2}) || len(acks(effects)) != 0 {
		t.Errorf("then the epoch: %+v", effects)
	}
	if got := acks(f.step(EpochPersisted{CurrentEpoch, 2})); !slices.Equal(got, []int64{z(2, 0)}) {
		t.Errorf("then ACK: %x", got)
	}
	if got := acks(f.leads(wire.TypeProposal, z(2, 2), nil)); got != nil {
		t.Errorf("ACK %x before UPTODATE", got)
	}
	if e := f.leads(wire.TypePing, z(2, 2), nil); len(e) != 0 {
		t.Errorf("PING is echoed before UPTODATE: %+v", e)
	}
	effects = f.leads(wire.TypeUpToDate, -1, nil)
	if got := acks(effects); !slices.Equal(got, []int64{z(2, 0), z(2, 1)}) || len(pick[Serve](effects)) != 1 {
		t.Errorf("UPTODATE: %+v", effects)
	}
	if got := acks(f.step(Synced{z(2, 2)})); !slices.Equal(got, []int64{z(2, 2)}) {
		t.Errorf("ACK %x", got)
	}
	effects = f.step(
		Received{7, []wire.Packet{{Type: wire.TypeCommit, Zxid: z(2, 1)}}},
		Received{7, []wire.Packet{{Type: wire.TypeCommit, Zxid: z(2, 2)}}})
	if a := pick[Apply](effects); len(a) != 1 || len(a[0].Records) != 2 {
		t.Errorf("applied %+v", a)
	}
	if e := pick[EchoPing](f.leads(wire.TypePing, z(2, 2), nil)); len(e) != 1 || e[0].Zxid != z(2, 2) {
		t.Errorf("PING: %+v", e)
	}
}

// TestFollowerRefuses is what ends a link: whatever a leader sends must not panic.
func TestFollowerRefuses(t *testing.T) {
	c := members(t, z(1, 0), 1, 2, 3)
	at := Disk{Zxid: z(1, 5), AcceptedEpoch: 1, CurrentEpoch: 1}
	type packet = wire.Packet
	for _, tt := range []struct {
		name    string
		packets []packet
	}{
		{"an op packet that is none", []packet{{Type: wire.TypeUpToDate}}},
		{"TRUNC beyond the log", []packet{{Type: wire.TypeTrunc, Zxid: z(1, 9)}}},
		{"TRUNC to a later epoch", []packet{{Type: wire.TypeTrunc, Zxid: z(9, 9)}}},
		{"TRUNC to nothing", []packet{{Type: wire.TypeTrunc, Zxid: -5}}},
		{"SNAP of a later epoch", []packet{{Type: wire.TypeSnap, Zxid: z(9, 9)}}},
		{"a gap", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeProposal, Zxid: z(1, 7)}}},
		{"a gap at an epoch's beginning", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeProposal, Zxid: z(2, 2)}}},
		{"a counter of zero", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeProposal, Zxid: z(2, 0)}}},
		{"a later epoch", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeProposal, Zxid: z(3, 1)}}},
		{"a commit of nothing", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeCommit, Zxid: z(1, 6)}}},
		{"a commit out of order", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeProposal, Zxid: z(1, 6)}, {Type: wire.TypeProposal, Zxid: z(1, 7)}, {Type: wire.TypeCommit, Zxid: z(1, 7)}}},
		{"COMMITANDACTIVATE without data", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeCommitAndActivate, Zxid: z(1, 6)}}},
		{"INFORMANDACTIVATE without data", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeInformAndActivate, Zxid: z(1, 6), Data: []byte{1}}}},
		{"NEWLEADER of another epoch", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeNewLeader, Zxid: z(3, 0)}}},
		{"UPTODATE too early", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeUpToDate, Zxid: -1}}},
		{"NEWLEADER twice", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeNewLeader, Zxid: z(2, 0)}, {Type: wire.TypeNewLeader, Zxid: z(2, 0)}}},
		{"a transaction of another zxid", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeProposal, Zxid: z(1, 6), Data: txn(z(1, 7), "x")}}},
		{"a transaction without a header", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeInform, Zxid: z(1, 6), Data: []byte{}}}},
		{"a reconfig to no config", []packet{{Type: wire.TypeDiff}, {Type: wire.TypeProposal, Zxid: z(1, 6), Data: reconfigTxn(members(t, z(1, 7), 1))}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := follow(t, at, 2, c)
			var effects []Effect
			for _, p := range tt.packets {
				effects = append(effects, f.leads(p.Type, p.Zxid, p.Data)...)
			}
			closed := pick[Close](effects)
			if len(closed) != 1 || !closed[0].Error || closed[0].Link != 7 || f.n.Role() != Looking {
				t.Errorf("role %v, %+v", f.n.Role(), effects)
			}
		})
	}
	t.Run("a lower epoch", func(t *testing.T) {
		s := newSolo(t, 1, Disk{Zxid: z(1, 5), AcceptedEpoch: 5, CurrentEpoch: 1}, c)
		d := pick[Dial](s.step(Heard{2, vote(Following, 3, 0, 1, 1)}, Heard{3, vote(Leading, 3, 0, 1, 1)}))[0].Dial
		effects := s.step(LinkUp{7, d}, Received{7, []wire.Packet{{Type: wire.TypeLeaderInfo, Zxid: z(4, 0)}}})
		if c := pick[Close](effects); len(c) != 1 || len(pick[PersistEpoch](effects)) != 0 {
			t.Errorf("%+v", effects)
		}
	})
	t.Run("the same epoch does not count again", func(t *testing.T) {
		s := newSolo(t, 1, Disk{Zxid: z(1, 5), AcceptedEpoch: 5, CurrentEpoch: 1}, c)
		d := pick[Dial](s.step(Heard{2, vote(Following, 3, 0, 1, 1)}, Heard{3, vote(Leading, 3, 0, 1, 1)}))[0].Dial
		effects := s.step(LinkUp{7, d}, Received{7, []wire.Packet{{Type: wire.TypeLeaderInfo, Zxid: z(5, 0)}}})
		var ack wire.AckEpoch
		sent := sends(effects)
		dec := jute.NewDecoder(sent[len(sent)-1].Packet.Data)
		if ack.Decode(&dec); ack.CurrentEpoch != -1 || len(pick[PersistEpoch](effects)) != 0 {
			t.Errorf("%+v", effects)
		}
	})
}

// TestInterruptedTrunc is ZOOKEEPER-5094: what was synchronized behind TRUNC and not sealed is not claimed.
func TestInterruptedTrunc(t *testing.T) {
	c := members(t, z(1, 0), 1, 2, 3)
	f := follow(t, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
	cut := pick[Truncate](f.leads(wire.TypeTrunc, z(1, 2), nil))
	if len(cut) != 1 || cut[0].Zxid != z(1, 2) {
		t.Fatalf("%+v", cut)
	}
	// A leader goes on at once; the disk takes its time.
	f.leads(wire.TypeProposal, z(2, 1), nil)
	f.leads(wire.TypeCommit, z(2, 1), nil)
	effects := f.step(Restored{Restore: cut[0].Restore, Disk: Disk{Zxid: z(1, 2), AcceptedEpoch: 2, CurrentEpoch: 1}})
	if a := pick[Append](effects); len(a) != 1 || a[0].Records[0].Zxid != z(2, 1) {
		t.Errorf("%+v", effects)
	}
	effects = f.step(LinkDown{7, "test"})
	reload := pick[Reload](effects)
	if len(reload) != 1 || len(pick[Notify](effects)) != 0 {
		t.Fatalf("%+v", effects)
	}
	if e := f.step(Synced{z(2, 1)}); len(e) != 0 {
		t.Errorf("of a log that is gone: %+v", e)
	}
	votes := pick[Notify](f.step(Restored{Restore: reload[0].Restore, Disk: Disk{Zxid: z(1, 2), AcceptedEpoch: 2, CurrentEpoch: 1}}))
	if len(votes) == 0 || votes[0].Vote.Zxid != z(1, 2) || votes[0].Vote.PeerEpoch != 1 {
		t.Errorf("%+v", votes)
	}
}

// TestInterruptedSnap is that a server knows the config of a snapshot although NEWLEADER never came, and that of its log although a later one is forgotten.
func TestInterruptedSnap(t *testing.T) {
	c, next := members(t, z(1, 0), 1, 2, 3), members(t, z(2, 4), 2, 3, 4)
	f := follow(t, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
	snap := pick[InstallSnapshot](f.leads(wire.TypeSnap, z(2, 5), nil))
	disk := Disk{Zxid: z(2, 5), AcceptedEpoch: 2, CurrentEpoch: 1, Config: next}
	f.step(Restored{Restore: snap[0].Restore, Disk: disk})
	f.leads(wire.TypeProposal, z(2, 6), reconfigTxn(members(t, z(2, 6), 3, 4)))
	if _, seen := f.n.Configs(); seen.Version != z(2, 6) {
		t.Errorf("seen %x", seen.Version)
	}
	reload := pick[Reload](f.step(LinkDown{7, "test"}))
	votes := pick[Notify](f.step(Restored{Restore: reload[0].Restore, Disk: disk}))
	if _, seen := f.n.Configs(); seen != next || len(votes) != 3 {
		t.Errorf("seen %x, %+v", seen.Version, votes)
	}
}

// TestNewLeaderConfig is that NEWLEADER's config is seen with the history that it belongs to, unless a later one was proposed; one that is none is left out.
func TestNewLeaderConfig(t *testing.T) {
	c := members(t, z(1, 0), 1, 2, 3)
	next, last := members(t, z(1, 9), 1, 2, 3, -4), members(t, z(2, 1), 1, 2, 3, -5)
	for _, later := range []bool{false, true} {
		f := follow(t, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
		f.leads(wire.TypeDiff, z(1, 4), nil)
		f.leads(wire.TypeProposal, z(1, 4), nil)
		if e := pick[Configure](f.leads(wire.TypeNewLeader, z(2, 0), []byte(next.String()))); len(e) != 0 {
			t.Errorf("%+v", e)
		}
		want := next.Version
		if later {
			want = last.Version
			f.leads(wire.TypeProposal, last.Version, reconfigTxn(last))
		}
		effects := f.step(Synced{z(1, 4)})
		if _, seen := f.n.Configs(); seen.Version != want {
			t.Errorf("%x was seen, not %x", seen.Version, want)
		}
		if _, first := effects[0].(Configure); first == later {
			t.Errorf("%+v", effects)
		}
	}
	for _, data := range []string{"", "s", "server.x"} {
		f := follow(t, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
		f.leads(wire.TypeDiff, z(1, 3), nil)
		f.leads(wire.TypeNewLeader, z(2, 0), []byte(data))
		if got := acks(f.step(EpochPersisted{CurrentEpoch, 2})); !slices.Equal(got, []int64{z(2, 0)}) {
			t.Errorf("%q: acks %x", data, got)
		}
		f.leads(wire.TypeUpToDate, -1, nil)
		if in, seen := f.n.Configs(); in != c || seen != c || !f.n.serving {
			t.Errorf("%q: %x is in force, %x was seen", data, in.Version, seen.Version)
		}
	}
}

// TestAcknowledgedIsKept is that a leader cannot take back what was acknowledged to it, since a Java leader still counts that; the next one can.
func TestAcknowledgedIsKept(t *testing.T) {
	c := members(t, z(1, 0), 1, 2, 3)
	for _, kind := range []wire.Type{wire.TypeTrunc, wire.TypeSnap} {
		for epoch := int64(2); epoch <= 3; epoch++ {
			f := follow(t, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
			f.synchronized(2, c)
			f.leads(wire.TypeProposal, z(2, 1), nil)
			if got := acks(f.step(Synced{z(2, 1)})); !slices.Equal(got, []int64{z(2, 1)}) {
				t.Fatalf("acks %x", got)
			}
			f.wait(time.Second) // the leader is silent
			f.link++
			d := pick[Dial](f.step(Heard{2, vote(Following, 3, 0, 1, epoch)}, Heard{3, vote(Leading, 3, 0, 1, epoch)}))
			f.step(LinkUp{f.link, d[0].Dial})
			f.leads(wire.TypeLeaderInfo, zxidOf(epoch), nil)
			if epoch == 3 {
				f.step(EpochPersisted{AcceptedEpoch, epoch})
			}
			effects := f.leads(kind, z(1, 3), nil)
			if kept := len(pick[Truncate](effects))+len(pick[InstallSnapshot](effects)) == 0; kept != (epoch == 2) || kept != (len(pick[Close](effects)) == 1) {
				t.Errorf("%v in epoch %d: %+v", kind, epoch, effects)
			}
		}
	}
}

// TestTruncWithoutTheRecord is a leader that takes the log for another one: with the shorter log it is asked again.
func TestTruncWithoutTheRecord(t *testing.T) {
	c := members(t, z(1, 0), 1, 2, 3)
	f := follow(t, Disk{Zxid: z(2, 3), AcceptedEpoch: 2, CurrentEpoch: 2}, 3, c)
	cut := pick[Truncate](f.leads(wire.TypeTrunc, z(1, 5), nil))
	effects := f.step(Restored{Restore: cut[0].Restore, Disk: Disk{Zxid: z(1, 4), AcceptedEpoch: 3, CurrentEpoch: 2}})
	if len(pick[Close](effects)) != 1 || len(pick[Reload](effects)) != 1 {
		t.Errorf("%+v", effects)
	}
}

// TestActivationInSync is 9.2.2: COMMITANDACTIVATE between NEWLEADER and UPTODATE, with another proposal before it.
func TestActivationInSync(t *testing.T) {
	c := members(t, z(1, 0), 1, 2, 3)
	f := follow(t, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
	next := members(t, z(2, 2), 1, 2, 3, -4)
	f.leads(wire.TypeDiff, z(1, 3), nil)
	f.leads(wire.TypeProposal, z(2, 1), nil)
	f.leads(wire.TypeProposal, z(2, 2), reconfigTxn(next))
	f.leads(wire.TypeNewLeader, z(2, 0), []byte(next.String()))
	f.leads(wire.TypeCommit, z(2, 1), nil)
	f.leads(wire.TypeCommitAndActivate, z(2, 2), designate(3))
	if in, _ := f.n.Configs(); in.Version != next.Version {
		t.Errorf("config %x is in force", in.Version)
	}
}

// TestProposedConfig is 9.2.3: a config that NEWLEADER brings and nobody committed is not put in force at UPTODATE, but by its commit.
func TestProposedConfig(t *testing.T) {
	c := members(t, z(1, 0), 1, 2, 3)
	next := members(t, z(2, 1), 1, 2, 3, -4)
	for _, early := range []bool{false, true} { // the proposal comes before NEWLEADER or behind UPTODATE
		f := follow(t, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
		f.leads(wire.TypeDiff, z(1, 3), nil)
		if early {
			f.leads(wire.TypeProposal, z(2, 1), reconfigTxn(next))
			f.step(Synced{z(2, 1)})
		}
		f.sealed(2, next)
		f.leads(wire.TypeUpToDate, -1, nil)
		if in, seen := f.n.Configs(); in.Version != c.Version || early && seen.Version != next.Version || !early && seen.Version != c.Version {
			t.Errorf("early %v: %x is in force, %x was seen", early, in.Version, seen.Version)
		}
		if !early {
			f.leads(wire.TypeProposal, z(2, 1), reconfigTxn(next))
		}
		f.leads(wire.TypeCommitAndActivate, z(2, 1), designate(3))
		if in, _ := f.n.Configs(); in.Version != next.Version || f.n.Role() != Following {
			t.Errorf("early %v: %x is in force, %v", early, in.Version, f.n.Role())
		}
	}
	// One of an epoch before is completed by the new leader.
	f := follow(t, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
	f.synchronized(2, members(t, z(1, 9), 1, 2, 3, -4))
	if in, _ := f.n.Configs(); in.Version != z(1, 9) {
		t.Errorf("%x is in force", in.Version)
	}
}

// TestDesignated is 6.3: a commit that names another leader is followed without an election, and one that names this server makes it lead.
func TestDesignated(t *testing.T) {
	c := members(t, z(1, 0), 1, 2, 3)
	next := members(t, z(2, 1), 1, 2)
	for _, leader := range []int64{1, 2} {
		f := follow(t, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
		f.synchronized(2, c)
		f.leads(wire.TypeProposal, z(2, 1), reconfigTxn(next))
		effects := f.leads(wire.TypeCommitAndActivate, z(2, 1), designate(leader))
		if len(pick[Close](effects)) != 1 || len(pick[StopServing](effects)) != 1 || len(pick[Notify](effects)) != 0 {
			t.Errorf("leader %d: %+v", leader, effects)
		}
		if f.n.Role() != Looking {
			t.Errorf("it is %v before its log is synced", f.n.Role())
		}
		effects = f.step(Synced{z(2, 1)})
		f.now += 200 * time.Millisecond
		effects = append(effects, f.step(Tick{})...)
		switch {
		case leader == 1 && (f.n.Role() != Leading || len(pick[Listen](effects)) != 1),
			leader == 2 && (f.n.Role() != Following || len(pick[Dial](effects)) != 1):
			t.Errorf("leader %d: %v, %+v", leader, f.n.Role(), effects)
		}
	}
}

// TestObserver gets INFORM and acknowledges nothing but the epoch.
func TestObserver(t *testing.T) {
	c := members(t, z(1, 0), 2, 3, -1)
	s := newSolo(t, 1, Disk{Zxid: z(1, 3), AcceptedEpoch: 2, CurrentEpoch: 2}, c)
	f := &follower{s, 7}
	d := pick[Dial](s.step(Heard{2, vote(Following, 3, 0, 1, 1)}, Heard{3, vote(Leading, 3, 0, 1, 1)}))[0].Dial
	if sent := sends(s.step(LinkUp{7, d})); sent[0].Packet.Type != wire.TypeObserverInfo {
		t.Errorf("%+v", sent)
	}
	f.leads(wire.TypeLeaderInfo, z(2, 0), nil)
	f.synchronized(2, c)
	effects := f.leads(wire.TypeInform, z(2, 1), nil)
	if len(pick[Append](effects)) != 1 || len(pick[Apply](effects)) != 1 {
		t.Errorf("%+v", effects)
	}
	if got := acks(f.step(Synced{z(2, 1)})); got != nil {
		t.Errorf("acks %x", got)
	}
	next := members(t, z(2, 2), 2, 3, 1)
	f.leads(wire.TypeInformAndActivate, z(2, 2), (&wire.Activation{Leader: 3, Txn: reconfigTxn(next)}).Append(nil))
	f.step(Synced{z(2, 2)})
	if f.n.Role() != Following {
		t.Errorf("it is %v", f.n.Role())
	}
}

// TestReconnectPause: an observer that has lost its leader dials the next one after the pause, however long, and the first one at once.
func TestReconnectPause(t *testing.T) {
	c := members(t, z(1, 0), 2, 3, -1)
	s := newSolo(t, 1, Disk{Zxid: z(1, 3), AcceptedEpoch: 2, CurrentEpoch: 2}, c)
	const pause = time.Minute // much longer than a role may take without a leader
	s.n.opts.ReconnectPause = func() time.Duration { return pause }
	d := pick[Dial](s.step(Heard{2, vote(Following, 3, 0, 1, 1)}, Heard{3, vote(Leading, 3, 0, 1, 1)}))[0].Dial
	s.step(LinkUp{7, d})
	s.step(LinkDown{Link: 7, Reason: "it is gone"})
	if dials := pick[Dial](s.step(Heard{2, vote(Following, 3, 0, 1, 1)}, Heard{3, vote(Leading, 3, 0, 1, 1)})); len(dials) > 0 || s.n.Role() != Observing {
		t.Errorf("%+v as %v", dials, s.n.Role())
	}
	if dials := pick[Dial](s.wait(pause - 1)); len(dials) > 0 || s.n.Role() != Observing {
		t.Errorf("%+v as %v", dials, s.n.Role())
	}
	if dials := pick[Dial](s.wait(1)); len(dials) != 1 {
		t.Errorf("%+v", dials)
	}
}

// TestLeaderCannotBeReached: a leader that does not listen yet is dialled again, one that is gone is not, and none for longer than ConnectTime.
func TestLeaderCannotBeReached(t *testing.T) {
	for _, c := range []struct {
		name    string
		gone    bool
		dials   int
		connect time.Duration
	}{{"it does not listen", false, 5, 0}, {"it is gone", true, 1, 0}, {"time is up", false, 2, 150 * time.Millisecond}} {
		t.Run(c.name, func(t *testing.T) {
			s := newSolo(t, 1, Disk{}, members(t, z(1, 0), 1, 2, 3))
			if c.connect > 0 {
				s.n.opts.ConnectTime = c.connect
			}
			effects := s.step(Heard{2, vote(Following, 3, 0, 1, 1)}, Heard{3, vote(Leading, 3, 0, 1, 1)})
			dials := 0
			for s.n.Role() == Following {
				for _, d := range pick[Dial](effects) {
					dials++
					effects = s.step(DialFailed{Dial: d.Dial, Reason: "refused", Gone: c.gone})
				}
				if s.n.Role() == Following {
					effects = s.wait(s.n.Deadline() - s.now)
				}
			}
			if dials != c.dials || s.n.Role() != Looking {
				t.Errorf("it dials %d times, not %d, and is %v", dials, c.dials, s.n.Role())
			}
		})
	}
}

// TestDiskFails is that nothing said before a failure is believed, and nothing is sent before the disk was read anew.
func TestDiskFails(t *testing.T) {
	c := members(t, z(1, 0), 1, 2, 3)
	f := follow(t, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
	f.synchronized(2, c)
	f.leads(wire.TypeProposal, z(2, 1), nil)
	effects := f.step(DiskFailed{"test"})
	reload := pick[Reload](effects)
	if len(acks(effects)) != 0 || len(reload) != 1 || len(pick[StopServing](effects)) != 1 {
		t.Fatalf("%+v", effects)
	}
	if _, again := effects[len(effects)-1].(Configure); !again {
		t.Errorf("%+v", effects)
	}
	if e := f.wait(time.Second); len(e) != 0 {
		t.Errorf("%+v", e)
	}
	votes := pick[Notify](f.step(Restored{Restore: reload[0].Restore, Disk: Disk{Zxid: z(1, 3), AcceptedEpoch: 2, CurrentEpoch: 2}}))
	if len(votes) == 0 || votes[0].Vote.Zxid != z(1, 3) {
		t.Errorf("%+v", votes)
	}
}

// TestLargeRequest is that a request may be larger than what may wait for the link.
func TestLargeRequest(t *testing.T) {
	c := members(t, z(1, 0), 1, 2, 3)
	f := follow(t, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
	f.synchronized(2, c)
	f.step(Forward{wire.Packet{Type: wire.TypeRequest, Data: make([]byte, f.n.opts.LinkBytes+1)}})
	if f.step(Tick{}); f.n.Role() != Following || !f.n.Full() {
		t.Errorf("it is %v", f.n.Role())
	}
}

// TestOldLink is that packets of a link that is gone are not taken, and that a second connection is not kept.
func TestOldLink(t *testing.T) {
	c := members(t, z(1, 0), 1, 2, 3)
	f := follow(t, Disk{Zxid: z(1, 3), AcceptedEpoch: 1, CurrentEpoch: 1}, 2, c)
	f.link = 6
	if e := f.leads(wire.TypeTrunc, z(1, 2), nil); len(e) != 0 {
		t.Errorf("%+v", e)
	}
	if c := pick[Close](f.step(LinkUp{8, 77})); len(c) != 1 || c[0].Link != 8 {
		t.Errorf("%+v", c)
	}
}
