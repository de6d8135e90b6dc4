// Package tree is the state that ZooKeeper replicates: znodes, ACLs, the session table, ephemerals, containers, TTL nodes, quota
// counters and the digest over all of it.
//
// A [Tree] is plain data. It has no lock, clock or goroutine: its owner serialises [Tree.Apply] with everything else and passes
// in what would come from outside, so that the same transactions give the same tree on every server, live, on replay and in
// simulation.
//
//	t := tree.New()
//	var result tree.Result
//	changes = t.Apply(&txn, &result, changes[:0]) // changes say which watches to trigger
//
// Committed transactions come from the log or from the leader ([DecodeTxn]); a [Loader] builds a tree from a snapshot.
//
// A [Node], and what its methods show of the tree without a copy, is good until the next Apply: its owner's lock is held as long.
//
// Paths are as in the log: the root is the empty string, and every other path starts with a slash. Lookups take "/" for the root
// as well, as clients write it.
//
// It mirrors org.apache.zookeeper.server.DataTree, DataNode, ReferenceCountedACLCache and DigestCalculator.
package tree
