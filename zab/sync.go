package zab

import (
	"fmt"

	"quoll/zab/wire"
)

// plan is how a learner is synchronized: the first packet, and where in the history to go on.
type plan struct {
	method wire.Type // DIFF, TRUNC, SNAP; 0 if the log must be read first
	// zxid is that of the packet.
	zxid int64
	// from is the last transaction that the learner has after the packet was carried out.
	from int64
}

// choose is the table of section 4.6 for a learner whose history ends at last (LearnerHandler.syncFollower). h is the leader's history in memory.
// It differs from Java in row 3, where Java truncates the learner to the end of what is committed. A learner whose history is of another epoch gets a
// snapshot: nothing says that it has that end. One that has proposals of this leader keeps them, and counts for them again when it has acknowledged
// NEWLEADER; Java takes back what a follower has acknowledged, and still counts that it did.
func choose(last int64, h *history, o *Options) plan {
	newest, oldest := h.applied, h.first()
	epochOnly := counterOf(last) == 0 // an e.0, of which there is no transaction
	snap := plan{wire.TypeSnap, h.applied, h.applied}
	switch {
	case o.ForceSnapshotSync:
		return snap
	case last == newest:
		return plan{wire.TypeDiff, newest, newest}
	case last > newest && h.has(last) && !mutant(takenBackCounted):
		return plan{wire.TypeDiff, newest, last}
	case last > newest && !epochOnly:
		if epochOf(last) != epochOf(newest) {
			return snap
		}
		return plan{wire.TypeTrunc, newest, newest}
	case last >= oldest && last <= newest:
		before := h.base
		for _, e := range h.committedEntries() {
			if e.Zxid >= last {
				return join(last, before, e.Zxid, newest, snap)
			}
			before = e.Zxid
		}
		return snap
	case last < oldest && o.SnapshotSizeFactor >= 0:
		return plan{}
	}
	return snap
}

// chooseFromLog is row 5 of the table: the log on the disk, if it reaches back to the learner's history and is not so long that a snapshot is cheaper.
func chooseFromLog(last int64, read LogRead, h *history, o *Options) plan {
	snap := plan{wire.TypeSnap, h.applied, h.applied}
	if mutant(logTooShort) && len(read.Records) == 0 {
		return plan{wire.TypeDiff, h.applied, h.base}
	}
	if len(read.Records) == 0 || read.Records[0].Zxid > last {
		return snap
	}
	if read.SnapshotBytes > 0 && float64(read.LaterBytes) > o.SnapshotSizeFactor*float64(read.SnapshotBytes) {
		return snap
	}
	before := read.Records[0].Zxid
	for _, r := range read.Records {
		if r.Zxid >= last {
			return join(last, before, r.Zxid, h.applied, snap)
		}
		before = r.Zxid
	}
	return snap
}

// join says how a learner comes from its last zxid to the leader's history, where next is the first transaction at or behind last, and before the one before
// that: it has the same transaction, or it has one that the leader has not and goes back to the one before, though never across epochs.
func join(last, before, next, newest int64, snap plan) plan {
	switch {
	case next == last, counterOf(last) == 0:
		return plan{wire.TypeDiff, newest, last}
	case epochOf(next) != epochOf(last) || before == next:
		return snap
	}
	return plan{wire.TypeTrunc, before, before}
}

// synchronize begins to bring the learner to the leader's history (step 5 of 4.5).
func (p *peer) synchronize() {
	n := p.l.n
	pl := choose(p.last, &n.log, &n.opts)
	if p.unsealed || p.l.cut.Contains(p.sid) {
		// A Java learner may have logged the end of that history and not what came between a TRUNC and it (ZOOKEEPER-5094), and one here may have nothing to cut.
		pl = plan{wire.TypeSnap, n.log.applied, n.log.applied}
	}
	if pl.method == 0 {
		p.phase = peerChoosing
		p.read(p.last)
		return
	}
	p.begin(pl)
}

// begin sends the first packet of a synchronization.
func (p *peer) begin(pl plan) {
	n := p.l.n
	limit := n.opts.MaxDiffs
	if pl.method == wire.TypeSnap {
		limit = n.opts.MaxSnapshots
	}
	if p.observer && p.l.syncing(pl.method == wire.TypeSnap) >= limit { // LearnerSyncThrottler
		p.fail("%d learners are being synchronized", limit)
		return
	}
	p.note(false, "at %s gets %v %s", zxidString(p.last), pl.method, zxidString(pl.zxid))
	p.phase, p.method, p.deadline = peerSyncing, pl.method, n.now+n.opts.initTime()
	p.proposedTo, p.committedTo = pl.from, pl.from
	if pl.method == wire.TypeSnap {
		p.snapshotting, p.deadline, p.chunk = true, Never, nil
		n.emit(SendSnapshot{p.link, pl.zxid})
		return
	}
	if pl.method == wire.TypeTrunc {
		p.l.cut = p.l.cut.Add(p.sid)
	}
	p.send(wire.Packet{Type: pl.method, Zxid: pl.zxid})
}

