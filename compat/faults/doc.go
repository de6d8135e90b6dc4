// Package faults gives quoll and Apache ZooKeeper one fault each, thousands of times, and looks at what becomes of the writes that
// they have acknowledged.
//
// A case is a scripted run: a server starts, clients write, the log rolls and snapshots are taken, the server is stopped and started
// again, the clients write on, and the server is killed. The fault is either one of the disk under it (compat/faultfs: an error, a full
// disk, a short write, a failed fsync that drops what it should have written, a flipped bit, a power cut), at the n-th operation of a
// kind on a kind of file; or damage to a file after the run: a flipped bit, a sector of zeros, a cut, a missing file, at each kind of
// byte that the formats have. Then the server is started on what is left, without any fault, and everything is read back.
//
// What counts is that no case ends in silent loss: a server that starts and serves while something it had acknowledged is missing or
// wrong. A server that says what it cannot read, and where, and does not start has lost nothing silently.
//
// QUOLL_FAULTS=long runs the whole matrix, which `make faults` does; QUOLL_FAULTS_WRITE=path writes the table into a file;
// QUOLL_FAULTS_SEED repeats the random choices of an earlier run; QUOLL_FAULTS_ONLY=regexp runs only the cases whose name matches.
package faults
