// Package inspect looks into ZooKeeper's logs and snapshots, and mends logs: what stands behind `quoll log` and `quoll snapshot`.
//
// Every function reads files through [txnlog.FS] and writes text to an io.Writer. What Java's tools print as well is printed as they do,
// so that scripts around them go on working; an [ErrDamage] then says what they leave unsaid. Logs are read record by record and snapshots
// znode by znode: no function holds a file in memory, though some hold the paths of a snapshot.
//
// It mirrors SnapshotFormatter, SnapshotComparer, SnapshotRecursiveSummary, PurgeTxnLog, TxnLogToolkit and LogChopper.
package inspect

import (
	"errors"
	"time"

	"quoll/txnlog"
)

// ErrDamage is the error of a file that is not as a server would have written it.
var ErrDamage = errors.New("damaged")

// Options are what all functions of the package need.
type Options struct {
	// FS is the file system; nil means [txnlog.OS].
	FS txnlog.FS
	// Limit is the most bytes of a string, a buffer or a log entry; 0 means [txnlog.DefaultLimit].
	Limit int
	// Location is the time zone of what is printed; nil means the local one, as in Java.
	Location *time.Location
}

func (o Options) fs() txnlog.FS {
	if o.FS == nil {
		return txnlog.OS
	}
	return o.FS
}

func (o Options) at(ms int64) time.Time {
	loc := o.Location
	if loc == nil {
		loc = time.Local
	}
	return time.UnixMilli(ms).In(loc)
}
