package zab

import (
	"fmt"
	"time"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab/wire"
)

// learnerPhase is how far a learner is with its leader.
type learnerPhase int

const (
	learnerDialing   learnerPhase = iota // no link yet
	learnerReturning                     // the state is what the disk has again, and then the same leader is dialled
	learnerJoining                       // FOLLOWERINFO is sent, LEADERINFO is awaited
	learnerPromising                     // acceptedEpoch is being written
	learnerPromised                      // ACKEPOCH is sent, DIFF, TRUNC or SNAP is awaited
	learnerRestoring                     // log or state are being replaced
	learnerSyncing                       // transactions come, until NEWLEADER
	learnerSealing                       // they become durable, then currentEpoch
	learnerSealed                        // ACK is sent, UPTODATE is awaited
	learnerServing                       // broadcast
)

// learner is the role of a follower or an observer. Mirrors Learner, Follower and Observer.
type learner struct {
	n *Node
	// sid is the leader.
	sid      int64
	observer bool
	phase    learnerPhase
	// dial is the attempt under way, link the connection; retryAt is when to dial again.
	dial     DialID
	link     LinkID
	attempts int
	retryAt  time.Duration
	// deadline is when the leader must have said something, Never while it is up to us.
	deadline time.Duration
	// epoch is the leader's.
	epoch int64
	// restoreTo is where a TRUNC or SNAP ends, truncating says that it is a TRUNC.
	restoreTo  int64
	truncating bool
	// sealAt is the last record before NEWLEADER, sealing says that its epoch was given to the disk; config is NEWLEADER's.
	sealAt  int64
	sealing bool
	config  *ensemble.Config
	// acked is the last proposal that was acknowledged.
	acked int64
	// held are packets that came while log or state were being replaced, of heldBytes.
	held      []wire.Packet
	heldBytes int
	// inflight is what the link has not sent, large the size of the last request among it.
	inflight, large int
}

// follow begins the role of a learner of the leader that was elected.
func (n *Node) follow() {
	n.role = Following
	if n.observer() {
		n.role = Observing
	}
	n.learner = &learner{n: n, sid: n.vote.leader, observer: n.role == Observing, retryAt: Never, deadline: n.now + n.opts.ConnectTime}
	n.note("%v %d", n.role, n.vote.leader)
	if n.committed.Server(n.vote.leader) == nil && n.lastSeen.Server(n.vote.leader) == nil {
		n.leave("server %d is in no config", n.vote.leader)
		return
	}
	at := n.dialled + n.opts.ConnectPause
	if n.learner.observer && n.opts.ReconnectPause != nil && n.dialled >= 0 {
		at = max(at, n.now+n.opts.ReconnectPause())
	}
	if n.now < at {
		n.learner.retryAt, n.learner.deadline = at, at+n.opts.ConnectTime
		return
	}
	n.learner.connect()
}

func (l *learner) connect() {
	n := l.n
	n.dials++
	n.dialled = n.now
	l.dial, l.retryAt = n.dials, Never
	l.attempts++
	n.emit(Dial{l.dial, l.sid})
}

func (l *learner) dialFailed(ev DialFailed) {
	n := l.n
	if ev.Dial != l.dial || l.link != 0 {
		return
	}
	if ev.Gone || l.attempts >= n.opts.ConnectAttempts {
		n.leave("server %d cannot be reached: %s", l.sid, ev.Reason)
		return
	}
	l.retryAt = n.now + n.opts.ConnectPause
}

func (l *learner) connected(link LinkID) {
	n := l.n
	if l.link != 0 {
		n.close(link, false, "there is a connection already")
		return
	}
	l.link, l.phase = link, learnerJoining
	l.deadline = n.now + n.opts.initTime()
	info := wire.LearnerInfo{SID: n.opts.SID, ProtocolVersion: wire.ProtocolVersion, ConfigVersion: n.committed.Version}
	kind := wire.TypeFollowerInfo
	if l.observer {
		kind = wire.TypeObserverInfo
	}
	l.send(wire.Packet{Type: kind, Zxid: zxidOf(n.accepted), Data: info.Append(nil)})
}

