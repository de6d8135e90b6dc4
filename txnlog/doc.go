// Package txnlog reads and writes the files of a ZooKeeper data directory: transaction logs and snapshots, as Apache ZooKeeper 3.9.5
// has them, so that a directory can be handed back and forth.
//
// A server loads the newest good snapshot into a sink, replays the log behind it, cuts a torn tail and goes on in a new file:
//
//	snap, found, err := txnlog.LoadNewestSnapshot(fs, snapDir, limit, newSink)
//	read, err := txnlog.ReplayLogs(fs, logDir, snap.Zxid, found, limit, func(r txnlog.Record) error { return tree.Apply(r.Entry) })
//	err = read.Settle(fs) // cuts the tail
//	log := txnlog.NewLog(txnlog.LogOptions{Dir: logDir, FS: fs, ...})
//	log.Append(zxid, entry) // for each transaction, in zxid order
//	err = log.Sync()        // one write and one sync for all of them; only now may anybody be told
//	if err != nil {
//		err = log.Recover() // until it works; what was acknowledged is still there, the failed batch is not
//	}
//
// and now and then rolls the log, writes a snapshot and purges what the kept snapshots no longer need.
//
// # Files
//
// A log is `log.<zxid of its first record in hex>`:
//
//	FileHeader   "ZKLG", version 2, dbid 0                      16 bytes
//	record*      long Adler-32 of the entry, buffer entry, 'B'  back to back
//	zeros        up to the preallocated size
//
// where the entry is a TxnHeader, the body and, unless it is an error, a TxnDigest. A log is written once: after a restart the next
// record opens a new file. A snapshot is `snapshot.<last zxid in hex>`, with .gz or .snappy if compressed:
//
//	FileHeader   "ZKSN", version 2, dbid -1
//	sessions     int count, then long id and int timeout each
//	ACL lists    int count, then long number and vector<ACL> each
//	nodes        ustring path, buffer data, long ACL number, StatPersisted; then the path "/"
//	seal         long Adler-32 of all bytes so far, ustring "/"
//	digest       long zxid, int version, long digest, and a seal; optional
//	last zxid    long zxid, and a seal; optional
//
// Beside the version-2 directory of the logs, where Java does not look, the directory quoll has the [Watermark], how far the log is known to
// be on the disk (file synced), and the [Reserve] of room on it (file reserve).
//
// It mirrors FileTxnLog, FilePadding, FileSnap, SnapStream, FileTxnSnapLog and PurgeTxnLog of org.apache.zookeeper.server.
package txnlog
