// Package backup copies the files of a running ZooKeeper server, quoll or Apache ZooKeeper, into a directory, and makes a data directory
// out of that again, as it was at any transaction in between.
//
//	report, err := backup.Run(ctx, backup.Options{DataDir: "/var/lib/zookeeper", To: "/backup/zk1"}) // one pass
//	err = backup.Follow(ctx, opts, 10*time.Second, func(*backup.Report, error) { ... })             // passes until ctx ends
//	problems, err := backup.Verify(ctx, nil, "/backup/zk1", nil)
//	restored, err := backup.Restore(ctx, backup.RestoreOptions{From: "/backup/zk1", DataDir: "/var/lib/quoll", Target: backup.AtZxid(0x500)})
//
// It reads nothing but ZooKeeper's own files, and only reads: the server does not notice.
//
// # The directory of a backup
//
//	manifest.json   what the backup consists of; see [Manifest]
//	version-2/      snapshots as they were, and logs without padding: whole records only
//	member/         myid, currentEpoch and acceptedEpoch, of a member of an ensemble
//	config/         the dynamic configuration file, if the server has one
//
// The manifest is replaced last and in one step. A file that it does not name is no part of the backup, and neither is what a log has
// behind the size that the manifest says: so a pass that is cut short at any place leaves the backup as the pass before made it.
//
// # What makes a backup complete
//
// A snapshot together with every log record behind it. A pass that cannot get both from the server's files is an error that says what is
// missing, and changes nothing. Snapshots of Apache ZooKeeper are fuzzy: they show transactions later than the one they are named after. The
// manifest has both ends, and a snapshot serves only targets from the later one on.
package backup
