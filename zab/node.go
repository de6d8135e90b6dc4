package zab

import (
	"fmt"
	"math"
	"time"

	"quoll/ensemble"
	"quoll/zab/wire"
)

// Role is what a server does in its ensemble. Mirrors the Java enum ServerState; the numbers are those on the wire.
type Role int32

// The roles.
const (
	Looking Role = iota
	Following
	Leading
	Observing
)

// String returns the name as Java prints it.
func (r Role) String() string {
	switch r {
	case Looking:
		return "LOOKING"
	case Following:
		return "FOLLOWING"
	case Leading:
		return "LEADING"
	case Observing:
		return "OBSERVING"
	}
	return fmt.Sprintf("Role(%d)", int32(r))
}

// Never is the deadline of a node that waits for events only.
const Never = time.Duration(math.MaxInt64)

// Node is one server's view of election and broadcast. It is not safe for concurrent use. Mirrors QuorumPeer.
type Node struct {
	opts Options
	now  time.Duration
	out  []Effect
	// sendAt, appendAt and applyAt are the positions in out, counted from 1, of a Send, an Append and an Apply that may still grow, 0 for none: they have what is to be sent to
	// sendTo, appended and applied when they are complete.
	sendAt, appendAt, applyAt int
	sendTo                    LinkID
	sending                   []wire.Packet
	appending, applying       []Record
	// room is how many the last ones had: the next have about as many.
	room struct{ append, apply int }
	// sent is the memory of the Sends in out, lent that of those that Effects returned last, spare that of older ones.
	sent, lent, spare [][]wire.Packet
	// untold says that there are proposals that were not looked at.
	untold bool

	// role and what belongs to it: election is set while looking, leader while leading, learner while following or observing. While looking,
	// election is nil as long as the role before is being left: the log drains or the state is being restored.
	role     Role
	election *election
	leader   *leader
	learner  *learner

	// vote is the result of the last election, told to those who ask; in its beginning a vote for this server (QuorumPeer.currentVote).
	vote ballot
	// round is the logical clock of elections, in memory only; looked is the last one in which this server voted.
	round, looked int64
	// direct says that a reconfig named the next role: the role before is left, and vote.leader followed without an election (reconfigFlag).
	direct bool
	// answered are servers without a vote that were answered lately.
	answered []answered
	// heard are the newest votes that came while a role was being left, in the order of their senders' first.
	heard []Heard

	// committed and lastSeen are the configs of section 1.3 (quorumVerifier, lastSeenQuorumVerifier).
	committed, lastSeen *ensemble.Config
	// text is that of the config textOf, see configText.
	text   string
	textOf *ensemble.Config

	// What the disk has: see section 4.2. accepted and current are only set when they are durable.
	accepted, current int64
	untrusted         bool
	// unfit says that the log could not be cut as the leader wanted. When the leader has counted this server's ACKEPOCH, the next one, which does not count,
	// speaks as if there were no log, and is answered with a snapshot.
	unfit bool
	// promised is the highest epoch that a member is known to have accepted.
	promised int64
	// saving are the epoch files being written, in order.
	saving []EpochPersisted
	// log is what is in the log and in the state.
	log history
	// synced is the last zxid known to be durable.
	synced int64
	// dirty says that a synchronization changed log or state and was not sealed by its epoch: they are discarded if it breaks.
	dirty bool
	// restore is the restore being waited for, 0 for none; restores counts them.
	restore, restores RestoreID

	dials DialID
	// dialled is when the last dial began: a leader that turns this server away at once is not asked again at once.
	dialled time.Duration
	// served is the last zxid that was committed while this server served: no leader may take it back.
	served  int64
	serving bool // Serve was emitted last
	// readOnlyAt is when a server without quorum serves old data, Never if it does already or shall not.
	readOnlyAt time.Duration
	readOnly   bool
}

// New makes a node that looks for a leader. It panics if opts or state cannot be: see Options.Validate and State.
func New(opts Options, state State) *Node {
	if err := opts.Validate(); err != nil {
		panic(err)
	}
	if state.LastSeen == nil || !opts.Reconfig {
		state.LastSeen = state.Committed // a reconfig from the time when that was allowed is never put in force, so it must not decide
	}
	n := &Node{opts: opts.withDefaults(), committed: state.Committed, lastSeen: state.LastSeen, readOnlyAt: Never, dialled: -time.Minute}
	n.log.limits(&n.opts)
	n.load(state.Disk)
	n.vote = n.initialVote()
	n.look()
	return n
}

