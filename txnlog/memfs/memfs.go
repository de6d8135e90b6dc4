// Package memfs is a file system in memory that can lose power and can fail, for tests of what keeps its state on disk: it is
// [txnlog.FS] for ZooKeeper's files and, as [FS.VFS], Pebble's file system for the store, both over the same directories.
//
//	disk := memfs.New()
//	... write through disk and disk.VFS(), sync some of it ...
//	after := disk.Crash(rng) // what a machine finds that lost its power now
//
// # What a loss of power leaves
//
// Content becomes durable with a sync of the file, and a name (of a file or a directory) with a sync of the directory it is in, each
// without the other. Of what was not durable a part survives, in any order:
//
//   - names one by one: a creation, removal or either half of a rename happened or did not, whatever came later or earlier;
//   - the length of a file: the synced one or the present one;
//   - content by sectors of 512 bytes: of one write any sectors may be there, whole, the others as they were last synced, or zero.
//
// A sector is old or new, never a mixture, and durable content does not rot. How much survives is drawn anew for each crash, for
// names and for content, with nothing and everything among the likely shares.
//
// That is harsher than Pebble's own vfs.MemFS.CrashClone, which works by blocks of 4096 bytes, keeps every name that was ever
// synced (so that no removal survives, and no rename loses its old name), and does not know truncation.
//
// A sync that fails behaves as Linux does: the pages count as written from then on, though they are not, so that the next sync
// succeeds without them; reads return them until [FS.DropCache].
package memfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"quoll/txnlog"
)

const sector = 512

// ErrLie, returned by Fail, lets the operation report success without having been done: a disk or a controller that lies.
var ErrLie = errors.New("memfs: reported as done")

// Short, returned by Fail for a write, lets the first half of it happen before it fails with Err.
type Short struct{ Err error }

func (s Short) Error() string { return "short write: " + s.Err.Error() }

func (s Short) Unwrap() error { return s.Err }

// FS implements [txnlog.FS]. Its methods may be used from any goroutine.
type FS struct {
	// Fail, if set, is asked before each operation that changes the disk ("create", "write", "truncate", "allocate", "sync", "rename",
	// "link", "remove", "mkdir", "syncdir") and may let it fail. The name of a write is the one by which the file was opened. It may
	// use the file system, and must be set before the first use.
	Fail func(op, name string) error
	// Buffered leaves files without [txnlog.BlockWriter], as on most file systems. It must be set before the first use.
	Buffered bool

	mu    sync.Mutex
	limit int64 // bytes that the files may take; 0 is no limit
	root  *node
	locks map[string]bool // names that VFS has locked
}

// node is a directory or the content of a file.
type node struct {
	// Of a directory: its entries now, and those that a crash cannot take away. Both are nil in a file.
	entries, synced map[string]*node

	// Of a file: its content now, as reads see it, and as it was last synced.
	now, durable content
	dirty        []bool // sectors written since the last sync, which failed or not
	taken        int64  // up to where room is taken; what is behind it is a hole
}

// content is the bytes of a file: data, and zeros up to its size.
type content struct {
	data []byte
	size int
}

func contentOf(b []byte) content { return content{bytes.Clone(b), len(b)} }

func (c *content) bytes() []byte {
	b := make([]byte, c.size)
	copy(b, c.data)
	return b
}

func (c *content) resize(size int) {
	if size < len(c.data) {
		c.data = c.data[:size:size]
	}
	c.size = size
}

// grow makes data reach up to a place.
func (c *content) grow(end int) {
	if end > len(c.data) {
		c.data = append(c.data, make([]byte, end-len(c.data))...)
	}
}

// readAt fills p as far as the content goes.
func (c *content) readAt(p []byte, at int) int {
	p = p[:max(0, min(len(p), c.size-at))]
	n := 0
	if at < len(c.data) {
		n = copy(p, c.data[at:])
	}
	clear(p[n:])
	return len(p)
}

// copySector makes a sector what it is in another file.
func (c *content) copySector(from *content, s int) {
	at := s * sector
	if at >= c.size {
		return
	}
	if at < len(from.data) {
		c.grow(min(at+sector, c.size))
	}
	if at < len(c.data) {
		end := min(at+sector, len(c.data))
		n := from.readAt(c.data[at:end], at)
		clear(c.data[at+n : end])
	}
}

func newDir() *node { return &node{entries: map[string]*node{}, synced: map[string]*node{}} }

func (n *node) isDir() bool { return n.entries != nil }

// New returns an empty file system.
func New() *FS { return &FS{root: newDir(), locks: map[string]bool{}} }

