// Package quorum makes a server a member of its ensemble: it owns a zab.Node, carries out its effects, and connects it with the other members, with the disk and
// with the server behind it. docs/spec/ensemble-protocol.md says what goes over the wire, package zab what is decided.
//
//	peer, err := quorum.Start(quorum.Options{Config: cfg, Logger: log}, app)
//	defer peer.Close()
//
// # Goroutines
//
// The node is driven in turns: a turn takes what has happened, lets the [App] hand over requests, and runs the effects; it waits for neither disk nor network nor
// the state, so that heartbeats and votes never wait behind requests. There is one turn at a time, and whoever brings news takes it: the reader of a link what it has
// read, the disk's goroutine a sync, a client's connection its requests. Only who finds somebody at it leaves the news to him. A goroutine of the driver's own takes the turns
// that are due by the clock, and those of long bursts. "The driver" is who drives.
//
// The disk's goroutine carries out what must be durable, one thing after another, with one
// sync for all that is waiting; one more reads the log for learners. The state's goroutine applies what is committed. A truncation, a snapshot of the leader and a
// reload are the disk's, and the others stand still meanwhile. Each link has a reader and a writer, and so has each connection of the election port; what a turn sends it writes itself as far as
// the connection takes it at once.
//
// # Bounds
//
// A link is read no further than a few MiB ahead of the driver, that of the leader no further than a few MiB ahead of disk and state. Requests are not taken while the
// state is that much behind. What is sent and not taken is bounded by the node, which closes the link. Connections that have not said who they are have a deadline.
// They and those of learners that are no members are bounded in number; each member has one, so that it comes in whoever else does.
//
// Close waits for no peer: everything that waits for one ends with it, and no connection is closed by saying goodbye.
//
// It mirrors QuorumPeer, Leader, LearnerHandler and Learner of org.apache.zookeeper.server.quorum, as far as they run things.
package quorum
