package zab

import (
	"math"
	"sort"
	"time"

	"quoll/ensemble"
	"quoll/zab/wire"
)

// ballot is a vote: for whom, and who says it in what state. Mirrors Vote.
type ballot struct {
	leader, zxid, round, epoch int64
	state                      Role
	version                    int32
}

// Of a server that has nobody to vote for (an observer), and of a database that may not vote.
const (
	noVote        = math.MinInt64
	untrustedZxid = -1
)

// maxRound leaves room for the rounds to come.
const maxRound = 1 << 62

func ballotOf(v wire.Notification) ballot {
	return ballot{v.Leader, v.Zxid, v.Round, v.PeerEpoch, Role(v.State), v.Version}
}

// beats is the order of votes: epoch, then zxid, then who is a voter of c, which all are in Java, then sid; a server without weight is never elected (totalOrderPredicate).
func (b ballot) beats(o ballot, c *ensemble.Config) bool {
	if c.Weight(b.leader) == 0 && !mutant(weightIgnored) {
		return false
	}
	if mutant(zxidBeforeEpoch) && b.zxid != o.zxid {
		return b.zxid > o.zxid
	}
	if b.epoch != o.epoch {
		return b.epoch > o.epoch
	}
	if b.zxid != o.zxid {
		return b.zxid > o.zxid && !mutant(zxidIgnoredInVote)
	}
	if voter := c.IsVoter(b.leader); voter != c.IsVoter(o.leader) {
		return voter // those who have not seen the newer config cannot vote for the other
	}
	return b.leader > o.leader
}

// agrees reports whether two votes are for the same (Vote.equals, section 3.4 "≈"). Established votes need not have the same zxid and round: these differ after
// a hand-over. Votes of 3.4 against later ones only name the leader.
func (b ballot) agrees(o ballot) bool {
	if b.state == Looking || o.state == Looking {
		return b.leader == o.leader && b.zxid == o.zxid && b.round == o.round && b.epoch == o.epoch
	}
	if b.leader != o.leader {
		return false
	}
	return (b.version > 0) != (o.version > 0) || b.epoch == o.epoch
}

// tally is the newest vote of each server, in ascending order of their sids.
type tally []tallied

type tallied struct {
	sid  int64
	vote ballot
}

func (t tally) find(sid int64) (int, bool) {
	i := sort.Search(len(t), func(i int) bool { return t[i].sid >= sid })
	return i, i < len(t) && t[i].sid == sid
}

// put records a vote.
func (t *tally) put(sid int64, b ballot) {
	i, ok := t.find(sid)
	if !ok {
		*t = append(*t, tallied{})
		copy((*t)[i+1:], (*t)[i:])
	}
	(*t)[i] = tallied{sid, b}
}

// supporters are the servers whose vote agrees with b.
func (t tally) supporters(b ballot) ensemble.Set {
	var set ensemble.Set
	for _, v := range t {
		if v.vote.agrees(b) {
			set = append(set, v.sid)
		}
	}
	return set
}

// election is one run of FastLeaderElection.lookForLeader.
type election struct {
	n *Node
	// initial is the vote for this server, proposal what it votes for now.
	initial, proposal ballot
	// votes are those of this round, established those of servers that have a leader in whatever round (recvset, outofelection).
	votes, established tally
	// interval is how long to wait before the votes are sent again at resendAt.
	interval, resendAt time.Duration
	// heardAt is when the one that is proposed has last said so itself, or was proposed.
	heardAt time.Duration
	// settleAt is when the proposal, which has a quorum, has won unless something better comes; Never without a quorum.
	settleAt time.Duration
}

// initialVote is the vote of a server for itself, as far as it may be elected.
func (n *Node) initialVote() ballot {
	b := ballot{leader: n.opts.SID, zxid: n.log.last(), epoch: n.current, round: n.round, version: wire.NotificationVersion}
	if n.untrusted && !mutant(untrustedVotes) {
		b.zxid = untrustedZxid
	}
	switch {
	case n.observer():
		b.leader, b.zxid, b.epoch = noVote, noVote, noVote
	case !n.committed.IsVoter(n.opts.SID):
		b.leader = noVote
	}
	return b
}

// observer reports whether this server is an observer by the config in force. Who is not in it takes part without a vote.
func (n *Node) observer() bool {
	s := n.committed.Server(n.opts.SID)
	return s != nil && s.Role == ensemble.Observer
}

// look begins an election.
func (n *Node) look() {
	n.role = Looking
	// The round of a leader that was followed may be one in which this server voted before, with a history that TRUNC has changed since.
	n.round = max(n.round, n.looked) + 1
	n.promised = max(n.promised, n.accepted)
	n.election = &election{n: n, initial: n.initialVote(), interval: n.opts.MinNotificationInterval, settleAt: Never}
	n.election.resendAt = n.now + n.election.interval
	if n.opts.ReadOnly && !n.readOnly && n.readOnlyAt == Never {
		n.readOnlyAt = n.now + max(2*time.Second, n.opts.Tick)
	}
	n.note("LOOKING in round %d with zxid %s of epoch %d", n.round, zxidString(n.log.last()), n.current)
	n.election.propose(n.election.initial)
}

