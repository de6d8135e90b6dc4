package alarm

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// precise returns an alarm that is a timer of the kernel's, on which a goroutine waits as on a socket; nil if there is none to be had.
func precise(ring func()) *Alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil
	}
	file := os.NewFile(uintptr(fd), "alarm")
	go func() {
		var times [8]byte
		for {
			if _, err := file.Read(times[:]); err != nil {
				return
			}
			ring()
		}
	}()
	return &Alarm{
		set: func(after time.Duration) {
			_ = unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(after))}, nil) // it fails only for times below 0
		},
		close: func() { file.Close() },
	}
}