// before asks Fail. If lie is true, the operation must do nothing and report success.
func (f *FS) before(op, name string) (lie bool, err error) {
	if f.Fail == nil {
		return false, nil
	}
	err = f.Fail(op, name)
	if errors.Is(err, ErrLie) {
		return true, nil
	}
	return false, err
}

func missing(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

// split returns the parts of a name, of which relative ones start at the root as well.
func split(name string) []string {
	clean := strings.Trim(path.Clean("/"+filepath.ToSlash(name)), "/")
	if clean == "" {
		return nil
	}
	return strings.Split(clean, "/")
}

// find returns the node of a name, or nil.
func (f *FS) find(name string) *node {
	n := f.root
	for _, part := range split(name) {
		if n = n.entries[part]; n == nil {
			return nil
		}
	}
	return n
}

// place returns the directory that a name is in, or nil if there is none, and the name's last part.
func (f *FS) place(name string) (dir *node, base string) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, ""
	}
	dir = f.find(strings.Join(parts[:len(parts)-1], "/"))
	if dir != nil && !dir.isDir() {
		dir = nil
	}
	return dir, parts[len(parts)-1]
}

// create puts an empty file under a name: a new one, or what is there cut to nothing, as O_TRUNC does.
func (f *FS) create(name string, truncate bool) (*file, error) {
	if lie, err := f.before("create", name); lie || err != nil {
		return nil, errors.Join(err, map[bool]error{true: ErrLie}[lie])
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base := f.place(name)
	if dir == nil {
		return nil, missing("create", name)
	}
	n := dir.entries[base]
	switch {
	case n != nil && n.isDir():
		return nil, &fs.PathError{Op: "create", Path: name, Err: errors.New("is a directory")}
	case n == nil || !truncate:
		n = &node{}
		dir.entries[base] = n
	default:
		n.resize(0)
	}
	return &file{fs: f, name: name, n: n}, nil
}

func (f *FS) open(name string) (*file, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.find(name)
	if n == nil {
		return nil, missing("open", name)
	}
	return &file{fs: f, name: name, n: n}, nil
}

// Create implements [txnlog.FS].
func (f *FS) Create(name string) (txnlog.File, error) { return asLogFile(f.create(name, true)) }

// Open implements [txnlog.FS].
func (f *FS) Open(name string) (txnlog.File, error) { return asLogFile(f.open(name)) }

// OpenWrite implements [txnlog.FS].
func (f *FS) OpenWrite(name string) (txnlog.File, error) { return asLogFile(f.open(name)) }

func asLogFile(h *file, err error) (txnlog.File, error) {
	if err != nil {
		return nil, err
	}
	return h, nil
}

// ReadDir implements [txnlog.FS].
func (f *FS) ReadDir(name string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.find(name)
	if n == nil || !n.isDir() {
		return nil, missing("readdir", name)
	}
	return slices.Sorted(maps.Keys(n.entries)), nil
}

// IsDir implements [txnlog.FS].
func (f *FS) IsDir(name string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.find(name)
	return n != nil && n.isDir(), nil
}

// Rename implements [txnlog.FS].
func (f *FS) Rename(from, to string) error {
	if lie, err := f.before("rename", to); lie || err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fromDir, fromBase := f.place(from)
	toDir, toBase := f.place(to)
	if fromDir == nil || toDir == nil || fromDir.entries[fromBase] == nil {
		return missing("rename", from)
	}
	n := fromDir.entries[fromBase]
	delete(fromDir.entries, fromBase)
	toDir.entries[toBase] = n
	return nil
}

// Remove implements [txnlog.FS]. A directory must be empty.
func (f *FS) Remove(name string) error { return f.remove(name, false) }

func (f *FS) remove(name string, all bool) error {
	if lie, err := f.before("remove", name); lie || err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base := f.place(name)
	if dir == nil || dir.entries[base] == nil {
		return missing("remove", name)
	}
	if len(dir.entries[base].entries) > 0 && !all {
		return &fs.PathError{Op: "remove", Path: name, Err: errors.New("directory not empty")}
	}
	delete(dir.entries, base)
	return nil
}

// MkdirAll implements [txnlog.FS].
func (f *FS) MkdirAll(name string) error {
	if lie, err := f.before("mkdir", name); lie || err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mkdirAll(name, false)
}

func (f *FS) mkdirAll(name string, durable bool) error {
	dir := f.root
	for _, part := range split(name) {
		n := dir.entries[part]
		if n == nil {
			n = newDir()
			dir.entries[part] = n
		}
		if !n.isDir() {
			return &fs.PathError{Op: "mkdir", Path: name, Err: errors.New("not a directory")}
		}
		if durable {
			dir.synced[part] = n
		}
		dir = n
	}
	return nil
}

// SyncDir implements [txnlog.FS].
func (f *FS) SyncDir(name string) error {
	if lie, err := f.before("syncdir", name); lie || err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.find(name)
	if n == nil || !n.isDir() {
		return missing("syncdir", name)
	}
	n.synced = maps.Clone(n.entries)
	return nil
}

// WriteFile puts a durable file there, and its directory. Fail is not asked.
func (f *FS) WriteFile(name string, b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.mkdirAll(filepath.Dir(name), true); err != nil {
		panic(err)
	}
	dir, base := f.place(name)
	n := &node{now: contentOf(b), durable: contentOf(b), taken: int64(len(b))}
	dir.entries[base], dir.synced[base] = n, n
}

// ReadFile returns a copy of a file's content.
func (f *FS) ReadFile(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.find(name)
	if n == nil || n.isDir() {
		return nil, missing("read", name)
	}
	return n.now.bytes(), nil
}

// DropCache makes reads return what is on the disk, but for what was written since the last sync, failed or not.
func (f *FS) DropCache() {
	f.mu.Lock()
	defer f.mu.Unlock()
	var walk func(n *node)
	walk = func(n *node) {
		n.dropCache()
		for _, child := range n.entries {
			walk(child)
		}
	}
	walk(f.root)
}

// Crash returns the file system as a restart finds it after a loss of power at this moment; f itself goes on. What was not durable
// is there or not as rng says, and gone if rng is nil. A Fail function is not taken over.
func (f *FS) Crash(rng *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	luck := func() func() bool {
		if rng == nil {
			return func() bool { return false }
		}
		share := min(max(rng.IntN(141)-20, 0), 100)
		return func() bool { return rng.IntN(100) < share }
	}
	after := New()
	after.Buffered = f.Buffered
	c := crash{names: luck(), content: luck(), done: map[*node]*node{f.root: after.root}}
	c.dir(f.root, after.root)
	return after
}

// crash copies nodes. A node with several names is copied once.
type crash struct {
	names, content func() bool // whether the next one survives
	done           map[*node]*node
}

func (c *crash) dir(n, left *node) {
	all := maps.Clone(n.synced)
	maps.Copy(all, n.entries)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		child := n.synced[name]
		if now := n.entries[name]; now != child && c.names() {
			child = now
		}
		if child == nil {
			continue
		}
		if c.done[child] == nil {
			if child.isDir() {
				c.done[child] = newDir()
				c.dir(child, c.done[child])
			} else {
				c.done[child] = c.file(child)
			}
		}
		left.entries[name] = c.done[child]
	}
	left.synced = maps.Clone(left.entries)
}

