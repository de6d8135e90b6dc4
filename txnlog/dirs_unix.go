//go:build linux || darwin

package txnlog

import (
	"os"

	"golang.org/x/sys/unix"
)

// Writable is an error if this process cannot make files in a directory.
func Writable(dir string) error {
	if err := unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		return &os.PathError{Op: "access", Path: dir, Err: err}
	}
	return nil
}

// FreeBytes is the room on the disk of a directory for who is not root, in bytes, and whether it is known.
func FreeBytes(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}
