package zab

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quoll/ensemble"
	"quoll/zab/wire"
)

// lead makes a solo node the elected leader of c, which must let 3 vote; its epoch is not chosen yet.
func lead(t *testing.T, o Options, d Disk, c *ensemble.Config) *solo {
	t.Helper()
	o.SID, o.Tick, o.InitLimit, o.SyncLimit, o.Reconfig = 3, 100*time.Millisecond, 10, 5, true
	s := &solo{t: t, n: New(o, State{Disk: d, Committed: c}), disk: d}
	for _, sid := range c.Voters() {
		if sid != 3 {
			s.step(Heard{sid, vote(Looking, 3, d.Zxid, 1, d.CurrentEpoch)})
		}
	}
	s.wait(200 * time.Millisecond)
	if s.n.Role() != Leading {
		t.Fatalf("it is %v", s.n.Role())
	}
	return s
}

// from is a packet of a learner.
func from(link LinkID, kind wire.Type, zxid int64, data []byte) Event {
	return Received{link, []wire.Packet{{Type: kind, Zxid: zxid, Data: data}}}
}

func infoOf(sid, config int64) []byte {
	return (&wire.LearnerInfo{SID: sid, ProtocolVersion: wire.ProtocolVersion, ConfigVersion: config}).Append(nil)
}

func ackEpochOf(current int32) []byte { return (&wire.AckEpoch{CurrentEpoch: current}).Append(nil) }

// joins connects a learner and brings it to ACKEPOCH.
func (s *solo) joins(link LinkID, sid int64, epoch, zxid int64) []Effect {
	effects := s.step(LinkUp{Link: link}, from(link, wire.TypeFollowerInfo, zxidOf(epoch-1), infoOf(sid, 0)))
	for _, p := range pick[PersistEpoch](effects) {
		effects = append(effects, s.step(EpochPersisted(p))...)
	}
	effects = append(effects, s.step(from(link, wire.TypeAckEpoch, zxid, ackEpochOf(int32(epoch-1))))...)
	for _, p := range pick[PersistEpoch](effects) {
		if p.File == CurrentEpoch {
			effects = append(effects, s.step(EpochPersisted(p))...)
		}
	}
	return effects
}

// sent is one packet of a Send.
type sent struct {
	Link   LinkID
	Packet wire.Packet
}

// sends are the packets that were sent.
func sends(effects []Effect) (list []sent) {
	for _, e := range pick[Send](effects) {
		for _, p := range e.Packets {
			list = append(list, sent{e.Link, p})
		}
	}
	return list
}

// kinds are the types of the packets sent on a link.
func kinds(effects []Effect, link LinkID) (types []wire.Type) {
	for _, e := range sends(effects) {
		if e.Link == link {
			types = append(types, e.Packet.Type)
		}
	}
	return types
}

// established is a leader of epoch 2 with 1 as its follower on link 1.
func established(t *testing.T, o Options) *solo {
	t.Helper()
	s := lead(t, o, Disk{Zxid: z(1, 4), AcceptedEpoch: 1, CurrentEpoch: 1}, members(t, 0, 1, 2, 3))
	s.joins(1, 1, 2, z(1, 4))
	if got := kinds(s.step(from(1, wire.TypeAck, z(2, 0), nil)), 1); !slices.Equal(got, []wire.Type{wire.TypeUpToDate}) {
		t.Fatalf("sent %v", got)
	}
	return s
}

func (s *solo) propose(t *testing.T) (int64, []Effect) {
	t.Helper()
	zxid, ok := s.n.NextZxid()
	if !ok {
		t.Fatal("nothing can be proposed")
	}
	return zxid, s.step(Propose{Record{Zxid: zxid, Data: []byte("data")}})
}

// TestSendsStay: what Effects returned stays as it is whatever is stepped, until it is called again; then the memory serves once more.
func TestSendsStay(t *testing.T) {
	s := established(t, Options{})
	propose := func(data string) {
		zxid, ok := s.n.NextZxid()
		if !ok {
			t.Fatal("nothing can be proposed")
		}
		s.n.Step(s.now, Propose{Record{Zxid: zxid, Data: []byte(data)}})
	}
	only := func(effects []Effect) Send {
		t.Helper()
		sent := pick[Send](effects)
		if len(sent) != 1 || sent[0].Link != 1 || len(sent[0].Packets) != 2 || sent[0].Packets[0].Type != wire.TypeProposal {
			t.Fatalf("%+v", effects)
		}
		return sent[0]
	}
	propose("a")
	propose("b")
	first := only(s.n.Effects(nil))
	propose("c")
	propose("d")
	s.n.Step(s.now, Tick{}) // so that they are sent
	if got := first.Packets; string(got[0].Data) != "a" || string(got[1].Data) != "b" {
		t.Errorf("what was sent has become %q and %q", got[0].Data, got[1].Data)
	}
	second := only(s.n.Effects(nil))
	if &second.Packets[0] == &first.Packets[0] {
		t.Error("two that follow each other have the same memory")
	}
	propose("e")
	propose("f")
	if third := only(s.n.Effects(nil)); &third.Packets[0] != &first.Packets[0] || string(third.Packets[0].Data) != "e" {
		t.Errorf("the memory of the first does not serve again, or %q was sent", third.Packets[0].Data)
	}
}

