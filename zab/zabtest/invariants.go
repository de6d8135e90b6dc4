package zabtest

import (
	"fmt"
	"slices"

	"quoll/jute"
	"quoll/zab"
	"quoll/zab/wire"
)

// moment is when an invariant is looked at.
type moment uint8

const (
	atDisk      moment = iota // the disk of a server changed
	atSend                    // a packet is handed to a link
	atVote                    // a vote is sent
	atElected                 // a leader was found: it is dialled, or leads itself
	atEpoch                   // an epoch file is to be written
	atApply                   // a transaction is given to the state
	atShown                   // a transaction is visible that was not before
	atGrown                   // what was shown has grown
	atServe                   // service begins
	atConfigure               // a config is put in force, or seen
	atRead                    // a client reads
	atSynced                  // a client's sync is answered
	moments
)

// invariant is a row of the table.
type invariant struct {
	// name is that of section 8.3, or says what section 8.3 does not number; origin is where it comes from.
	name, origin, claim string
	when                []moment
	// check returns what is wrong, or nothing.
	check func(w *World, s *server) string
}

// invariants is the table. Rows without a moment are looked at elsewhere: I9 in identify and prepare, I10 in show, liveness in calm.
var invariants = []invariant{
	{"I1", "Zab.tla Leadership; DSN'11 claim 1", "at most one server per epoch begins synchronization",
		[]moment{atEpoch, atServe}, (*World).oneLeader},
	{"I2", "spec 4.2; ZOOKEEPER-335, 1653", "durable epochs never decrease, currentEpoch <= acceptedEpoch, and no history is of a later epoch than the one that sealed it",
		[]moment{atDisk}, (*World).epochsOrdered},
	{"I3", "DSN'11 step l.1.1; ZkV3_7_0.tla FollowerProcessLEADERINFO", "ACKEPOCH with a currentEpoch is sent once per epoch, when the epoch is accepted durably",
		[]moment{atSend}, (*World).promisedOnce},
	{"I4", "DSN'11 step f.1.1; ZOOKEEPER-335", "an epoch that is accepted is greater than any accepted before",
		[]moment{atEpoch}, (*World).epochGrows},
	{"I5", "Zab.tla PrimaryIntegrity; DSN'11 claim 5", "a leader has what was committed before when it begins to synchronize and when it serves",
		[]moment{atEpoch, atServe}, (*World).leaderComplete},
	{"I6", "FastLeaderElection.tla; ZOOKEEPER-975, 3769", "a leader is found by a quorum of votes for it, or of its followers and its own word, or by a reconfig",
		[]moment{atElected}, (*World).elected},
	{"I7", "ZOOKEEPER-2325, 261", "a server that lost its database says so in votes and promises",
		[]moment{atSend, atVote}, (*World).untrusted},
	{"I8", "Zab.tla TxnZxidIncreasing; ZOOKEEPER-1549", "a history has no hole, and each transaction follows the one that it was proposed on",
		[]moment{atDisk}, (*World).wholeHistory},
	{"I9", "Zab.tla Integrity", "what is in a log was proposed, and a zxid names one transaction",
		nil, nil},
	{"I10", "Zab.tla PrefixConsistency, Agreement", "what any two servers delivered are prefixes of one another",
		nil, nil},
	{"I11", "Zab.tla TotalOrder, GlobalPrimaryOrder", "delivered zxids increase",
		[]moment{atShown}, (*World).orderedDelivery},
	{"I12", "Zab.tla LocalPrimaryOrder; ZOOKEEPER-4925", "of an epoch all transactions are delivered from the first on, each with those that it was proposed on",
		[]moment{atShown, atApply}, (*World).gaplessDelivery},
	{"I13", "DSN'11 claim 3; ZOOKEEPER-3911, 4643, 4646, 4785", "what is committed is on so many disks that nobody without it can be elected, after a crash of anybody",
		[]moment{atDisk, atGrown}, (*World).durable},
	{"I14", "ZOOKEEPER-1549, 3642, 5094", "TRUNC and SNAP take back nothing that was committed by the epoch of who sends them",
		[]moment{atSend}, (*World).nothingTakenBack},
	{"I15", "ZOOKEEPER-3023, 5094, 2845", "what a server says that it has is on its disk, and its state is that history when it looks for a leader",
		[]moment{atSend, atVote}, (*World).saysWhatItHas},
	{"I16", "DSN'11 step f.2.1; ZOOKEEPER-3911, 4643, 4646", "before the ACK of NEWLEADER the leader's initial history is durable, and then the epoch",
		[]moment{atSend}, (*World).sealedBeforeAck},
	{"I17", "DSN'11 step l.3.2; ZOOKEEPER-4685", "a leader commits what quorums have acknowledged and have on their disks",
		[]moment{atApply, atServe}, (*World).committedByQuorum},
	{"I18", "Zab.tla PROPOSE to all that were sent NEWLEADER; ZOOKEEPER-1367, 4394", "on a link proposals and commits come without a hole, each commit after its proposal, NEWLEADER after the initial history",
		[]moment{atSend}, (*World).linkOrder},
	{"I19", "ZOOKEEPER-4925", "what a learner is synchronized with is in the leader's own history",
		[]moment{atSend}, (*World).ownHistory},
	{"I20", "ZooKeeper consistency guarantees; ZOOKEEPER-3642", "a client sees its own writes and nothing older than before, and a server that it comes back to has what it has seen",
		[]moment{atRead, atShown}, (*World).sessionOrder},
	{"sync", "spec 9.2; ZOOKEEPER-1675, 2136", "a read after a sync sees everything that anybody was shown before the sync",
		[]moment{atSynced}, (*World).freshAfterSync},
	{"I21", "ZOOKEEPER-3114, 3911", "the state after a transaction has the digest that it carries",
		[]moment{atApply}, (*World).sameDigest},
	{"I22", "ZOOKEEPER-1208, 2355, 4327", "nothing of a session succeeds after its end",
		[]moment{atShown}, (*World).sessionEnds},
	{"I23", "ZOOKEEPER-710, 1006", "a session's requests succeed in the order in which one client sent them, each once",
		[]moment{atShown}, (*World).sessionOwned},
	{"I24", "ATC'12 reconfiguration; ZOOKEEPER-107, 3642", "configs in force follow one another in the order of their versions, and the last seen one is not older",
		[]moment{atConfigure}, (*World).configsOrdered},
	{"I25", "ATC'12 reconfiguration; spec 9.2", "a config is in force only when a leader has put it there, with quorums of the one before and of itself",
		[]moment{atConfigure}, (*World).configDecided},
	{"stands", "spec 9.3; ATC'12 reconfiguration", "who stands for election has seen every config of its history that was put in force",
		[]moment{atVote}, (*World).knowsConfigs},
	{"serves", "spec 9.2; ZOOKEEPER-3642", "who serves has put in force every reconfig in its state",
		[]moment{atServe}, (*World).configsInForce},
	{"names", "ATC'12 reconfiguration; Leader.getDesignatedLeader", "the commit of a reconfig names a voter of the new config",
		[]moment{atSend}, (*World).namesVoter},
	{"I26", "ATC'12 reconfiguration; Leader.allowedToCommit", "a leader that has put another one in its place commits nothing more",
		[]moment{atApply}, (*World).lameSilent},
	{"liveness", "spec 8.3", "a quorum that is left alone gets one leader whom all members follow, with the same history, and commits and syncs",
		nil, nil},
}

