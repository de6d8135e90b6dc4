// Package replicatest is the second ring of the protocol's simulation: the world of package zabtest with whole replicas. Each server has the real tree, the real
// preparation of requests, the real files and the real store, on a disk in memory that loses power at any operation, fails and is full (package memfs); each
// client really creates, deletes, sets, reads and syncs, and the history checker judges what it was told.
//
//	cast := replicatest.New()
//	failure := zabtest.NewWorldOf(cast).Run(seed)
//
//	QUOLL_SEED=1234 go test ./replica/replicatest -run TestSeed -v
//
// # What is asserted
//
// All that the first ring asserts, of what the real disks hold. After each transaction, restore and start the digest of the tree is the one that every other
// server had at that zxid, and the one in the transaction. What was durable is there after each loss of power. When all is calm the trees, the sessions and the
// logs of all servers are equal, and a start of a server alone on each disk gives that tree. All that all clients saw is a history that ZooKeeper allows.
//
// # What is repeated with a seed
//
// Everything: steps, faults, packets, what clients ask for, the operations on the disks and what survives of them; a test runs schedules twice. Pebble has
// goroutines of its own; the store is told to be still (store.Options), so that they do nothing to the disk by themselves, and whoever calls the store waits for the others.
package replicatest