// TestLeaderOrder is discovery: each step is durable before it is told.
func TestLeaderOrder(t *testing.T) {
	s := lead(t, Options{}, Disk{Zxid: z(1, 4), AcceptedEpoch: 4, CurrentEpoch: 1}, members(t, 0, 1, 2, 3))
	effects := s.step(LinkUp{Link: 1}, from(1, wire.TypeFollowerInfo, z(6, 0), infoOf(1, 0)))
	if p := pick[PersistEpoch](effects); len(p) != 1 || p[0] != (PersistEpoch{AcceptedEpoch, 7}) || len(sends(effects)) != 0 {
		t.Fatalf("%+v", effects)
	}
	effects = s.step(EpochPersisted{AcceptedEpoch, 7})
	if got := kinds(effects, 1); !slices.Equal(got, []wire.Type{wire.TypeLeaderInfo}) {
		t.Fatalf("%+v", effects)
	}
	effects = s.step(from(1, wire.TypeAckEpoch, z(1, 2), ackEpochOf(1)))
	if p := pick[PersistEpoch](effects); len(p) != 1 || p[0] != (PersistEpoch{CurrentEpoch, 7}) || len(sends(effects)) != 0 {
		t.Fatalf("%+v", effects)
	}
	effects = s.step(EpochPersisted{CurrentEpoch, 7})
	if r := pick[ReadLog](effects); len(r) != 1 || r[0].From != z(1, 2) {
		t.Fatalf("%+v", effects)
	}
	effects = s.step(LogRead{Link: 1, Records: []Record{{Zxid: z(1, 2)}, {Zxid: z(1, 3)}}})
	if r := pick[ReadLog](effects); len(r) != 1 || r[0].From != z(1, 3) || len(kinds(effects, 1)) != 3 {
		t.Fatalf("%+v", effects)
	}
	effects = s.step(LogRead{Link: 1, Records: []Record{{Zxid: z(1, 3)}, {Zxid: z(1, 4)}}})
	if got := kinds(effects, 1); !slices.Equal(got, []wire.Type{wire.TypeProposal, wire.TypeCommit, wire.TypeNewLeader}) {
		t.Errorf("%v", got)
	}
	if e := pick[Serve](s.step(from(1, wire.TypeAck, z(7, 0), nil))); len(e) != 1 || e[0] != (Serve{Leading, 3, 7}) {
		t.Errorf("%+v", e)
	}
}

func TestLeaderCommits(t *testing.T) {
	s := established(t, Options{})
	zxid, effects := s.propose(t)
	if zxid != z(2, 1) || len(pick[Append](effects)) != 1 || !slices.Equal(kinds(effects, 1), []wire.Type{wire.TypeProposal}) {
		t.Errorf("%#x, %+v", zxid, effects)
	}
	if e := s.step(from(1, wire.TypeAck, zxid, nil)); len(e) != 0 {
		t.Errorf("committed before its own log is synced: %+v", e)
	}
	effects = s.step(Synced{zxid})
	if a := pick[Apply](effects); len(a) != 1 || !slices.Equal(kinds(effects, 1), []wire.Type{wire.TypeCommit}) {
		t.Errorf("%+v", effects)
	}
	zxid, _ = s.propose(t)
	if e := pick[Apply](s.step(Synced{zxid})); len(e) != 0 {
		t.Errorf("committed without a quorum: %+v", e)
	}
	// An observer and a stranger do not count.
	s.joins(8, 8, 2, z(1, 4))
	s.step(from(8, wire.TypeAck, z(2, 0), nil))
	if e := pick[Apply](s.step(from(8, wire.TypeAck, zxid, nil))); len(e) != 0 {
		t.Errorf("a stranger counts: %+v", e)
	}
	if e := pick[Apply](s.step(LinkDown{1, "test"}, from(1, wire.TypeAck, zxid, nil))); len(e) != 0 {
		t.Errorf("a link that is gone counts: %+v", e)
	}
}