// watchers are the rows by moment.
var watchers = func() (by [moments][]*invariant) {
	for i := range invariants {
		for _, m := range invariants[i].when {
			by[m] = append(by[m], &invariants[i])
		}
	}
	return by
}()

// look looks at the invariants of a moment.
func (w *World) look(m moment, s *server) {
	for _, inv := range watchers[m] {
		if bad := inv.check(w, s); bad != "" {
			w.violate(inv.name, "%s (%s)", bad, inv.claim)
		}
	}
}

func (w *World) oneLeader(s *server) string {
	g := &s.ghost
	epoch, begins := g.serve.Epoch, false
	if w.beginsEpoch(s) {
		epoch, begins = g.epoch.Epoch, true
	} else if !s.serving || s.role != zab.Leading {
		return ""
	}
	r := w.reign(epoch)
	if begins && r.leader == -1 {
		d := s.disk.durable()
		*r = reign{s.index, s.life, d[:len(d):len(d)]}
	}
	if r.leader != s.index || r.life != s.life {
		return fmt.Sprintf("servers %d and %d lead epoch %d", r.leader+1, s.sid, epoch)
	}
	return ""
}

// beginsEpoch reports whether the server writes currentEpoch as a leader, which is after a quorum of ACKEPOCH.
func (w *World) beginsEpoch(s *server) bool {
	return s.listening && !s.serving && s.ghost.epoch.File == zab.CurrentEpoch
}

