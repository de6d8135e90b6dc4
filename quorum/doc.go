// Package quorum makes a server a member of its ensemble: it owns a zab.Node, carries out its effects, and connects it with the other members, with the disk and
// with the server behind it. docs/spec/ensemble-protocol.md says what goes over the wire, package zab what is decided.
//
//	peer, err := quorum.Start(quorum.Options{Config: cfg, Logger: log}, app)
//	defer peer.Close()
//
// # Goroutines
//
// The driver owns the node. It takes what has happened, lets the [App] hand over requests, and runs the effects; it waits for neither disk nor network nor
// the state, so that heartbeats and votes never wait behind requests. The disk's goroutine carries out what must be durable, one thing after another, with one
// sync for all that is waiting; one more reads the log for learners. The state's goroutine applies what is committed. A truncation, a snapshot of the leader and a
// reload belong to all of them: the others stand still meanwhile. Each link has a reader and a writer, and so has each connection of the election port.
//
// # Bounds
//
// A link is read no further than a few MiB ahead of the driver, that of the leader no further than a few MiB ahead of disk and state. Requests are not taken while the
// state is that much behind. What is sent and not taken is bounded by the node, which closes the link. Connections that have not said who they are have a deadline
// and are bounded in number.
//
// It mirrors QuorumPeer, Leader, LearnerHandler and Learner of org.apache.zookeeper.server.quorum, as far as they run things.
package quorum
