// The program bench measures ZooKeeper servers: it drives one over raw pipelined connections, or starts Apache ZooKeeper 3.9.5
// and quoll on this machine and compares them.
//
//	go run ./bench                              every row of the default table, on java, quoll and the floor; the report on stdout
//	go run ./bench -o docs/performance.md       the same into a page, and beside it the plot and every figure of every round as JSON
//	go run ./bench -short                       a few rows, about a minute
//	go run ./bench -list                        the names of the rows
//	go run ./bench -rows '^set/'                the rows whose name matches
//	go run ./bench -from a.json,b.json          no measurement, the report of earlier runs; with -rows those rows anew
//	go run ./bench -scale 100 -rounds 1         all of it small, to see whether it works
//	go run ./bench -addr 127.0.0.1:2181         one server that runs already; three addresses with commas between are an ensemble
//
// A row is an entry of the table in rows.go: its name, the stage on which it is measured, what quoll is to reach beside Java, and the function
// that measures one server once and returns figures. All else, the turns, the medians, the report and the plot, knows no row.
//
// # How it measures
//
// The servers of a comparison have the same zoo.cfg and disk, with fsync on, and a directory each. They take turns row by row, in an order that
// reverses each round, and the report shows medians over the rounds. Those of a stage are all started first, and stopped with SIGSTOP while it is
// another's turn: the JVM keeps what it has compiled, and nobody else runs during a measurement. Each measurement has a warm-up of its own, and each
// server a longer one at the beginning. Rows whose stage is fresh have a server of their own for each measurement.
//
// The JVM has G1 and a heap that is fixed and so large that it never lacks memory, except where resident memory is what is measured: there it grows from
// a small one, and is told to collect its garbage before anybody looks, which is the kindest reading for Java.
//
// The floor is a Go loop that answers canned bytes on the same wire, those of a write when the request is on the disk, in one sync with those of all
// connections that wait: what the machine, the kernel, the disk and the generator need, whatever the server. Its log is quoll's.
//
// # Loads
//
// A connection is one goroutine in a closed loop: it keeps the row's number of requests in flight, reads whatever has arrived,
// checks every reply (its xid, its error code and its length), puts as many new requests into one write, and reads again.
// Requests are prebuilt bytes into which only the xid is written. The first wrong reply ends the whole run with an error, so
// that no figure comes from a server that answers nonsense. What was measured until then is in the JSON file, and -from with -rows goes on from there.
//
// Latency is the time from the write of a request to the read that brought its reply. The loop is closed: a server that stalls
// is also asked less, so a row shows what clients of that number see, not what an open stream of arrivals would see. The rows rate and pauses have an
// open load: requests leave when they are due, however late the answers to others are, and latency counts from then, so that a stall shows in every
// request that falls into it.
//
// CPU per operation is the growth of utime+stime of the server process, or of all in an ensemble, during the measurement, divided by the operations. It
// includes all work that the server does in the background, such as snapshots and garbage collection. The kernel counts in hundredths of a second.
//
// Generator and server share the machine. Where many requests are in flight the generator takes about as much CPU time for one as quoll does, so that
// quoll would do more if it had the machine to itself; the report names these rows. CPU per operation does not depend on that. With one request in flight both
// wait for each other, and most of what either uses is the kernel's. A change that 10,000 sessions watch costs the generator half of what it costs quoll.
//
// # Trust
//
// With every measurement the results say how many processors were meanwhile busy with something else: a table from a machine that was not quiet shows it.
// The report says whether anything was written to swap.
//
// # What a commit changes
//
// against.sh (make bench-compare) runs the micro-benchmarks of the packages below a request's path, those of a commit and those of the working tree in turn,
// and has benchstat compare them.
package main