func (w *World) epochsOrdered(s *server) string {
	d := &s.disk
	last := w.zxid(d.hist) >> 32
	switch {
	case d.epochs[zab.CurrentEpoch] > d.epochs[zab.AcceptedEpoch]:
		return fmt.Sprintf("server %d: currentEpoch %d, acceptedEpoch %d", s.sid, d.epochs[zab.CurrentEpoch], d.epochs[zab.AcceptedEpoch])
	case last > d.epochs[zab.CurrentEpoch] && !d.unsealed:
		return fmt.Sprintf("server %d: the log ends at %s, currentEpoch is %d", s.sid, w.zxidText(w.zxid(d.hist)), d.epochs[zab.CurrentEpoch])
	}
	return ""
}

func (w *World) promisedOnce(s *server) string {
	p, l := s.ghost.packet, s.ghost.link
	if p.Type != wire.TypeAckEpoch {
		return ""
	}
	var ack wire.AckEpoch
	d := jute.NewDecoder(p.Data)
	ack.Decode(&d)
	if s.disk.epochs[zab.AcceptedEpoch] != l.ghost.epoch {
		return fmt.Sprintf("server %d answers LEADERINFO %d, its acceptedEpoch is %d", s.sid, l.ghost.epoch, s.disk.epochs[zab.AcceptedEpoch])
	}
	if ack.CurrentEpoch == -1 {
		w.cover.hit(pointPromisedBefore)
		return ""
	}
	if s.ghost.promised >= l.ghost.epoch {
		return fmt.Sprintf("server %d promises epoch %d again", s.sid, l.ghost.epoch)
	}
	s.ghost.promised = l.ghost.epoch
	if int64(ack.CurrentEpoch) != s.disk.epochs[zab.CurrentEpoch] {
		return fmt.Sprintf("server %d says that its currentEpoch is %d and not %d", s.sid, ack.CurrentEpoch, s.disk.epochs[zab.CurrentEpoch])
	}
	return ""
}

func (w *World) epochGrows(s *server) string {
	e := s.ghost.epoch
	if e.Epoch > maxRunEpoch {
		return fmt.Sprintf("server %d accepts epoch %d, which only a stranger can know of", s.sid, e.Epoch)
	}
	if e.File == zab.AcceptedEpoch && e.Epoch <= s.disk.epochs[zab.AcceptedEpoch] {
		return fmt.Sprintf("server %d accepts epoch %d after %d", s.sid, e.Epoch, s.disk.epochs[zab.AcceptedEpoch])
	}
	return ""
}

// maxRunEpoch is more than any run comes to.
const maxRunEpoch = 1 << 16

