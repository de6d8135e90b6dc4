package memfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// VFS returns the same file system as Pebble wants it. Fail hears of its operations by the same names.
func (f *FS) VFS() vfs.FS { return pebbleFS{f} }

// pebbleFS implements [vfs.FS].
type pebbleFS struct{ fs *FS }

// pebbleFile implements [vfs.File], for directories as well.
type pebbleFile struct{ *file }

func asPebbleFile(h *file, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return pebbleFile{h}, nil
}

func (p pebbleFS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return asPebbleFile(p.fs.create(name, false))
}

func (p pebbleFS) Link(from, to string) error {
	if lie, err := p.fs.before("link", to); lie || err != nil {
		return err
	}
	p.fs.mu.Lock()
	defer p.fs.mu.Unlock()
	n := p.fs.find(from)
	dir, base := p.fs.place(to)
	switch {
	case n == nil || n.isDir() || dir == nil:
		return &os.LinkError{Op: "link", Old: from, New: to, Err: fs.ErrNotExist}
	case dir.entries[base] != nil:
		return &os.LinkError{Op: "link", Old: from, New: to, Err: fs.ErrExist}
	}
	dir.entries[base] = n
	return nil
}

func (p pebbleFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	h, err := asPebbleFile(p.fs.open(name))
	if err != nil {
		return nil, err
	}
	for _, o := range opts {
		o.Apply(h)
	}
	return h, nil
}

func (p pebbleFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	h, err := p.Open(name, opts...)
	if errors.Is(err, fs.ErrNotExist) {
		return p.Create(name, c)
	}
	return h, err
}

func (p pebbleFS) OpenDir(name string) (vfs.File, error) {
	if ok, _ := p.fs.IsDir(name); !ok {
		return nil, missing("open", name)
	}
	return asPebbleFile(p.fs.open(name))
}

func (p pebbleFS) Remove(name string) error { return p.fs.remove(name, false) }

func (p pebbleFS) RemoveAll(name string) error {
	if err := p.fs.remove(name, true); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (p pebbleFS) Rename(from, to string) error { return p.fs.Rename(from, to) }

func (p pebbleFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := p.fs.Rename(from, to); err != nil {
		return nil, err
	}
	return p.OpenReadWrite(to, c)
}

func (p pebbleFS) MkdirAll(name string, _ os.FileMode) error { return p.fs.MkdirAll(name) }

// lock is a locked name. Locks do not survive a crash.
type lock struct {
	fs   *FS
	name string
	file io.Closer
}

func (p pebbleFS) Lock(name string) (io.Closer, error) {
	p.fs.mu.Lock()
	held := p.fs.locks[name]
	p.fs.locks[name] = true
	p.fs.mu.Unlock()
	if held {
		return nil, syscall.EAGAIN
	}
	h, err := p.fs.create(name, true)
	if err != nil {
		p.fs.unlock(name)
		return nil, err
	}
	return lock{p.fs, name, h}, nil
}

func (l lock) Close() error {
	l.fs.unlock(l.name)
	return l.file.Close()
}

func (f *FS) unlock(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.locks, name)
}

func (p pebbleFS) List(name string) ([]string, error) { return p.fs.ReadDir(name) }

func (p pebbleFS) Stat(name string) (vfs.FileInfo, error) {
	h, err := p.fs.open(name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return pebbleFile{h}.Stat()
}

func (pebbleFS) PathBase(name string) string    { return path.Base(name) }
func (pebbleFS) PathJoin(elem ...string) string { return path.Join(elem...) }
func (pebbleFS) PathDir(name string) string     { return path.Dir(name) }
func (pebbleFS) Unwrap() vfs.FS                 { return nil }

// GetDiskUsage tells of a disk that is never full.
func (pebbleFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	const size = 1 << 40
	return vfs.DiskUsage{AvailBytes: size, TotalBytes: size}, nil
}

func (f pebbleFile) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, int64(f.pos))
	f.pos += n
	if n > 0 {
		err = nil
	}
	return n, err
}

func (f pebbleFile) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, int64(f.pos))
	f.pos += n
	return n, err
}

func (f pebbleFile) Sync() error {
	if f.n.isDir() {
		return f.fs.SyncDir(f.name)
	}
	return f.file.Sync()
}

func (f pebbleFile) SyncData() error { return f.Sync() }

// SyncTo does nothing, which is what it promises.
func (f pebbleFile) SyncTo(int64) (fullSync bool, err error) { return false, nil }

func (f pebbleFile) Preallocate(_, _ int64) error    { return nil }
func (f pebbleFile) Prefetch(_ int64, _ int64) error { return nil }
func (f pebbleFile) Fd() uintptr                     { return vfs.InvalidFd }

func (f pebbleFile) Stat() (vfs.FileInfo, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	return info{path.Base(f.name), size, f.n.isDir()}, nil
}

// info implements [vfs.FileInfo]. Nothing has a time.
type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string           { return i.name }
func (i info) Size() int64            { return i.size }
func (i info) ModTime() time.Time     { return time.Time{} }
func (i info) IsDir() bool            { return i.dir }
func (i info) Sys() any               { return nil }
func (i info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

func (i info) Mode() os.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