func (l *learner) send(p wire.Packet) {
	l.inflight += p.Size()
	l.n.send(l.link, p)
}

// fail ends the role because of what the leader sent.
func (l *learner) fail(format string, args ...any) {
	n := l.n
	reason := fmt.Sprintf(format, args...)
	n.close(l.link, true, reason)
	l.link = 0
	n.leave("%s", reason)
}

// heard moves the deadline: a leader may be slow until it is synchronized with a quorum (in Java only until NEWLEADER, but then slow ensembles thrash, see 9.2).
func (l *learner) heard() {
	n := l.n
	switch l.phase {
	case learnerPromising, learnerRestoring, learnerSealing:
		l.deadline = Never
	case learnerServing:
		l.deadline = n.now + n.opts.syncTime()
	default:
		l.deadline = n.now + n.opts.initTime()
	}
}

// receive takes a packet of the leader.
func (l *learner) receive(p wire.Packet) {
	n := l.n
	switch l.phase {
	case learnerJoining:
		l.leaderInfo(p)
	case learnerPromised:
		l.synchronize(p)
	case learnerRestoring:
		// A driver may leave the link unread meanwhile, then there are none.
		l.held = append(l.held, p)
		if l.heldBytes += p.Size(); l.heldBytes > n.opts.OutstandingBytes {
			l.fail("more than %d bytes came while the log was cut", n.opts.OutstandingBytes)
		}
	case learnerSyncing, learnerSealing, learnerSealed, learnerServing:
		l.packet(p)
	default:
		l.fail("%v came before it was asked for", p.Type)
	}
	if n.learner == l {
		l.heard()
	}
}

// leaderInfo is step 3 of 4.8: promise the epoch, at most once and never a lower one.
func (l *learner) leaderInfo(p wire.Packet) {
	n := l.n
	epoch := epochOf(p.Zxid)
	switch {
	case p.Type != wire.TypeLeaderInfo:
		l.fail("%v came for LEADERINFO", p.Type)
	case epoch > maxEpoch || epoch < 0:
		l.fail("the epoch %d cannot be", epoch)
	case epoch < n.accepted && !mutant(lowerEpochAccepted):
		l.fail("the leader's epoch %d is less than the accepted %d", epoch, n.accepted)
	case epoch == n.accepted:
		// It was promised before, to this leader or to one that failed; so it does not count a second time.
		l.epoch = epoch
		if mutant(promiseCountsTwice) {
			l.ackEpoch(n.current)
			return
		}
		l.ackEpoch(-1)
	default:
		l.epoch, l.phase = epoch, learnerPromising
		n.save(AcceptedEpoch, epoch)
		if mutant(ackEpochEarly) {
			l.ackEpoch(n.current)
		}
	}
}

func (l *learner) ackEpoch(current int64) {
	n := l.n
	last := n.log.last()
	if n.synced != last {
		panic(fmt.Sprintf("zab: ACKEPOCH with zxid %#x, of which %#x is durable", last, n.synced))
	}
	if n.untrusted && !mutant(untrustedVotes) || n.unfit && current == -1 {
		last = untrustedZxid
	}
	l.phase = learnerPromised
	ack := wire.AckEpoch{CurrentEpoch: int32(current)}
	l.send(wire.Packet{Type: wire.TypeAckEpoch, Zxid: last, Data: ack.Append(nil)})
}

