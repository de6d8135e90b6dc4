// Package crash kills servers with SIGKILL while clients write, again and again on one data directory, and looks at what is there
// after each restart.
//
// Each writer knows what its znodes must be: it predicts the answer to every request, so that what the server acknowledged, in order,
// and then some number of the requests that were under way, is exactly what the next server must show, zxids and versions included.
// Every tenth server is Apache ZooKeeper.
//
// QUOLL_CRASH_CYCLES is the number of kills (5), QUOLL_CRASH_SEED repeats the random choices of an earlier run; their timing, and so the
// moment within a request at which the server dies, is not repeated.
package crash