// TestReturningFollower is row 3: proposals that a follower has are kept, and count when NEWLEADER is acknowledged; nothing of them is shown before.
func TestReturningFollower(t *testing.T) {
	s := established(t, Options{})
	zxid, _ := s.propose(t)
	s.step(LinkDown{1, "test"})
	effects := s.step(LinkUp{Link: 5}, from(5, wire.TypeFollowerInfo, z(2, 0), infoOf(1, 0)), from(5, wire.TypeAckEpoch, zxid, ackEpochOf(-1)))
	if got := kinds(effects, 5); !slices.Equal(got, []wire.Type{wire.TypeLeaderInfo, wire.TypeDiff, wire.TypeNewLeader}) {
		t.Errorf("sent %v", got)
	}
	if got := kinds(s.step(from(5, wire.TypeAck, z(2, 0), nil)), 5); got != nil {
		t.Errorf("sent %v", got)
	}
	effects = s.step(Synced{zxid})
	if got := kinds(effects, 5); !slices.Equal(got, []wire.Type{wire.TypeUpToDate}) || len(pick[Apply](effects)) != 1 {
		t.Errorf("%+v", effects)
	}
}

// TestInterruptedTruncGetsSnap is a Java follower of ZOOKEEPER-5094: what it says that it has, behind a TRUNC that broke off, may have a hole.
func TestInterruptedTruncGetsSnap(t *testing.T) {
	s := established(t, Options{})
	first := func(link LinkID, last int64, current int32) wire.Type {
		t.Helper()
		got := kinds(s.step(LinkUp{Link: link}, from(link, wire.TypeFollowerInfo, z(1, 0), infoOf(2, 0)), from(link, wire.TypeAckEpoch, last, ackEpochOf(current)), Tick{}), link)
		if len(got) > 1 {
			return got[1]
		}
		// SNAP is no packet of the node
		return wire.TypeSnap
	}
	if got := first(5, z(1, 7), 1); got != wire.TypeTrunc {
		t.Errorf("%v", got)
	}
	if got := first(6, z(1, 4), -1); got != wire.TypeSnap {
		t.Errorf("%v behind a TRUNC that broke off", got)
	}
	s.step(Sent{Link: 6, Snapshot: true}, from(6, wire.TypeAck, z(2, 0), nil))
	if got := first(7, z(1, 4), -1); got != wire.TypeDiff {
		t.Errorf("%v", got)
	}
	if got := first(8, z(1, 4), 0); got != wire.TypeSnap {
		t.Errorf("%v for a history that is not sealed", got)
	}
}

// TestEarlyAcks is a follower of 3.8, which may acknowledge what it is synchronized with before NEWLEADER: that neither ends the link nor counts.
func TestEarlyAcks(t *testing.T) {
	s := lead(t, Options{}, Disk{Zxid: z(1, 4), AcceptedEpoch: 1, CurrentEpoch: 1, Recent: []Record{{Zxid: z(1, 3)}, {Zxid: z(1, 4)}}}, members(t, 0, 1, 2, 3))
	s.joins(1, 1, 2, z(1, 3))
	if e := s.step(from(1, wire.TypeAck, z(1, 4), nil)); len(e) != 0 {
		t.Errorf("%+v", e)
	}
	if got := kinds(s.step(from(1, wire.TypeAck, z(2, 0), nil)), 1); !slices.Equal(got, []wire.Type{wire.TypeUpToDate}) {
		t.Errorf("sent %v", got)
	}
}

// TestObserverHasNothing is that what an observer acknowledges does not count for a config that is about to let it vote: a Java observer acknowledges NEWLEADER and
// has logged nothing.
func TestObserverHasNothing(t *testing.T) {
	c := members(t, 0, 1, 2, 3, -4)
	s := lead(t, Options{}, Disk{Zxid: z(1, 4), AcceptedEpoch: 1, CurrentEpoch: 1}, c)
	s.joins(1, 1, 2, z(1, 4))
	s.step(from(1, wire.TypeAck, z(2, 0), nil))
	s.joins(2, 2, 2, z(1, 4))
	s.step(from(2, wire.TypeAck, z(2, 0), nil))
	next := members(t, z(2, 1), 1, 2, 3, 4)
	s.step(Propose{Record{Zxid: z(2, 1), Data: reconfigTxn(next), Config: next}}, Synced{z(2, 1)})
	// It comes with all that it can have, and is synchronized before the reconfig is committed.
	s.step(LinkUp{Link: 4}, from(4, wire.TypeObserverInfo, z(2, 0), infoOf(4, 0)), from(4, wire.TypeAckEpoch, z(2, 1), ackEpochOf(-1)))
	s.step(LinkDown{2, "test"}) // or the other would wait for the commit
	s.step(Tick{}, from(4, wire.TypeAck, z(2, 0), nil), from(4, wire.TypeAck, z(2, 1), nil))
	if e := pick[Apply](s.step(from(1, wire.TypeAck, z(2, 1), nil))); len(e) != 0 || s.n.Role() != Leading {
		t.Errorf("committed: %+v", e)
	}
	if p := s.n.leader.find(4); p == nil || p.phase != peerAcked || p.acked != 0 {
		t.Errorf("%+v", p)
	}
}

