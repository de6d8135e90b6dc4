// Package election is the election port of a server: the connections over which the members of an ensemble exchange votes. Section 2 of
// docs/spec/ensemble-protocol.md is what it implements.
//
// There is one connection for each pair of servers, used in both directions, and it is opened by the server with the larger sid. The other one
// opens a connection only to ask for it: it says who it is and closes, which is a doorbell, and is dialled back.
//
//	p, err := election.Open(election.Options{SID: 2, Heard: heard, ...}, committed, lastSeen)
//	p.Notify(3, vote)                  // for each effect zab.Notify
//	p.Configure(committed, lastSeen)   // for each effect zab.Configure
//	p.Close()
//
// A [Port] keeps one unsent vote for each server, the newest, and sends the last one again on a new connection. It dials when there is a vote to send
// and no connection. There is no timer that dials again: a server that looks for a leader repeats its vote.
//
// # Who comes in
//
// A connection that has not said who it is has a deadline and holds up nobody. There are at most 128 of them; then the oldest one of the address
// with the most goes, so that a member comes in whatever else knocks.
//
// Who is no member may ask, as in Apache ZooKeeper: a server that is to join hears of the leader this way, and answers go back over
// its connection. Such strangers are at most 32, the oldest goes, and none of them can take the place of a member. A stranger with a smaller sid is dialled back at the
// address that it names; [Options.RefuseStrangers] turns them all away. Without [Options.Secure] or [Options.Authenticate] a sid is only a claim.
//
// # Locks
//
// Port.mu is the only lock. It guards all of a Port and its peers, and nothing waits with it: no network, no callback.
//
// It mirrors the Java class QuorumCnxManager.
package election
