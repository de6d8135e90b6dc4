package faultfs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

const name = "faultfs" // in /proc/mounts

// available says why there can be no mount.
func available() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: only root can mount without fusermount", ErrUnavailable)
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return f.Close()
}

// Mount shows the disk at a directory of the machine, which must exist. The error wraps [ErrUnavailable] where that cannot be.
func (d *Disk) Mount(dir string) (*Mount, error) {
	if err := available(); err != nil {
		return nil, err
	}
	sweep.Do(sweepMounts)
	k := &kernel{RawFileSystem: fuse.NewDefaultRawFileSystem(), disk: d, lists: map[uint64][]fuse.DirEntry{}}
	server, err := fuse.NewServer(k, dir, &fuse.MountOptions{
		FsName: name, Name: name, DirectMountStrict: true, MaxWrite: 1 << 20, DisableXAttrs: true, DisableReadDirPlus: true, DisableSplice: true,
		DisabledCapabilities: fuse.CAP_PASSTHROUGH,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: mounting at %s: %w", ErrUnavailable, dir, err)
	}
	m := &Mount{disk: d, Dir: dir, served: make(chan struct{})}
	go func() {
		defer close(m.served)
		server.Serve()
	}()
	if err := server.WaitMount(); err != nil {
		return nil, errors.Join(err, m.Unmount())
	}
	return m, nil
}

var sweep sync.Once

// sweepMounts takes away the mounts of processes that had no time for it.
func sweepMounts() {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "fuse."+name {
			continue
		}
		if _, err := os.Stat(f[1]); errors.Is(err, syscall.ENOTCONN) {
			syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
}

// Mount is a mounted disk.
type Mount struct {
	Dir    string
	disk   *Disk
	once   sync.Once
	err    error
	served chan struct{}
}

// Unmount takes the mount away, whoever still uses it: they get errors from then on. It releases what waits for the end of a power cut.
// Further calls do nothing.
func (m *Mount) Unmount() error {
	m.once.Do(func() {
		m.disk.Release()
		// Forced, the kernel ends what is under way; detached, the directory is free at once.
		if syscall.Unmount(m.Dir, 0) != nil && syscall.Unmount(m.Dir, syscall.MNT_FORCE) != nil {
			m.err = syscall.Unmount(m.Dir, syscall.MNT_DETACH)
		}
		if m.err == nil {
			<-m.served
		}
	})
	return m.err
}

// kernel answers what the kernel asks. Inode numbers are node ids; the kernel is told to keep nothing.
type kernel struct {
	fuse.RawFileSystem
	disk *Disk

	mu    sync.Mutex
	last  uint64
	lists map[uint64][]fuse.DirEntry // of open directories
}

func (k *kernel) String() string { return name }

// node is called with the disk's mu held, or for a number that the kernel got from us; inodes are never removed.
func (k *kernel) node(id uint64) *inode { return k.disk.inodes[id] }

func (k *kernel) lookup(id uint64) *inode {
	k.disk.mu.Lock()
	defer k.disk.mu.Unlock()
	return k.node(id)
}

func attr(n *inode, a *fuse.Attr) {
	a.Ino, a.Nlink, a.Blksize = n.number, uint32(n.links), pageSize
	a.Mode = syscall.S_IFREG | 0o644
	switch {
	case n.dir:
		a.Mode, a.Nlink = syscall.S_IFDIR|0o755, 2
	case n.socket:
		a.Mode = syscall.S_IFSOCK | 0o700
	default:
		a.Size, a.Blocks = uint64(n.now.size), uint64(len(n.now.pages)*pageSize/sector)
	}
	a.SetTimes(&n.mtime, &n.mtime, &n.mtime)
}

func entry(n *inode, out *fuse.EntryOut) {
	out.NodeId, out.Generation = n.number, 1
	attr(n, &out.Attr)
}

func (k *kernel) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	d := k.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	n := k.node(h.NodeId).entries[name]
	if n == nil {
		return fuse.ENOENT
	}
	entry(n, out)
	return fuse.OK
}

func (k *kernel) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	d := k.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	attr(k.node(in.NodeId), &out.Attr)
	return fuse.OK
}

func (k *kernel) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n := k.lookup(in.NodeId)
	if size, ok := in.GetSize(); ok {
		if st := k.truncate(n, int64(size)); st != fuse.OK {
			return st
		}
	}
	k.disk.mu.Lock()
	defer k.disk.mu.Unlock()
	if t, ok := in.GetMTime(); ok {
		n.mtime = t
	}
	attr(n, &out.Attr)
	return fuse.OK
}