// TestJoin is rule J with the SAFE part: strangers do not choose the epoch.
func TestJoin(t *testing.T) {
	s := lead(t, Options{}, Disk{AcceptedEpoch: 1, CurrentEpoch: 1}, members(t, 0, 1, 2, 3))
	if e := s.step(LinkUp{Link: 9}, from(9, wire.TypeObserverInfo, z(maxEpoch-1, 0), infoOf(9, 0))); len(e) != 0 {
		t.Errorf("%+v", e)
	}
	effects := s.step(LinkUp{Link: 1}, from(1, wire.TypeFollowerInfo, z(4, 0), infoOf(1, 0)))
	if p := pick[PersistEpoch](effects); len(p) != 1 || p[0].Epoch != 5 {
		t.Errorf("%+v", effects)
	}
}

func TestLeaderRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		events []Event
	}{
		{"another first packet", []Event{from(7, wire.TypeAck, 0, nil)}},
		{"no LearnerInfo", []Event{from(7, wire.TypeFollowerInfo, 0, nil)}},
		{"LearnerInfo before 3.4", []Event{from(7, wire.TypeFollowerInfo, 0, make([]byte, 8))}},
		{"its own sid", []Event{from(7, wire.TypeFollowerInfo, 0, infoOf(3, 0))}},
		{"a newer config", []Event{from(7, wire.TypeFollowerInfo, 0, infoOf(2, z(9, 9)))}},
		{"a negative epoch", []Event{from(7, wire.TypeFollowerInfo, -1, infoOf(2, 0))}},
		{"no ACKEPOCH", []Event{from(7, wire.TypeFollowerInfo, 0, infoOf(2, 0)), from(7, wire.TypeAck, 0, nil)}},
		{"ACKEPOCH without epoch", []Event{from(7, wire.TypeFollowerInfo, 0, infoOf(2, 0)), from(7, wire.TypeAckEpoch, 0, nil)}},
		{"another ACK than NEWLEADER's", []Event{from(7, wire.TypeFollowerInfo, 0, infoOf(2, 0)), from(7, wire.TypeAckEpoch, z(1, 4), ackEpochOf(1)), from(7, wire.TypeAck, z(1, 5), nil)}},
		{"ACK of what was not sent", []Event{from(7, wire.TypeFollowerInfo, 0, infoOf(2, 0)), from(7, wire.TypeAckEpoch, z(1, 4), ackEpochOf(1)), from(7, wire.TypeAck, z(2, 0), nil), from(7, wire.TypeAck, z(2, 9), nil)}},
	} {
		s := established(t, Options{})
		effects := s.step(append([]Event{LinkUp{Link: 7}}, tt.events...)...)
		if c := pick[Close](effects); len(c) != 1 || c[0].Link != 7 || !c[0].Error || s.n.Role() != Leading {
			t.Errorf("%s: %+v", tt.name, effects)
		}
	}
}

// TestFollowerAhead is rule A.
func TestFollowerAhead(t *testing.T) {
	for _, tt := range []struct {
		current int32
		zxid    int64
		ahead   bool
	}{{1, z(1, 4), false}, {1, z(1, 5), true}, {2, z(1, 1), true}, {0, z(1, 9), false}, {-1, z(1, 9), false}} {
		s := lead(t, Options{}, Disk{Zxid: z(1, 4), AcceptedEpoch: 1, CurrentEpoch: 1}, members(t, 0, 1, 2, 3))
		s.step(LinkUp{Link: 1}, from(1, wire.TypeFollowerInfo, z(1, 0), infoOf(1, 0)), EpochPersisted{AcceptedEpoch, 2})
		if got := len(pick[Close](s.step(from(1, wire.TypeAckEpoch, tt.zxid, ackEpochOf(tt.current))))) == 1; got != tt.ahead {
			t.Errorf("%d, %#x: %v", tt.current, tt.zxid, got)
		}
	}
}

