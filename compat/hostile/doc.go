// Package hostile attacks servers of this tree: broken frames, trees of extreme shapes, clients that do not read, that never finish what
// they began, or that are too many. Each time a good client works beside the attack and must not notice; afterwards the data
// directory must serve again, for Apache ZooKeeper too where that can load it.
//
// The sizes are small enough for every run. QUOLL_BIG=1 makes them what a server should have survived once: a million children, a
// session with 100,000 ephemerals, 10,000 connections. QUOLL_DEPTH=100000 makes a tree that deep on quoll alone: the sum of its paths is 10 GB,
// in memory and twice on disk, so run it
// with GOGC=20.
package hostile