// load takes what the disk holds.
func (n *Node) load(d Disk) {
	if d.AcceptedEpoch < d.CurrentEpoch {
		panic(fmt.Sprintf("zab: acceptedEpoch %d is less than currentEpoch %d", d.AcceptedEpoch, d.CurrentEpoch))
	}
	n.accepted, n.current = d.AcceptedEpoch, d.CurrentEpoch
	n.saving = nil
	n.untrusted = d.Untrusted
	n.log.reset(d.Zxid, d.Recent)
	n.synced = d.Zxid
	n.dirty = false
	seen := n.lastSeen
	if v := seen.Version; counterOf(v) != 0 && v > max(n.committed.Version, d.Zxid) && epochOf(v) >= n.current {
		// The reconfig was proposed in the last epoch and is not in the log: this server never acknowledged it, and is as one that never heard of it.
		seen = n.committed
	}
	if c := d.Config; c != nil && c.Version > seen.Version && n.opts.Reconfig && !mutant(historyTellsNoConfig) {
		seen = c
	}
	if seen != n.lastSeen {
		n.lastSeen = seen
		n.emit(Configure{n.committed, n.lastSeen})
	}
}

// Step takes in one event. now is a monotonic time since any beginning, never less than before.
func (n *Node) Step(now time.Duration, ev Event) {
	if now < n.now {
		panic(fmt.Sprintf("zab: time goes back from %v to %v", n.now, now))
	}
	if now > n.now {
		if due := n.Deadline(); due != Never && now-due > n.opts.Tick {
			n.overslept(now - due)
		}
		n.now = now
	}
	switch ev := ev.(type) {
	case Tick:
	case Heard:
		n.hear(ev)
	case LinkUp:
		n.linkUp(ev)
	case DialFailed:
		if n.learner != nil {
			n.learner.dialFailed(ev)
		}
	case LinkDown:
		switch {
		case n.learner != nil && n.learner.link == ev.Link:
			n.leave("the leader is gone: %s", ev.Reason)
		case n.leader != nil:
			n.leader.linkDown(ev)
		}
	case ListenFailed:
		if n.leader != nil {
			n.leave("cannot listen for learners: %s", ev.Reason)
		}
	case Received:
		for i := range ev.Packets {
			switch {
			case n.learner != nil && n.learner.link != 0 && (n.learner.link == ev.Link || mutant(oldLinkAccepted)):
				n.learner.receive(ev.Packets[i])
			case n.leader != nil:
				n.leader.receive(ev.Link, ev.Packets[i])
			}
		}
	case Sent:
		switch {
		case n.learner != nil && n.learner.link == ev.Link:
			n.learner.inflight -= ev.Bytes
		case n.leader != nil:
			n.leader.drained(ev)
		}
	case Synced:
		n.onSynced(ev.Zxid)
	case EpochPersisted:
		n.epochPersisted(ev)
	case Restored:
		n.restored(ev)
	case RestoreFailed:
		switch {
		case ev.Restore != n.restore:
		case n.learner != nil && n.learner.truncating:
			n.unfit = true
			n.learner.comeBack(ev.Reason)
		default:
			n.unfit = false
			n.leave("the state cannot be restored: %s", ev.Reason)
		}
	case DiskFailed:
		n.diskFailed(ev)
	case LogRead:
		if n.leader != nil {
			n.leader.logRead(ev)
		}
	case Propose:
		n.propose(ev.Record)
		n.untold = true
		return
	case Sync:
		if n.leader != nil {
			n.leader.sync(ev)
		}
	case Forward:
		if n.learner != nil {
			n.learner.forward(ev.Packet)
		}
	case Reply:
		if n.leader != nil {
			n.leader.reply(ev)
		}
	default:
		panic(fmt.Sprintf("zab: unknown event %T", ev))
	}
	n.tick()
}

