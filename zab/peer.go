package zab

import (
	"fmt"
	"math"
	"time"

	"quoll/jute"
	"quoll/zab/wire"
)

// peerPhase is how far a leader is with a learner (section 4.5).
type peerPhase int

const (
	peerNew       peerPhase = iota // FOLLOWERINFO or OBSERVERINFO is awaited
	peerJoined                     // the epoch is being chosen
	peerPromising                  // LEADERINFO is sent, ACKEPOCH is awaited
	peerPromised                   // the epoch is being adopted
	peerChoosing                   // the log is read to see whether it reaches back far enough
	peerSyncing                    // history or snapshot go out
	peerProving                    // NEWLEADER is sent, its ACK is awaited
	peerAcked                      // a quorum of those is awaited
	peerLive                       // UPTODATE is sent
)

// peer is a learner as its leader sees it: one link. Mirrors LearnerHandler.
//
// It has no queue of proposals. Two cursors in the leader's history say what it was sent; the rest is sent as the link drains, so that a slow
// learner costs no memory. Between NEWLEADER and UPTODATE nothing of the history is sent: Java leaders do that, and Java learners are at their
// weakest there (4.9: 4394, 4646, missed activation).
type peer struct {
	l        *leader
	link     LinkID
	sid      int64
	observer bool
	phase    peerPhase
	// deadline is when the learner must have said something, or taken something from its link; Never while it is up to us.
	deadline time.Duration
	// inflight is how many bytes the link has not sent, large those of the last transaction that was handed to it: however large, it is no reason to call the
	// learner slow.
	inflight, large int

	// last is where its history ends, as it said in ACKEPOCH; it may be an e.0, for which there is no transaction.
	last int64
	// unsealed says that its history is of a later epoch than its currentEpoch: a synchronization that broke off left it, maybe as a snapshot.
	unsealed bool
	// method is how it is synchronized: DIFF, TRUNC or SNAP.
	method wire.Type
	// chunk is history that was read from the log and not sent, reading says that more was asked for. The log is read for who needs what is not in memory any more.
	chunk   []Record
	reading bool
	// snapshotting says that a snapshot is on its way.
	snapshotting bool

	// proposedTo and committedTo are the last transactions it was sent, and was told to commit. While it is synchronized they are the same.
	proposedTo, committedTo int64
	// acked is the last one it has on its disk, 0 for an observer.
	acked int64
	// watch is a proposal that must be acknowledged within SyncLimit ticks of watchSince, 0 for none (SyncLimitCheck).
	watch      int64
	watchSince time.Duration
	// probes are the rounds of the pings that it has not echoed, echoed the last one that it has.
	probes []uint64
	echoed uint64
	// syncs are answered when it was told to commit these zxids, and unconfirmed are those that wait for a quorum; owed counts all of them. A learner that is Java counts
	// on answers and commits to come in the order in which it asked: it is told of no commit behind a sync that is not answered.
	syncs, unconfirmed []int64
	owed               int
}

func (p *peer) send(packet wire.Packet) {
	p.inflight += packet.Size()
	p.l.n.send(p.link, packet)
}

// excess is how many bytes more than a window wait for the link, but for the last transaction.
func (p *peer) excess() int { return p.inflight - p.large - p.l.n.opts.LinkWindow }

// fail ends the link because of what the learner did or did not.
func (p *peer) fail(format string, args ...any) {
	n := p.l.n
	reason := fmt.Sprintf(format, args...)
	p.note(false, "is cut off: %s", reason)
	n.close(p.link, true, reason)
	p.l.remove(p)
}

// note says something of the learner.
func (p *peer) note(warn bool, format string, args ...any) {
	kind := "learner " + format
	if p.l.member(p.sid) {
		kind = fmt.Sprint(kind, p.sid)
	}
	p.l.n.emit(Note{Warn: warn, Kind: kind, Text: fmt.Sprintf("learner %d "+format, append([]any{p.sid}, args...)...)})
}

// receive takes a packet of the learner.
func (p *peer) receive(packet wire.Packet) {
	switch p.phase {
	case peerNew:
		p.info(packet)
	case peerPromising:
		p.ackEpoch(packet)
	case peerProving:
		p.ackNewLeader(packet)
	case peerAcked: // it has nothing to say
	case peerLive:
		p.deadline = p.l.n.now + p.l.n.opts.syncTime()
		p.packet(packet)
	default:
		p.fail("%v came before it was asked for", packet.Type)
	}
}

