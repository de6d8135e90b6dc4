package faultfs

import (
	"fmt"
	"path"
	"strings"
	"syscall"
)

// Op is a kind of operation that a rule can match.
type Op string

// The kinds of operation. Link counts as Create, fallocate as Truncate, rmdir as Unlink.
const (
	Create   Op = "create"
	Write    Op = "write"
	Truncate Op = "truncate"
	Fsync    Op = "fsync"
	Rename   Op = "rename"
	Unlink   Op = "unlink"
	Mkdir    Op = "mkdir"
	FsyncDir Op = "fsyncdir"
	Read     Op = "read"
)

// Fault is what befalls an operation.
type Fault string

// The faults.
const (
	EIO    Fault = "EIO"    // fails and does nothing
	ENOSPC Fault = "ENOSPC" // the same, with the other error

	// Short lets a write take half of its bytes, and the next write of that file fail with ENOSPC.
	Short Fault = "short"

	// FlipRead turns one bit of what a read returns; the disk has it right.
	FlipRead Fault = "flip-read"

	// FlipMedia turns one bit of what a write brings, as the disk keeps it.
	FlipMedia Fault = "flip-media"

	// FsyncDrop lets an fsync fail with EIO and the pages it should have written vanish: later reads show what was durable before,
	// and the next fsync succeeds.
	FsyncDrop Fault = "fsync-drop"

	// FsyncLie lets an fsync succeed without making anything durable.
	FsyncLie Fault = "fsync-lie"

	// Cut is a power cut at the operation. It and all that come after it wait until [Disk.Release].
	Cut Fault = "cut"
)

// Rule says which operations fail, and how.
type Rule struct {
	Op Op

	// Glob is matched, as [path.Match] does it, against the path below the root of the disk, or against the base name if it has
	// no slash. One that ends in a slash stands for everything below. For a rename either path will do.
	Glob string

	// Nth is which of the operations that match is the first to fail, from 1 on; 0 is 1.
	Nth int

	// Count is how many fail from there on; 0 is 1, a negative one is all.
	Count int

	Fault Fault
}

func (r Rule) String() string {
	count := ""
	switch {
	case r.Count < 0:
		count = " and all after it"
	case r.Count > 1:
		count = fmt.Sprintf(" and %d after it", r.Count-1)
	}
	return fmt.Sprintf("%s of %s %d of %s%s", r.Fault, r.Op, max(r.Nth, 1), r.Glob, count)
}

// Matches says whether an operation on these paths is one that the rule counts.
func (r Rule) Matches(op Op, paths ...string) bool {
	if r.Op != op {
		return false
	}
	for _, p := range paths {
		name := p
		if dir, ok := strings.CutSuffix(r.Glob, "/"); ok {
			if strings.HasPrefix(p, dir+"/") || p == dir {
				return true
			}
			continue
		}
		if !strings.Contains(r.Glob, "/") {
			name = path.Base(p)
		}
		if ok, err := path.Match(r.Glob, name); ok && err == nil {
			return true
		}
	}
	return false
}

// Event is an operation that a disk was asked for.
type Event struct {
	Op    Op
	Path  string
	Fault Fault // empty if it went well
}

// armed is a rule at work.
type armed struct {
	Rule
	seen int
}

// errno is what a fault that is an error lets the operation return.
func (f Fault) errno() syscall.Errno {
	switch f {
	case ENOSPC:
		return syscall.ENOSPC
	case EIO, FsyncDrop:
		return syscall.EIO
	}
	return 0
}