// hear is the rules on receipt of a vote (section 3.3; R1 and R2 are in package wire).
func (n *Node) hear(h Heard) {
	if h.From == n.opts.SID || h.Vote.Round > maxRound {
		return // nobody else is this server, and nobody has held so many elections
	}
	if n.role == Looking && n.election == nil {
		n.hold(h)
		return
	}
	v := ballotOf(h.Vote)
	if n.role == Looking && n.gossip(h.Vote.Config) { // R3
		return
	}
	switch {
	case !n.votes(h.From): // R4; who has a leader needs no answer, which Java gives, and then an observer and a voter that looks may answer each other for ever
		if v.state != Looking || !n.mayAnswer(h.From) {
			return
		}
		answer := n.vote
		if n.role == Looking {
			answer = n.election.proposal // in Java the vote of the election before, which who lets this server vote takes for one of this round
		}
		answer.round = n.round
		n.emit(Notify{h.From, n.notification(answer)})
	case v.state < Looking || v.state > Observing: // R5
	case n.role == Looking:
		if v.state == Looking && v.round < n.round {
			n.emit(Notify{h.From, n.notification(n.election.proposal)})
		}
		n.election.take(h.From, v)
	case v.state == Looking: // R6
		n.emit(Notify{h.From, n.notification(n.vote)})
		if n.leader != nil {
			n.leader.elector(h.From)
		}
	}
}

// hold keeps a vote for the election that is about to begin: its sender might not repeat it for long. One per sender, the newest; what
// strangers could fill is bounded.
func (n *Node) hold(h Heard) {
	for i := range n.heard {
		if n.heard[i].From == h.From {
			n.heard[i] = h
			return
		}
	}
	if len(n.heard) < 100 {
		n.heard = append(n.heard, h)
		return
	}
	for i := range n.heard {
		if n.votes(h.From) && !n.votes(n.heard[i].From) {
			n.heard[i] = h
			return
		}
	}
}

// mayAnswer reports whether a server without a vote has not been answered for a while: two that look, neither of which lets the other vote, would answer each
// other as fast as the network allows. In Java they do.
func (n *Node) mayAnswer(sid int64) bool {
	free := -1
	for i, a := range n.answered {
		switch late := n.now >= a.at+n.opts.MinNotificationInterval/2; {
		case a.sid == sid && !late:
			return false
		case late && (free < 0 || a.sid == sid):
			free = i
		}
	}
	if free < 0 && len(n.answered) < 100 {
		free = len(n.answered)
		n.answered = append(n.answered, answered{})
	}
	if free >= 0 {
		n.answered[free] = answered{sid, n.now}
	}
	return free >= 0
}

// answered is when a server was answered.
type answered struct {
	sid int64
	at  time.Duration
}

// votes reports whether sid may vote: in the config in force or the last seen one.
func (n *Node) votes(sid int64) bool { return n.committed.IsVoter(sid) || n.lastSeen.IsVoter(sid) }

// quorum reports whether a set of servers can decide: by the config in force and, while a newer one has been seen, by that too. Java asks only the first
// for epochs, but then NEWLEADER needs both; asking early costs nothing and keeps epochs to one leader across a reconfig.
func (n *Node) quorum(set ensemble.Set) bool {
	if !decides(n.committed, set) {
		return false
	}
	return n.lastSeen.Version <= n.committed.Version || mutant(oldQuorumOnly) || decides(n.lastSeen, set)
}

// decides is Config.Quorum, with a place for a mistake.
func decides(c *ensemble.Config, set ensemble.Set) bool {
	if mutant(quorumOffByOne) {
		voters := c.Voters()
		present := 0
		for _, sid := range voters {
			if set.Contains(sid) {
				present++
			}
		}
		return 2*present >= len(voters)-1
	}
	return c.Quorum(set)
}

// propose makes b the vote of this server and tells everybody, itself included.
func (e *election) propose(b ballot) {
	n := e.n
	n.looked, e.heardAt = n.round, n.now
	e.proposal = b
	e.proposal.round, e.proposal.state, e.proposal.version = n.round, Looking, wire.NotificationVersion
	e.settleAt = Never
	e.send()
	e.count(n.opts.SID, e.proposal)
}

// send tells all voters the vote of this server.
func (e *election) send() {
	n := e.n
	vote := n.notification(e.proposal)
	to := n.committed.Voters()
	for _, sid := range n.lastSeen.Voters() {
		to = to.Add(sid)
	}
	for _, sid := range to {
		if sid != n.opts.SID {
			n.emit(Notify{sid, vote})
		}
	}
}