// TestSyncAsksAQuorum is that a sync is answered when a quorum has echoed a PING that was sent later (9.2).
func TestSyncAsksAQuorum(t *testing.T) {
	s := established(t, Options{})
	s.wait(50 * time.Millisecond) // a PING is out
	effects := s.step(Sync{Tag: 5})
	if len(effects) != 0 {
		t.Fatalf("%+v", effects)
	}
	effects = s.step(from(1, wire.TypePing, 0, []byte{}))
	if got := kinds(effects, 1); !slices.Equal(got, []wire.Type{wire.TypePing}) || len(pick[SyncDone](effects)) != 0 {
		t.Errorf("the echo of an earlier PING: %+v", effects)
	}
	if e := pick[SyncDone](s.step(from(1, wire.TypePing, 0, []byte{}))); len(e) != 1 || e[0].Tag != 5 {
		t.Errorf("%+v", e)
	}
	// What was proposed before is committed first, even if a quorum has answered.
	before, _ := s.propose(t)
	if e := s.step(Sync{Tag: 6}, from(1, wire.TypePing, 0, []byte{}), from(1, wire.TypePing, 0, []byte{})); len(pick[SyncDone](e)) != 0 {
		t.Errorf("before the commit: %+v", e)
	}
	if e := s.step(from(1, wire.TypeAck, before, nil), Synced{before}); len(pick[SyncDone](e)) != 1 {
		t.Errorf("behind the commit: %+v", e)
	}
	// A learner's comes behind the commits that it must see.
	zxid, _ := s.propose(t)
	s.step(Sync{Link: 1}, from(1, wire.TypePing, 0, []byte{}))
	effects = s.step(from(1, wire.TypeAck, zxid, nil), Synced{zxid})
	if got := kinds(effects, 1); !slices.Equal(got, []wire.Type{wire.TypeCommit, wire.TypeSync}) {
		t.Errorf("%v", got)
	}
}

// TestSyncsSpareTheSlow is that many syncs, which a quorum confirms, are one PING for a follower that is slow, and none for an observer.
func TestSyncsSpareTheSlow(t *testing.T) {
	s := established(t, Options{})
	s.joins(2, 2, 2, z(1, 4))
	s.step(from(2, wire.TypeAck, z(2, 0), nil))
	s.step(LinkUp{Link: 8}, from(8, wire.TypeObserverInfo, z(1, 0), infoOf(8, 0)), from(8, wire.TypeAckEpoch, z(1, 4), ackEpochOf(1)), from(8, wire.TypeAck, z(2, 0), nil))
	slow, done := 0, 0
	for i := range uint64(1000) {
		effects := s.step(Sync{Tag: i}, from(1, wire.TypePing, 0, []byte{}))
		done += len(pick[SyncDone](effects))
		slow += len(kinds(effects, 2)) + len(kinds(effects, 8))
	}
	if done != 1000 || slow != 1 {
		t.Errorf("%d syncs, %d PINGs", done, slow)
	}
	if got := kinds(s.step(from(2, wire.TypePing, 0, []byte{})), 2); !slices.Equal(got, []wire.Type{wire.TypePing}) {
		t.Errorf("sent %v", got)
	}
	if got := kinds(s.step(from(2, wire.TypePing, 0, []byte{})), 2); got != nil {
		t.Errorf("sent %v", got)
	}
}

