package zab

import "quoll/zab/wire"

// Event is what happened: the argument of Node.Step.
type Event interface{ event() }

// LinkID names one connection on the quorum port; a driver never uses one twice. 0 is no link.
type LinkID uint64

// DialID names one attempt of a node to reach its leader. 0 is none.
type DialID uint64

// RestoreID names one effect that ends with Restored.
type RestoreID uint64

type (
	// Tick says that time has passed. Due at Node.Deadline, harmless at any other time.
	Tick struct{}

	// Heard is a vote that came over the election port. Messages of 3.9.5 that rules R1 and R2 drop never get here.
	Heard struct {
		// From is the sid that the connection was opened for, whether it is a member or not.
		From int64
		Vote wire.Notification
	}

	// LinkUp is a new connection: one that was accepted, or the answer to a Dial.
	LinkUp struct {
		Link LinkID
		// Dial is the number of the dial, 0 if the connection was accepted.
		Dial DialID
	}

	// LinkDown is the end of a connection, or of what may be believed of it: closed, reset, silent for TLS, not to be decoded. No event of the link
	// follows. It is not needed after Close.
	LinkDown struct {
		Link LinkID
		// Reason is for people.
		Reason string
	}

	// DialFailed is the answer to a Dial that reached nobody.
	DialFailed struct {
		Dial   DialID
		Reason string
		// Gone says that there is no use in dialling again: this is no server that is about to listen.
		Gone bool
	}

	// ListenFailed says that Listen could not bind any address. The node stops leading. It has no number: none may come behind the effect that ends that Listen.
	ListenFailed struct{ Reason string }

	// Received are packets of a link, in the order of the link: as many as have come.
	Received struct {
		Link    LinkID
		Packets []wire.Packet
	}

	// Sent says that bytes handed over by Send left for the network (were written to the socket).
	Sent struct {
		Link LinkID
		// Bytes is the sum of wire.Packet.Size of packets not reported before, each in one piece or in parts. The packet of an EchoPing, which Send did not hand over, is
		// not counted.
		Bytes int
		// Snapshot says that the snapshot of SendSnapshot was written. Until then a Sent without bytes says now and then that it goes on; the driver ends the
		// link when no byte leaves for InitLimit ticks.
		Snapshot bool
		// Zxid is that of the packet SNAP and of the state that followed it, with Snapshot. 0 stands for that of SendSnapshot; it may be a later one that was
		// given to the state, since a driver may not have the state from before any more.
		Zxid int64
	}

	// Synced says that the log is on the disk up to and with the record Zxid.
	Synced struct{ Zxid int64 }

	// EpochPersisted is the answer to PersistEpoch.
	EpochPersisted struct {
		File  EpochFile
		Epoch int64
	}

	// Restored is the answer to Truncate, InstallSnapshot and Reload: memory and disk are the same now, and this.
	Restored struct {
		Restore RestoreID
		Disk
	}

	// RestoreFailed is the answer to Truncate or InstallSnapshot if it did not work; disk and memory are in any whole state. The node asks for a Reload.
	RestoreFailed struct {
		Restore RestoreID
		Reason  string
	}

	// DiskFailed says that a write, sync or rename failed, so that nobody knows what is on the disk. Nothing that was not answered will be. The
	// node leaves its role and asks for a Reload, which must read the disk anew and not the page cache.
	DiskFailed struct{ Reason string }

	// LogRead is the answer to ReadLog.
	LogRead struct {
		Link LinkID
		// Records are what the log holds from the record with the greatest zxid <= From on, in order and without a hole: as many as fit ReadLog.Bytes,
		// at least two if there are two. Records that InstallSnapshot replaced are not there. If the log begins above From, or could not be read: none.
		Records []Record
		// LaterBytes is the length of all log files behind the one of the first record, SnapshotBytes the length of the newest snapshot file; only
		// looked at in the answer to the first ReadLog of a link. What is not known is 0.
		LaterBytes, SnapshotBytes int64
	}

	// Propose is a request turned into a transaction by a leader. Its zxid must be the one that NextZxid just gave. A reconfig needs Node.Configs of one version, and
	// has its own zxid as the version of its config. What follows from it is seen with the next call of Effects or the next event of another kind.
	Propose struct{ Record Record }

	// Sync is a sync request at its turn among the requests of a leader.
	Sync struct {
		// Link is where the request came from, 0 for a client of this server.
		Link LinkID
		// Tag comes back in SyncDone if Link is 0.
		Tag uint64
	}

	// Forward sends a packet of a learner to its leader: REQUEST or REVALIDATE. Lost if there is no leader that serves. Its memory is of the caller again when the effects of the
	// step are carried out.
	Forward struct{ Packet wire.Packet }

	// Reply sends a packet of a leader to one of its learners: the answer to REVALIDATE. Lost if the link is down.
	Reply struct {
		Link   LinkID
		Packet wire.Packet
	}
)

func (Tick) event()           {}
func (Heard) event()          {}
func (LinkUp) event()         {}
func (LinkDown) event()       {}
func (DialFailed) event()     {}
func (ListenFailed) event()   {}
func (Received) event()       {}
func (Sent) event()           {}
func (Synced) event()         {}
func (EpochPersisted) event() {}
func (Restored) event()       {}
func (RestoreFailed) event()  {}
func (DiskFailed) event()     {}
func (LogRead) event()        {}
func (Propose) event()        {}
func (Sync) event()           {}
func (Forward) event()        {}
func (Reply) event()          {}
