package zabtest

import (
	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab"
	"quoll/zab/wire"
)

// ghost is what nobody in an ensemble knows, but invariants speak of (section 8.2).
type ghost struct {
	// shown is the longest sequence of transactions that any server delivered to clients: what is committed.
	shown history
	// shownIn are the epochs in which they were.
	shownIn []int64
	// inForce is the newest config that any server put in force.
	inForce *ensemble.Config
	// decided are the versions of the configs that a leader put in force.
	decided []int64
	// reigns are the leaders by epoch.
	reigns []reign
	// lastCxid is that of the last write of each session.
	lastCxid [maxSessions]int32
	// newest is the transaction that was just shown, reader the client that reads.
	newest txnID
	reader *client
}

// reign is what is known of an epoch.
type reign struct {
	leader  int8
	life    uint32
	initial history
}

func (g *ghost) reset(w *World) {
	*g = ghost{shown: g.shown[:0], shownIn: g.shownIn[:0], inForce: w.first, decided: append(g.decided[:0], w.first.Version), reigns: g.reigns[:0]}
}

// reign returns what is known of an epoch.
func (g *ghost) reign(epoch int64) *reign {
	for int64(len(g.reigns)) <= epoch {
		g.reigns = append(g.reigns, reign{leader: -1})
	}
	return &g.reigns[epoch]
}

// serverGhost is what is known of a server.
type serverGhost struct {
	// What is being done: the packet and its link, the vote, the epoch, the transaction, the leader dialled (or itself), the service that begins, the
	// config before.
	packet  *wire.Packet
	link    *link
	vote    *zab.Notify
	epoch   zab.PersistEpoch
	applied txnID
	dials   int64
	serve   zab.Serve
	before  *ensemble.Config
	// incoming is the snapshot behind the last SNAP.
	incoming history
	// cause is the type of the packet that came last, 0 if it was a vote.
	cause wire.Type

	// role is what the server does, found the leader whose election was looked at.
	role  zab.Role
	found int64
	// said is this server's last vote in an election, heard are those of others since it looks.
	said  ballot
	heard []ballot
	// designated are the leaders that may be followed without an election; handOver says that any may.
	designated uint16
	handOver   bool
	// lame says that this leader has put another one in its place.
	lame bool

	// promised is the last epoch for which ACKEPOCH was sent with a currentEpoch. It outlives the server, as the rest below.
	promised int64
	// ackedEpoch and acked are the epoch of the last ACK of NEWLEADER and the length of the history that was acknowledged since.
	ackedEpoch int64
	acked      int
	// matched is how much of the durable history is known to be shown.
	matched int
	// verified is how much of the state is known to be what was shown.
	verified int
}

// start forgets what belongs to a life.
func (g *serverGhost) start() {
	g.enter(zab.Looking)
	g.designated, g.handOver, g.lame, g.verified = 0, false, false, 0
}

// wiped forgets what the disk knew.
func (g *serverGhost) wiped() {
	g.promised, g.matched = -1, 0
}

// enter notes that another role began.
func (g *serverGhost) enter(role zab.Role) {
	if role == zab.Looking {
		g.said, g.heard = ballot{}, g.heard[:0]
	}
	if role == zab.Leading {
		g.lame = false
	}
	g.role, g.found = role, 0
}

// ballot is a vote of a server, whose index is from.
type ballot struct {
	from                       int8
	state                      zab.Role
	leader, zxid, round, epoch int64
}

func ballotOf(from *server, v *wire.Notification) ballot {
	return ballot{from.index, zab.Role(v.State), v.Leader, v.Zxid, v.Round, v.PeerEpoch}
}

// same reports whether two votes are for the same leader with the same history in the same round.
func (b *ballot) same(o *ballot) bool {
	return b.leader == o.leader && b.zxid == o.zxid && b.round == o.round && b.epoch == o.epoch
}

// hear notes a vote. One of a server without a database does not count.
func (g *serverGhost) hear(from *server, v *wire.Notification) {
	g.cause = 0
	if v.Zxid != -1 {
		g.heard = append(g.heard, ballotOf(from, v))
	}
}

// linkGhost is what went over a link.
type linkGhost struct {
	// epoch is that of LEADERINFO, last where the learner's history ended.
	epoch, last int64
	untrusted   bool
	// method is how the learner was synchronized, txns how many transactions came with it, fromLog that some were read from the disk.
	method  wire.Type
	txns    int
	fromLog bool
	// proposed and committed are the last transactions that the leader sent.
	proposed, committed int64
	// proving says that NEWLEADER was sent, acked that it was acknowledged.
	proving, acked bool
}

// sends looks at a packet that a server hands to a link, and takes note of it.
func (w *World) sends(s *server, l *link, p *wire.Packet) {
	s.ghost.packet, s.ghost.link = p, l
	w.look(atSend, s)
	s.ghost.packet, s.ghost.link = nil, nil
	if l.ends[learnerEnd] == s {
		w.learnerSent(s, l, p)
	} else {
		w.leaderSent(s, l, p)
	}
}