func (w *World) leaderComplete(s *server) string {
	if !w.beginsEpoch(s) && (!s.serving || s.role != zab.Leading) {
		return ""
	}
	epoch := s.ghost.serve.Epoch
	if w.beginsEpoch(s) {
		epoch = s.ghost.epoch.Epoch
	}
	before := 0
	for before < len(w.shown) && w.shownIn[before] < epoch {
		before++
	}
	if w.matched(s) < before {
		return fmt.Sprintf("server %d leads epoch %d with %d of %d transactions committed before", s.sid, epoch, w.matched(s), before)
	}
	return ""
}

func (w *World) elected(s *server) string {
	g := &s.ghost
	if g.found == g.dials || s.node.Role() == zab.Looking {
		return "" // it dials again, or has left the role in a later step whose effects come together with these
	}
	g.found = g.dials
	if g.dials < 1 || g.dials > maxServers {
		return fmt.Sprintf("server %d follows %d", s.sid, g.dials)
	}
	if s.committed.Weight(g.dials) == 0 {
		return fmt.Sprintf("server %d follows %d, which has no weight", s.sid, g.dials)
	}
	bit, mine := uint16(1)<<(g.dials-1), uint16(1)<<s.index
	agreeing, following, leads := mine, uint16(0), g.dials == s.sid
	if g.said.leader == g.dials {
		following = mine
	}
	for i := range g.heard {
		v := &g.heard[i]
		if v.leader != g.dials {
			continue
		}
		if v.same(&g.said) {
			agreeing |= 1 << v.from
		}
		if v.state == zab.Looking {
			continue
		}
		following |= 1 << v.from
		leads = leads || v.state == zab.Leading && 1<<v.from == bit
		for j := range g.heard {
			if o := &g.heard[j]; v.same(o) {
				following |= 1 << o.from
			}
		}
	}
	switch {
	case w.decides(s, agreeing):
	case leads && w.quorum(s.committed, agreeing&^mine|following):
	case g.designated&bit != 0 || g.handOver:
		w.cover.hit(pointHandOver)
	default:
		return fmt.Sprintf("server %d follows %d, for which %b vote and which %b follow", s.sid, g.dials, agreeing, following)
	}
	return ""
}

func (w *World) untrusted(s *server) string {
	if !s.disk.blank {
		return ""
	}
	switch p, v := s.ghost.packet, s.ghost.vote; {
	case p != nil && p.Type == wire.TypeAckEpoch && p.Zxid != -1,
		v != nil && v.Vote.State == int32(zab.Looking) && v.Vote.Leader == s.sid && v.Vote.Zxid != -1:
		return fmt.Sprintf("server %d lost its database and speaks as if it had one", s.sid)
	}
	return ""
}

func (w *World) wholeHistory(s *server) string {
	h := s.disk.hist
	for i := len(h) - 1; i >= max(0, len(h)-2); i-- {
		t := &w.txns[h[i]]
		if t.depth != i+1 || i > 0 && t.prev != h[i-1] || !follows(w.txns[t.prev].zxid, t.zxid) {
			return fmt.Sprintf("server %d has %s as number %d, behind %s", s.sid, w.zxidText(t.zxid), i+1, w.zxidText(w.txns[h[max(i-1, 0)]].zxid))
		}
	}
	return ""
}

func (w *World) orderedDelivery(s *server) string {
	if last := w.zxid(w.shown); w.txns[w.newest].zxid <= last {
		return fmt.Sprintf("server %d delivers %s after %s", s.sid, w.zxidText(w.txns[w.newest].zxid), w.zxidText(last))
	}
	return ""
}

func (w *World) gaplessDelivery(s *server) string {
	t, h := &w.txns[w.newest], w.shown
	if s.ghost.applied != 0 {
		t, h = &w.txns[s.ghost.applied], s.state
	}
	if t.prev != h.last() || !follows(w.zxid(h), t.zxid) {
		return fmt.Sprintf("server %d takes %s behind %s", s.sid, w.zxidText(t.zxid), w.zxidText(w.zxid(h)))
	}
	return ""
}

