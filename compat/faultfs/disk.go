package faultfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	pageSize = 4096
	sector   = 512 // what a power cut keeps or drops, half of the times
)

// Options describe a disk. The zero value has strict metadata and no bound.
type Options struct {
	Seed uint64 // of flipped bits and of the rules' power cuts

	// Journal makes all directory operations so far durable, in order, with any fsync of a file or directory, as ext4 and XFS do
	// it. Without it they become durable with the fsync of their directory, each on its own.
	Journal bool

	// Space is how many bytes the files can have in all, counted in pages; 0 means no bound. Holes take none.
	Space int64
}

// Disk is a file system in memory. Its methods may be called from any goroutine, also while it is mounted.
type Disk struct {
	mu      sync.Mutex
	opts    Options
	rng     *rand.Rand
	root    *inode
	inodes  map[uint64]*inode // all there ever were, by number
	next    uint64
	pages   int64     // in files that have a name
	pending []*change // directory operations that are not durable, oldest first
	rules   []*armed
	shorted map[*inode]bool // whose next write fails
	events  []Event

	image    *Disk         // what the first power cut has left
	cut      chan struct{} // closed by it
	release  chan struct{} // closed by Release
	released bool
}

// inode is a file or a directory.
type inode struct {
	number uint64
	dir    bool
	socket bool // of this boot: a power cut and Save leave it out
	mtime  time.Time
	links  int

	// Of a file.
	now, durable content
	dirty        map[int64]struct{} // pages in which they differ

	// Of a directory.
	entries, kept map[string]*inode

	// Where it was last put, for rules.
	parent *inode
	name   string
}

// content is a file's bytes. A page that is missing is a hole; one that is not dirty is shared between now and durable.
type content struct {
	size  int64
	pages map[int64][]byte
}

// change is one directory operation. It takes an entry away, or adds one, or both.
type change struct {
	from     *inode // directory; nil if nothing is taken away
	fromName string
	to       *inode // directory; nil if nothing is added
	toName   string
	node     *inode
}

// New returns an empty disk.
func New(opts Options) *Disk {
	d := &Disk{
		opts: opts, rng: rand.New(rand.NewPCG(opts.Seed, 0x66617566)), inodes: map[uint64]*inode{}, shorted: map[*inode]bool{},
		cut: make(chan struct{}), release: make(chan struct{}),
	}
	d.root = d.newInode(true)
	d.root.links = 1
	return d
}

func (d *Disk) newInode(dir bool) *inode {
	d.next++
	n := &inode{number: d.next, dir: dir, mtime: time.Now()}
	if dir {
		n.entries, n.kept = map[string]*inode{}, map[string]*inode{}
	} else {
		n.now.pages, n.durable.pages, n.dirty = map[int64][]byte{}, map[int64][]byte{}, map[int64]struct{}{}
	}
	d.inodes[n.number] = n
	return n
}

// Inject adds rules. Each counts the operations from now on.
func (d *Disk) Inject(rules ...Rule) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range rules {
		d.rules = append(d.rules, &armed{Rule: r})
	}
}

// Heal removes all rules.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules = nil
	clear(d.shorted)
}

// SetSpace changes [Options.Space].
func (d *Disk) SetSpace(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opts.Space = bytes
}

// Used is how many bytes the pages of all files take.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pages * pageSize
}

// Events are the operations so far, and what became of them. Reads are left out unless a rule matched them.
func (d *Disk) Events() []Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.events)
}

// Fired are the events that met with a fault.
func (d *Disk) Fired() []Event {
	return slices.DeleteFunc(d.Events(), func(e Event) bool { return e.Fault == "" })
}

// Cut is closed when a rule has cut the power. Nothing that a program does afterwards comes back until Release.
func (d *Disk) Cut() <-chan struct{} { return d.cut }

// Image is what the power cut of a rule has left, nil before.
func (d *Disk) Image() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.image
}

// Release lets the operations that wait since the power cut, and all later ones, fail with EIO. The program should have been sent its
// SIGKILL by then.
func (d *Disk) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.released {
		d.released = true
		close(d.release)
	}
}

