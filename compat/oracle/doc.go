// Package oracle compares quoll with Apache ZooKeeper in random programs of client operations.
//
// A seed makes a round: a flavour (the settings of the servers) and some hundred programs in the language of package script. Each program is
// a few sessions that use every opcode, pipeline, watch, authenticate, break off, renew and expire, and send what no client would. A
// round runs on two tracks at the same time. A track is a data directory with whatever server works on it: at first ZooKeeper on one and
// quoll on the other. In between come handovers: both servers are stopped, or killed, and started again, each on its own directory or on the
// other's.
//
// Everything must be equal: the answers of each step, byte for byte after the normalisation of package script; after each handover
// every znode with its data, stat and ACL, read by a client; with the servers stopped, the sessions and the digest of the tree in the files, after
// the same normalisation. Zxids are compared as distances from the beginning of the round, so each step must take as many on both sides.
//
// Beyond the normalisation of package script (see [canonical]):
//
//   - events of the end of one session come in any order, since ZooKeeper deletes its ephemerals in the order of a hash table
//   - answers to auth and sasl in a pipe may overtake others, as they do in ZooKeeper
//
// What is different on purpose is a row of [deviations]; nothing else may differ. The first difference ends a round. It is then made as small
// as possible by leaving out programs, steps and parts, each attempt with fresh servers, and printed as a script.
//
// TestOracle is the oracle: QUOLL_ORACLE_OPS operations (20,000 if not set), QUOLL_ORACLE_SEED is the seed (1 if not set, drawn if 0). TestVariants runs the same
// programs on quoll alone in variants that must not matter. TestMutants plants mistakes in quoll and looks for them.
package oracle
