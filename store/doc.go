// Package store keeps the replicated state on disk as it was at one zxid, so that a server starts from there and not from a snapshot
// and a long log. It is a cache of ZooKeeper's own files, to be checked against them and dropped when in doubt; Pebble is below it.
//
// A server opens the store, loads it, and from then on writes what changed since the last commit, now and then:
//
//	s, err := store.Open(store.Options{Dir: dataDir + "/quoll/store"})
//	if state, ok := s.State(); ok { // and the log has the record of state.Zxid
//		err = s.Load(store.Loading{...})
//	}
//	b := s.Begin(false)
//	b.Put("/a", data, acl, &stat) // each changed znode once, in key order
//	b.Delete("/b")
//	err = b.Commit(store.State{Zxid: zxid, ...})
//
// A View reads a commit back as the node section of a ZooKeeper snapshot, while later ones go on.
//
// # Durability
//
// There is no write-ahead log and nothing waits in a memtable. A batch becomes sorted tables in a staging directory, each synced; Commit hands all
// of them, the state record among them, to Pebble in one ingestion, which is one synced record in Pebble's manifest. Before it the
// store holds the commit before, after it this one, and nothing in between exists. A full batch replaces everything, by the same
// single step: its records may come in any order, are sorted in runs of bounded size and merged.
//
// # Faults
//
// An error while a batch is staged (a full disk above all) is the error of that batch and the store goes on. After any other failed write or sync the
// database is given up: its writes are fenced off, every call returns the error, and Err tells it. Close the store then, and Open it again,
// or Remove it first. Pebble's fatal errors are such an error too; they do not end the process.
//
// # Files
//
//	LOCK       held while a process has the store open
//	FORMAT     "quoll store 1\n"
//	<number>/  the Pebble database; of several the highest counts
//	stage/     tables not ingested yet; emptied at Open
//
// # Records
//
// A key begins with its kind; all integers are big-endian, values are jute:
//
//	1            state     long zxid, long digest, long znodes, int record sum
//	2 long id    session   int timeout in milliseconds
//	3 long no.   ACL list  vector<ACL>
//	4 path       znode     buffer data, long ACL number, StatPersisted
//
// In the key of a znode each '/' of the path is a zero byte, so that a znode comes right before all that is below it. Its value is what follows the path in a
// snapshot of ZooKeeper. The root's path is empty.
package store