// synchronize is step 4 of 4.8: what to do with the own history before more comes.
func (l *learner) synchronize(p wire.Packet) {
	n := l.n
	switch p.Type {
	case wire.TypeDiff:
		l.phase = learnerSyncing
		if mutant(epochBeforeLog) {
			l.sealing = true
			n.save(CurrentEpoch, l.epoch)
		}
	case wire.TypeTrunc, wire.TypeSnap:
		if p.Zxid < 0 || epochOf(p.Zxid) > l.epoch {
			l.fail("%v to %s, which is not before the end of epoch %d", p.Type, zxidString(p.Zxid), l.epoch)
			return
		}
		if p.Zxid < n.served && counterOf(n.served) != 0 { // an e.0 names no transaction
			l.fail("%v to %s would take back %s, which clients have seen", p.Type, zxidString(p.Zxid), zxidString(n.served))
			return
		}
		if last := n.log.last(); p.Zxid < last && epochOf(last) == l.epoch && counterOf(last) != 0 && !mutant(takenBackCounted) {
			// This leader proposed it, and a Java leader still counts the acknowledgement. It is committed soon, or the leader loses its quorum.
			l.fail("%v to %s would take back %s, which the leader may count on", p.Type, zxidString(p.Zxid), zxidString(last))
			return
		}
		if p.Type == wire.TypeTrunc && p.Zxid > n.log.last() {
			l.fail("TRUNC to %s, but the log ends at %s", zxidString(p.Zxid), zxidString(n.log.last()))
			return
		}
		n.note("%v to %s, the log ends at %s", p.Type, zxidString(p.Zxid), zxidString(n.log.last()))
		l.phase, l.restoreTo, l.truncating = learnerRestoring, p.Zxid, p.Type == wire.TypeTrunc
		n.dirty = true
		if p.Type == wire.TypeTrunc && mutant(truncForgotten) {
			l.phase = learnerSyncing
			return
		}
		n.restores++
		n.restore = n.restores
		if p.Type == wire.TypeTrunc {
			n.emit(Truncate{n.restore, p.Zxid})
		} else {
			n.emit(InstallSnapshot{n.restore, l.link, p.Zxid})
		}
	default:
		l.fail("%v came for DIFF, TRUNC or SNAP", p.Type)
	}
}

// restored goes on after TRUNC or SNAP. A log that had no record of the zxid to cut at is not what the leader takes it for: with its shorter end it asks
// again.
func (l *learner) restored() {
	n := l.n
	if last := n.log.last(); last != l.restoreTo {
		l.fail("the log ends at %s, not at %s", zxidString(last), zxidString(l.restoreTo))
		return
	}
	l.phase = learnerSyncing
	held := l.held
	l.held, l.heldBytes = nil, 0
	for _, p := range held {
		if n.learner == l {
			l.receive(p)
		}
	}
	l.heard()
}

// comeBack goes back to what the disk has and then to the same leader, as one that needs a snapshot, since the log cannot be cut. That leader has counted the
// promise of this server, and may not be found by an election before it is followed; the next one would have it cut the log again.
func (l *learner) comeBack(reason string) {
	n := l.n
	n.note("TRUNC is not possible: %s", reason)
	n.close(l.link, false, "the log cannot be cut")
	*l = learner{n: n, sid: l.sid, observer: l.observer, phase: learnerReturning, retryAt: Never, deadline: Never}
	n.dirty = false
	n.reload()
}

// packet takes what comes from DIFF, TRUNC or SNAP on: steps 5 to 8 of 4.8, and broadcast.
func (l *learner) packet(p wire.Packet) {
	n := l.n
	switch p.Type {
	case wire.TypeProposal:
		l.proposal(p.Zxid, p.Data)
	case wire.TypeCommit:
		l.commit(p.Zxid, noVote)
	case wire.TypeCommitAndActivate, wire.TypeInformAndActivate:
		var a wire.Activation
		d := jute.NewDecoder(p.Data)
		a.Decode(&d)
		if d.Err() != nil {
			l.fail("%v without a leader", p.Type)
			return
		}
		if p.Type == wire.TypeCommitAndActivate || l.proposal(p.Zxid, a.Txn) {
			l.commit(p.Zxid, a.Leader)
		}
	case wire.TypeInform:
		if l.proposal(p.Zxid, p.Data) {
			l.commit(p.Zxid, noVote)
		}
	case wire.TypeNewLeader:
		l.newLeader(p)
	case wire.TypeUpToDate:
		l.upToDate()
	case wire.TypePing:
		if l.phase == learnerServing { // Java answers none before, so nobody counts on it
			n.emit(EchoPing{l.link, p.Zxid})
		}
	case wire.TypeRevalidate, wire.TypeSync:
		if l.phase == learnerServing {
			n.emit(Deliver{Link: l.link, SID: l.sid, Packet: p})
		}
	default:
		n.warn("the leader sent %v, which is ignored", p.Type)
	}
}

