// Package ensemble describes the members of an ensemble: who they are, where they listen, who votes, and how many votes decide.
//
// A [Config] is made by [Parse] from the text that is in /zookeeper/config and on the wire between servers, or by a [Builder] from single lines,
// as package config does with zoo.cfg. [Config.String] gives the text back as Apache ZooKeeper 3.9.5 writes it, to the byte, but for the order of
// the members: Java's is that of a hash table, ours is that of their ids.
//
//	c, err := ensemble.Parse("server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\nversion=100000000")
//	var acks ensemble.Set
//	acks = acks.Add(1).Add(3)
//	c.Quorum(acks) // true
//
// Nothing here resolves a name, opens a file or reads a clock, and no answer depends on the order of a map: everything is a function of its
// arguments. A Config is not changed after it was made, so that copies of it may share memory and goroutines may share it.
//
// It mirrors the Java classes QuorumPeer.QuorumServer, QuorumMaj, QuorumHierarchical and the parts of QuorumPeerConfig that parse them.
package ensemble