func TestLeaderSteps(t *testing.T) {
	looking := func(s *solo) {
		t.Helper()
		if r := s.n.Role(); r != Looking {
			t.Errorf("it is %v", r)
		}
	}
	t.Run("down without a quorum", func(t *testing.T) {
		s := established(t, Options{})
		s.step(LinkDown{1, "test"})
		s.wait(50 * time.Millisecond)
		looking(s)
	})
	t.Run("down when a learner is silent", func(t *testing.T) {
		s := established(t, Options{})
		for range 11 {
			s.wait(50 * time.Millisecond)
		}
		looking(s)
	})
	t.Run("not down because it slept itself", func(t *testing.T) {
		s := established(t, Options{})
		s.wait(time.Hour)
		s.step(from(1, wire.TypePing, 0, []byte{}))
		if s.n.Role() != Leading || len(s.n.leader.peers) != 1 {
			t.Errorf("it is %v", s.n.Role())
		}
	})
	t.Run("down when nobody comes", func(t *testing.T) {
		s := lead(t, Options{}, Disk{}, members(t, 0, 1, 2, 3))
		s.wait(time.Second)
		looking(s)
	})
	t.Run("down at the end of the zxids", func(t *testing.T) {
		s := established(t, Options{MaxCounter: 1})
		zxid, _ := s.propose(t)
		if _, ok := s.n.NextZxid(); ok {
			t.Error("there is another zxid")
		}
		s.step(from(1, wire.TypeAck, zxid, nil), Synced{zxid})
		looking(s)
	})
	t.Run("down when its disk stands still", func(t *testing.T) {
		s := established(t, Options{})
		s.propose(t)
		for range 12 {
			s.step(from(1, wire.TypePing, 0, []byte{}))
			s.wait(50 * time.Millisecond)
		}
		if s.n.Role() != Looking || s.n.election != nil {
			t.Errorf("it is %v", s.n.Role())
		}
	})
	t.Run("down for a voter that promised more", func(t *testing.T) {
		s := established(t, Options{})
		s.step(LinkUp{Link: 2}, from(2, wire.TypeFollowerInfo, z(8, 0), infoOf(2, 0)))
		looking(s)
	})
	t.Run("out of memory", func(t *testing.T) {
		s := established(t, Options{OutstandingBytes: 10})
		for range 3 {
			s.propose(t)
		}
		if _, ok := s.n.NextZxid(); ok || !s.n.Full() {
			t.Error("it is not full")
		}
		s.step(from(1, wire.TypeAck, z(2, 1), nil), Synced{z(2, 1)})
		if _, ok := s.n.NextZxid(); !ok || s.n.Full() {
			t.Error("it stays full")
		}
	})
	t.Run("not while its own log is read", func(t *testing.T) {
		s := established(t, Options{})
		s.joins(2, 2, 2, z(1, 2))
		s.step(LogRead{Link: 2, Records: []Record{{Zxid: z(1, 2)}, {Zxid: z(1, 3)}}}, Sent{Link: 2, Bytes: 1})
		for range 30 {
			s.step(from(1, wire.TypePing, 0, []byte{}))
			s.wait(50 * time.Millisecond)
		}
		effects := s.step(LogRead{Link: 2, Records: []Record{{Zxid: z(1, 3)}, {Zxid: z(1, 4)}}})
		if got := kinds(effects, 2); !slices.Equal(got, []wire.Type{wire.TypeProposal, wire.TypeCommit, wire.TypeNewLeader}) {
			t.Errorf("sent %v", got)
		}
	})
	t.Run("not because a transaction is large", func(t *testing.T) {
		s := established(t, Options{LinkWindow: 60, LinkBytes: 200})
		s.n.leader.peers[0].inflight = 0
		for range 2 {
			zxid, _ := s.n.NextZxid()
			effects := s.step(Propose{Record{Zxid: zxid, Data: make([]byte, 1000)}})
			effects = append(effects, s.step(Synced{zxid})...)
			if len(kinds(effects, 1)) != 1 || len(pick[Close](effects)) != 0 {
				t.Errorf("%+v", effects)
			}
			s.step(Sent{Link: 1, Bytes: sends(effects)[0].Packet.Size()})
		}
	})
	t.Run("not over a link that is full", func(t *testing.T) {
		s := established(t, Options{LinkWindow: 60, LinkBytes: 200})
		s.step(Sent{Link: 1, Bytes: 1 << 10})
		s.n.leader.peers[0].inflight = 0
		s.propose(t)
		s.propose(t)
		s.propose(t)
		if _, e := s.propose(t); len(kinds(e, 1)) != 0 {
			t.Errorf("%+v", e)
		}
		if e := s.step(Sent{Link: 1, Bytes: 72}); len(kinds(e, 1)) == 0 {
			t.Errorf("%+v", e)
		}
		for range 3 {
			s.n.Step(s.now, Reply{1, wire.Packet{Type: wire.TypeRevalidate, Data: make([]byte, 50)}})
		}
		if c := pick[Close](s.n.Effects(nil)); len(c) != 1 || !c[0].Error {
			t.Errorf("%+v", c)
		}
	})
}

func TestAlone(t *testing.T) {
	n := New(Options{SID: 1, InitLimit: 5, SyncLimit: 2}, State{Committed: members(t, 0, 1)})
	n.Step(200*time.Millisecond, Tick{})
	n.Step(200*time.Millisecond, EpochPersisted{AcceptedEpoch, 1})
	n.Step(200*time.Millisecond, EpochPersisted{CurrentEpoch, 1})
	if s := n.Status(); !s.Serving || s.Role != Leading || s.Epoch != 1 {
		t.Fatalf("%+v", s)
	}
	n.Step(200*time.Millisecond, Propose{Record{Zxid: z(1, 1)}})
	n.Step(200*time.Millisecond, Sync{Tag: 1})
	n.Step(200*time.Millisecond, Synced{z(1, 1)})
	if e := n.Effects(nil); len(pick[SyncDone](e)) != 1 || len(pick[Apply](e)) != 1 {
		t.Errorf("%+v", e)
	}
}

// TestReconfigDisabled is that a config that was seen before reconfig was disabled has no say any more.
func TestReconfigDisabled(t *testing.T) {
	n := New(Options{SID: 1, InitLimit: 5, SyncLimit: 2}, State{Disk: Disk{Zxid: z(1, 1), AcceptedEpoch: 1, CurrentEpoch: 1},
		Committed: members(t, z(1, 0), 1), LastSeen: members(t, z(1, 1), 2, 3)})
	n.Step(200*time.Millisecond, Tick{})
	if n.Role() != Leading {
		t.Fatalf("%+v", n.Status())
	}
	n.Step(200*time.Millisecond, EpochPersisted{AcceptedEpoch, 2})
	n.Step(200*time.Millisecond, EpochPersisted{CurrentEpoch, 2})
	if _, ok := n.NextZxid(); !ok || n.Role() != Leading {
		t.Errorf("%+v", n.Status())
	}
}

