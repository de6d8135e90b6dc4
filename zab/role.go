package zab

import (
	"fmt"

	"quoll/zab/wire"
)

// leave ends the role and begins the way to the next one: draining the log or, after half a synchronization, going back to what the disk has.
// Mirrors the shutdown of Leader, Follower and Observer.
func (n *Node) leave(format string, args ...any) {
	n.note("%v ends: %s", n.role, fmt.Sprintf(format, args...))
	if n.leader != nil {
		n.leader.shutdown()
	}
	if l := n.learner; l != nil && l.link != 0 {
		n.close(l.link, false, "the role ends")
	}
	n.stopServing()
	n.leader, n.learner, n.election = nil, nil, nil
	n.role, n.heard = Looking, nil
	if n.dirty || n.restore != 0 {
		n.reload()
	}
	n.dirty = false
}

// stopServing ends service of any kind.
func (n *Node) stopServing() {
	if n.serving || n.readOnly {
		n.emit(StopServing{})
	}
	n.serving, n.readOnly, n.readOnlyAt = false, false, Never
}

// reload asks for what the disk has. Any restore before it is void.
func (n *Node) reload() {
	n.restores++
	n.restore = n.restores
	n.emit(Reload{Restore: n.restore})
}

// drain ends the way between two roles when everything in the log is durable, or was read from it: what a server says in its next role it has on its
// disk (8.3 I15). Then the state is brought to the end of the log, uncommitted transactions included (ZKDatabase.fastForwardDataBase), and
// the next role begins.
func (n *Node) drain() {
	for n.role == Looking && n.election == nil {
		if n.restore != 0 || len(n.saving) > 0 || n.synced < n.log.last() && !mutant(looksBeforeDrain) {
			return
		}
		if !mutant(fastForwardForgotten) {
			n.apply(n.log.last())
		}
		if direct := n.direct; direct {
			n.direct = false
			n.enter() // may fail at once
		} else {
			n.look()
		}
	}
	held := n.heard
	n.heard = nil
	for _, h := range held {
		n.hear(h)
	}
}

// enter begins the role that follows from the vote.
func (n *Node) enter() {
	n.election = nil
	n.stopServing()
	if n.vote.leader == n.opts.SID {
		n.lead()
	} else {
		n.follow()
	}
}

// diskFailed forgets everything that was said to be on the disk.
func (n *Node) diskFailed(ev DiskFailed) {
	if mutant(diskFailureIgnored) {
		n.synced = n.log.last()
		return
	}
	n.warn("the disk fails: %s", ev.Reason)
	n.leave("the disk fails")
	n.saving = nil
	if n.restore == 0 {
		n.reload()
	}
	n.emit(Configure{n.committed, n.lastSeen}) // the last one may be lost too, and what is logged from now on relies on it
}

// restored takes what a restore ended with.
func (n *Node) restored(ev Restored) {
	if ev.Restore != n.restore || ev.Restore == 0 {
		return // it was overtaken by a Reload
	}
	n.restore = 0
	if n.learner == nil && mutant(tailKeptAfterTrunc) {
		n.synced = n.log.last()
		return
	}
	n.load(ev.Disk)
	if l := n.learner; l != nil && l.phase == learnerReturning {
		l.phase, l.deadline = learnerDialing, n.now+n.opts.initTime()
		l.connect()
		return
	}
	if n.learner != nil {
		n.dirty = true // until the epoch seals what comes now
		n.learner.restored()
	}
}

// onSynced moves the end of what is durable.
func (n *Node) onSynced(zxid int64) {
	if n.restore != 0 {
		return // of the log that is being replaced
	}
	if zxid > n.log.last() {
		panic(fmt.Sprintf("zab: synced up to %#x, but the log ends at %#x", zxid, n.log.last()))
	}
	n.synced = max(n.synced, zxid)
}

// save writes an epoch file.
func (n *Node) save(file EpochFile, epoch int64) {
	n.saving = append(n.saving, EpochPersisted{file, epoch})
	n.emit(PersistEpoch{file, epoch})
}

// epochPersisted believes an epoch once it is durable. It checks what 8.3 I2 says about epochs.
func (n *Node) epochPersisted(ev EpochPersisted) {
	if len(n.saving) == 0 || n.saving[0] != ev {
		panic(fmt.Sprintf("zab: %v %d was persisted, but %v was asked for", ev.File, ev.Epoch, n.saving))
	}
	n.saving = n.saving[1:]
	file := &n.accepted
	if ev.File == CurrentEpoch {
		file = &n.current
		n.untrusted, n.unfit = false, false // a leader's whole history is here
	}
	if ev.Epoch < *file && !mutant(lowerEpochAccepted) {
		panic(fmt.Sprintf("zab: %v goes back from %d to %d", ev.File, *file, ev.Epoch))
	}
	*file = ev.Epoch
	if n.current > n.accepted && !mutant(lowerEpochAccepted) {
		panic(fmt.Sprintf("zab: currentEpoch %d is more than acceptedEpoch %d", n.current, n.accepted))
	}
}

// append adds a record to the log. Records of one turn become one effect.
func (n *Node) append(r Record) {
	n.log.push(r)
	if n.appendAt == 0 {
		n.out = append(n.out, nil)
		n.appendAt = len(n.out)
		n.appending = make([]Record, 0, min(n.room.append+1, mostExpected))
	}
	n.appending = append(n.appending, r)
}

// apply gives the log up to zxid to the state. Records of one turn become one effect.
func (n *Node) apply(zxid int64) {
	if zxid == n.log.applied {
		return
	}
	if n.applyAt == 0 {
		n.out = append(n.out, nil)
		n.applyAt = len(n.out)
		n.applying = make([]Record, 0, min(n.room.apply+1, mostExpected))
	}
	n.applying = n.log.apply(zxid, n.applying)
	if n.leader != nil {
		n.log.trim(n.leader.sent())
	} else {
		n.log.trim(zxid)
	}
}

// linkUp gives a new connection to whoever wants it.
func (n *Node) linkUp(ev LinkUp) {
	switch {
	case ev.Dial != 0 && n.learner != nil && n.learner.dial == ev.Dial:
		n.learner.connected(ev.Link)
	case ev.Dial == 0 && n.leader != nil:
		n.leader.accept(ev.Link)
	default:
		n.close(ev.Link, false, "nobody waits for this connection")
	}
}

// notification is a vote as this server sends it.
func (n *Node) notification(b ballot) wire.Notification {
	return wire.Notification{State: int32(n.role), Leader: b.leader, Zxid: b.zxid, Round: b.round, PeerEpoch: b.epoch,
		Version: wire.NotificationVersion, Config: n.configText()}
}

// configText is the text of the config in force, made once.
func (n *Node) configText() string {
	if n.textOf != n.committed {
		n.text, n.textOf = n.committed.String(), n.committed
	}
	return n.text
}
