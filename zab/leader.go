package zab

import (
	"fmt"
	"time"

	"quoll/ensemble"
	"quoll/zab/wire"
)

// leaderPhase is how far a leader is (section 4.4).
type leaderPhase int

const (
	leaderJoining       leaderPhase = iota // a quorum of FOLLOWERINFO is awaited, which chooses the epoch
	leaderAccepting                        // acceptedEpoch is being written
	leaderPromising                        // LEADERINFO is out, a quorum of ACKEPOCH is awaited
	leaderAdopting                         // currentEpoch is being written
	leaderSynchronizing                    // a quorum of ACK(NEWLEADER) is awaited
	leaderBroadcasting                     // the epoch is established
)

// leader is the role of a leader. Mirrors Leader.
type leader struct {
	n     *Node
	phase leaderPhase
	// epoch is the one to choose, greater than any accepted by a member that joined; from leaderAccepting on the one chosen.
	epoch int64
	// current and last are this server's history when it began: who has more must lead instead (rule A).
	current, last int64
	// joined, promised and proved are who sent FOLLOWERINFO, ACKEPOCH and ACK(NEWLEADER), this server included once its own disk is that far. An observer that the config
	// seen last lets vote is among them: it votes in elections too, and if a reconfig needs it, nobody else can complete that.
	joined, promised, proved ensemble.Set
	// cut are those that were sent TRUNC and have not acknowledged NEWLEADER since.
	cut ensemble.Set
	// electors are who voted for this leader.
	electors ensemble.Set
	// began is when the role began, deadline when the phase must end.
	began, deadline time.Duration
	// peers are the links of learners in ascending order of LinkID.
	peers []*peer
	// proposed is the last zxid proposed: e.0 at first.
	proposed int64
	// lame says that another leader was designated: nothing is committed any more (8.3 I26).
	lame bool
	// designated are the leaders that the reconfigs of this epoch named, by zxid.
	designated []designated
	// synced is what this server's disk had at syncedAt, when it last had all or got on.
	synced   int64
	syncedAt time.Duration
	// pingAt is when to ping and to look whether there is still a quorum.
	pingAt time.Duration
	// syncs wait for their commit and for a round of probes, in order; probe counts the rounds.
	syncs []waitingSync
	probe uint64
	// acks is memory for sets of servers.
	acks ensemble.Set
}

// waitingSync is a sync that may be answered when zxid is committed and a quorum has echoed the probe.
type waitingSync struct {
	Sync
	zxid  int64
	probe uint64
}

// designated is the leader that a reconfig named.
type designated struct{ zxid, leader int64 }

// lead begins the role of the leader.
func (n *Node) lead() {
	n.role = Leading
	n.leader = &leader{n: n, epoch: -1, current: n.current, last: n.log.last(), began: n.now, deadline: n.now + n.opts.initTime(), pingAt: Never}
	n.note("LEADING with zxid %s of epoch %d", zxidString(n.log.last()), n.current)
	n.emit(Listen{On: true})
	n.leader.join(n.opts.SID, n.accepted)
}

// shutdown ends the role.
func (l *leader) shutdown() {
	n := l.n
	n.emit(Listen{On: false})
	for _, p := range l.peers {
		n.close(p.link, false, "the leader ends")
	}
	l.peers = nil
}

// elector is told that a server looks for a leader while this one leads.
func (l *leader) elector(sid int64) {
	n := l.n
	if l.phase == leaderJoining && n.opts.MaxTimeToWaitForEpoch > 0 && n.now >= l.began+n.opts.MaxTimeToWaitForEpoch && l.electors.Contains(sid) {
		n.leave("server %d, which elected this one, looks again", sid)
	}
}

// join is rule J: the epoch becomes greater than what any member has accepted. Java listens to strangers too, who so can use up the epochs (9.2).
func (l *leader) join(sid, accepted int64) {
	n := l.n
	if l.phase != leaderJoining {
		return
	}
	if l.member(sid) || mutant(strangersCountInJoin) {
		if accepted = max(accepted, n.promised); accepted >= l.epoch {
			l.epoch = accepted + 1
			if mutant(epochReused) {
				l.epoch = accepted
			}
		}
		l.joined = l.joined.Add(sid)
	}
}

// member reports whether a server has a place in the config in force or the last seen one.
func (l *leader) member(sid int64) bool {
	return l.n.committed.Server(sid) != nil || l.n.lastSeen.Server(sid) != nil
}

// ackEpoch is rule A: a quorum must hold no more than this server does. It reports what is wrong with who does. Who follows this server has voted for it with what it has now, or
// was told by a quorum that they follow it; so what is ahead here is hardly ever committed, as long as elections are right. This does not rely on them.
func (l *leader) ackEpoch(sid, current, last int64) (problem string) {
	if l.phase > leaderPromising || current == -1 {
		return ""
	}
	if current > l.current || current == l.current && last > l.last {
		return fmt.Sprintf("the follower is ahead: zxid %s of epoch %d against %s of epoch %d", zxidString(last), current, zxidString(l.last), l.current)
	}
	if last != untrustedZxid {
		l.promised = l.promised.Add(sid)
	}
	return ""
}

