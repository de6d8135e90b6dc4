// Package zabtest is the world in which package zab is tested: some servers, their disks, clocks and links, and the clients of a small
// application, all in one goroutine and all drawn from one seed. The same seed is the same run, to the byte.
//
//	failure := zabtest.NewWorld().Run(seed) // nil, or which invariant broke, and when
//
// # What a run is
//
// Every run draws how many servers there are and what they are, how the driver of a node behaves where the contract in zab/doc.go leaves it a choice,
// the rates of each fault, and a plan: what will be done to whom, and when (swarm.go, faults.go). Then comes chaos, and behind it calm: a quorum is
// healed, and must elect a leader, agree and take a write within a bound (liveness.go).
//
// # What a step is
//
// A crash can come between any two of: effects of one step, the write and the sync of a log, the parts of writing an epoch file, those of
// installing a snapshot, truncating, and writing a config (disk.go). What was not synced may or may not survive. Packets and votes are
// encoded and decoded by package wire; a quorum link is a FIFO that breaks at each end at its own time (link.go); of votes the newest waits, and
// old ones come again with a new connection (vote.go). Clocks run at different speeds and jump (clock.go).
//
// # What is asserted
//
// invariants.go is a table: each invariant of docs/spec/ensemble-protocol.md section 8.3 with its origin and the moments at which it is looked at. It sees
// what servers do from outside, and the ghost state of ghost.go, which no server has. A panic of the node counts too.
//
// # When a seed fails
//
//	QUOLL_SEED=1234 go test ./zab/zabtest -run TestSeed
//
// makes the plan small (minimize.go) and prints a transcript of what is left. Stories that are worth keeping are scripts in testdata, in the
// language of script.go.
package zabtest
