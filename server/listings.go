package server

import (
	"sync"

	"quoll/tree"
)

// listings are lists of children as replies have them, of znodes that are read again while their children stay the same: to walk from child to child costs much
// more than to copy what was made of it (ResponseCache).
type listings struct {
	limit int // of entries; 0 keeps none

	mu    sync.Mutex
	all   map[string]*listing // by path
	bytes int                 // of the lists
}

// listing is that of the znode that czxid has made, as of the rest. list is nil until it is asked for a second time: most lists never are.
type listing struct {
	czxid, pzxid int64
	children     int
	list         []byte
}

const (
	listingMin    = 64       // children; what is shorter is walked through as fast
	listingsBytes = 64 << 20 // of all lists
	listingBytes  = 16 << 20 // of one
)

// get returns the list of n, whose path is path, as put was given it, and whether put should be called if there is none. The list must not be written to.
func (l *listings) get(path []byte, n *tree.Node, children int) (list []byte, put bool) {
	if children < listingMin || l.limit <= 0 {
		return nil, false
	}
	stat := n.Persisted()
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.all[string(path)]
	if old != nil && old.czxid == stat.Czxid && old.pzxid == stat.Pzxid && old.children == children {
		return old.list, old.list == nil
	}
	if old != nil {
		l.bytes -= len(old.list)
	} else {
		l.makeRoom(nil, 0)
	}
	l.all[string(path)] = &listing{czxid: stat.Czxid, pzxid: stat.Pzxid, children: children}
	return nil, false
}

// put keeps a copy of the list of a znode that get has asked for. The tree has not changed since.
func (l *listings) put(path, list []byte) {
	if len(list) > listingBytes {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.all[string(path)]; e != nil && e.list == nil {
		l.makeRoom(e, len(list))
		e.list = append([]byte(nil), list...)
		l.bytes += len(list)
	}
}

// makeRoom drops entries, any but one, until there is room for so many bytes, and for one entry more if there is none to be kept.
func (l *listings) makeRoom(kept *listing, bytes int) {
	for path, e := range l.all {
		if (kept != nil || len(l.all) < l.limit) && l.bytes+bytes <= listingsBytes {
			return
		}
		if e == kept {
			continue
		}
		l.bytes -= len(e.list)
		delete(l.all, path)
	}
}

// clear forgets all lists: there is another tree.
func (l *listings) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all, l.bytes = map[string]*listing{}, 0
}
