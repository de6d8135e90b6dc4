// Package zab is election and atomic broadcast of an Apache ZooKeeper 3.9.5 ensemble as a step machine: a [Node] takes events and gives effects.
// It never blocks, locks, sleeps, reads a clock, opens a file or a socket, and has no randomness: the same steps give the same effects. What
// runs in production is what the simulator runs. docs/spec/ensemble-protocol.md is what it implements, with the column SAFE where that
// page knows a fault of 3.9.5; section numbers in comments are of that page.
//
// # The loop of a driver
//
//	n := zab.New(options, state) // state is what the disk says
//	for {
//		select {                   // one goroutine owns n
//		case ev := <-events:       // packets, links, answers of the disk, requests
//			n.Step(now(), ev)
//		case <-timer(n.Deadline()):
//			n.Step(now(), zab.Tick{})
//		}
//		for zxid, ok := n.NextZxid(); ok && requests.waiting(); zxid, ok = n.NextZxid() {
//			n.Step(now(), zab.Propose{Record: app.Prepare(zxid, requests.next())}) // a sync is zab.Sync instead and takes no zxid
//		}
//		effects = n.Effects(effects[:0])
//		for _, e := range effects {
//			run(e) // in this order, and without waiting for disk or network
//		}
//	}
//
// Steps may be batched before Effects is called; a driver that takes all waiting events, then writes the log once and syncs it once, has group
// commit. New emits effects too.
//
// # Which effect is answered by which event
//
//	Append           Synced{Zxid}, once for any number of records, when all up to Zxid are on the disk
//	PersistEpoch     EpochPersisted, when file, rename and directory are on the disk
//	Truncate         Restored, or RestoreFailed
//	InstallSnapshot  Restored, or RestoreFailed; the link is silent until then
//	Reload           Restored; it is repeated by the driver until it works
//	ReadLog          LogRead
//	Dial             LinkUp with the dial's number, or DialFailed
//	Send             Sent, when the bytes left for the network; SendSnapshot: Sent with Snapshot set
//	Listen           LinkUp for each connection, ListenFailed if no address could be bound
//
// Everything else is not answered. Answers may come in any order between the kinds, but those of the disk (the first five) come in the order of
// their effects. [DiskFailed] replaces answers: after it the node asks for a Reload, and no answer to an effect before that Reload may follow.
//
// # The disk
//
// The driver keeps a log, a state (tree, sessions) and the two epoch files. [Append] adds records behind the log's end; [Apply] carries the same
// records, each once and in zxid order, when the state is to take them in. The state may so be behind the log or, on a learner, ahead of
// what is synced, since a quorum of others has it.
//
// Before an [Append] that carries a config there is a [Configure] that names it as last seen: it is durable no later than the record. So it is with the config of a
// leader and the [PersistEpoch] for CurrentEpoch, whose acknowledgement says that both are there.
//
// While a learner is synchronized it is told a history that is not yet its own: Truncate, InstallSnapshot, Append and Apply belong together until
// PersistEpoch for CurrentEpoch. Apache ZooKeeper must find epoch(last zxid) <= currentEpoch after a kill at any instant (8.3 I2). Package replica sees to that: before
// it logs the first record of an epoch, it makes durable what is before, which is the initial history of that epoch, and raises currentEpoch to it; so Restored may have a
// currentEpoch that the node did not ask for. A driver may also hold what is of a later epoch, and all behind it, under temporary names until PersistEpoch; then [Synced] says
// that they are durable, and Reload discards them. One that does neither is as safe: epochs are compared before zxids, so nobody is elected for a history without the epoch
// that makes it whole. But the
// history tells the configs in it ([Disk]): in the epoch in which this server is already, a snapshot counts at once, and the config that belongs to it comes behind it.
//
// [Restored] says what the disk holds after its effect, and that the state in memory is exactly that.
//
// # Links
//
// A quorum link is a connection on the quorum port: FIFO, named by a [LinkID] that the driver never uses twice, and gone when the driver has said
// [LinkDown] or has run [Close]; packets of a link after either are ignored. Both sides are links, the learner's by [Dial] and the leader's by [Listen]. What
// the driver cannot decode ends the link with LinkDown. Packets of a link are delivered by [Received] in order, as many at a time as have come.
//
// A learner's driver reads its link no faster than its log is synced, a few MiB ahead at most: so the leader sees how far a synchronization is, and does
// not wait for the ACK of NEWLEADER while minutes of history are on their way to the disk. What is not read is no sign of life: a log that stands still for SyncLimit ticks
// ends the role.
//
// Votes ([Notify], [Heard]) go over the election port, where the driver keeps one connection per peer as section 2 says, and one unsent vote
// per peer: the newest. It dials when there is a vote to send and no connection, and sends the last vote again on a new connection, as Java does: who
// comes up late depends on it, since votes are repeated less and less often. Losing a vote is otherwise harmless.
//
// The driver resolves names and knows addresses by [Configure]; the node only names servers by their sids.
//
// # Requests
//
// A leader's driver calls NextZxid, prepares one request with it and steps [Propose]. A learner's driver steps [Forward] with a REQUEST
// (or REVALIDATE) packet; the leader's driver gets it by [Deliver] and puts it in line with its own. The answer to a REQUEST is the transaction, which
// each server sees by [Apply]; to a REVALIDATE it is a packet that the leader's driver steps as [Reply] and the learner's gets by Deliver. A sync is
// stepped as [Sync] at its turn; the leader answers [SyncDone] or, to a learner, a SYNC packet that is delivered there behind
// everything it must see. All of these keep the order of their link. Requests in the line die with [StopServing].
//
// sync is a quorum operation here: after the sync came in, a quorum of voters must have echoed a PING that was sent later, so that a deposed leader
// cannot answer it (9.2). A follower echoes in the same order as it does everything else and never after it left its leader; this holds for Java
// followers, so that no new packet is needed. With a Java leader sync is what Java does.
//
// # What is visible
//
// Between [StopServing] and [Serve] the state may hold transactions that are not committed; Restored may take them back. With Serve
// everything applied so far is committed, and so is everything applied until the next StopServing. [ServeReadOnly] shows what the state has, committed or not,
// as Java does.
//
// # Bytes and bounds
//
// A record's data, a packet and a config are never changed by anybody once they are in an event or an effect, so all may keep them. Memory is bounded by
// Options: HistoryBytes of records for learners that come back, OutstandingBytes that are not committed (then NextZxid says no and [Node.Full] yes), LinkBytes
// handed to a link and not sent (then the link is closed as too slow). How many connections
// may come in is up to the driver. A learner's part of the history is not queued: the node keeps a cursor into the
// history per learner and moves it as the link drains, from memory or, by ReadLog, from the log. A learner that falls behind is so cut off only when the limits in
// time say so, or when the log was purged.
//
// Bytes of a peer never cause a panic: what is against the protocol closes its link. A broken promise of the driver, or of ours, panics with
// the values in the message.
//
// It mirrors QuorumPeer, FastLeaderElection, Leader, LearnerHandler, Learner, Follower, Observer, and LearnerSyncThrottler of
// org.apache.zookeeper.server.quorum.
package zab