// advance goes to the next phase when its quorum is there and the disk is.
func (l *leader) advance() {
	n := l.n
	me := n.opts.SID
	switch l.phase {
	case leaderJoining:
		if !l.joined.Contains(me) || !n.quorum(l.joined) {
			return
		}
		if l.epoch > maxEpoch {
			n.leave("there is no epoch after %d", l.epoch-1)
			return
		}
		l.enter(leaderAccepting)
		n.save(AcceptedEpoch, l.epoch)
	case leaderAccepting:
		if (n.accepted != l.epoch || len(n.saving) > 0) && !mutant(leaderInfoEarly) {
			return
		}
		l.enter(leaderPromising)
		l.proposed = zxidOf(l.epoch)
		if problem := l.ackEpoch(me, l.current, l.ownLast()); problem != "" {
			panic("zab: " + problem)
		}
		for _, p := range l.peers {
			if p.phase == peerJoined {
				p.leaderInfo()
			}
		}
	case leaderPromising:
		if l.promised.Contains(me) && n.quorum(l.promised) {
			l.enter(leaderAdopting)
			n.save(CurrentEpoch, l.epoch)
		}
	case leaderAdopting:
		if n.current != l.epoch || len(n.saving) > 0 {
			return
		}
		l.enter(leaderSynchronizing)
		l.proved = l.proved.Add(me)
		l.pingAt = n.now + n.opts.Tick/2
		if n.committed.Version == 0 && n.lastSeen.Version == 0 && n.opts.Reconfig {
			// So that it beats configs of servers that were never part of it (6.4).
			c := *n.committed
			c.Version = zxidOf(l.epoch)
			n.see(&c)
		}
	case leaderSynchronizing:
		if l.proved.Contains(me) && n.quorum(l.proved) {
			l.establish()
		}
	}
}

// ownLast is the zxid of this server as its own follower.
func (l *leader) ownLast() int64 {
	if l.n.untrusted {
		return untrustedZxid
	}
	return l.last
}

func (l *leader) enter(phase leaderPhase) {
	l.phase = phase
	l.deadline = l.n.now + l.n.opts.initTime()
}

// establish begins broadcast: a quorum holds the history durably, so it is committed. A config that is only seen is completed (6.4).
func (l *leader) establish() {
	n := l.n
	if n.log.applied != n.log.last() || n.synced != n.log.last() {
		panic(fmt.Sprintf("zab: epoch %d begins with zxid %#x, applied %#x, durable %#x", l.epoch, n.log.last(), n.log.applied, n.synced))
	}
	l.phase, l.deadline = leaderBroadcasting, Never
	if c := n.lastSeen; c.Version > n.committed.Version {
		l.activate(c, l.designate(c))
	}
	n.vote.epoch = l.epoch
	n.serving, n.served = true, n.log.applied
	n.note("epoch %d is established, the history ends at %s", l.epoch, zxidString(n.log.last()))
	n.emit(Serve{Leading, n.opts.SID, l.epoch})
}

// activate puts a config in force that its quorums have. If another leader is designated, this one is left by its learners and then leaves too.
func (l *leader) activate(c *ensemble.Config, designated int64) {
	n := l.n
	n.activate(c, designated)
	if designated != n.opts.SID {
		n.note("server %d is designated to lead", designated)
		l.lame = !mutant(lameLeaderCommits)
		l.deadline = n.now + n.opts.syncTime()
	}
}

// connected returns who is there to decide: this server, and the followers that are at least at the phase. Who is connected as an observer acknowledges
// nothing, even if a config that is only proposed lets it vote; in Java it counts for staying leader, and the reconfig may hang for ever.
func (l *leader) connected(phase peerPhase) ensemble.Set {
	set := ensemble.Set{l.n.opts.SID}
	for _, p := range l.peers {
		if p.phase >= phase && !p.observer {
			set = set.Add(p.sid)
		}
	}
	return set
}

// checkQuorum ends the role when too few learners are left. In Java that takes up to a tick, in which the old leader answers reads; it is looked at twice a
// tick here, and at once by a leader that others were told to leave.
func (l *leader) checkQuorum() {
	n := l.n
	if l.phase == leaderBroadcasting && !n.quorum(l.connected(peerJoined)) && !mutant(quorumLossIgnored) {
		n.leave("the learners that are left are no quorum")
	}
}