// Path is where a file was last put, below the root; the root's is ".".
func (d *Disk) path(n *inode) string {
	if n == d.root {
		return "."
	}
	var names []string
	for ; n.parent != nil; n = n.parent {
		names = append(names, n.name)
	}
	slices.Reverse(names)
	return path.Join(names...)
}

// begin is called with mu held before an operation, and says what is to befall it.
func (d *Disk) begin(op Op, paths ...string) Fault {
	fault := Fault("")
	for _, r := range d.rules {
		if !r.Matches(op, paths...) {
			continue
		}
		r.seen++
		nth := max(r.Nth, 1)
		if r.seen >= nth && (r.Count < 0 || r.seen < nth+max(r.Count, 1)) && fault == "" {
			fault = r.Fault
		}
	}
	if op != Read || fault != "" {
		d.events = append(d.events, Event{op, paths[0], fault})
	}
	return fault
}

// do runs one operation. All that come after a power cut, and the one at which it happens, wait.
func (d *Disk) do(op Op, paths func() []string, run func(Fault) syscall.Errno) syscall.Errno {
	d.mu.Lock()
	if d.image != nil {
		d.mu.Unlock()
		<-d.release
		return syscall.EIO
	}
	fault := d.begin(op, paths()...)
	if fault == EIO || fault == ENOSPC {
		d.mu.Unlock()
		return fault.errno()
	}
	errno := run(fault)
	if fault != Cut {
		d.mu.Unlock()
		return errno
	}
	d.image = d.powerCut(d.opts.Seed)
	close(d.cut)
	d.mu.Unlock()
	<-d.release
	return syscall.EIO
}

// at makes the argument of do.
func (d *Disk) at(n *inode, names ...string) func() []string {
	return func() []string { return []string{path.Join(append([]string{d.path(n)}, names...)...)} }
}

// grow counts pages of a file, and says whether there is room.
func (d *Disk) grow(n *inode, pages int64) bool {
	if n.links == 0 {
		return true
	}
	if pages > 0 && d.opts.Space > 0 && (d.pages+pages)*pageSize > d.opts.Space {
		return false
	}
	d.pages += pages
	return true
}

// writable is a page of a file that may be written to.
func (d *Disk) writable(n *inode, page int64) ([]byte, bool) {
	b := n.now.pages[page]
	if b == nil && !d.grow(n, 1) {
		return nil, false
	}
	if _, ok := n.dirty[page]; !ok || b == nil || &b[0] == &reserved[0] {
		b = append(make([]byte, 0, pageSize), b...)[:pageSize]
		n.now.pages[page] = b
		n.dirty[page] = struct{}{}
	}
	return b, true
}

// write returns how many bytes found room.
func (d *Disk) write(n *inode, off int64, p []byte) (written int) {
	for len(p) > 0 {
		b, ok := d.writable(n, off/pageSize)
		if !ok {
			break
		}
		k := copy(b[off%pageSize:], p)
		p, off, written = p[k:], off+int64(k), written+k
		n.now.size = max(n.now.size, off)
	}
	n.mtime = time.Now()
	return written
}

func (d *Disk) truncate(n *inode, size int64) {
	if size < n.now.size {
		for page := range n.now.pages {
			if page*pageSize >= size {
				delete(n.now.pages, page)
				n.dirty[page] = struct{}{}
				d.grow(n, -1)
			}
		}
		if in := size % pageSize; in > 0 && n.now.pages[size/pageSize] != nil {
			b, _ := d.writable(n, size/pageSize)
			clear(b[in:])
		}
	}
	n.now.size = size
	n.mtime = time.Now()
}

// reserved is the page that stands wherever there is room for one and nothing was written.
var reserved = make([]byte, pageSize)

// allocate gives a range its pages, and reports whether there was room.
func (d *Disk) allocate(n *inode, off, length int64) bool {
	for page := off / pageSize; page*pageSize < off+length; page++ {
		if n.now.pages[page] == nil {
			if !d.grow(n, 1) {
				return false
			}
			n.now.pages[page] = reserved
			n.dirty[page] = struct{}{}
		}
	}
	return true
}