// syncing counts the learners that are being synchronized, with snapshots or without.
func (l *leader) syncing(snap bool) int {
	count := 0
	for _, p := range l.peers {
		if (p.phase == peerSyncing || p.phase == peerProving) && (p.method == wire.TypeSnap) == snap {
			count++
		}
	}
	return count
}

// next returns the transaction behind the last one that was sent, if it is here: in memory, or in what was read from the log. There is one, and it is asked for.
func (p *peer) next() (r Record, ok bool) {
	n := p.l.n
	switch {
	case p.reading:
		return r, false
	case p.proposedTo >= n.log.base:
		p.chunk = nil
		r = n.log.after(p.proposedTo)[0]
	case len(p.chunk) > 0:
		r, p.chunk = p.chunk[0], p.chunk[1:]
		if !Follows(p.proposedTo, r.Zxid) {
			p.fail("the log has %s behind %s", zxidString(r.Zxid), zxidString(p.proposedTo))
			return r, false
		}
	case p.phase == peerLive:
		p.read(p.l.following(p.proposedTo))
		return r, false
	default:
		p.read(p.proposedTo)
		return r, false
	}
	return r, true
}

// read asks for history that is only in the log.
func (p *peer) read(from int64) {
	p.reading = true
	if p.phase == peerSyncing {
		p.deadline = Never
	}
	p.l.n.emit(ReadLog{p.link, from, p.l.n.opts.LinkWindow})
}

// logRead takes history from the log.
func (p *peer) logRead(ev LogRead) {
	if !p.reading {
		return
	}
	p.reading = false
	n := p.l.n
	if p.phase == peerSyncing {
		p.deadline = n.now + n.opts.initTime()
	}
	if p.phase == peerChoosing {
		p.begin(chooseFromLog(p.last, ev, &n.log, &n.opts))
		if p.phase != peerSyncing || p.method == wire.TypeSnap {
			return
		}
	}
	p.chunk = ev.Records
	for len(p.chunk) > 0 && p.chunk[0].Zxid <= p.proposedTo {
		p.chunk = p.chunk[1:]
	}
	if len(p.chunk) == 0 && p.proposedTo < n.log.base {
		p.fail("the log does not reach back to %s any more", zxidString(p.proposedTo))
	}
}

// feed sends one transaction of the history, or NEWLEADER at its end. Only what is committed is sent here; proposals follow UPTODATE. It reports whether
// there was something to send.
func (p *peer) feed() bool {
	n := p.l.n
	if p.proposedTo >= n.log.applied || mutant(newLeaderBeforeHistory) {
		p.newLeader()
		return true
	}
	r, ok := p.next()
	if !ok {
		return false
	}
	if mutant(committedLogHole) && counterOf(r.Zxid)%4 == 2 && r.Zxid < n.log.applied && r.Zxid >= n.log.base {
		r = n.log.after(r.Zxid)[0]
	}
	p.transaction(r)
	return true
}

// transaction sends a committed transaction. A reconfig of the past is a plain one: the config comes with NEWLEADER.
func (p *peer) transaction(r Record) {
	p.send(wire.Packet{Type: wire.TypeProposal, Zxid: r.Zxid, Data: r.Data})
	if !mutant(syncWithoutCommits) {
		p.send(wire.Packet{Type: wire.TypeCommit, Zxid: r.Zxid})
	}
	p.proposedTo, p.committedTo = r.Zxid, r.Zxid
}

// newLeader ends the history. Its config is the one that belongs to that history: a reconfig that is only proposed comes behind UPTODATE, with its proposal. Java sends the last
// seen one in any case, and then a Java learner puts it in force at UPTODATE, committed or not (9.2); one that already logged that proposal is sent it here too, or it would be
// taken back.
func (p *peer) newLeader() {
	n := p.l.n
	if p.l.phase < leaderSynchronizing || n.current != p.l.epoch {
		panic(fmt.Sprintf("zab: NEWLEADER %d, currentEpoch is %d", p.l.epoch, n.current))
	}
	c := n.lastSeen
	if p.l.phase == leaderBroadcasting && c.Version > max(n.committed.Version, p.proposedTo) && !mutant(uncommittedConfigActivated) {
		c = n.committed
	}
	p.chunk = nil
	p.phase, p.deadline = peerProving, n.now+n.opts.initTime()
	p.send(wire.Packet{Type: wire.TypeNewLeader, Zxid: zxidOf(p.l.epoch), Data: []byte(c.String())})
}
