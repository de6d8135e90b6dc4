// Package memfs is a file system in memory for tests of package txnlog and of what is built on it: it can lose power and can fail.
//
//	disk := memfs.New()
//	... write through disk, sync some of it ...
//	after := disk.Crash(rng) // what a machine finds that lost its power now
//
// Content becomes durable with File.Sync and directory entries with FS.SyncDir, each without the other. What was not durable
// survives a crash in part: directory entries one by one, content by sectors of 512 bytes, as disks reorder them.
package memfs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"

	"quoll/txnlog"
)

const sector = 512

// FS implements [txnlog.FS].
type FS struct {
	// Fail, if set, is asked before each operation that changes the disk ("create", "write", "truncate", "sync", "rename",
	// "remove", "mkdir", "syncdir") and may let it fail. It must be set before the first use.
	Fail func(op, name string) error

	mu   sync.Mutex
	dirs map[string]*dir
}

// dir is a directory: its entries now, and those that a crash cannot take away.
type dir struct{ now, durable map[string]*inode }

// inode is a file's content now, and as it was last synced.
type inode struct{ now, durable []byte }

// New returns an empty file system.
func New() *FS { return &FS{dirs: map[string]*dir{}} }

func (f *FS) fail(op, name string) error {
	if f.Fail == nil {
		return nil
	}
	return f.Fail(op, name)
}

func missing(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

func (f *FS) lookup(name string) (*dir, *inode) {
	d := f.dirs[filepath.Dir(name)]
	if d == nil {
		return nil, nil
	}
	return d, d.now[filepath.Base(name)]
}

// Create implements [txnlog.FS].
func (f *FS) Create(name string) (txnlog.File, error) {
	if err := f.fail("create", name); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d, n := f.lookup(name)
	if d == nil {
		return nil, missing("create", name)
	}
	if n == nil {
		n = &inode{}
		d.now[filepath.Base(name)] = n
	}
	n.now = nil
	return &file{f, name, n}, nil
}

// Open implements [txnlog.FS].
func (f *FS) Open(name string) (txnlog.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, n := f.lookup(name)
	if n == nil {
		return nil, missing("open", name)
	}
	return &file{f, name, n}, nil
}

// OpenWrite implements [txnlog.FS].
func (f *FS) OpenWrite(name string) (txnlog.File, error) { return f.Open(name) }

// ReadDir implements [txnlog.FS].
func (f *FS) ReadDir(name string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.dirs[filepath.Clean(name)]
	if d == nil {
		return nil, missing("readdir", name)
	}
	return slices.Sorted(maps.Keys(d.now)), nil
}

// IsDir implements [txnlog.FS].
func (f *FS) IsDir(name string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dirs[filepath.Clean(name)] != nil, nil
}

// Rename implements [txnlog.FS].
func (f *FS) Rename(from, to string) error {
	if err := f.fail("rename", to); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d, n := f.lookup(from)
	if n == nil || filepath.Dir(from) != filepath.Dir(to) {
		return missing("rename", from)
	}
	delete(d.now, filepath.Base(from))
	d.now[filepath.Base(to)] = n
	return nil
}

// Remove implements [txnlog.FS].
func (f *FS) Remove(name string) error {
	if err := f.fail("remove", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d, n := f.lookup(name)
	if n == nil {
		return missing("remove", name)
	}
	delete(d.now, filepath.Base(name))
	return nil
}

// MkdirAll implements [txnlog.FS]. Directories are durable at once.
func (f *FS) MkdirAll(name string) error {
	if err := f.fail("mkdir", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name = filepath.Clean(name); f.dirs[name] == nil; name = filepath.Dir(name) {
		f.dirs[name] = &dir{map[string]*inode{}, map[string]*inode{}}
	}
	return nil
}

// SyncDir implements [txnlog.FS].
func (f *FS) SyncDir(name string) error {
	if err := f.fail("syncdir", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.dirs[filepath.Clean(name)]
	if d == nil {
		return missing("syncdir", name)
	}
	d.durable = maps.Clone(d.now)
	return nil
}

// WriteFile puts a durable file there, and its directory.
func (f *FS) WriteFile(name string, content []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	parent := filepath.Dir(filepath.Clean(name))
	for p := parent; f.dirs[p] == nil; p = filepath.Dir(p) {
		f.dirs[p] = &dir{map[string]*inode{}, map[string]*inode{}}
	}
	n := &inode{bytes.Clone(content), bytes.Clone(content)}
	f.dirs[parent].now[filepath.Base(name)] = n
	f.dirs[parent].durable[filepath.Base(name)] = n
}

// ReadFile returns a copy of a file's content.
func (f *FS) ReadFile(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, n := f.lookup(name)
	if n == nil {
		return nil, missing("read", name)
	}
	return bytes.Clone(n.now), nil
}

// Crash returns the file system as a restart finds it after a loss of power at this moment; f itself goes on. What was not durable
// is there or not as rng says, and gone if rng is nil. A Fail function is not taken over.
func (f *FS) Crash(rng *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := func() bool { return rng != nil && rng.IntN(2) == 0 }
	after := New()
	content := map[*inode]*inode{}
	for _, path := range slices.Sorted(maps.Keys(f.dirs)) {
		d := f.dirs[path]
		names := maps.Clone(d.durable)
		maps.Copy(names, d.now)
		left := map[string]*inode{}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			n := d.durable[name]
			if now := d.now[name]; now != n && kept() {
				n = now
			}
			if n == nil {
				continue
			}
			if content[n] == nil {
				b := n.crash(kept)
				content[n] = &inode{b, b}
			}
			left[name] = content[n]
		}
		after.dirs[path] = &dir{left, maps.Clone(left)}
	}
	return after
}

// crash returns the content that is left: the length before or after, and of what changed some sectors.
func (n *inode) crash(kept func() bool) []byte {
	size := len(n.durable)
	if len(n.now) != size && kept() {
		size = len(n.now)
	}
	b := make([]byte, size)
	copy(b, n.durable)
	for at := 0; at < size; at += sector {
		end := min(at+sector, size)
		if at < len(n.now) && !bytes.Equal(b[at:end], n.now[at:min(end, len(n.now))]) && kept() {
			copy(b[at:end], n.now[at:])
		}
	}
	return b
}

type file struct {
	fs   *FS
	name string
	n    *inode
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off < 0 {
		return 0, fmt.Errorf("negative offset %d", off)
	}
	if off >= int64(len(f.n.now)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.now[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.fail("write", f.name); err != nil {
		return 0, err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.n.own()
	if end := int(off) + len(p); end > len(f.n.now) {
		f.n.resize(end)
	}
	return copy(f.n.now[off:], p), nil
}

// own keeps a later change of the content from reaching the durable one.
func (n *inode) own() {
	if len(n.now) > 0 && len(n.durable) > 0 && &n.now[0] == &n.durable[0] {
		n.now = bytes.Clone(n.now)
	}
}

func (n *inode) resize(size int) {
	if size <= len(n.now) {
		n.now = n.now[:size:size]
		return
	}
	n.now = append(n.now, make([]byte, size-len(n.now))...)
}

func (f *file) Truncate(size int64) error {
	if err := f.fs.fail("truncate", f.name); err != nil {
		return err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.n.own()
	f.n.resize(int(size))
	return nil
}

func (f *file) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.n.now)), nil
}

func (f *file) Sync() error {
	if err := f.fs.fail("sync", f.name); err != nil {
		return err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.n.durable = bytes.Clone(f.n.now)
	return nil
}

func (f *file) Close() error { return nil }