// info is steps 2 and 3: who is it. Whoever is not in the config may learn, as in Java: that is how a server gets ready to be added.
func (p *peer) info(packet wire.Packet) {
	n := p.l.n
	var info wire.LearnerInfo
	d := jute.NewDecoder(packet.Data)
	info.Decode(&d)
	accepted := epochOf(packet.Zxid)
	switch {
	case packet.Type != wire.TypeFollowerInfo && packet.Type != wire.TypeObserverInfo:
		p.fail("%v came for FOLLOWERINFO", packet.Type)
		return
	case d.Err() != nil || info.ProtocolVersion < wire.ProtocolVersion:
		p.fail("FOLLOWERINFO without the protocol of 3.4")
		return
	case info.SID == n.opts.SID:
		p.fail("it says that it is this server")
		return
	case info.ConfigVersion > n.committed.Version:
		p.fail("its config %x is newer than %x", uint64(info.ConfigVersion), uint64(n.committed.Version))
		return
	case accepted < 0 || accepted >= maxEpoch && p.l.phase == leaderJoining:
		p.fail("there is no epoch after %d", accepted)
		return
	}
	for _, o := range p.l.peers {
		// Several servers without a place in the config may have one sid, as that which Java gives observers without a myid; they only learn.
		if o != p && o.sid == info.SID && o.phase != peerNew && p.l.member(o.sid) {
			o.fail("it has a newer connection")
			break
		}
	}
	p.sid, p.observer = info.SID, packet.Type == wire.TypeObserverInfo
	p.phase, p.deadline = peerJoined, Never
	p.l.join(p.sid, accepted)
	if accepted > p.l.epoch && p.l.phase == leaderBroadcasting && n.votes(p.sid) {
		// A leader that came to nothing made it promise a later epoch, so it can follow none of this one. In Java it stays out until somebody else fails.
		n.promised = max(n.promised, accepted)
		n.leave("voter %d has promised epoch %d", p.sid, accepted)
		return
	}
	if p.l.phase >= leaderPromising {
		p.leaderInfo()
	}
}

// leaderInfo tells the epoch, which is durable here.
func (p *peer) leaderInfo() {
	n := p.l.n
	if n.accepted < p.l.epoch && !mutant(leaderInfoEarly) {
		panic(fmt.Sprintf("zab: LEADERINFO %d, acceptedEpoch is %d", p.l.epoch, n.accepted))
	}
	p.phase, p.deadline = peerPromising, n.now+n.opts.initTime()
	info := wire.LeaderInfo{ProtocolVersion: wire.ProtocolVersion}
	p.send(wire.Packet{Type: wire.TypeLeaderInfo, Zxid: zxidOf(p.l.epoch), Data: info.Append(nil)})
}

func (p *peer) ackEpoch(packet wire.Packet) {
	var ack wire.AckEpoch
	d := jute.NewDecoder(packet.Data)
	ack.Decode(&d)
	if packet.Type != wire.TypeAckEpoch || d.Err() != nil {
		p.fail("%v came for ACKEPOCH", packet.Type)
		return
	}
	if problem := p.l.ackEpoch(p.sid, int64(ack.CurrentEpoch), packet.Zxid); problem != "" {
		p.fail("%s", problem)
		return
	}
	p.phase, p.deadline, p.last = peerPromised, Never, packet.Zxid
	if mutant(takenBackCounted) {
		p.acked = packet.Zxid
	}
	p.unsealed = ack.CurrentEpoch >= 0 && epochOf(packet.Zxid) > int64(ack.CurrentEpoch)
}

// ackNewLeader is rule N. A learner before 3.9.2 that logs the history faster than it says so acknowledges transactions of it first (ZOOKEEPER-4685).
func (p *peer) ackNewLeader(packet wire.Packet) {
	if packet.Type == wire.TypeAck && counterOf(packet.Zxid) != 0 && packet.Zxid <= p.proposedTo {
		return
	}
	if packet.Type != wire.TypeAck || packet.Zxid != zxidOf(p.l.epoch) {
		p.fail("%v %s came for the ACK of NEWLEADER", packet.Type, zxidString(packet.Zxid))
		return
	}
	p.phase, p.deadline = peerAcked, Never
	p.l.proved = p.l.proved.Add(p.sid)
	p.l.cut = p.l.cut.Remove(p.sid)
	if !p.observer { // a Java observer has logged nothing of it
		p.acked = p.proposedTo
	}
}

// upToDate lets the learner serve. From now on it gets everything that was proposed since its history was read.
func (p *peer) upToDate() {
	n := p.l.n
	p.phase, p.deadline = peerLive, n.now+n.opts.syncTime()
	p.send(wire.Packet{Type: wire.TypeUpToDate, Zxid: -1})
	if mutant(outstandingForgotten) {
		p.proposedTo, p.committedTo = p.l.proposed, max(p.committedTo, n.log.applied)
	}
}

// packet takes what a learner sends in broadcast.
func (p *peer) packet(packet wire.Packet) {
	n := p.l.n
	switch packet.Type {
	case wire.TypeAck:
		switch {
		case counterOf(packet.Zxid) == 0 || p.observer: // of UPTODATE; an observer has no other
		case packet.Zxid > p.proposedTo:
			p.fail("it acknowledges %s, but was sent %s", zxidString(packet.Zxid), zxidString(p.proposedTo))
		case packet.Zxid > p.acked:
			p.acked = packet.Zxid
			if p.watch != 0 && p.acked >= p.watch {
				p.watch, p.watchSince = 0, n.now
				if p.acked < p.proposedTo {
					p.watch = p.proposedTo
				}
			}
		}
	case wire.TypePing:
		if len(p.probes) > 0 {
			p.echoed, p.probes = p.probes[0], p.probes[1:]
			p.ask()
		}
		if len(packet.Data) > 0 {
			p.deliver(packet)
		}
	case wire.TypeRequest, wire.TypeRevalidate:
		p.deliver(packet)
	default:
		p.note(true, "sent %v, which is ignored", packet.Type)
	}
}

