// Package history has 16 clients work on the same few znodes of one server at once, each with several requests on their way, and has
// package [quoll/history] check everything that they saw: replies, Stats, zxids and events. The server is killed with SIGKILL under this
// load and started again, many times; then everything is read once before the next load, so that it is known what became of the requests
// that nobody answered. Apache ZooKeeper is the control: what the rules find there is wrong with the rules.
//
// QUOLL_HISTORY_OPS is the number of answered requests (200000), QUOLL_HISTORY_SEED repeats the random choices of an earlier run; what
// the threads of the processes make of them is not repeated.
package history