// TestSameSid is that a second connection of a member ends the first one, and that several servers that are in no config may have one sid.
func TestSameSid(t *testing.T) {
	s := established(t, Options{})
	for i, want := range []struct {
		sid    int64
		closed int
	}{{2, 0}, {2, 1}, {1, 1}, {4, 0}, {4, 0}} {
		link := LinkID(10 + i)
		if c := pick[Close](s.step(LinkUp{Link: link}, from(link, wire.TypeFollowerInfo, z(1, 0), infoOf(want.sid, 0)))); len(c) != want.closed {
			t.Errorf("%d. of %d: %+v", i, want.sid, c)
		}
	}
}

// TestOnlyTheQuorumIsWaitedFor is that a leader waits on for a quorum while somebody takes the history who can be of it. Others may take it for as long as they like: who could lead
// must not wait for them.
func TestOnlyTheQuorumIsWaitedFor(t *testing.T) {
	for _, want := range []struct {
		sid   int64
		waits bool
	}{{1, true}, {4, false}, {8, false}} {
		s := lead(t, Options{}, Disk{Zxid: z(1, 4), AcceptedEpoch: 1, CurrentEpoch: 1}, members(t, 0, 1, 2, 3, -4))
		s.joins(2, 2, 2, z(1, 4)) // which is silent from here on
		effects := s.joins(7, want.sid, 2, z(0, 0))
		if r := pick[ReadLog](effects); len(r) == 1 {
			effects = s.step(LogRead{Link: 7})
		}
		if len(pick[SendSnapshot](effects)) != 1 {
			t.Fatalf("server %d gets no snapshot: %+v", want.sid, effects)
		}
		for range 30 { // three times initLimit
			s.wait(100 * time.Millisecond)
			s.step(Sent{Link: 7})
		}
		if waits := s.n.Role() == Leading; waits != want.waits {
			t.Errorf("while server %d takes a snapshot the leader without a quorum waits: %v", want.sid, waits)
		}
	}
}

// TestStrangersTogether is that learners that are no members may not let as much wait, all together, as each of them alone; the one with most goes. Members are not touched.
func TestStrangersTogether(t *testing.T) {
	s := established(t, Options{LinkWindow: 60, LinkBytes: 200})
	wait := func(link LinkID, bytes int) []Close {
		p := s.n.leader.find(link)
		p.inflight, p.large = 60+bytes, 0
		return pick[Close](s.step(from(1, wire.TypePing, 0, []byte{})))
	}
	s.joins(2, 2, 2, z(1, 4))
	for link := LinkID(11); link <= 13; link++ {
		s.joins(link, int64(link), 2, z(1, 4))
	}
	for _, want := range []struct {
		link   LinkID
		bytes  int
		closed int
	}{{11, 80, 0}, {12, 70, 0}, {1, 100, 0}, {2, 100, 0}, {13, 50, 0}, {13, 51, 1}} {
		c := wait(want.link, want.bytes)
		if len(c) != want.closed || len(c) > 0 && c[0].Link != 11 {
			t.Errorf("with %d at link %d: %+v", want.bytes, want.link, c)
		}
	}
}

// TestStrangersAreCalledSo is that the server behind the driver hears of a request whether a member has sent it.
func TestStrangersAreCalledSo(t *testing.T) {
	s := established(t, Options{})
	for link, sid := range map[LinkID]int64{2: 2, 8: 8} {
		s.joins(link, sid, 2, z(1, 4))
		s.step(from(link, wire.TypeAck, z(2, 0), nil))
		d := pick[Deliver](s.step(from(link, wire.TypeRequest, -1, []byte("request"))))
		if len(d) != 1 || d[0].SID != sid || d[0].Link != link || d[0].Stranger != (sid == 8) {
			t.Errorf("of server %d: %+v", sid, d)
		}
	}
}

// TestManySyncs is that syncs are bounded for each learner by itself, and for the clients of the leader.
func TestManySyncs(t *testing.T) {
	s := established(t, Options{})
	s.joins(2, 2, 2, z(1, 4))
	s.step(from(2, wire.TypeAck, z(2, 0), nil))
	for i := range uint64(maxSyncs) {
		s.n.Step(s.now, Sync{Tag: i})
	}
	if !s.n.Full() {
		t.Error("it is not full")
	}
	if e := pick[Close](s.step(Sync{Link: 2})); len(e) != 0 {
		t.Errorf("%+v", e)
	}
	for range maxSyncs {
		s.n.Step(s.now, Sync{Link: 1})
	}
	if e := pick[Close](s.step(Sync{Link: 1})); len(e) != 1 || e[0].Link != 1 {
		t.Errorf("%+v", e)
	}
	done := len(pick[SyncDone](s.step(from(2, wire.TypePing, 0, []byte{}), from(2, wire.TypePing, 0, []byte{}))))
	if done != maxSyncs || s.n.Full() {
		t.Errorf("%d are done", done)
	}
}