// durable looks whether a server that lacks something committed could be elected: with the votes of those whose epoch and last zxid are not greater.
func (w *World) durable(*server) string {
	var behind uint16
	for _, s := range w.servers {
		if !s.disk.blank && w.matched(s) < len(w.shown) {
			behind |= 1 << s.index
		}
	}
	if behind == 0 {
		return ""
	}
	for _, s := range w.servers {
		if behind>>s.index&1 == 0 || !w.inForce.IsVoter(s.sid) {
			continue
		}
		voters := w.mask(func(o *server) bool { return !o.disk.blank && !w.ahead(o, s) })
		if w.quorum(w.inForce, voters) {
			return fmt.Sprintf("server %d has %d of %d committed transactions and could be elected by %07b", s.sid, w.matched(s), len(w.shown), voters)
		}
	}
	return ""
}

func (w *World) nothingTakenBack(s *server) string {
	p, l := s.ghost.packet, s.ghost.link
	if p.Type != wire.TypeTrunc && p.Type != wire.TypeSnap || !l.usable(learnerEnd) {
		return "" // or it goes to one that has left long ago
	}
	learner := l.ends[learnerEnd]
	for i := w.txns[w.find(p.Zxid)].depth; i < w.matched(learner); i++ {
		// What was committed in a later epoch the leader need not have, and the learner, which has promised no later one than this, did not count for it. What the leader
		// has itself comes again.
		if t := &w.txns[w.shown[i]]; w.shownIn[i] <= l.ghost.epoch && !s.state.has(w.shown[i], i+1) && (t.leader != s.index || t.zxid>>32 != s.ghost.serve.Epoch) {
			return fmt.Sprintf("server %d sends %v %s to server %d, which has %s, committed", s.sid, p.Type, w.zxidText(p.Zxid), learner.sid, w.zxidText(t.zxid))
		}
	}
	return ""
}

func (w *World) saysWhatItHas(s *server) string {
	d := &s.disk
	last := w.zxid(d.durable())
	if p := s.ghost.packet; p != nil {
		switch {
		case p.Type == wire.TypeAckEpoch && p.Zxid > last,
			p.Type == wire.TypeAck && uint32(p.Zxid) != 0 && (p.Zxid > last || !d.durable().has(w.find(p.Zxid), w.txns[w.find(p.Zxid)].depth)):
			return fmt.Sprintf("server %d sends %v %s, its disk ends at %s", s.sid, p.Type, w.zxidText(p.Zxid), w.zxidText(last))
		}
		return ""
	}
	v := &s.ghost.vote.Vote
	if v.State != int32(zab.Looking) || v.Leader != s.sid {
		return ""
	}
	switch {
	case v.Zxid > last || v.PeerEpoch > d.epochs[zab.CurrentEpoch]:
		return fmt.Sprintf("server %d votes with %s of epoch %d, its disk has %s of %d", s.sid, w.zxidText(v.Zxid), v.PeerEpoch, w.zxidText(last), d.epochs[zab.CurrentEpoch])
	case len(s.state) != len(d.durable()) || s.state.last() != d.durable().last():
		return fmt.Sprintf("server %d looks for a leader with a state at %s and a disk at %s", s.sid, w.zxidText(w.zxid(s.state)), w.zxidText(last))
	}
	return ""
}

