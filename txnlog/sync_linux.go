package txnlog

import (
	"os"

	"golang.org/x/sys/unix"
)

// Sync leaves the time stamps of the file to the kernel, which saves a journal write where the size did not change.
func (f osFile) Sync() error { return f.control("fdatasync", unix.Fdatasync) }

// Allocate implements [Allocator]. Of the file systems that can, NFS can only with the file getting longer.
func (f osFile) Allocate(offset, size int64) error {
	return f.control("fallocate", func(fd int) error {
		err := unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, offset, size)
		if err == unix.EOPNOTSUPP {
			err = unix.Fallocate(fd, 0, offset, size)
		}
		return err
	})
}

// DropCache implements [CacheDropper].
func (f osFile) DropCache() error {
	return f.control("fadvise", func(fd int) error { return unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) })
}

// control makes a system call on the file until no signal interrupts it.
func (f osFile) control(op string, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	err = raw.Control(func(fd uintptr) {
		for {
			if callErr = call(int(fd)); callErr != unix.EINTR {
				return
			}
		}
	})
	if err == nil && callErr != nil {
		err = &os.PathError{Op: op, Path: f.Name(), Err: callErr}
	}
	return err
}
