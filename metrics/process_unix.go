//go:build unix

package metrics

import (
	"math"
	"os"
	"syscall"
)

// OpenFDs returns the number of open file descriptors of this process, -1 if the system does not tell.
func OpenFDs() int64 {
	for _, name := range []string{"/proc/self/fd", "/dev/fd"} {
		d, err := os.Open(name)
		if err != nil {
			continue
		}
		names, err := d.Readdirnames(-1)
		d.Close()
		if err == nil {
			return int64(len(names)) - 1 // without d itself
		}
	}
	return -1
}

// MaxFDs returns the limit of open file descriptors of this process, -1 if the system does not tell.
func MaxFDs() int64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return -1
	}
	return int64(min(uint64(limit.Cur), math.MaxInt64))
}