func (c *content) read(off int64, p []byte) int {
	if off >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-off)]
	for at := 0; at < len(p); {
		pos := off + int64(at)
		part := p[at:min(int64(len(p)), int64(at)+pageSize-pos%pageSize)]
		if b := c.pages[pos/pageSize]; b != nil {
			copy(part, b[pos%pageSize:])
		} else {
			clear(part)
		}
		at += len(part)
	}
	return len(p)
}

func (c content) clone() content { return content{c.size, maps.Clone(c.pages)} }

// sync makes a file's content durable.
func (d *Disk) sync(n *inode) {
	for page := range n.dirty {
		if b := n.now.pages[page]; b != nil {
			n.durable.pages[page] = b
		} else {
			delete(n.durable.pages, page)
		}
	}
	clear(n.dirty)
	n.durable.size = n.now.size
	if d.opts.Journal {
		d.commit(func(*change) bool { return true })
	}
}

// drop makes a file what is durable of it.
func (d *Disk) drop(n *inode) {
	before := int64(len(n.now.pages))
	n.now = n.durable.clone()
	clear(n.dirty)
	d.grow(n, int64(len(n.now.pages))-before)
}

// commit makes directory operations durable.
func (d *Disk) commit(which func(*change) bool) {
	d.pending = slices.DeleteFunc(d.pending, func(c *change) bool {
		if which(c) {
			c.apply(func(n *inode) map[string]*inode { return n.kept })
			return true
		}
		return false
	})
}

func (d *Disk) syncDir(n *inode) {
	d.commit(func(c *change) bool { return d.opts.Journal || c.from == n || c.to == n })
}

// apply does the operation on the entries that a directory is said to have. An entry that something else has taken stays.
func (c *change) apply(entries func(*inode) map[string]*inode) {
	if c.from != nil && entries(c.from)[c.fromName] == c.node {
		delete(entries(c.from), c.fromName)
	}
	if c.to != nil {
		entries(c.to)[c.toName] = c.node
	}
}

func current(n *inode) map[string]*inode { return n.entries }

// change does a directory operation that becomes durable later.
func (d *Disk) change(c *change) {
	if c.to != nil {
		if old := c.to.entries[c.toName]; old != nil && old != c.node {
			d.unlinked(old)
		}
		if c.from == nil {
			c.node.links++
		}
		c.node.parent, c.node.name = c.to, c.toName
	} else {
		d.unlinked(c.node)
	}
	c.apply(current)
	for _, dir := range []*inode{c.from, c.to} {
		if dir != nil {
			dir.mtime = time.Now()
		}
	}
	d.pending = append(d.pending, c)
}

func (d *Disk) unlinked(n *inode) {
	if n.links == 1 {
		d.grow(n, -int64(len(n.now.pages)))
	}
	n.links--
}

// PowerCut is the disk that the next start finds if the power fails now: what is durable, and as much of the rest as the seed says. It
// has no rules and no bound.
func (d *Disk) PowerCut(seed uint64) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.powerCut(seed)
}

func (d *Disk) powerCut(seed uint64) *Disk {
	rng := rand.New(rand.NewPCG(seed, 0x637574))
	entries := map[*inode]map[string]*inode{}
	for _, n := range d.inodes {
		if n.dir {
			entries[n] = maps.Clone(n.kept)
		}
	}
	// A journal keeps a beginning of the operations; else each is kept or not.
	journaled := rng.IntN(len(d.pending) + 1)
	for i, c := range d.pending {
		if d.opts.Journal && i < journaled || !d.opts.Journal && rng.IntN(2) == 0 {
			c.apply(func(n *inode) map[string]*inode { return entries[n] })
		}
	}
	after := New(Options{Seed: seed, Journal: d.opts.Journal})
	made := map[*inode]*inode{d.root: after.root}
	var walk func(dir *inode)
	walk = func(dir *inode) {
		for _, name := range slices.Sorted(maps.Keys(entries[dir])) {
			n := entries[dir][name]
			if n.socket {
				continue
			}
			copied, ok := made[n]
			if !ok {
				copied = after.newInode(n.dir)
				made[n] = copied
				if n.dir {
					walk(n)
				} else {
					copied.now = n.survivor(rng)
					copied.durable = copied.now.clone()
				}
			}
			after.put(made[dir], name, copied)
		}
	}
	walk(d.root)
	return after
}