// take takes the vote of another server into account. It may end the election.
func (e *election) take(sid int64, b ballot) {
	n := e.n
	if !n.votes(sid) || !n.votes(b.leader) && b.state != Looking {
		return
	}
	switch b.state {
	case Looking:
		if e.initial.zxid == untrustedZxid || b.zxid == untrustedZxid {
			return
		}
		if mutant(roundIgnored) {
			b.round = max(b.round, n.round)
		}
		if !n.votes(b.leader) {
			// It has a vote only by a config that it does not know, or votes for one that has. Java does not hear it, and when its round is later they never meet.
			if b.round > n.round {
				n.round = b.round
				e.votes = nil
				e.propose(e.initial)
			}
			return
		}
		switch {
		case b.leader == n.opts.SID && b.round >= n.round && (b.zxid != e.initial.zxid || b.epoch != e.initial.epoch):
			// Somebody repeats a vote that is not true any more: a new round for all, or it would win with it.
			n.round = b.round + 1
			e.votes = nil
			e.propose(e.initial)
			return
		case b.round > n.round:
			n.round = b.round
			e.votes = nil
			if b.beats(e.initial, n.committed) {
				e.propose(b)
			} else {
				e.propose(e.initial)
			}
		case b.round < n.round:
			return // hear has answered it
		case b.beats(e.proposal, n.committed):
			e.propose(b)
		case !b.agrees(e.proposal) && e.news(sid, b):
			// It may have been following still when the better vote came to it. In Java it waits until that is sent again, in 200 ms.
			n.emit(Notify{sid, n.notification(e.proposal)})
		}
		if sid == b.leader && b.agrees(e.proposal) {
			e.heardAt = n.now
		}
		e.count(sid, b)
	case Following, Leading:
		if b.round == n.round {
			e.votes.put(sid, b)
			if e.elected(e.votes, b) {
				e.decide(b, e.votes.supporters(b))
				return
			}
		}
		e.established.put(sid, b)
		if e.elected(e.established, b) {
			n.round = b.round
			e.decide(b, e.established.supporters(b))
		}
	}
}

// news reports whether b is not the vote of sid that is known, so that it is answered once.
func (e *election) news(sid int64, b ballot) bool {
	i, ok := e.votes.find(sid)
	return !ok || !e.votes[i].vote.agrees(b)
}

// count records a vote of this round and sees whether the proposal has a quorum now. Java waits for FinalizeWait without a vote that is better, and
// forgets the others that come meanwhile; here they are counted.
func (e *election) count(sid int64, b ballot) {
	n := e.n
	if n.votes(sid) && n.votes(b.leader) && b.zxid != untrustedZxid {
		e.votes.put(sid, b)
	}
	switch won := n.quorum(e.votes.supporters(e.proposal)); {
	case !won:
		e.settleAt = Never
	case e.settleAt == Never:
		e.settleAt = n.now + n.opts.FinalizeWait
	}
}

// elected reports whether b, the vote of a server that has a leader, has a quorum, and that leader says itself that it leads: nobody follows one that
// does not know it (FastLeaderElection.checkLeader). To follow it the quorum of the config in force is enough: in Java a server that has seen a config that
// the leader knows nothing of stays out for ever.
func (e *election) elected(t tally, b ballot) bool {
	n := e.n
	supporters := t.supporters(b)
	if b.leader == n.opts.SID {
		return b.round == n.round && n.quorum(supporters)
	}
	i, ok := t.find(b.leader)
	leads := ok && t[i].vote.state == Leading && t[i].vote.leader == b.leader // one that has put another in its place says LEADING too, also in Java, and names that one
	return decides(n.committed, supporters) && (leads || mutant(leaderNotAsked))
}

// decide ends the election.
func (e *election) decide(b ballot, supporters ensemble.Set) {
	n := e.n
	b.version = wire.NotificationVersion
	n.vote = b
	n.enter()
	if n.leader != nil {
		n.leader.electors = supporters
	}
}

func (e *election) tick() {
	n := e.n
	if n.now >= e.settleAt {
		e.decide(e.proposal, e.votes.supporters(e.proposal))
		return
	}
	if n.now >= e.resendAt {
		switch {
		case e.proposal.leader == noVote && n.lastSeen.IsVoter(n.opts.SID) && !n.observer() && e.interval > 2*n.opts.MinNotificationInterval:
			// Nobody of the config in force is as far as this server, which only the config that was seen lets vote, since only it has
			// that reconfig in its log. The votes of both configs are needed, so nobody else can win; in Java nobody does.
			e.initial.leader = n.opts.SID
			e.propose(e.initial)
		case e.proposal.leader != e.initial.leader && n.now >= e.heardAt+2*n.opts.MaxNotificationInterval:
			// It is gone, and those whose votes it lacks cannot hear of it. In Java they vote for it as long as they live.
			n.round++
			e.votes = nil
			e.propose(e.initial)
		default:
			e.send()
		}
		e.interval = min(2*e.interval, n.opts.MaxNotificationInterval)
		e.resendAt = n.now + e.interval
	}
}

func (e *election) deadlines() time.Duration { return min(e.settleAt, e.resendAt) }
