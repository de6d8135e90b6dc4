// Package crash kills servers with SIGKILL while clients write, again and again on one data directory, and looks at what is there
// after each restart.
//
// Each writer knows what its znodes must be: it predicts the answer to every request, so that what the server acknowledged, in order,
// and then some number of the requests that were under way, is exactly what the next server must show, zxids and versions included.
//
// TestCrash kills quoll at random moments, while it writes a file, while it stops and while it starts; in between the store, which it
// can do without, is spoilt in one way or another. Every tenth server is Apache ZooKeeper. QUOLL_CRASH_CYCLES is the number of kills (20).
//
// TestWayBack hands a directory from quoll to Apache ZooKeeper and back, each time after a kill under load, and compares all that the two
// show of it. QUOLL_WAYBACK_INSTANTS is the number of kills of quoll (5).
//
// QUOLL_CRASH_SEED and QUOLL_WAYBACK_SEED repeat the random choices of an earlier run; their timing, and so the moment within a request
// at which the server dies, is not repeated.
package crash