func (w *World) sealedBeforeAck(s *server) string {
	p, l := s.ghost.packet, s.ghost.link
	if p.Type != wire.TypeAck || uint32(p.Zxid) != 0 || l.ghost.acked {
		return ""
	}
	epoch := p.Zxid >> 32
	initial := w.reign(epoch).initial
	switch {
	case s.disk.epochs[zab.CurrentEpoch] != epoch:
		return fmt.Sprintf("server %d acknowledges NEWLEADER %d, its currentEpoch is %d", s.sid, epoch, s.disk.epochs[zab.CurrentEpoch])
	case !s.disk.durable().has(initial.last(), len(initial)):
		return fmt.Sprintf("server %d acknowledges NEWLEADER %d, its disk ends at %s and the leader's began at %s", s.sid, epoch, w.zxidText(w.zxid(s.disk.durable())), w.zxidText(w.zxid(initial)))
	}
	return ""
}

func (w *World) committedByQuorum(s *server) string {
	if !s.serving || s.role != zab.Leading {
		return ""
	}
	id := s.ghost.applied
	if id == 0 {
		id = s.state.last()
	}
	if id == 0 {
		return ""
	}
	holders := w.holders(s, id)
	pending := s.seen.Version > s.committed.Version && (w.txns[id].zxid >= s.seen.Version || s.ghost.applied == 0)
	if !w.quorum(s.committed, holders) || pending && !w.quorum(s.seen, holders) {
		return fmt.Sprintf("server %d commits %s, which %07b have", s.sid, w.zxidText(w.txns[id].zxid), holders)
	}
	return ""
}

func (w *World) linkOrder(s *server) string {
	p, l := s.ghost.packet, s.ghost.link
	if l.ends[leaderEnd] != s {
		return ""
	}
	g := &l.ghost
	switch p.Type {
	case wire.TypeProposal, wire.TypeInform, wire.TypeInformAndActivate:
		if !follows(g.proposed, p.Zxid) {
			return fmt.Sprintf("server %d sends %v %s behind %s", s.sid, p.Type, w.zxidText(p.Zxid), w.zxidText(g.proposed))
		}
	case wire.TypeCommit, wire.TypeCommitAndActivate:
		if p.Zxid > g.proposed || !follows(g.committed, p.Zxid) {
			return fmt.Sprintf("server %d sends %v %s behind the commit of %s and the proposal of %s", s.sid, p.Type, w.zxidText(p.Zxid), w.zxidText(g.committed), w.zxidText(g.proposed))
		}
	case wire.TypeNewLeader:
		if initial := w.reign(p.Zxid >> 32).initial; g.proposed < w.zxid(initial) || g.committed != g.proposed {
			return fmt.Sprintf("server %d sends NEWLEADER to one that has %s and was told to commit %s; it began with %s", s.sid, w.zxidText(g.proposed), w.zxidText(g.committed), w.zxidText(w.zxid(initial)))
		}
	}
	return ""
}

func (w *World) ownHistory(s *server) string {
	p, l := s.ghost.packet, s.ghost.link
	if l.ends[leaderEnd] != s || l.ghost.proving {
		return ""
	}
	switch p.Type {
	case wire.TypeProposal, wire.TypeTrunc, wire.TypeSnap:
		id := w.find(p.Zxid)
		if p.Zxid != 0 && (id == 0 || !s.state.has(id, w.txns[id].depth)) {
			return fmt.Sprintf("server %d sends %v %s, which is not in its history", s.sid, p.Type, w.zxidText(p.Zxid))
		}
	}
	return ""
}

func (w *World) sessionOrder(s *server) string {
	if c := w.reader; c != nil && c.server == s && len(s.state) < c.seen {
		return fmt.Sprintf("client %d has seen %d transactions, server %d shows %d", c.index, c.seen, s.sid, len(s.state))
	}
	return ""
}

func (w *World) freshAfterSync(s *server) string {
	if c := w.reader; len(s.state) < c.asked {
		return fmt.Sprintf("client %d asked for %d transactions, server %d shows %d", c.index, c.asked, s.sid, len(s.state))
	}
	return ""
}

