package txnlog

import (
	"errors"
	"fmt"
	"io"
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

// Direct implements [BlockWriter] on the file systems whose direct writes are known to be durable when they say so, and to be seen by whoever reads the file.
func (f osFile) Direct(on bool) error {
	return f.control("fcntl", func(fd int) error {
		var disk unix.Statfs_t
		if err := unix.Fstatfs(fd, &disk); err != nil {
			return err
		}
		if t := uint32(disk.Type); t != unix.EXT4_SUPER_MAGIC && t != unix.XFS_SUPER_MAGIC {
			return errors.ErrUnsupported
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			return err
		}
		flags &^= unix.O_DIRECT
		if on {
			flags |= unix.O_DIRECT
		}
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags)
		return unsupported(err)
	})
}

// WriteSync implements [BlockWriter].
func (f osFile) WriteSync(p []byte, offset int64) error {
	parts := [][]byte{p}
	return f.control("pwritev2", func(fd int) error {
		n, err := unix.Pwritev2(fd, parts, offset, unix.RWF_DSYNC)
		for err == nil && n < len(parts[0]) {
			if n == 0 {
				return io.ErrShortWrite
			}
			parts[0], offset = parts[0][n:], offset+int64(n)
			n, err = unix.Pwritev2(fd, parts, offset, unix.RWF_DSYNC)
		}
		if len(parts[0]) == len(p) {
			err = unsupported(err)
		}
		return err
	})
}

// unsupported tells the errors of calls that a file system, a disk or a kernel does not take.
func unsupported(err error) error {
	if err == unix.EINVAL || err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return err
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
