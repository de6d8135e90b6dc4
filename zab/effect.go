package zab

import (
	"quoll/ensemble"
	"quoll/zab/wire"
)

// Effect is something for the driver to do; see the package comment for the order and the answers.
type Effect interface{ effect() }

// EpochFile is one of the two files of section 4.2.
type EpochFile int

// The files: the highest epoch promised, and the epoch whose initial history is here.
const (
	AcceptedEpoch EpochFile = iota
	CurrentEpoch
)

// String returns the name of the file.
func (f EpochFile) String() string {
	if f == AcceptedEpoch {
		return "acceptedEpoch"
	}
	return "currentEpoch"
}

type (
	// Notify sends a vote over the election port. It replaces one for the same server that is not sent yet.
	Notify struct {
		// To is a sid, maybe of no member (then the vote goes where a message from it came from, or nowhere).
		To   int64
		Vote wire.Notification
	}

	// Dial connects to a quorum address of a member, or of a server of the last seen config: all its addresses at once, the first that answers.
	Dial struct {
		Dial DialID
		SID  int64
	}

	// Listen begins (On) or ends accepting connections on the own quorum addresses. Links that are up stay.
	Listen struct{ On bool }

	// Close ends a link after what was sent on it; what is not sent within a moment is lost.
	Close struct {
		Link LinkID
		// Reason is for people. Error says that the peer broke the protocol or was too slow.
		Reason string
		Error  bool
	}

	// Send hands packets to a link.
	Send struct {
		Link    LinkID
		Packets []wire.Packet
	}

	// SendSnapshot sends the packet SNAP and then the state as a stream (section 4.7), before anything that is sent later on the link. The state is that after
	// the Apply effects so far, or a later one; the packet has its zxid, and so has the answer, see Sent.
	SendSnapshot struct {
		Link LinkID
		Zxid int64
	}

	// EchoPing answers a PING of the leader: a PING with the same zxid and the sessions touched since the last one as data, which is empty, not null, when
	// there are none.
	EchoPing struct {
		Link LinkID
		Zxid int64
	}

	// Deliver hands a packet to the server behind the driver: at a leader REQUEST, REVALIDATE, or PING with touched sessions; at a learner REVALIDATE
	// or SYNC. In order with Apply: what the leader had committed before a SYNC is applied before.
	Deliver struct {
		Link LinkID
		// SID is who sent it, Stranger says that it is a learner without a place in the config in force or the last seen one.
		SID      int64
		Stranger bool
		Packet   wire.Packet
	}

	// Append adds records to the log, behind its end and in zxid order, and syncs it soon.
	Append struct{ Records []Record }

	// Truncate cuts the log behind Zxid, which is the zxid of a record in it or of its snapshot, durably, and builds the state anew from what is left.
	// The driver need not read the link of the leader meanwhile; what it delivers all the same is kept, up to OutstandingBytes.
	Truncate struct {
		Restore RestoreID
		Zxid    int64
	}

	// InstallSnapshot reads the stream that follows the SNAP packet just received on the link, keeps it as a durable snapshot of the
	// transactions up to Zxid, and makes it the state. The log begins anew behind it: none of its records is replayed or given to LogRead any more. It happens as a whole
	// or not at all. The driver delivers nothing more of the link before its answer, and gives up when no byte comes for InitLimit ticks.
	InstallSnapshot struct {
		Restore RestoreID
		Link    LinkID
		Zxid    int64
	}

	// Reload forgets what is in memory, what was prepared, what was appended and is not durable, and builds the state from the disk, after any Append, Truncate
	// or InstallSnapshot before it has ended in one way or another. It is repeated until it works.
	Reload struct{ Restore RestoreID }

	// ReadLog reads records of the log for the learner of the link. What was appended before is in it, synced or not.
	ReadLog struct {
		Link LinkID
		// From is the zxid to begin at or before.
		From int64
		// Bytes is about how much data is wanted.
		Bytes int
	}

	// PersistEpoch writes an epoch file: temporary name, sync, rename, sync of the directory. CurrentEpoch also seals what was appended or installed before.
	PersistEpoch struct {
		File  EpochFile
		Epoch int64
	}

	// Apply gives records to the state, each once and in zxid order, without a hole. See the package comment for when it is visible.
	Apply struct{ Records []Record }

	// Configure says which configs are in force. What changed is written to zoo.cfg.dynamic.<version>, zoo.cfg.dynamic.next and zoo.cfg as section 1.3 says, durable before any
	// record appended later is, and before an epoch file that is persisted later; addresses are resolved anew; /zookeeper/config follows Committed without a transaction. Election connections of members that stay need not
	// be cut. Behind a Reload that follows DiskFailed it names the same configs again, since nobody knows what of them was written.
	Configure struct{ Committed, LastSeen *ensemble.Config }

	// Serve begins serving clients. What was applied is committed.
	Serve struct {
		// Role is Leading, Following or Observing.
		Role Role
		// Leader is the leader's sid, Epoch the epoch it leads.
		Leader, Epoch int64
	}

	// ServeReadOnly begins serving clients that accept old data, until StopServing.
	ServeReadOnly struct{}

	// StopServing ends service: connections of clients are closed, requests in the line and what was prepared are forgotten.
	StopServing struct{}

	// SyncDone answers a Sync of a client of this server: what was committed when it was asked is applied.
	SyncDone struct{ Tag uint64 }

	// Note is a line for the log of the operator.
	Note struct {
		// Warn says that somebody should look at it.
		Warn bool
		// Kind is empty, or what a peer can bring about as often as it likes, so that a few of that kind in a second are enough. Those about a member are of a kind of their
		// own, which strangers do not crowd out.
		Kind string
		Text string
	}
)

func (Notify) effect()          {}
func (Dial) effect()            {}
func (Listen) effect()          {}
func (Close) effect()           {}
func (Send) effect()            {}
func (SendSnapshot) effect()    {}
func (EchoPing) effect()        {}
func (Deliver) effect()         {}
func (Append) effect()          {}
func (Truncate) effect()        {}
func (InstallSnapshot) effect() {}
func (Reload) effect()          {}
func (ReadLog) effect()         {}
func (PersistEpoch) effect()    {}
func (Apply) effect()           {}
func (Configure) effect()       {}
func (Serve) effect()           {}
func (ServeReadOnly) effect()   {}
func (StopServing) effect()     {}
func (SyncDone) effect()        {}
func (Note) effect()            {}
