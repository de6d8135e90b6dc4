// Package history judges what the clients of a ZooKeeper server, or of an ensemble, have seen.
//
// Every reply carries a zxid, so the order of the writes is witnessed and need not be searched for: all answered operations are put
// into zxid order and carried out one after the other on a small sequential model, and each must give exactly the reply that it got.
// That takes time linear in the history but for one sort. Porcupine, which does not believe zxids and searches, judges samples.
//
// The package has no socket, file, clock or goroutine of its own: a recorder of real processes and a simulation use it alike.
//
//	c := history.NewChecker(history.Options{})
//	for each life of the server {
//		... all clients record, each its own connections; the server dies or stops
//		c.Life(connections)
//	}
//	report := c.Report()
//
// # What is recorded
//
// The history begins with an empty server, and everything that its clients do is in it. A [Connection] is what one client has seen
// between a handshake and the end of the stream: the session, the requests in the order in which they were sent, the replies to the first
// so many of them, and the watch events with the number of replies that came before each. A request that nobody answered is open-ended:
// it may have been carried out at any zxid that no answered write has, or not at all. So is one whose connection was lost, or whose
// server was killed; nobody has to say which.
//
// An instant is a number that does not go back, the same for all connections; the call is taken before the request is sent, the return
// after the reply was read. A handshake that was refused is recorded with the session in Refused; one that nobody answered needs no
// record. Requests must be such that only the state of the tree decides: valid paths, open ACLs, no quotas, no containers and TTL znodes,
// no setWatches. Data is kept as a hash; two writes must not write the same data, or one may be taken for the other.
//
// # Lives
//
// A life is the time of one server process, or the whole run of an ensemble. [Checker.Life] is called when it is over. What lies in it
// is checked at once but for what only later replies decide: which of the open-ended writes have been done. A life is forgotten once
// all znodes that they may have touched have been read again, so a recorder that reads its znodes after each restart keeps the memory at
// one or two lives.
//
// With [Options.Members] the connections of a life go to several members of an ensemble, each of which may lag behind: a read need only
// be at the zxid that it says, and not go back within its session, and a sync must catch up.
//
// # What is checked
//
// [Rules] has a row for each rule: what it means and who promises it. In short: writes have one order that agrees with real time and with
// every reply, error codes, versions, sequence numbers and times included; multis are atomic, ephemerals live as long as their sessions,
// sessions until they are closed or time out; reads show the state at the zxid of their reply, that is not older than what was
// acknowledged before, and what a session sees never goes back; each change that a watch covers is told once, in order, before any
// reply that could show it; and a restart loses nothing.
//
// # Open-ended writes
//
// Zxids are dense within an epoch, so a zxid that no answered write has is an open-ended write, a session that was made (its reply has
// no zxid), the expiry of a session, or nothing that can be seen. The checker tries the candidates, those of one connection in order,
// and comes back when what follows does not fit. It is guided by what later replies and events show of the zxid: a write whose data was
// read has that zxid, what its connection sent before must fit in between, and the next operation on a znode bounds its versions. A state
// that led nowhere is not tried twice. With [Options.Logged] it first takes the word of the servers' logs, which leaves almost nothing to
// try; what they say must fit all that was seen, so that it is checked as well. Only when nothing fits does a lost connection do something after its client has come back, which
// the protocol does not forbid.
//
// It reports a violation when none of the ways fits, of the rule that the nearest one breaks and of open-write: which of the two it is
// nobody can know. Where the search would take too long it is given up, and [Report.Undecided] says so: that is neither clean nor a
// violation. What makes it long is many unanswered writes on few znodes at one moment, most of which were done: without the logs thirty may
// be too many.
//
// The replay stops at its first violation, since it does not know what to go on from.
package history