func (w *World) learnerSent(s *server, l *link, p *wire.Packet) {
	g := &l.ghost
	switch {
	case p.Type == wire.TypeAckEpoch:
		g.last, g.untrusted = p.Zxid, p.Zxid == -1
	case p.Type == wire.TypeAck && !g.acked:
		g.acked = true
		s.ghost.ackedEpoch, s.ghost.acked = p.Zxid>>32, len(s.disk.durable())
		if g.untrusted {
			w.cover.hit(pointUntrustedSynced)
		}
	case p.Type == wire.TypeAck && uint32(p.Zxid) != 0:
		s.ghost.acked = max(s.ghost.acked, w.txns[w.find(p.Zxid)].depth)
	}
}

func (w *World) leaderSent(s *server, l *link, p *wire.Packet) {
	g := &l.ghost
	switch p.Type {
	case wire.TypeLeaderInfo:
		g.epoch = p.Zxid >> 32
	case wire.TypeDiff:
		g.method, g.proposed, g.committed = p.Type, g.last, g.last
	case wire.TypeTrunc, wire.TypeSnap:
		g.method, g.proposed, g.committed = p.Type, p.Zxid, p.Zxid
	case wire.TypeProposal:
		g.proposed = p.Zxid
		if !g.proving {
			g.txns++
		}
	case wire.TypeCommit:
		g.committed = p.Zxid
	case wire.TypeInform:
		g.proposed, g.committed = p.Zxid, p.Zxid
	case wire.TypeCommitAndActivate, wire.TypeInformAndActivate:
		g.proposed, g.committed = max(g.proposed, p.Zxid), p.Zxid
		if d := designatedIn(p); d != s.sid {
			s.ghost.lame = true
			s.ghost.designate(d)
		}
	case wire.TypeNewLeader:
		g.proving = true
		w.cover.hit(g.kind())
	}
}

// kind is how the learner of a link was synchronized.
func (g *linkGhost) kind() point {
	switch {
	case g.method == wire.TypeDiff && g.txns == 0:
		return pointDiffEmpty
	case g.method == wire.TypeDiff && g.fromLog:
		return pointDiffFromLog
	case g.method == wire.TypeDiff:
		return pointDiffWithTxns
	case g.method == wire.TypeTrunc:
		return pointTrunc
	case g.txns == 0:
		return pointSnapOnly
	}
	return pointSnapWithTxns
}

// designatedIn is the leader that a COMMITANDACTIVATE or INFORMANDACTIVATE names.
func designatedIn(p *wire.Packet) int64 {
	var a wire.Activation
	d := jute.NewDecoder(p.Data)
	a.Decode(&d)
	return a.Leader
}

// designate notes that a leader may be followed without an election.
func (g *serverGhost) designate(sid int64) {
	if sid >= 1 && sid <= maxServers {
		g.designated |= 1 << (sid - 1)
	}
}

// receives takes note of a packet that arrives.
func (g *serverGhost) receives(p *wire.Packet) {
	g.cause = p.Type
	if p.Type == wire.TypeCommitAndActivate || p.Type == wire.TypeInformAndActivate {
		g.designate(designatedIn(p))
	}
}

// notifies looks at a vote that a server sends. With one of an election what a reconfig said is over.
func (w *World) notifies(s *server, e *zab.Notify) {
	g := &s.ghost
	g.vote = e
	w.look(atVote, s)
	g.vote = nil
	// What those get who have no vote is no vote of the election.
	if e.Vote.State == int32(zab.Looking) && (s.committed.IsVoter(e.To) || s.seen.IsVoter(e.To)) {
		g.designated, g.handOver, g.said = 0, false, ballotOf(s, &e.Vote)
	}
}

// applies looks at a transaction that is given to the state.
func (w *World) applies(s *server, id txnID) {
	s.ghost.applied = id
	w.look(atApply, s)
	s.ghost.applied = 0
}

// configures looks at the configs that a server has now, and takes note of how it came to them.
func (w *World) configures(s *server, before, seen *ensemble.Config) {
	g := &s.ghost
	g.before = before
	w.look(atConfigure, s)
	if s.seen.Version < seen.Version {
		w.cover.hit(pointSeenTakenBack)
	}
	if s.committed.Version == before.Version {
		return
	}
	if s.committed.Version > w.inForce.Version {
		w.inForce = s.committed
	}
	if g.cause != 0 || s.listening {
		g.handOver = true
	}
	switch a, b := before.Server(s.sid), s.committed.Server(s.sid); {
	case (a == nil) != (b == nil), a != nil && b != nil && a.Role != b.Role:
		w.cover.hit(pointRoleChanged)
	}
	switch {
	case s.listening:
	case g.cause == 0:
		w.cover.hit(pointActivatedByGossip)
	case g.cause == wire.TypeUpToDate:
		w.cover.hit(pointActivatedByNewLeader)
	default:
		w.cover.hit(pointActivatedByCommit)
	}
}

