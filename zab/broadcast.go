package zab

import (
	"fmt"

	"quoll/ensemble"
	"quoll/zab/wire"
)

// nextZxid returns the zxid of the next proposal.
func (l *leader) nextZxid() (int64, bool) {
	if l.phase != leaderBroadcasting || l.lame || int64(counterOf(l.proposed)) >= l.n.opts.MaxCounter {
		return 0, false
	}
	if mutant(zxidSkipped) && counterOf(l.proposed)%8 == 7 {
		return l.proposed + 2, true
	}
	return l.proposed + 1, true
}

// propose takes a transaction of this leader (5.2). Its followers get it by their cursors, its own log acknowledges it by Synced.
func (n *Node) propose(r Record) {
	want, ok := n.NextZxid()
	if !ok || r.Zxid != want {
		panic(fmt.Sprintf("zab: proposal %#x, but NextZxid says %#x, %v", r.Zxid, want, ok))
	}
	if c := r.Config; c != nil && n.opts.Reconfig {
		if c.Version != r.Zxid || n.lastSeen.Version != n.committed.Version {
			panic(fmt.Sprintf("zab: reconfig %#x to version %#x while %#x is in force and %#x was seen", r.Zxid, c.Version, n.committed.Version, n.lastSeen.Version))
		}
		n.see(c)
	}
	n.append(r)
	n.leader.proposed = r.Zxid
}

// exhausted reports whether the epoch has no zxids left and all it had are committed (5.8). Java waits for the request that gets none.
func (l *leader) exhausted() bool {
	return l.phase == leaderBroadcasting && int64(counterOf(l.proposed)) >= l.n.opts.MaxCounter && l.n.log.applied == l.proposed
}

// commit gives to the state what quorums have on their disks (5.3). Acknowledgements are cumulative: a learner has a log without holes, so who has z has all
// before it, and proposals are committed in order. From a reconfig on, proposals need both configs until it is committed.
func (l *leader) commit() {
	n := l.n
	if l.phase != leaderBroadcasting {
		return
	}
	for !l.lame {
		upTo, config := n.log.applied, (*ensemble.Config)(nil)
		for _, e := range n.log.after(upTo) {
			if epochOf(e.Zxid) != l.epoch {
				panic(fmt.Sprintf("zab: %#x is not committed in epoch %d", e.Zxid, l.epoch))
			}
			if !l.committable(e.Zxid) {
				break
			}
			upTo = e.Zxid
			if e.Config != nil && n.opts.Reconfig {
				config = e.Config
				break
			}
		}
		if upTo == n.log.applied {
			return
		}
		if config == nil {
			n.apply(upTo)
			n.served = upTo
			continue
		}
		leader := l.designate(config)
		l.designated = append(l.designated, designated{upTo, leader})
		n.apply(upTo)
		n.served = upTo
		l.activate(config, leader)
	}
}

// committable reports whether the quorums of a proposal have it on their disks.
func (l *leader) committable(zxid int64) bool {
	n := l.n
	l.acks = l.acks[:0]
	if n.synced >= zxid || mutant(leaderCountsEarly) {
		l.acks = l.acks.Add(n.opts.SID)
	}
	for _, p := range l.peers {
		if (p.phase >= peerAcked || mutant(takenBackCounted)) && p.acked >= zxid {
			l.acks = l.acks.Add(p.sid)
		}
	}
	if mutant(commitBeforeQuorum) {
		return len(l.acks) > 0
	}
	if !decides(n.committed, l.acks) {
		return false
	}
	pending := n.lastSeen.Version > n.committed.Version && zxid >= n.lastSeen.Version
	return !pending || mutant(oldQuorumOnly) || decides(n.lastSeen, l.acks)
}

// sync takes a sync at its turn: it is answered when all that was proposed is committed, and when a quorum has shown that it still follows (9.2): that
// is a probe sent from now on.
func (l *leader) sync(ev Sync) {
	if l.phase != leaderBroadcasting {
		return
	}
	if ev.Link != 0 {
		p := l.find(ev.Link)
		if p == nil || p.phase != peerLive {
			return
		}
		p.owed++
		p.unconfirmed = append(p.unconfirmed, l.proposed)
	}
	l.syncs = append(l.syncs, waitingSync{ev, l.proposed, l.probe + 1})
	if len(l.syncs) == 1 || l.confirmed(l.probe) {
		l.ask()
	}
}

// confirmed reports whether a quorum has echoed a probe, or a later one.
func (l *leader) confirmed(probe uint64) bool {
	n := l.n
	l.acks = append(l.acks[:0], n.opts.SID)
	for _, p := range l.peers {
		if p.phase == peerLive && !p.observer && p.echoed >= probe {
			l.acks = l.acks.Add(p.sid)
		}
	}
	return n.quorum(l.acks) || mutant(syncUnconfirmed)
}

// answerSyncs answers the syncs that can be, in order. One that waits for a probe not sent yet starts it when the one before is through.
func (l *leader) answerSyncs() {
	n := l.n
	for len(l.syncs) > 0 {
		s := &l.syncs[0]
		if s.probe > l.probe {
			l.ask()
		}
		if s.zxid > n.log.applied && s.zxid != zxidOf(l.epoch) && !mutant(syncBeforeCommit) || !l.confirmed(s.probe) {
			return
		}
		switch p := l.find(s.Link); {
		case p != nil:
			p.syncs, p.unconfirmed = append(p.syncs, s.zxid), p.unconfirmed[1:]
			p.pump()
		case s.probe != 0:
			n.emit(SyncDone{s.Tag})
		}
		l.syncs = l.syncs[1:]
	}
}

// named returns the leader that the reconfig of this epoch with the zxid named.
func (l *leader) named(zxid int64) (leader int64, ok bool) {
	for _, d := range l.designated {
		if d.zxid == zxid {
			return d.leader, true
		}
	}
	return 0, false
}

// commitPacket is what a follower is told when a transaction of this epoch is committed.
func (l *leader) commitPacket(zxid int64) wire.Packet {
	if leader, ok := l.named(zxid); ok {
		a := wire.Activation{Leader: leader}
		return wire.Packet{Type: wire.TypeCommitAndActivate, Zxid: zxid, Data: a.Append(nil)}
	}
	return wire.Packet{Type: wire.TypeCommit, Zxid: zxid}
}

// informPacket is what an observer is told then.
func (l *leader) informPacket(r Record) wire.Packet {
	if leader, ok := l.named(r.Zxid); ok {
		a := wire.Activation{Leader: leader, Txn: r.Data}
		return wire.Packet{Type: wire.TypeInformAndActivate, Zxid: r.Zxid, Data: a.Append(nil)}
	}
	return wire.Packet{Type: wire.TypeInform, Zxid: r.Zxid, Data: r.Data}
}
