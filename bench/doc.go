// The program bench measures ZooKeeper servers: it drives one over raw pipelined connections, or starts Apache ZooKeeper 3.9.5
// and quoll on this machine and compares them.
//
//	go run ./bench                              every row of the default table, java and quoll, as markdown on stdout
//	go run ./bench -short                       a few rows, about a minute
//	go run ./bench -rows '^set/' -o report.md   the rows whose name matches
//	go run ./bench -rows '^3/'                  ensembles of three servers
//	go run ./bench -addr 127.0.0.1:2181         one server that runs already; three addresses with commas between are an ensemble
//	go run ./bench -servers floor,quoll         the floor is a Go loop that answers canned bytes: what the machine can do
//
// # How it measures
//
// A connection is one goroutine in a closed loop: it keeps the row's number of requests in flight, reads whatever has arrived,
// checks every reply (its xid, its error code and its length), puts as many new requests into one write, and reads again.
// Requests are prebuilt bytes into which only the xid is written. The first wrong reply ends the whole run with an error, so
// that no figure comes from a server that answers nonsense.
//
// Latency is the time from the write of a request to the read that brought its reply. The loop is closed: a server that stalls
// is also asked less, so a row shows what clients of that number see, not what an open stream of arrivals would see.
//
// Generator and server share the machine, as they do for both servers alike. The servers of a comparison have the same zoo.cfg
// and disk, with fsync on, and a directory each. All are started first, and stopped with SIGSTOP while it is another's turn:
// the JVM keeps what it has compiled, and nobody else runs during a measurement. The servers take turns row by row, in an order
// that reverses each round, and the report shows medians over the rounds. Each measurement has a warm-up of its own, and each
// server a longer one at the beginning.
//
// The rows restart, snapshot and store work on many znodes that a server is filled with first:
//
//	go run ./bench -rows '^restart/'     from the start of the process to the first answered read, after a clean stop and after kill -9
//	go run ./bench -rows '^snapshot/1m'  a load of 1,000 writes a second while a snapshot is written, and without one
//	go run ./bench -rows '^store/1m'     writes on quoll with a store that is brought up to date, and with one that is not
//
// The load of the snapshot row is open: requests leave when they are due, however late the answers to others are, and latency counts
// from then. So a stall shows in every request that falls into it. When a snapshot is being written the servers' logs tell. -rounds
// is how often each figure is measured, and four times -duration is the time of each measurement of the snapshot row.
//
// The rows that begin with 3/ are for an ensemble of three servers on this machine, whose connections are spread over all of them. The
// load begins when every member serves and has the row's znodes. While it is another's turn an ensemble stands still as a whole.
//
// CPU per operation is the growth of utime+stime of the server process, or of all in an ensemble, during the measurement, divided by the operations. It
// includes all work that the server does in the background, such as snapshots and garbage collection.
package main
