// Package replica is the state of one server, in memory and on its disk: the tree, ZooKeeper's log and snapshots, the store, and in an ensemble the two
// epoch files. It has no goroutine and no clock of its own, and every call returns when the disk has done what it says.
//
// [Load] makes the tree from what a data directory has. A standalone server does the rest with the parts of this package; a server of an ensemble is a
// [Member], which carries out the disk effects of package zab.
//
// # What is on the disk at any instant
//
// Apache ZooKeeper starts on the directory, and nothing is missing that this server has acknowledged to anybody. A history that is being synchronized goes into
// the log as it comes, under these rules:
//
//   - Before the first record of an epoch above currentEpoch is logged, everything before it is durable and currentEpoch is raised to that epoch. What
//     precedes the first record of an epoch is the epoch's initial history, so the file says no more than what is true, and the log is never ahead of it.
//   - Before a cut, snapshots of what goes are removed, if an older one is there to begin with; a cut that would leave none is refused.
//   - A snapshot of a leader lies complete and durable under a temporary name before anything is touched. Then what is above its zxid, and so in no history
//     that counts, is cut off; currentEpoch.tmp is written, if the snapshot is of a later epoch; the snapshot gets its name; the epoch file follows; and last the
//     log before it goes. Each step leaves either the history from before or the new one.
//
// A server that came up with an empty disk, and was not told that this is intended, leaves the file quoll/untrusted there until an epoch seals what it has got.
//
// It mirrors FileTxnSnapLog, ZKDatabase and the parts of QuorumPeer and Learner that write to the disk.
package replica
