package replica

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quoll/config"
	"quoll/metrics"
	"quoll/store"
	"quoll/txnlog"
)

// Options says where the state of a server is, and how it is read and written. All but StoreFS must be set.
type Options struct {
	*config.Config
	// FS is the file system of the data directories, and StoreFS is the same one for the store; nil is the operating system's.
	FS      txnlog.FS
	StoreFS vfs.FS
	Metrics *metrics.Set
	Logger  *slog.Logger
	// Still keeps store and log from doing anything in the background, so that a simulation can be repeated.
	Still bool
}

// MaxEntry is the most bytes that a transaction may take in the log, or ZooKeeper could not read it back.
func (o *Options) MaxEntry() int { return o.JuteMaxBuffer + o.JuteMaxBufferExtraSize }

// StoreOptions says where the store is.
func (o *Options) StoreOptions() store.Options {
	return store.Options{FS: o.StoreFS, Dir: filepath.Join(o.DataDir, "quoll", "store"), Logger: o.Logger, Still: o.Still}
}

// NewLog returns the log of a version-2 directory, which goes on in a new file. slow hears of syncs that took longer than the configuration allows; it may be nil.
func NewLog(o *Options, dir string, slow func()) *txnlog.Log {
	synced := func(took time.Duration, file string, size int64) {
		o.Metrics.FsyncTime.Observe(took.Milliseconds())
		if took <= o.FsyncWarningThreshold {
			return
		}
		if slow != nil {
			slow()
		}
		o.Logger.Warn(fmt.Sprintf("fsync-ing the write ahead log in %s took %dms which will adversely effect operation latency. File size is %d bytes. See the ZooKeeper troubleshooting guide",
			filepath.Base(file), took.Milliseconds(), size))
	}
	var now func() time.Time
	if o.Still {
		now = func() time.Time { return time.Time{} }
	}
	return txnlog.NewLog(txnlog.LogOptions{
		Now: now, Dir: dir, FS: o.FS, PreAlloc: o.PreAllocSizeKiB << 10, ForceSync: o.ForceSync, SizeLimit: o.TxnLogSizeLimitKiB << 10, Logger: o.Logger, OnSync: synced,
	})
}

func hex(zxid int64) string { return fmt.Sprintf("0x%x", uint64(zxid)) }