// overslept moves what others owe when this server itself did nothing for longer than a tick after it was due, as in a pause of its machine: what
// they have sent meanwhile is still waiting, and they are not silent before it was read. (In Java a socket's timeout only begins with a read.)
func (n *Node) overslept(late time.Duration) {
	move := func(at *time.Duration) {
		if *at != Never {
			*at += late
		}
	}
	if l := n.learner; l != nil {
		move(&l.deadline)
	}
	if l := n.leader; l != nil {
		move(&l.deadline)
		move(&l.syncedAt)
		for _, p := range l.peers {
			move(&p.deadline)
			move(&p.watchSince)
		}
	}
}

// tick does what is due and what has become possible.
func (n *Node) tick() {
	n.untold = false
	for more := true; more; {
		leader, learner, election := n.leader, n.learner, n.election
		switch {
		case leader != nil:
			leader.tick()
		case learner != nil:
			learner.tick()
		case election != nil:
			election.tick()
		}
		n.drain()
		more = n.leader != leader || n.learner != learner || n.election != election // a new role may be able to go on at once
	}
	if n.now >= n.readOnlyAt {
		n.readOnlyAt, n.readOnly = Never, true
		n.emit(ServeReadOnly{})
	}
}

// Effects appends what is to do since the last call to dst and returns it. The packets of a Send are valid until the next call.
func (n *Node) Effects(dst []Effect) []Effect {
	if n.untold {
		n.tick()
	}
	n.complete()
	n.completeSend()
	for _, packets := range n.lent {
		if clear(packets); len(n.spare) < mostSpare && cap(packets) <= mostExpected {
			n.spare = append(n.spare, packets[:0])
		}
	}
	clear(n.lent)
	n.sent, n.lent = n.lent[:0], n.sent
	dst = append(dst, n.out...)
	clear(n.out)
	n.out = n.out[:0]
	return dst
}

// Deadline returns when to step a Tick at the latest, maybe a time that has passed, or Never.
func (n *Node) Deadline() time.Duration {
	at := n.readOnlyAt
	switch {
	case n.leader != nil:
		at = min(at, n.leader.deadlines())
	case n.learner != nil:
		at = min(at, n.learner.deadlines())
	case n.election != nil:
		at = min(at, n.election.deadlines())
	}
	return at
}

// NextZxid returns the zxid that the next Propose must have. ok is false if nothing can be proposed now: the server does not lead, or as Full says, or it
// is about to stop leading.
func (n *Node) NextZxid() (zxid int64, ok bool) {
	if n.leader == nil || n.Full() {
		return 0, false
	}
	return n.leader.nextZxid()
}

// Full reports whether requests must wait since too much is on its way: proposals that are not committed or syncs that are not confirmed at a leader, requests that
// are not sent at a learner. It ends with a later Step.
func (n *Node) Full() bool {
	switch {
	case n.leader != nil:
		return n.log.pendingBytes() >= n.opts.OutstandingBytes || len(n.leader.syncs) >= maxSyncs
	case n.learner != nil:
		return n.learner.inflight >= n.opts.LinkWindow
	}
	return false
}

// Applied is the last zxid that was given to the state.
func (n *Node) Applied() int64 { return n.log.applied }

// Configs returns the config in force and the newest one heard of. A reconfig is in progress if their versions differ.
func (n *Node) Configs() (committed, lastSeen *ensemble.Config) { return n.committed, n.lastSeen }

// CanReconfigure reports whether this leader and the learners that are synchronized with it contain a quorum of c, which a reconfig to c
// requires (section 6.1, NEWCONFIGNOQUORUM).
func (n *Node) CanReconfigure(c *ensemble.Config) bool {
	return n.leader != nil && c.Quorum(n.leader.connected(peerLive))
}

// Role returns what the server does now.
func (n *Node) Role() Role { return n.role }

// Round returns the round of the last election that this server took part in.
func (n *Node) Round() int64 { return n.round }

// Status is a picture of a node for those who watch it.
type Status struct {
	// Role is what the server does, Serving whether it has a quorum.
	Role    Role
	Serving bool
	// Leader is the leader's sid and Epoch its epoch; 0 while looking.
	Leader, Epoch int64
	// Accepted and Current are the durable epochs.
	Accepted, Current int64
	// Round is the election's round.
	Round int64
	// Last is the last zxid in the log, Synced on the disk, Applied given to the state.
	Last, Synced, Applied int64
	// Syncs is how many requests to sync a leader has not answered.
	Syncs int
	// Learners are the links of a leader's synchronized learners in ascending order of their sids, Syncing how many others there are.
	Learners []LearnerStatus
	Syncing  int
}

