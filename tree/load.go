package tree

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"quoll/jute"
)

// Loader builds a tree from what a snapshot or a store holds: sessions, then ACL lists, then nodes with parents before children.
type Loader struct {
	t        *Tree
	lists    map[int64][]jute.ACL
	ids      map[int64]aclID // of the lists; nil until the first node
	numbered bool
	parent   *Node // of the node before, whose siblings come next more often than not
	single   *Piece
	sum      uint32 // makes touch do its work

	mu   sync.Mutex
	free []*Piece // linked, to be filled again
}

// maxStored bounds the numbers of a store's ACL lists, lest a damaged one takes all memory.
const maxStored = 1 << 26

// NewLoader starts an empty tree. With numbered, ACL lists keep the numbers they have, which are small and unique then: the tree goes on with
// the numbers of a store.
func NewLoader(numbered bool) *Loader {
	return &Loader{t: empty(), lists: map[int64][]jute.ACL{}, numbered: numbered, single: &Piece{}}
}

// Session adds a session; timeout in milliseconds.
func (l *Loader) Session(id int64, timeout int32) { l.t.sessions[id] = timeout }

// ACL adds the ACL list of a number. It keeps acl.
func (l *Loader) ACL(number int64, acl []jute.ACL) {
	if !l.numbered || number > 0 && number <= maxStored && acl != nil { // else a znode that has it is refused
		l.lists[number] = acl
	}
}

// Piece is nodes that are made ready beside the loader: each goroutine may fill one of its own, and [Loader.Link] takes them one after another.
type Piece struct {
	nodes    []loaded
	texts    []byte // path and data of each, without anything between them
	digester Digester
}

// Len is the number of znodes in the piece.
func (p *Piece) Len() int { return len(p.nodes) }

// loaded is a node of a piece.
type loaded struct {
	stat    jute.StatPersisted
	acl     int64
	pathLen int
	dataLen int32
	crc     uint32
	digest  uint32 // 0 below /zookeeper/, which does not count
}

// Piece starts an empty piece, out of one that was linked if there is any. It may be called by several goroutines.
func (l *Loader) Piece() *Piece {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) == 0 {
		return &Piece{}
	}
	p := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	return p
}

// Node adds a node. It copies data. The error is that of a path that none can have.
func (p *Piece) Node(path string, data []byte, acl int64, s jute.StatPersisted) error {
	if path != RootPath && !strings.HasPrefix(path, "/") {
		return fmt.Errorf("znode path %q does not start with a slash", path)
	}
	n := loaded{stat: s, acl: acl, pathLen: len(path), dataLen: dataLen(data), crc: p.digester.Content(path, data)}
	if Digested(path) {
		n.digest = p.digester.Node(n.crc, &s)
	}
	p.nodes = append(p.nodes, n)
	p.texts = append(append(p.texts, path...), data...)
	return nil
}

// Link puts the nodes of a piece into the tree, and takes the piece back. A node without its parent, or without a root before it, is an error,
// as in Java; so is one that comes twice.
func (l *Loader) Link(p *Piece) error {
	if err := l.linkAll(p); err != nil {
		return err
	}
	p.nodes, p.texts = p.nodes[:0], p.texts[:0]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, p)
	return nil
}

func (l *Loader) linkAll(p *Piece) error {
	if l.ids == nil {
		l.settleACLs()
	}
	texts := p.texts
	for nodes := range slices.Chunk(p.nodes, touched) {
		rest := texts
		for i := range nodes {
			l.sum += l.t.index.touch(unsafe.String(unsafe.SliceData(rest), nodes[i].pathLen))
			rest = rest[nodes[i].size():]
		}
		for i := range nodes {
			n := &nodes[i]
			if err := l.link(n, texts[:n.size()]); err != nil {
				return err
			}
			texts = texts[n.size():]
		}
	}
	return nil
}

// touched is how many nodes are looked for in the index before they are linked: the processor waits for all of their places at the same time, not for one
// after the other.
const touched = 16

func (n *loaded) size() int { return n.pathLen + max(int(n.dataLen), 0) }

func (l *Loader) link(from *loaded, text []byte) error {
	t := l.t
	path := unsafe.String(unsafe.SliceData(text), from.pathLen)
	if path != RootPath {
		parent := ParentPath(path)
		if l.parent == nil || l.parent.path() != parent {
			if l.parent = t.index.find(parent); l.parent == nil {
				return fmt.Errorf("znode %q comes before its parent", path)
			}
		}
	}
	if t.index.find(path) != nil {
		return fmt.Errorf("znode %q comes twice", path)
	}
	if t.Len() >= t.limit {
		return fmt.Errorf("there are more than %d znodes, and no tree holds more", t.limit)
	}
	id, ok := l.ids[from.acl]
	if !ok && l.numbered {
		return fmt.Errorf("znode %q has ACL list %d, which does not exist", path, from.acl)
	} else if !ok {
		id = t.acls.add(unknownACL)
		l.ids[from.acl] = id
	} else {
		t.acls.retain(id)
	}
	n := t.newNode(path, text[from.pathLen:], from.crc)
	n.dataLen, n.acl = from.dataLen, id
	s := &from.stat
	n.czxid, n.ctime = s.Czxid, s.Ctime
	t.loaded = max(t.loaded, n.czxid)
	e := extra{mzxid: s.Mzxid, pzxid: s.Pzxid, mtime: s.Mtime, owner: s.EphemeralOwner, version: s.Version, cversion: s.Cversion, aversion: s.Aversion}
	if e != n.now() {
		*t.extend(n) = e
	}
	t.add(n, l.parent)
	t.digest += uint64(from.digest)
	return nil
}

// settleACLs gives each list its number in the tree.
func (l *Loader) settleACLs() {
	l.ids = map[int64]aclID{-1: openACL}
	if l.numbered {
		for number := range l.lists {
			l.ids[number] = aclID(number)
		}
		l.t.acls.place(l.lists)
		return
	}
	for number, acl := range l.lists {
		id := l.t.acls.add(acl)
		if id != openACL {
			l.t.acls.lists[id].refs = 0 // until a node takes it
		}
		l.ids[number] = id
	}
}

// Node adds a node as [Piece.Node] and [Loader.Link] do.
func (l *Loader) Node(path string, data []byte, acl int64, s jute.StatPersisted) error {
	l.single.nodes, l.single.texts = l.single.nodes[:0], l.single.texts[:0]
	if err := l.single.Node(path, data, acl, s); err != nil {
		return err
	}
	return l.linkAll(l.single)
}

// Finish returns the tree, with quotas counted anew. A snapshot without a root is an error.
func (l *Loader) Finish() (*Tree, error) {
	if l.t.root == nil {
		return nil, fmt.Errorf("no root znode")
	}
	l.t.acls.sweep()
	var found []string
	if top := l.t.index.find(QuotaPath); top != nil {
		w := l.t.Walk(top)
		for n := w.Next(); n != nil; n = w.Next() {
			if path, ok := quotaPathOf(n.path(), LimitsName); ok {
				found = append(found, strings.Clone(path))
			}
		}
	}
	for _, path := range found {
		l.t.quotas[path] = struct{}{}
		l.t.recountQuota(path)
	}
	return l.t, nil
}

// Each calls fn for every znode, parents before children, until it fails. The tree must not change meanwhile.
func (t *Tree) Each(fn func(*Node) error) error {
	w := t.Walk(t.root)
	for n := w.Next(); n != nil; n = w.Next() {
		if err := fn(n); err != nil {
			return err
		}
	}
	return nil
}