func (w *World) sameDigest(s *server) string {
	t := &w.txns[s.ghost.applied]
	if s.whole != nil {
		return "" // see sameTree
	}
	if got := digestOf(w.txns[s.state.last()].digest, t); got != digestIn(t.data) {
		return fmt.Sprintf("server %d: the digest after %s is %x and not %x", s.sid, w.zxidText(t.zxid), got, digestIn(t.data))
	}
	return ""
}

func (w *World) sessionEnds(*server) string {
	t := &w.txns[w.newest]
	if t.op == jute.OpSetData && w.txns[w.shown.last()].sessions&(1<<uint(t.session)) == 0 {
		return fmt.Sprintf("%s succeeds in session %d, which is not alive", w.zxidText(t.zxid), t.session)
	}
	return ""
}

func (w *World) sessionOwned(*server) string {
	t := &w.txns[w.newest]
	if t.op != jute.OpSetData {
		return ""
	}
	last := &w.lastCxid[t.session]
	if t.cxid <= *last {
		return fmt.Sprintf("request %d of session %d succeeds after %d", t.cxid, t.session, *last)
	}
	*last = t.cxid
	return ""
}

func (w *World) configsOrdered(s *server) string {
	switch {
	case s.committed.Version < s.ghost.before.Version:
		return fmt.Sprintf("server %d goes back from config %x to %x", s.sid, s.ghost.before.Version, s.committed.Version)
	case s.seen.Version < s.committed.Version:
		return fmt.Sprintf("server %d has config %x in force and has seen %x", s.sid, s.committed.Version, s.seen.Version)
	}
	return ""
}

func (w *World) configDecided(s *server) string {
	c, before := s.committed, s.ghost.before
	if c.Version == before.Version {
		return ""
	}
	if s.listening {
		id := w.find(c.Version)
		if id != 0 && s.disk.durable().has(id, w.txns[id].depth) {
			holders := w.mask(func(o *server) bool { return o.disk.blank || o.disk.durable().has(id, w.txns[id].depth) })
			if !w.quorum(before, holders) || !w.quorum(c, holders) {
				return fmt.Sprintf("server %d puts config %x in force, which %07b have", s.sid, c.Version, holders)
			}
		}
		w.decided = append(w.decided, c.Version)
	}
	for _, v := range w.decided {
		if v == c.Version {
			return ""
		}
	}
	return fmt.Sprintf("server %d puts config %x in force, which no leader did", s.sid, c.Version)
}

func (w *World) knowsConfigs(s *server) string {
	v := &s.ghost.vote.Vote
	if v.State != int32(zab.Looking) || v.Leader != s.sid {
		return ""
	}
	if last := w.txns[s.state.last()].members; last > s.seen.Version && slices.Contains(w.decided, last) {
		return fmt.Sprintf("server %d stands with %s and has seen config %x, but its history has %x", s.sid, w.zxidText(w.zxid(s.state)), s.seen.Version, last)
	}
	return ""
}

func (w *World) configsInForce(s *server) string {
	if last := w.txns[s.state.last()].members; s.serving && w.draw.reconfig && last > s.committed.Version {
		return fmt.Sprintf("server %d serves with config %x in force, its state has %x", s.sid, s.committed.Version, last)
	}
	return ""
}

func (w *World) namesVoter(s *server) string {
	p := s.ghost.packet
	if p.Type != wire.TypeCommitAndActivate && p.Type != wire.TypeInformAndActivate {
		return ""
	}
	if c, named := w.txns[w.find(p.Zxid)].config, designatedIn(p); !c.IsVoter(named) {
		return fmt.Sprintf("server %d sends %v %s, which names server %d, no voter of it", s.sid, p.Type, w.zxidText(p.Zxid), named)
	}
	return ""
}

func (w *World) lameSilent(s *server) string {
	if s.serving && s.role == zab.Leading && s.ghost.lame {
		return fmt.Sprintf("server %d commits %s after it has put another leader in its place", s.sid, w.zxidText(w.txns[s.ghost.applied].zxid))
	}
	return ""
}