func (k *kernel) truncate(n *inode, size int64) fuse.Status {
	if size == 0 {
		// What O_TRUNC does to a new file is nothing.
		k.disk.mu.Lock()
		empty := n.now.size == 0
		k.disk.mu.Unlock()
		if empty {
			return fuse.OK
		}
	}
	return fuse.Status(k.disk.do(Truncate, k.disk.at(n), func(Fault) syscall.Errno {
		k.disk.truncate(n, size)
		return 0
	}))
}

// full says whether there is room for not even a page: then there is none for a directory entry either.
func (d *Disk) full() bool { return d.opts.Space > 0 && (d.pages+1)*pageSize > d.opts.Space }

func (k *kernel) add(op Op, parent uint64, name string, make func() *inode, out *fuse.EntryOut) fuse.Status {
	d, dir := k.disk, k.lookup(parent)
	return fuse.Status(d.do(op, d.at(dir, name), func(Fault) syscall.Errno {
		if dir.entries[name] != nil {
			return syscall.EEXIST
		}
		if d.full() {
			return syscall.ENOSPC
		}
		n := make()
		d.change(&change{to: dir, toName: name, node: n})
		entry(n, out)
		return 0
	}))
}

func (k *kernel) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return k.add(Mkdir, in.NodeId, name, func() *inode { return k.disk.newInode(true) }, out)
}

func (k *kernel) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	kind := in.Mode & syscall.S_IFMT
	if kind != syscall.S_IFREG && kind != syscall.S_IFSOCK {
		return fuse.EINVAL
	}
	return k.add(Create, in.NodeId, name, func() *inode {
		n := k.disk.newInode(false)
		n.socket = kind == syscall.S_IFSOCK
		return n
	}, out)
}

func (k *kernel) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	n := k.lookup(in.Oldnodeid)
	return k.add(Create, in.NodeId, name, func() *inode { return n }, out)
}

func (k *kernel) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	st := k.add(Create, in.NodeId, name, func() *inode { return k.disk.newInode(false) }, &out.EntryOut)
	if st == fuse.OK {
		out.OpenFlags = fuse.FOPEN_DIRECT_IO
	}
	return st
}

func (k *kernel) remove(parent uint64, name string, dir bool) fuse.Status {
	d, from := k.disk, k.lookup(parent)
	return fuse.Status(d.do(Unlink, d.at(from, name), func(Fault) syscall.Errno {
		n := from.entries[name]
		switch {
		case n == nil:
			return syscall.ENOENT
		case n.dir != dir && dir:
			return syscall.ENOTDIR
		case n.dir != dir:
			return syscall.EISDIR
		case len(n.entries) > 0:
			return syscall.ENOTEMPTY
		}
		d.change(&change{from: from, fromName: name, node: n})
		return 0
	}))
}

func (k *kernel) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return k.remove(h.NodeId, name, false)
}

func (k *kernel) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return k.remove(h.NodeId, name, true)
}

const renameNoReplace = 1

func (k *kernel) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	if in.Flags&^renameNoReplace != 0 {
		return fuse.EINVAL
	}
	d, from, to := k.disk, k.lookup(in.NodeId), k.lookup(in.Newdir)
	paths := func() []string { return append(d.at(to, newName)(), d.at(from, oldName)()...) }
	return fuse.Status(d.do(Rename, paths, func(Fault) syscall.Errno {
		n, old := from.entries[oldName], to.entries[newName]
		switch {
		case n == nil:
			return syscall.ENOENT
		case old == n:
			return 0
		case old != nil && in.Flags&renameNoReplace != 0:
			return syscall.EEXIST
		case old != nil && old.dir && !n.dir:
			return syscall.EISDIR
		case old != nil && !old.dir && n.dir:
			return syscall.ENOTDIR
		case old != nil && len(old.entries) > 0:
			return syscall.ENOTEMPTY
		}
		d.change(&change{from: from, fromName: oldName, to: to, toName: newName, node: n})
		return 0
	}))
}

func (k *kernel) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

func (k *kernel) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.Flags&syscall.O_TRUNC != 0 {
		if st := k.truncate(k.lookup(in.NodeId), 0); st != fuse.OK {
			return st
		}
	}
	out.OpenFlags = fuse.FOPEN_DIRECT_IO
	return fuse.OK
}

func (k *kernel) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	d, n := k.disk, k.lookup(in.NodeId)
	buf = buf[:min(len(buf), int(in.Size))]
	errno := d.do(Read, d.at(n), func(f Fault) syscall.Errno {
		buf = buf[:n.now.read(int64(in.Offset), buf)]
		if f == FlipRead && len(buf) > 0 {
			buf[d.rng.IntN(len(buf))] ^= 1 << d.rng.IntN(8)
		}
		return 0
	})
	if errno != 0 {
		return nil, fuse.Status(errno)
	}
	return fuse.ReadResultData(buf), fuse.OK
}