// TestHierarchy is an ensemble of two groups that count and a server without weight.
func TestHierarchy(t *testing.T) {
	c := testConfig(t, "server.1=a:1:2", "server.2=b:1:2", "server.3=c:1:2", "server.4=d:1:2", "server.5=e:1:2", "group.1=1:2:3", "group.2=4:5", "weight.1=1",
		"weight.2=1", "weight.3=1", "weight.4=1", "weight.5=0")
	w := newWorld(t, 1, c, 1, 2, 3, 4, 5)
	for _, sid := range []int64{1, 2, 3, 5} {
		w.host(sid).start()
	}
	w.run(2 * time.Second)
	if w.leaderHost() != nil {
		t.Error("a leader without a quorum of both groups")
	}
	w.host(4).start()
	w.until(5*time.Second, "a leader", w.settled)
	if l := w.leaderHost().sid; l != 4 {
		t.Errorf("%d leads", l)
	}
}

// TestGarbage sends packets at random to followers and leaders in every phase. Nothing may panic.
func TestGarbage(t *testing.T) {
	for seed := range uint64(4000) {
		rng := rand.New(rand.NewPCG(seed, 2))
		zxids := []int64{-1, 0, 1, z(1, 0), z(1, 4), z(1, 5), z(2, 0), z(2, 1), z(2, 2), z(3, 1), 1<<63 - 1, -1 << 63, z(2, 0xffffffff)}
		config := members(t, z(2, 1), 1, 2, 3, -4)
		datas := [][]byte{nil, {}, {1, 2, 3}, infoOf(2, 0), infoOf(5, 0), ackEpochOf(1), ackEpochOf(-1), designate(3), designate(1), []byte(config.String()), reconfigTxn(config)}
		anything := func(link LinkID) Event {
			kind, zxid, data := wire.Type(rng.IntN(21)), zxids[rng.IntN(len(zxids))], datas[rng.IntN(len(datas))]
			if rng.IntN(2) == 0 && (kind == wire.TypeProposal || kind == wire.TypeInform) {
				data = txn(zxid, "")
			}
			return from(link, kind, zxid, data)
		}
		d := Disk{Zxid: z(1, 4), AcceptedEpoch: 1, CurrentEpoch: 1}
		var s *solo
		var link LinkID
		switch rng.IntN(4) {
		case 0:
			f := follow(t, d, 2, members(t, z(1, 0), 1, 2, 3))
			s, link = f.solo, f.link
		case 1:
			f := follow(t, d, 2, members(t, z(1, 0), 1, 2, 3))
			f.synchronized(2, members(t, z(1, 0), 1, 2, 3))
			s, link = f.solo, f.link
		case 2:
			s, link = lead(t, Options{}, d, members(t, 0, 1, 2, 3)), 3
			s.step(LinkUp{Link: 3})
		case 3:
			s, link = established(t, Options{}), LinkID(1+2*rng.Uint64N(2))
			if link == 3 {
				s.step(LinkUp{Link: 3})
			}
		}
		for range 30 {
			var ev Event = anything(link)
			if rng.IntN(6) == 0 {
				ev = Heard{int64(rng.IntN(6)), vote(Role(rng.IntN(5)-1), int64(rng.IntN(5)), zxids[rng.IntN(len(zxids))], zxids[rng.IntN(len(zxids))], int64(rng.IntN(3)))}
			}
			effects := s.step(ev)
			for len(effects) > 0 { // a disk that does everything at once
				var more []Effect
				for _, e := range effects {
					switch e := e.(type) {
					case Append:
						s.disk.Zxid = e.Records[len(e.Records)-1].Zxid
						more = append(more, s.step(Synced{s.disk.Zxid})...)
					case PersistEpoch:
						if e.File == AcceptedEpoch {
							s.disk.AcceptedEpoch = e.Epoch
						} else {
							s.disk.CurrentEpoch = e.Epoch
						}
						more = append(more, s.step(EpochPersisted(e))...)
					case Truncate:
						s.disk.Zxid = min(s.disk.Zxid, e.Zxid)
						more = append(more, s.step(Restored{Restore: e.Restore, Disk: s.disk})...)
					case InstallSnapshot:
						s.disk.Zxid = e.Zxid
						more = append(more, s.step(Restored{Restore: e.Restore, Disk: s.disk})...)
					case Reload:
						more = append(more, s.step(Restored{Restore: e.Restore, Disk: s.disk})...)
					}
				}
				effects = more
			}
			s.wait(time.Duration(rng.IntN(20)) * time.Millisecond)
		}
	}
}
