package zab

import (
	"errors"
	"fmt"
	"time"

	"quoll/ensemble"
)

// Options are the settings of a node; they do not change while it lives. The zero value of a field means its default, which is ZooKeeper's.
type Options struct {
	// SID is the id of this server (myid).
	SID int64
	// Tick is the unit of the limits (tickTime). Default 3 s.
	Tick time.Duration
	// InitLimit is how many ticks connecting and synchronizing may take, SyncLimit how many a peer may be silent afterwards. Required.
	InitLimit, SyncLimit int
	// Reconfig is reconfigEnabled. Without it the config never changes, whatever anybody says.
	Reconfig bool
	// ReadOnly is readonlymode.enabled: serve clients that accept stale data while there is no quorum.
	ReadOnly bool

	// MinNotificationInterval and MaxNotificationInterval bound how often votes are sent again while nobody answers. Defaults 200 ms and 60 s.
	MinNotificationInterval, MaxNotificationInterval time.Duration
	// FinalizeWait is how long a won election waits for a better vote. Default 200 ms.
	FinalizeWait time.Duration
	// ConnectAttempts, ConnectPause and ConnectTime say how a learner dials its leader: how often, after which pauses, and how long it may take altogether. Defaults 5, 100 ms and
	// InitLimit ticks.
	ConnectAttempts           int
	ConnectPause, ConnectTime time.Duration
	// ReconnectPause is how long an observer that had a leader before waits until it dials the next one, so that many do not come at once; nil is not at all.
	ReconnectPause func() time.Duration
	// MaxTimeToWaitForEpoch makes a leader that waits for followers give up when, after this time, one of its electors is looking again
	// (zookeeper.leader.maxTimeToWaitForEpoch). 0 or less: never.
	MaxTimeToWaitForEpoch time.Duration

	// MaxCounter is the counter of the last zxid of an epoch. Default 0xfffffffe; less only makes sense in tests.
	MaxCounter int64

	// ForceSnapshotSync makes every learner get a snapshot (zookeeper.forceSnapshotSync).
	ForceSnapshotSync bool
	// SnapshotSizeFactor is how long a log, in sizes of the newest snapshot, may be sent instead of it. Less than 0: the log on disk is never
	// used. More than 1 or 0: 0.33.
	SnapshotSizeFactor float64
	// CommitLogCount is how many committed transactions are kept in memory for learners that come back, as far as HistoryBytes allows. Default and minimum 500.
	CommitLogCount int
	// MaxSnapshots and MaxDiffs limit synchronizations at the same time; an observer above the limit is turned away, a follower never. Defaults 10
	// and 100.
	MaxSnapshots, MaxDiffs int

	// HistoryBytes bounds the data of committed transactions kept for learners. Default 64 MiB.
	HistoryBytes int
	// OutstandingBytes bounds the data of proposals that are not committed; see [Node.Full]. Default 64 MiB. A learner accepts four times as much from its
	// leader.
	OutstandingBytes int
	// LinkWindow is how many bytes are handed to a link ahead of the network. Default 1 MiB.
	LinkWindow int
	// LinkBytes is when a link that does not drain is closed, without the last transaction or request, which may be of any size. Learners that are no
	// members may have as much together, beside a window each. Default 16 MiB; more than LinkWindow.
	LinkBytes int
}

// withDefaults fills in the defaults.
func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	num := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	def(&o.Tick, 3*time.Second)
	def(&o.MinNotificationInterval, 200*time.Millisecond)
	def(&o.MaxNotificationInterval, time.Minute)
	def(&o.FinalizeWait, 200*time.Millisecond)
	def(&o.ConnectPause, 100*time.Millisecond)
	def(&o.ConnectTime, o.initTime())
	num(&o.ConnectAttempts, 5)
	num(&o.MaxSnapshots, 10)
	num(&o.MaxDiffs, 100)
	num(&o.HistoryBytes, 64<<20)
	num(&o.OutstandingBytes, 64<<20)
	num(&o.LinkWindow, 1<<20)
	num(&o.LinkBytes, 16<<20)
	if o.MaxCounter == 0 {
		o.MaxCounter = maxCounter
	}
	o.CommitLogCount = max(o.CommitLogCount, 500)
	if o.SnapshotSizeFactor == 0 || o.SnapshotSizeFactor > 1 {
		o.SnapshotSizeFactor = 0.33
	}
	return o
}