// file returns what is left of a file: the length before or after, and of what changed some sectors.
func (c *crash) file(n *node) *node {
	left := content{bytes.Clone(n.durable.data), n.durable.size}
	if n.now.size != left.size && c.content() {
		left.resize(n.now.size)
	}
	var before, now [sector]byte
	for at := 0; at < min(left.size, n.now.size, max(len(n.durable.data), len(n.now.data))); at += sector {
		clear(before[:])
		clear(now[:])
		left.readAt(before[:], at)
		n.now.readAt(now[:], at)
		if before != now && c.content() {
			left.copySector(&n.now, at/sector)
		}
	}
	return &node{now: left, durable: content{bytes.Clone(left.data), left.size}, taken: min(n.taken, int64(left.size))}
}

// written marks the sectors of a range as dirty.
func (n *node) written(from, to int) {
	for s := from / sector; s*sector < to; s++ {
		for s >= len(n.dirty) {
			n.dirty = append(n.dirty, false)
		}
		n.dirty[s] = true
	}
}

func (n *node) resize(size int) {
	if size > n.now.size {
		n.written(n.now.size, size)
	} else {
		n.taken = min(n.taken, int64(size))
	}
	n.now.resize(size)
}

// SetLimit makes the disk full at that many bytes of content; 0 is no limit. The end of a file that was only truncated to its length takes
// nothing.
func (f *FS) SetLimit(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit = bytes
}

// take takes room up to a place in a file, or reports that there is none.
func (f *FS) take(n *node, upTo int64) error {
	if upTo <= n.taken {
		return nil
	}
	if f.limit > 0 && f.used()+upTo-n.taken > f.limit {
		return syscall.ENOSPC
	}
	n.taken = upTo
	return nil
}

// Used is the room that all files take.
func (f *FS) Used() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used()
}

func (f *FS) used() (sum int64) {
	seen := map[*node]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		if !seen[n] {
			seen[n] = true
			sum += n.taken
		}
		for _, child := range n.entries {
			walk(child)
		}
	}
	walk(f.root)
	return sum
}

