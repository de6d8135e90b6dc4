package main

import (
	"log/slog"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// timerSlack is how late a thread that sleeps may be woken. Go's runtime has one that looks at the others, and sleeps for 20 microseconds at a time while there is anything to do:
	// with the slack that Linux gives by default, 50 microseconds, it takes up to a fifth of the CPU time of a server whose clients have one request in flight. It is also what takes a
	// processor from a thread that waits for the disk: with two processors others may wait so much longer for that.
	timerSlack = time.Millisecond
	// relaxedVariable is set in the environment of a server that has begun anew for that.
	relaxedVariable = "QUOLL_TIMERS_RELAXED"
)

// relaxTimers begins the program anew with timerSlack, which only threads have that are made by one with it, and the runtime's is made before anything else. With one processor
// it would be too late to take it from a thread that waits for the disk. If anything is in the way, the server runs as it is.
func relaxTimers(log *slog.Logger) {
	if runtime.GOMAXPROCS(0) == 1 || os.Getenv(relaxedVariable) != "" {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	was, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || was <= 0 || was >= int(timerSlack) {
		return
	}
	program, err := os.Executable()
	if err != nil {
		return
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0); err != nil {
		return
	}
	err = replace(program, os.Args, append(os.Environ(), relaxedVariable+"=1"))
	log.Debug("timers stay as exact as they are", "error", err)
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(was), 0, 0, 0)
}
