package txnlog

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"unsafe"
)

// FS is the file system under the logs and snapshots. Names are paths as package os takes them; a missing file is an error that is
// [fs.ErrNotExist]. What a directory lists survives a crash only after SyncDir, and what a file holds only after its Sync.
type FS interface {
	// Create makes an empty file for writing and reading, in place of any that exists.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// OpenWrite opens an existing file for writing and reading.
	OpenWrite(name string) (File, error)
	// ReadDir returns the names in a directory, in no order.
	ReadDir(dir string) ([]string, error)
	// IsDir reports whether name exists as a directory; a missing one is no error.
	IsDir(name string) (bool, error)
	// Rename moves a file within one directory, in place of any that has the new name.
	Rename(from, to string) error
	Remove(name string) error
	// MkdirAll makes a directory and its missing parents.
	MkdirAll(dir string) error
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
}

// File is an open file of an [FS].
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is the length of the file in bytes.
	Size() (int64, error)
	// Truncate cuts the file or extends it with zeros.
	Truncate(size int64) error
	// Sync makes the content durable, and as much of the metadata as reading it back needs (fdatasync).
	Sync() error
}

// Allocator is a [File] that can have room on the disk reserved before it is written to.
type Allocator interface {
	// Allocate reserves the bytes from offset to offset+size, which read as zeros if they are new. The file stays as long as it is, or
	// gets that long. An error that is [errors.ErrUnsupported] says that the file system has no such thing.
	Allocate(offset, size int64) error
}

// BlockSize is the alignment of what a [BlockWriter] writes.
const BlockSize = 4096

// BlockWriter is a [File] that can be written past the page cache, which saves a copy, and a wait where a write and its sync are one.
type BlockWriter interface {
	// Direct makes all writes from here on such that their place in the file, their length and their memory must be multiples of BlockSize; with false
	// they are as before. An error that is [errors.ErrUnsupported] says that this is not possible, or not known to be safe, on this file system.
	Direct(on bool) error
	// WriteSync writes p and makes it durable, as WriteAt and Sync do. An error that is [errors.ErrUnsupported] says that nothing was
	// written, because BlockSize does not suit the disk.
	WriteSync(p []byte, offset int64) error
}

// blockUp is the first multiple of BlockSize that is not below n.
func blockUp[N int | int64](n N) N { return (n + BlockSize - 1) &^ (BlockSize - 1) }

// grow returns b with room for n bytes more and the rest of the block that they end in, at the start of a block of memory.
func grow(b []byte, n int) []byte {
	need := blockUp(len(b) + n)
	if need <= cap(b) {
		return b
	}
	size := max(need, blockUp(2*cap(b)))
	return append(fromBlock(make([]byte, size+BlockSize))[:0:size], b...)
}

// fromBlock is b from the first block of memory on that begins in it.
func fromBlock(b []byte) []byte {
	return b[-uintptr(unsafe.Pointer(unsafe.SliceData(b)))%BlockSize:]
}

// CacheDropper is a [File] whose content may be cached, so that reading it does not tell what is on the disk.
type CacheDropper interface {
	// DropCache forgets what is cached of the content and not waiting to be written, so that it is read from the disk.
	DropCache() error
}

// allocate reserves room in a file. It reports false where that is not possible.
func allocate(f File, offset, size int64) (bool, error) {
	a, ok := f.(Allocator)
	if !ok {
		return false, nil
	}
	err := a.Allocate(offset, size)
	if errors.Is(err, errors.ErrUnsupported) {
		return false, nil
	}
	return true, err
}

func dropCache(f File) error {
	if d, ok := f.(CacheDropper); ok {
		return d.DropCache()
	}
	return nil
}

// IsFull reports whether an error says that the disk, or what its owner may use of it, is full.
func IsFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// OS is the file system of the operating system.
var OS FS = osFS{}

type osFS struct{}

type osFile struct{ *os.File }

func open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Create(name string) (File, error) { return open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC) }

func (osFS) Open(name string) (File, error) { return open(name, os.O_RDONLY) }

func (osFS) OpenWrite(name string) (File, error) { return open(name, os.O_RDWR) }

func (osFS) ReadDir(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func (osFS) IsDir(name string) (bool, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.IsDir(), err
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o755) }

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