func (p *peer) deliver(packet wire.Packet) {
	p.l.n.emit(Deliver{Link: p.link, SID: p.sid, Stranger: !p.l.member(p.sid), Packet: packet})
}

// ping sends a PING. Only those behind UPTODATE are echoed.
func (p *peer) ping(probe uint64) {
	if p.phase == peerLive {
		p.probes = append(p.probes, probe)
	}
	p.send(wire.Packet{Type: wire.TypePing, Zxid: p.l.proposed})
}

// ask sends a follower the newest probe, unless it owes the echo of an older one.
func (p *peer) ask() {
	if p.phase == peerLive && !p.observer && len(p.probes) == 0 && p.echoed < p.l.probe {
		p.ping(p.l.probe)
	}
}

// drained takes note of what the link got rid of.
func (p *peer) drained(ev Sent) {
	n := p.l.n
	p.inflight -= ev.Bytes
	if ev.Snapshot {
		p.snapshotting = false
		if ev.Zxid > n.log.applied {
			panic(fmt.Sprintf("zab: a snapshot of %#x was sent, but only %#x was given to the state", ev.Zxid, n.log.applied))
		}
		if mutant(snapshotGap) {
			ev.Zxid = n.log.applied
		}
		if ev.Zxid > p.proposedTo {
			p.proposedTo, p.committedTo = ev.Zxid, ev.Zxid
		}
	}
	if p.phase == peerSyncing { // later there are pings, which leave even if nobody is there
		if !p.snapshotting && !p.reading {
			p.deadline = n.now + n.opts.initTime()
		}
		if p.l.phase == leaderSynchronizing && n.votes(p.sid) { // the quorum may need the one that takes long
			p.l.deadline = max(p.l.deadline, n.now+n.opts.initTime())
		}
	}
}

// maxSyncs bounds what a learner, or the leader's own clients, that sync without end cost.
const maxSyncs = 100_000

// tick does what is due. It may remove the peer.
func (p *peer) tick() {
	n := p.l.n
	switch {
	case n.now >= p.deadline:
		p.fail("it is silent")
		return
	case p.inflight-p.large > n.opts.LinkBytes || p.owed > maxSyncs:
		p.fail("it is too slow: %d bytes and %d syncs wait", p.inflight, p.owed)
		return
	case p.watch != 0 && n.now >= p.watchSince+n.opts.syncTime():
		p.fail("it did not acknowledge %s", zxidString(p.watch))
		return
	case p.phase == peerPromised && p.l.phase >= leaderSynchronizing:
		p.synchronize()
	case p.phase == peerAcked && p.l.phase == leaderBroadcasting && n.log.applied >= p.proposedTo:
		p.upToDate() // what it has is committed, or it could show what is not
	}
	p.pump()
}

// pump sends of the history what the link can take.
func (p *peer) pump() {
	for p.inflight < p.l.n.opts.LinkWindow {
		before := p.inflight
		switch {
		case p.phase == peerSyncing && !p.snapshotting && p.feed():
		case p.phase == peerLive && p.relay():
		default:
			return
		}
		p.large = p.inflight - before
	}
}

// relay sends one packet of broadcast: a commit if there is one, else a proposal, so that commits do not wait. It reports whether there was one.
func (p *peer) relay() bool {
	n := p.l.n
	if len(p.syncs) > 0 && p.syncs[0] <= max(p.committedTo, zxidOf(p.l.epoch)) {
		p.syncs = p.syncs[1:]
		p.owed--
		p.send(wire.Packet{Type: wire.TypeSync})
		return true
	}
	until := int64(math.MaxInt64)
	if len(p.unconfirmed) > 0 {
		until = max(p.unconfirmed[0], zxidOf(p.l.epoch))
	}
	if p.committedTo < min(n.log.applied, p.proposedTo) && p.l.following(p.committedTo) <= until {
		p.committedTo = p.l.following(p.committedTo)
		p.send(p.l.commitPacket(p.committedTo))
		return true
	}
	end := n.log.last()
	if p.observer {
		end = min(n.log.applied, until)
	}
	if p.proposedTo >= end {
		return false
	}
	r, ok := p.next()
	if !ok {
		return false
	}
	p.proposedTo = r.Zxid
	if p.observer {
		p.committedTo = r.Zxid
		p.send(p.l.informPacket(r))
		return true
	}
	p.send(wire.Packet{Type: wire.TypeProposal, Zxid: r.Zxid, Data: r.Data})
	if p.watch == 0 {
		p.watch, p.watchSince = r.Zxid, n.now
	}
	return true
}

// following returns the zxid behind one that a learner in broadcast has: all it lacks is of this epoch.
func (l *leader) following(zxid int64) int64 { return max(zxid, zxidOf(l.epoch)) + 1 }