func (k *kernel) Write(_ <-chan struct{}, in *fuse.WriteIn, p []byte) (written uint32, _ fuse.Status) {
	d, n := k.disk, k.lookup(in.NodeId)
	errno := d.do(Write, d.at(n), func(f Fault) syscall.Errno {
		if d.shorted[n] {
			delete(d.shorted, n)
			return syscall.ENOSPC
		}
		off := int64(in.Offset)
		if in.Flags&syscall.O_APPEND != 0 {
			off = n.now.size
		}
		switch f {
		case Short:
			d.shorted[n] = true
			p = p[:len(p)/2]
			if len(p) == 0 {
				return syscall.ENOSPC
			}
		case FlipMedia:
			p = slices.Clone(p)
			p[d.rng.IntN(len(p))] ^= 1 << d.rng.IntN(8)
		}
		written = uint32(d.write(n, off, p))
		if written == 0 && len(p) > 0 {
			return syscall.ENOSPC
		}
		if f != Cut && in.Flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0 {
			d.sync(n)
		}
		return 0
	})
	return written, fuse.Status(errno)
}

func (k *kernel) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	const keepSize = 1
	if in.Mode&^keepSize != 0 {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	d, n := k.disk, k.lookup(in.NodeId)
	return fuse.Status(d.do(Truncate, d.at(n), func(Fault) syscall.Errno {
		if !d.allocate(n, int64(in.Offset), int64(in.Length)) {
			return syscall.ENOSPC
		}
		if in.Mode == 0 && n.now.size < int64(in.Offset+in.Length) {
			d.truncate(n, int64(in.Offset+in.Length))
		}
		return 0
	}))
}

func (k *kernel) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	d, n := k.disk, k.lookup(in.NodeId)
	return fuse.Status(d.do(Fsync, d.at(n), func(f Fault) syscall.Errno {
		switch f {
		case FsyncDrop:
			d.drop(n)
			return syscall.EIO
		case FsyncLie, Cut:
		default:
			d.sync(n)
		}
		return 0
	}))
}

func (k *kernel) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	d, n := k.disk, k.lookup(in.NodeId)
	return fuse.Status(d.do(FsyncDir, d.at(n), func(f Fault) syscall.Errno {
		switch f {
		case FsyncDrop:
			return syscall.EIO
		case FsyncLie, Cut:
		default:
			d.syncDir(n)
		}
		return 0
	}))
}

func (k *kernel) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

// Lseek is not told apart from a file without holes.
func (k *kernel) Lseek(<-chan struct{}, *fuse.LseekIn, *fuse.LseekOut) fuse.Status {
	return fuse.ENOSYS
}

func (k *kernel) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	k.disk.mu.Lock()
	dir := k.node(in.NodeId)
	list := []fuse.DirEntry{{Name: ".", Ino: dir.number, Mode: syscall.S_IFDIR}, {Name: "..", Ino: 1, Mode: syscall.S_IFDIR}}
	for name, n := range dir.entries {
		mode := uint32(syscall.S_IFREG)
		switch {
		case n.dir:
			mode = syscall.S_IFDIR
		case n.socket:
			mode = syscall.S_IFSOCK
		}
		list = append(list, fuse.DirEntry{Name: name, Ino: n.number, Mode: mode})
	}
	k.disk.mu.Unlock()
	slices.SortFunc(list, func(a, b fuse.DirEntry) int { return strings.Compare(a.Name, b.Name) })
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last++
	k.lists[k.last] = list
	out.Fh = k.last
	return fuse.OK
}

func (k *kernel) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	k.mu.Lock()
	list := k.lists[in.Fh]
	k.mu.Unlock()
	for i := in.Offset; i < uint64(len(list)); i++ {
		if !out.AddDirEntry(list[i]) {
			break
		}
	}
	return fuse.OK
}

func (k *kernel) ReleaseDir(in *fuse.ReleaseIn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.lists, in.Fh)
}

func (k *kernel) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	k.disk.mu.Lock()
	defer k.disk.mu.Unlock()
	const unbounded = 1 << 40
	space := k.disk.opts.Space
	if space == 0 {
		space = unbounded
	}
	out.Bsize, out.Frsize, out.NameLen = pageSize, pageSize, 255
	out.Blocks = uint64(space / pageSize)
	if free := space/pageSize - k.disk.pages; free > 0 {
		out.Bfree, out.Bavail = uint64(free), uint64(free)
	}
	out.Files, out.Ffree = 1<<20, 1<<20
	return fuse.OK
}