// identify finds the transaction of a record, which must be as it was proposed.
func (w *World) identify(s *server, r *zab.Record) txnID {
	id := w.find(r.Zxid)
	if id == 0 {
		w.violate("I9", "server %d has %s, which nobody proposed", s.sid, w.zxidText(r.Zxid))
	}
	t := &w.txns[id]
	if string(t.data) != string(r.Data) || (t.config == nil) != (r.Config == nil) {
		w.violate("I9", "server %d has another %s than was proposed", s.sid, w.zxidText(r.Zxid))
	}
	return id
}

// show delivers the state of a serving server to clients.
func (w *World) show(s *server) {
	for i := s.ghost.verified; i < len(s.state); i++ {
		if i < len(w.shown) {
			if w.shown[i] != s.state[i] {
				w.violate("I10", "server %d shows %s as number %d, another server showed %s", s.sid, w.zxidText(w.txns[s.state[i]].zxid), i+1, w.zxidText(w.txns[w.shown[i]].zxid))
			}
			continue
		}
		w.newest = s.state[i]
		w.look(atShown, s)
		w.shown = append(w.shown, w.newest)
		w.shownIn = append(w.shownIn, s.ghost.serve.Epoch)
		if w.txns[w.newest].config != nil {
			w.cover.hit(pointReconfigCommitted)
		}
		w.look(atGrown, s)
	}
	s.ghost.verified = len(s.state)
}

// matched is how much of what was shown is in the durable history of a server.
func (w *World) matched(s *server) int {
	d := s.disk.durable()
	m := min(s.ghost.matched, len(d))
	for m < len(d) && m < len(w.shown) && d[m] == w.shown[m] {
		m++
	}
	s.ghost.matched = m
	return m
}

// holders are the servers that acknowledged a transaction and have it on their disks; the leader counts when it has it. One that lost its disk since
// counts too: nobody is elected with its vote.
func (w *World) holders(leader *server, id txnID) uint16 {
	depth := w.txns[id].depth
	return w.mask(func(s *server) bool {
		if s == leader {
			return s.disk.durable().has(id, depth)
		}
		held := s.disk.blank || s.disk.durable().has(id, depth)
		epoch := leader.ghost.serve.Epoch
		return held && (s.ghost.ackedEpoch == epoch && s.ghost.acked >= depth || s.ghost.ackedEpoch > epoch)
	})
}

// decides reports whether the servers of a mask may decide by what s knows: the config in force and a newer one that it has seen.
func (w *World) decides(s *server, mask uint16) bool {
	return w.quorum(s.committed, mask) && (s.seen.Version <= s.committed.Version || w.quorum(s.seen, mask))
}

// live reports whether the servers of a mask, left alone, can decide: those of them that have their disks are a quorum of the newest config in force, of the
// newest that is in force on one of them, and of each newer one that one of them has seen; and nobody has more than each voter of the one in force,
// since those who have not seen a newer one cannot follow others.
func (w *World) live(mask uint16) bool {
	mask &= w.mask(func(s *server) bool { return !s.disk.blank })
	newest := w.first
	for _, s := range w.servers {
		if mask>>s.index&1 == 1 && s.disk.committed.Version > newest.Version {
			newest = s.disk.committed
		}
	}
	if !w.quorum(w.inForce, mask) || !w.quorum(newest, mask) {
		return false
	}
	electable := w.mask(func(s *server) bool {
		return mask>>s.index&1 == 1 && newest.IsVoter(s.sid) && newest.Weight(s.sid) > 0 && w.mask(func(o *server) bool { return mask>>o.index&1 == 1 && w.ahead(o, s) }) == 0
	})
	if electable == 0 {
		return false
	}
	for _, s := range w.servers {
		seen := s.disk.seen
		if s.up {
			_, seen = s.node.Configs() // it may be on its way to others
		} else if mask>>s.index&1 == 0 {
			continue
		}
		if seen.Version > newest.Version && !w.quorum(seen, mask) {
			return false
		}
	}
	return true
}

// ahead reports whether a has more on its disk than b: what decides elections.
func (w *World) ahead(a, b *server) bool {
	e, o := a.disk.epochs[zab.CurrentEpoch], b.disk.epochs[zab.CurrentEpoch]
	return e > o || e == o && w.zxid(a.disk.durable()) > w.zxid(b.disk.durable())
}

// epochDurable sees what becomes durable in an epoch file.
func (w *World) epochDurable(s *server, file zab.EpochFile, epoch int64) {
	if epoch < s.disk.epochs[file] {
		w.violate("I2", "server %d: %v goes back from %d to %d", s.sid, file, s.disk.epochs[file], epoch)
	}
}