func (n *node) sync() {
	n.durable.resize(n.now.size)
	for s, dirty := range n.dirty {
		if dirty {
			n.durable.copySector(&n.now, s)
		}
	}
	n.dirty = n.dirty[:0]
}

func (n *node) dropCache() {
	for s := 0; s*sector < max(len(n.now.data), len(n.durable.data)); s++ {
		if s >= len(n.dirty) || !n.dirty[s] {
			n.now.copySector(&n.durable, s)
		}
	}
}

// file is an open file, of [txnlog.FS] or of Pebble's.
type file struct {
	fs     *FS
	name   string
	n      *node
	pos    int // of Read and Write
	direct bool
	closed bool
}

// begin locks the file system, unless the file is closed.
func (f *file) begin(op string) error {
	f.fs.mu.Lock()
	if f.closed {
		f.fs.mu.Unlock()
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}

// ReadAt implements [io.ReaderAt].
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.begin("read"); err != nil {
		return 0, err
	}
	defer f.fs.mu.Unlock()
	if off < 0 {
		return 0, fmt.Errorf("negative offset %d", off)
	}
	n := f.n.now.readAt(p, int(off))
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements [io.WriterAt].
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if f.direct && !aligned(p, off) {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: syscall.EINVAL}
	}
	lie, failed := f.fs.before("write", f.name)
	if lie {
		return len(p), nil
	}
	if failed != nil {
		var short Short
		if !errors.As(failed, &short) {
			return 0, failed
		}
		p = p[:len(p)/2]
	}
	if err := f.begin("write"); err != nil {
		return 0, err
	}
	defer f.fs.mu.Unlock()
	end := int(off) + len(p)
	if err := f.fs.take(f.n, int64(end)); err != nil {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: err}
	}
	if end > f.n.now.size {
		f.n.resize(end)
	}
	f.n.now.grow(end)
	f.n.written(int(off), end)
	return copy(f.n.now.data[off:], p), failed
}

// Direct implements [txnlog.BlockWriter].
func (f *file) Direct(on bool) error {
	if f.fs.Buffered {
		return errors.ErrUnsupported
	}
	f.direct = on
	return nil
}

// WriteSync implements [txnlog.BlockWriter]: a write and a sync, of which each may fail.
func (f *file) WriteSync(p []byte, offset int64) error {
	if !f.direct {
		return &fs.PathError{Op: "write", Path: f.name, Err: syscall.EINVAL}
	}
	if _, err := f.WriteAt(p, offset); err != nil {
		return err
	}
	return f.Sync()
}

func aligned(p []byte, offset int64) bool {
	return (uintptr(unsafe.Pointer(unsafe.SliceData(p)))|uintptr(len(p))|uintptr(offset))%txnlog.BlockSize == 0
}

// Truncate cuts the file or extends it with zeros.
func (f *file) Truncate(size int64) error {
	if lie, err := f.fs.before("truncate", f.name); lie || err != nil {
		return err
	}
	if err := f.begin("truncate"); err != nil {
		return err
	}
	defer f.fs.mu.Unlock()
	f.n.resize(int(size))
	return nil
}

// Allocate implements [txnlog.Allocator]. The file stays as long as it is.
func (f *file) Allocate(offset, size int64) error {
	if lie, err := f.fs.before("allocate", f.name); lie || err != nil {
		return err
	}
	if err := f.begin("allocate"); err != nil {
		return err
	}
	defer f.fs.mu.Unlock()
	if err := f.fs.take(f.n, offset+size); err != nil {
		return &fs.PathError{Op: "fallocate", Path: f.name, Err: err}
	}
	return nil
}

// DropCache implements [txnlog.CacheDropper].
func (f *file) DropCache() error {
	if err := f.begin("fadvise"); err != nil {
		return err
	}
	defer f.fs.mu.Unlock()
	f.n.dropCache()
	return nil
}

// Size is the length of the file in bytes.
func (f *file) Size() (int64, error) {
	if err := f.begin("stat"); err != nil {
		return 0, err
	}
	defer f.fs.mu.Unlock()
	return int64(f.n.now.size), nil
}

// Sync makes content and length durable.
func (f *file) Sync() error {
	lie, failed := f.fs.before("sync", f.name)
	if lie {
		return nil
	}
	if err := f.begin("sync"); err != nil {
		return err
	}
	defer f.fs.mu.Unlock()
	if failed != nil {
		f.n.dirty = f.n.dirty[:0]
		return failed
	}
	f.n.sync()
	return nil
}

// Close does not sync. A second one is an error.
func (f *file) Close() error {
	if err := f.begin("close"); err != nil {
		return err
	}
	defer f.fs.mu.Unlock()
	f.closed = true
	return nil
}