// proposal takes a transaction into the log. It reports whether all is well. A repeated one is dropped: a synchronization may overlap with what a snapshot has (8.1).
func (l *learner) proposal(zxid int64, data []byte) (ok bool) {
	n := l.n
	if zxid <= n.log.last() {
		return true
	}
	r, ok := RecordOf(zxid, data)
	switch {
	case !ok:
		l.fail("the transaction %#x cannot be", zxid)
		return false
	case !Follows(n.log.last(), zxid):
		l.fail("the transaction %s does not follow %s", zxidString(zxid), zxidString(n.log.last()))
		return false
	case epochOf(zxid) > l.epoch:
		l.fail("the transaction %s is of a later epoch than %d", zxidString(zxid), l.epoch)
		return false
	case n.log.pendingBytes()+len(data) > 4*n.opts.OutstandingBytes:
		l.fail("more than %d bytes of proposals are not committed", 4*n.opts.OutstandingBytes)
		return false
	}
	if l.phase < learnerSealed {
		n.dirty = true
	}
	if r.Config != nil {
		if c := l.config; c != nil && c.Version < zxid && c.Version > n.committed.Version && n.activate(c, noVote) {
			// A leader proposes a reconfig only when the one before is committed: that of NEWLEADER, which otherwise is in force at UPTODATE. If it were forgotten, the
			// old config and the new one could decide without it, while it alone decides elsewhere.
			n.leave("the config %x changes the role or the leader", uint64(c.Version))
			return false
		}
		n.see(r.Config)
	}
	n.append(r)
	return true
}

// commit gives the next proposal to the state. Commits come in order (5.3); Java kills its process if not. A reconfig is found wherever it is in line, so that
// its activation is not missed (9.2).
func (l *learner) commit(zxid, designated int64) {
	n := l.n
	if zxid <= n.log.applied {
		return
	}
	next := n.log.after(n.log.applied)
	if len(next) == 0 || next[0].Zxid != zxid {
		l.fail("the commit of %s is out of order, %s is applied", zxidString(zxid), zxidString(n.log.applied))
		return
	}
	if l.phase < learnerSealed {
		n.dirty = true
	}
	config := next[0].Config
	n.apply(zxid)
	if n.serving {
		n.served = zxid
	}
	if designated == noVote || config == nil || l.phase < learnerServing && mutant(activationMissedInSync) {
		return
	}
	if n.activate(config, designated) {
		n.leave("the config %x names leader %d", uint64(config.Version), designated)
	}
}

// newLeader ends the leader's initial history. It is acknowledged when it is durable and so is the epoch: see seal.
func (l *learner) newLeader(p wire.Packet) {
	n := l.n
	if l.phase != learnerSyncing || p.Zxid != zxidOf(l.epoch) {
		l.fail("NEWLEADER %s does not fit epoch %d", zxidString(p.Zxid), l.epoch)
		return
	}
	if len(p.Data) > 1 { // a leader of 3.4 sends none
		if c, err := ensemble.Parse(jute.JavaText(p.Data)); err == nil {
			l.config = c
		} else {
			n.warn("the config in NEWLEADER is left out, as in Java: %v", err)
		}
	}
	l.phase, l.sealAt = learnerSealing, n.log.last()
	l.acked = max(n.log.applied, zxidOf(l.epoch))
}