func (l *leader) tick() {
	n := l.n
	for phase := leaderPhase(-1); phase != l.phase; {
		phase = l.phase
		l.advance()
		if n.leader != l {
			return
		}
	}
	if n.now >= l.deadline {
		n.leave("its time is over in phase %d", l.phase)
		return
	}
	if n.synced != l.synced || n.synced == n.log.last() {
		l.synced, l.syncedAt = n.synced, n.now
	} else if n.now >= l.syncedAt+n.opts.syncTime() {
		// A follower would be cut off for that; who has a better disk can lead. Java waits for ever.
		n.leave("its disk does not get on behind %s", zxidString(n.synced))
		return
	}
	l.commit()
	if l.exhausted() {
		n.leave("the zxids of epoch %d are used up", l.epoch)
		return
	}
	if n.now >= l.pingAt {
		l.pingAt = n.now + n.opts.Tick/2
		l.ping()
		l.checkQuorum()
		if n.leader != l {
			return
		}
	}
	l.limitStrangers()
	for i := 0; i < len(l.peers); {
		p := l.peers[i]
		p.tick()
		if i < len(l.peers) && l.peers[i] == p {
			i++
		}
	}
	l.answerSyncs()
	if l.lame {
		l.checkQuorum()
	}
}

// limitStrangers cuts off the learner that is no member and lets most bytes wait, when they all together let more wait than one link may. So each of them costs little more
// than a window, however many there are.
func (l *leader) limitStrangers() {
	waiting, most := 0, (*peer)(nil)
	for _, p := range l.peers {
		excess := p.excess()
		if excess <= 0 || l.member(p.sid) {
			continue
		}
		waiting += excess
		if most == nil || excess > most.excess() {
			most = p
		}
	}
	if waiting > l.n.opts.LinkBytes {
		most.fail("it is too slow: it and others that are no members let %d bytes wait", waiting)
	}
}

func (l *leader) deadlines() time.Duration {
	at := min(l.deadline, l.pingAt)
	for _, p := range l.peers {
		at = min(at, p.deadline)
	}
	return at
}

// ping tells learners that the leader lives, and that they are synchronized with it when they wait for that. Every round is a probe.
func (l *leader) ping() {
	l.probe++
	for _, p := range l.peers {
		if p.phase >= peerProving {
			p.ping(l.probe)
		}
	}
}

// ask starts a round of probes for a sync. Who owes an echo is asked when that comes: however many syncs there are, a slow learner is owed one PING.
func (l *leader) ask() {
	l.probe++
	for _, p := range l.peers {
		p.ask()
	}
}

// find returns the peer of a link, or nil.
func (l *leader) find(link LinkID) *peer {
	for _, p := range l.peers {
		if p.link == link {
			return p
		}
	}
	return nil
}

// remove forgets a peer.
func (l *leader) remove(p *peer) {
	for i := range l.peers {
		if l.peers[i] == p {
			l.peers = append(l.peers[:i], l.peers[i+1:]...)
			break
		}
	}
	for i := range l.syncs {
		if l.syncs[i].Link == p.link {
			l.syncs[i].Link = 0
			l.syncs[i].probe = 0 // nobody waits for it
		}
	}
}

func (l *leader) linkDown(ev LinkDown) {
	if p := l.find(ev.Link); p != nil {
		p.note(false, "is gone: %s", ev.Reason)
		l.remove(p)
	}
}

func (l *leader) accept(link LinkID) {
	n := l.n
	if l.find(link) != nil {
		panic(fmt.Sprintf("zab: link %d came up twice", link))
	}
	l.peers = append(l.peers, &peer{l: l, link: link, deadline: n.now + n.opts.initTime()})
}

func (l *leader) receive(link LinkID, p wire.Packet) {
	if peer := l.find(link); peer != nil {
		peer.receive(p)
	}
}

func (l *leader) drained(ev Sent) {
	if p := l.find(ev.Link); p != nil {
		p.drained(ev)
	}
}

// sent returns the last transaction that all learners were sent, as far as they are told the history.
func (l *leader) sent() int64 {
	zxid := l.n.log.applied
	for _, p := range l.peers {
		if p.phase >= peerSyncing {
			zxid = min(zxid, p.proposedTo)
		}
	}
	return zxid
}

func (l *leader) logRead(ev LogRead) {
	if p := l.find(ev.Link); p != nil {
		p.logRead(ev)
	}
}

func (l *leader) reply(ev Reply) {
	if p := l.find(ev.Link); p != nil && p.phase == peerLive {
		p.send(ev.Packet)
	}
}

// status describes the peers.
func (l *leader) status() (learners []LearnerStatus, syncing int) {
	for _, p := range l.peers {
		if p.phase != peerLive {
			syncing++
			continue
		}
		i := 0
		for i < len(learners) && learners[i].SID < p.sid {
			i++
		}
		s := LearnerStatus{Link: p.link, SID: p.sid, Observer: p.observer, Acked: p.acked, Sent: p.proposedTo}
		learners = append(learners[:i], append([]LearnerStatus{s}, learners[i:]...)...)
	}
	return learners, syncing
}
