// Package replicatest is the second ring of the protocol's simulation: the world of package zabtest with whole replicas. Each server has the real tree, the real
// preparation of requests, the real files and the real store, on a disk in memory that loses power at any operation, fails and is full (package memfs); each
// client really creates, deletes, sets, reads and syncs, and the history checker judges what it was told.
//
//	cast := replicatest.New()
//	failure := zabtest.NewWorldOf(cast).Run(seed)
//
// # What is asserted
//
// All that the first ring asserts, of what the real disks hold. After each transaction, restore and start the digest of the tree is the one that every other
// server had at that zxid, and the one in the transaction. What was durable is there after each loss of power. When all is calm the trees, the sessions and the
// logs of all servers are equal, and a start of a server alone on each disk gives that tree. All that all clients saw is a history that ZooKeeper allows.
//
// # What is repeated with a seed
//
// The steps, the faults, the packets and what clients ask for: the same seed fails in the same way. Pebble has goroutines of its own; the store is told to
// be still, so that they do nothing to the disk by themselves, and everybody waits for them. What is left is the order of operations within one opening of the store, of which
// some seeds in a thousand that lose power right there take notice.
package replicatest