// seal makes the history that was received this server's own: log on the disk, then the epoch, then ACK (8.3 I16; ZOOKEEPER-4643, 4646, 4785).
func (l *learner) seal() {
	n := l.n
	if l.phase != learnerSealing || (n.synced < l.sealAt || len(n.saving) > 0) && !mutant(newLeaderAckedEarly) {
		return
	}
	if !l.sealing && !mutant(epochNotPersisted) {
		l.sealing = true
		later := false // a reconfig that was proposed since
		for _, r := range n.log.after(l.sealAt) {
			later = later || r.Config != nil
		}
		if c := l.config; c != nil && !later && !l.toCome(c) {
			n.see(c) // not before: if the history is given up, so is what its config takes back
		}
		n.save(CurrentEpoch, l.epoch)
		return
	}
	l.phase = learnerSealed
	n.dirty = false
	l.heard()
	l.send(wire.Packet{Type: wire.TypeAck, Zxid: zxidOf(l.epoch)})
}

// upToDate ends the synchronization: the leader has a quorum.
func (l *learner) upToDate() {
	n := l.n
	if l.phase != learnerSealed {
		l.fail("UPTODATE came before the ACK of NEWLEADER")
		return
	}
	l.send(wire.Packet{Type: wire.TypeAck, Zxid: zxidOf(l.epoch)})
	if c := l.config; c != nil && (!l.proposedOnly(c) || mutant(uncommittedConfigActivated)) && n.activate(c, noVote) {
		n.leave("the config %x changes the role or the leader", uint64(c.Version))
		return
	}
	l.phase = learnerServing
	n.vote.epoch = l.epoch
	n.served = max(n.served, n.log.applied)
	n.serving = true
	n.emit(Serve{n.role, l.sid, l.epoch})
}

// toCome reports whether a config is of a reconfig that this server will get as a proposal behind UPTODATE. Seen now and not logged it would be forgotten at the next start,
// and until then it would stand for the one that it takes the place of, which is in the log and may be in force alone.
func (l *learner) toCome(c *ensemble.Config) bool {
	return epochOf(c.Version) == l.epoch && c.Version > max(l.n.log.last(), zxidOf(l.epoch))
}

// proposedOnly reports whether a config is proposed in this epoch and not committed as far as was told here: it waits for its commit, where Java puts it
// in force (4.9, 9.2). One of an epoch before is completed by this leader's NEWLEADER (6.4).
func (l *learner) proposedOnly(c *ensemble.Config) bool {
	return c.Version > max(l.n.log.applied, zxidOf(l.epoch))
}

// ack acknowledges, one by one, the proposals that are durable: only behind UPTODATE, since an older leader takes an earlier one for
// the ACK of NEWLEADER (ZOOKEEPER-4685). From NEWLEADER on zxids are of the leader's epoch, so they are counted through.
func (l *learner) ack() {
	n := l.n
	durable := n.synced
	if mutant(ackBeforeFsync) {
		durable = n.log.last()
	}
	if l.phase != learnerServing || l.observer || mutant(acksForgotten) {
		return
	}
	for l.acked < durable {
		l.acked++
		l.send(wire.Packet{Type: wire.TypeAck, Zxid: l.acked})
	}
}

// forward sends a request of a client to the leader.
func (l *learner) forward(p wire.Packet) {
	if l.phase == learnerServing {
		l.large = p.Size()
		l.send(p)
	}
}

func (l *learner) tick() {
	n := l.n
	l.seal()
	l.ack()
	switch {
	case n.now >= l.deadline:
		n.leave("the leader is silent")
	case l.inflight-l.large > n.opts.LinkBytes:
		l.fail("the leader takes nothing: %d bytes wait", l.inflight)
	case l.phase == learnerPromising && len(n.saving) == 0:
		l.ackEpoch(n.current)
		l.heard()
	case n.now >= l.retryAt:
		l.connect()
	}
}

func (l *learner) deadlines() time.Duration { return min(l.deadline, l.retryAt) }