// put makes a durable entry.
func (d *Disk) put(dir *inode, name string, n *inode) {
	dir.entries[name], dir.kept[name] = n, n
	n.parent, n.name = dir, name
	if n.links++; n.links == 1 {
		d.pages += int64(len(n.now.pages))
	}
}

// survivor is what a power cut leaves of a file.
func (n *inode) survivor(rng *rand.Rand) content {
	c := n.durable.clone()
	if n.now.size != c.size && rng.IntN(2) == 0 {
		c.size = n.now.size
	}
	unit := int64(pageSize)
	if rng.IntN(2) == 0 {
		unit = sector
	}
	zeros := make([]byte, pageSize)
	for _, page := range slices.Sorted(maps.Keys(n.dirty)) {
		now, was := n.now.pages[page], n.durable.pages[page]
		if was == nil && now != nil && &now[0] == &reserved[0] {
			continue // zeros before and after
		}
		if now == nil {
			now = zeros
		}
		if was == nil {
			was = zeros
		}
		b := slices.Clone(was)
		for at := int64(0); at < pageSize; at += unit {
			switch rng.IntN(5) {
			case 0, 1:
				copy(b[at:at+unit], now[at:at+unit])
			case 2: // torn
				k := rng.Int64N(unit)
				copy(b[at:at+k], now[at:at+k])
			}
		}
		c.pages[page] = b
	}
	// What lies beyond the end is not there.
	for page := range c.pages {
		if page*pageSize >= c.size {
			delete(c.pages, page)
		}
	}
	if in := c.size % pageSize; in > 0 && c.pages[c.size/pageSize] != nil {
		b := slices.Clone(c.pages[c.size/pageSize])
		clear(b[in:])
		c.pages[c.size/pageSize] = b
	}
	return c
}

// Load copies what is in a directory of the machine into the disk, where it is durable.
func (d *Disk) Load(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.load(d.root, dir)
}

func (d *Disk) load(to *inode, dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Type() == fs.ModeSocket {
			continue
		}
		from := filepath.Join(dir, e.Name())
		n := d.newInode(e.IsDir())
		switch {
		case e.IsDir():
			err = d.load(n, from)
		case e.Type().IsRegular():
			var b []byte
			b, err = os.ReadFile(from)
			n.now = contentOf(b)
			n.durable = n.now.clone()
		default:
			err = fmt.Errorf("%s: %w", from, fs.ErrInvalid)
		}
		if err != nil {
			return err
		}
		d.put(to, e.Name(), n)
	}
	return nil
}

func contentOf(b []byte) content {
	c := content{size: int64(len(b)), pages: map[int64][]byte{}}
	for at := 0; at < len(b); at += pageSize {
		p := append(make([]byte, 0, pageSize), b[at:min(at+pageSize, len(b))]...)
		if slices.Max(p) > 0 {
			c.pages[int64(at/pageSize)] = p[:pageSize]
		}
	}
	return c
}

// Save copies what programs see on the disk into a new directory of the machine. Holes stay holes.
func (d *Disk) Save(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return save(d.root, dir)
}

func save(n *inode, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for name, child := range n.entries {
		to := filepath.Join(dir, name)
		var err error
		switch {
		case child.dir:
			err = save(child, to)
		case !child.socket:
			err = child.now.save(to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *content) save(to string) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	err = f.Truncate(c.size)
	for page, b := range c.pages {
		if n := min(pageSize, c.size-page*pageSize); err == nil && n > 0 && &b[0] != &reserved[0] {
			_, err = f.WriteAt(b[:n], page*pageSize)
		}
	}
	return errors.Join(err, f.Close())
}