// LearnerStatus is a learner as its leader sees it.
type LearnerStatus struct {
	Link     LinkID
	SID      int64
	Observer bool
	// Acked is the last proposal known to be durable there, 0 for an observer; Sent the last that was handed to the link.
	Acked, Sent int64
}

// Status returns a picture of the node.
func (n *Node) Status() Status {
	s := Status{Role: n.role, Serving: n.serving, Accepted: n.accepted, Current: n.current, Round: n.round,
		Last: n.log.last(), Synced: n.synced, Applied: n.log.applied}
	switch {
	case n.leader != nil:
		s.Leader, s.Epoch = n.opts.SID, n.leader.epoch
		s.Learners, s.Syncing = n.leader.status()
		s.Syncs = len(n.leader.syncs)
	case n.learner != nil:
		s.Leader, s.Epoch = n.learner.sid, n.learner.epoch
	}
	return s
}

const (
	// mostExpected is for how many packets or records room is made at once, or kept.
	mostExpected = 512
	// mostSpare is for how many Sends memory is kept.
	mostSpare = 16
)

// emit appends an effect. Appends and applies do not move over those that depend on the log or the state as it is.
func (n *Node) emit(e Effect) {
	switch e.(type) {
	case Truncate, InstallSnapshot, Reload, PersistEpoch, Configure, Serve, ServeReadOnly, StopServing, SendSnapshot, Deliver:
		n.complete()
	}
	n.out = append(n.out, e)
}

// complete ends the Append and the Apply that grow.
func (n *Node) complete() {
	if n.appendAt > 0 {
		n.out[n.appendAt-1] = Append{n.appending}
		n.room.append = len(n.appending)
	}
	if n.applyAt > 0 {
		n.out[n.applyAt-1] = Apply{n.applying}
		n.room.apply = len(n.applying)
	}
	n.appendAt, n.applyAt, n.appending, n.applying = 0, 0, nil, nil
}

// send hands a packet to a link. Those that follow each other become one effect.
func (n *Node) send(link LinkID, p wire.Packet) {
	if n.sendAt == 0 || n.sendAt < len(n.out) || n.sendTo != link {
		n.completeSend()
		n.out = append(n.out, nil)
		n.sendAt, n.sendTo = len(n.out), link
		if i := len(n.spare) - 1; i >= 0 {
			n.sending, n.spare = n.spare[i], n.spare[:i]
		}
	}
	n.sending = append(n.sending, p)
}

// completeSend ends the Send that grows.
func (n *Node) completeSend() {
	if n.sendAt > 0 {
		n.out[n.sendAt-1] = Send{n.sendTo, n.sending}
		n.sent = append(n.sent, n.sending)
	}
	n.sendAt, n.sending = 0, nil
}

func (n *Node) note(format string, args ...any) { n.emit(Note{Text: fmt.Sprintf(format, args...)}) }

func (n *Node) warn(format string, args ...any) {
	n.emit(Note{Warn: true, Text: fmt.Sprintf(format, args...)})
}

// close ends a link and says why. bad is set if the peer is to blame.
func (n *Node) close(link LinkID, bad bool, reason string) {
	n.emit(Close{Link: link, Reason: reason, Error: bad})
}

// epochOf and counterOf are the halves of a zxid; zxidOf is the zxid e.0, under which an epoch's beginning is acknowledged.
func epochOf(zxid int64) int64    { return zxid >> 32 }
func counterOf(zxid int64) uint32 { return uint32(zxid) }
func zxidOf(epoch int64) int64    { return epoch << 32 }

const (
	// maxCounter is the last counter that a transaction may have; then the epoch ends (5.8).
	maxCounter = 0xfffffffe
	// maxEpoch is the last epoch: ACKEPOCH has 31 bits for it.
	maxEpoch = math.MaxInt32
)

// zxidString prints a zxid as the specification does: epoch.counter.
func zxidString(zxid int64) string { return fmt.Sprintf("%d.%x", epochOf(zxid), counterOf(zxid)) }