// Validate reports what cannot work.
func (o Options) Validate() error {
	o = o.withDefaults()
	switch {
	case o.InitLimit <= 0 || o.SyncLimit <= 0:
		return errors.New("zab: initLimit and syncLimit must be set")
	case o.Tick < time.Millisecond:
		return fmt.Errorf("zab: tickTime %v is less than 1 ms", o.Tick)
	case o.MinNotificationInterval <= 0 || o.MaxNotificationInterval < 0 || o.FinalizeWait < 0 || o.ConnectPause < 0 || o.ConnectTime < 0 || o.ConnectAttempts < 0:
		return errors.New("zab: times and numbers of elections must not be negative")
	case o.MaxSnapshots < 0 || o.MaxDiffs < 0 || o.HistoryBytes < 0 || o.OutstandingBytes < 0 || o.LinkWindow < 0:
		return errors.New("zab: limits must not be negative")
	case o.MaxCounter < 1 || o.MaxCounter > maxCounter:
		return fmt.Errorf("zab: MaxCounter %#x is not from 1 to %#x", o.MaxCounter, int64(maxCounter))
	case o.LinkBytes <= o.LinkWindow:
		return fmt.Errorf("zab: LinkBytes %d must be more than LinkWindow %d", o.LinkBytes, o.LinkWindow)
	}
	return nil
}

// initTime and syncTime are the limits as times.
func (o *Options) initTime() time.Duration { return time.Duration(o.InitLimit) * o.Tick }
func (o *Options) syncTime() time.Duration { return time.Duration(o.SyncLimit) * o.Tick }

// Record is a transaction as it is in the log and in a proposal.
type Record struct {
	// Zxid is the transaction's id: the epoch in the upper half, in the lower a counter from 1 to 0xfffffffe.
	Zxid int64
	// Data is TxnHeader, body and digest as on the wire. Opaque to the node and never changed.
	Data []byte
	// Config is the new membership if the transaction is a reconfig, else nil. Its version is Zxid.
	Config *ensemble.Config
}

// Disk is what a server's disk holds, and exactly what its state in memory was built from.
type Disk struct {
	// Zxid is the last transaction in the log, or of the snapshot if that is newer; 0 if there is neither.
	Zxid int64
	// Untrusted says that there is neither snapshot nor log, and nobody said that this is intended (db.autocreate=false, no file "initialize"), or was not
	// when the server came up without and has persisted no currentEpoch since: what it got is not sealed, and it may not vote yet (Java reports zxid -1,
	// though only until a snapshot is there). In Restored it is what it was before; the node knows when it ends.
	Untrusted bool
	// Config is the newest config among the transactions of the history, whether it is in force or not: that of the last reconfig, or what a snapshot has as the data of
	// /zookeeper/config; nil if there is none. A snapshot tells of its reconfigs in no other way, until NEWLEADER; who does not know one takes an older config for the one in
	// force, and may lead by it. (Java keeps such a snapshot only when NEWLEADER is there.)
	Config *ensemble.Config
	// AcceptedEpoch and CurrentEpoch are the values of the two files, by the rules at start of docs/spec/storage-format.md section 8.2; but a log
	// that is ahead of currentEpoch, cut off in the middle of a synchronization, is fine here.
	AcceptedEpoch, CurrentEpoch int64
	// Recent are the last transactions up to Zxid, in order and without a hole: what learners are sent from memory. As many as the driver
	// likes, none is fine.
	Recent []Record
}

// State is what a node starts with.
type State struct {
	Disk
	// Committed is the config in force and LastSeen the newest one heard of, which is Committed or has a higher version (the file
	// zoo.cfg.dynamic.next). LastSeen may be nil for Committed.
	Committed, LastSeen *ensemble.Config
}
