package quorum

import (
	"io"
	"time"

	"quoll/ensemble"
	"quoll/zab"
	"quoll/zab/wire"
)

// App is the server behind a [Peer]. It is called by three goroutines, each of which says one thing after another.
type App interface {
	Disk
	State
	Requests
	// Attach gets what the App may call from anywhere: wake has Work called soon, state has a function run by the state's goroutine.
	Attach(wake func(), state func(func()))
}

// Requests is the part of an [App] that the driver calls. Nothing of it may wait.
type Requests interface {
	// Work hands requests to the node, as many as it takes, by steps at now. It returns how long there is nothing to do; it is called again after every event.
	Work(now time.Duration, n *zab.Node) time.Duration
	// Deliver takes a packet of a learner. An error closes its link.
	Deliver(zab.Deliver) error
	// Touched returns the sessions that were heard of since the last call, as the data of an answer to PING; it is not null.
	Touched() []byte
	// Serve, ServeReadOnly and StopServing begin and end a service. What they return is run by the state's goroutine in its turn.
	Serve(zab.Serve) func()
	ServeReadOnly() func()
	StopServing() func()
}

// State is the part that the state's goroutine calls.
type State interface {
	// Apply gives records to the state, which were committed at a time. An error stops the process: the record was committed and cannot be read.
	Apply(records []zab.Record, committed time.Time) error
	// Answer takes what the leader says to a learner: REVALIDATE or SYNC. An error is a packet that cannot be read.
	Answer(wire.Packet) error
	// SyncDone answers a sync of a client of this leader.
	SyncDone(tag uint64)
	// Configured makes /zookeeper/config say what the committed config is.
	Configured(*ensemble.Config)
	// Stream has fn called, by another goroutine, with the state as it is at some time from now on: its zxid, and what writes it as the stream behind a
	// SNAP packet; or with an error. fn may take its time.
	Stream(fn func(zxid int64, write func(io.Writer) error, err error))
}

// Disk is the part that the disk's goroutine calls: the durable side of the server. Every call returns when the disk has done what it says. After an error
// only Reload is called.
type Disk interface {
	// Disk says what the disk holds, to begin with and after Truncate, Install and Reload.
	Disk() zab.Disk
	// Append adds records to the log, and Sync makes all of them durable; it returns the last zxid.
	Append([]zab.Record) error
	Sync() (zxid int64, err error)
	// PersistEpoch writes an epoch file.
	PersistEpoch(zab.EpochFile, int64) error
	// Configure writes the configuration files.
	Configure(committed, lastSeen *ensemble.Config)
	// Truncate cuts the log behind a zxid, Install makes the stream behind a SNAP packet the state, Reload forgets what is not durable. The state is what is
	// left. rest is what was read behind the stream.
	Truncate(zxid int64) error
	Install(zxid int64, stream io.Reader) (rest []byte, err error)
	Reload() error
	// ReadLog returns what reads records that are durable, as zab.LogRead says. It is run by another goroutine, but not beside Truncate, Install, Reload and End.
	ReadLog(from int64, bytes int) func() (zab.LogRead, error)
	// End closes the directory, when everything appended is durable.
	End() error
}
