package tree

import (
	"fmt"
	"strings"

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
}

// maxStored bounds the numbers of a store's ACL lists, lest a damaged one takes all memory.
const maxStored = 1 << 26

// NewLoader starts an empty tree. With numbered, ACL lists keep the numbers they have, which are small and unique then: the tree goes on with
// the numbers of a store.
func NewLoader(numbered bool) *Loader {
	l := &Loader{t: empty(), lists: map[int64][]jute.ACL{}, numbered: numbered}
	l.single = l.Piece()
	return l
}

// Expect makes room for so many nodes.
func (l *Loader) Expect(nodes int) { l.t.nodes = make(map[string]*Node, nodes) }

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
	nodes    []*Node
	acls     []int64
	digester Digester
}

// Piece starts an empty piece.
func (l *Loader) Piece() *Piece { return &Piece{} }

// Node adds a node. It copies data. The error is that of a path that none can have.
func (p *Piece) Node(path string, data []byte, acl int64, s jute.StatPersisted) error {
	if path != RootPath && !strings.HasPrefix(path, "/") {
		return fmt.Errorf("znode path %q does not start with a slash", path)
	}
	n := &Node{
		path: path, data: clone(data), crc: p.digester.Content(path, data),
		czxid: s.Czxid, mzxid: s.Mzxid, pzxid: s.Pzxid, ctime: s.Ctime, mtime: s.Mtime,
		version: s.Version, cversion: s.Cversion, aversion: s.Aversion, owner: s.EphemeralOwner,
	}
	if Digested(path) {
		n.digest = p.digester.Node(n.crc, &s)
	}
	p.nodes = append(p.nodes, n)
	p.acls = append(p.acls, acl)
	return nil
}

// Link puts the nodes of a piece into the tree. A node without its parent, or without a root before it, is an error, as in Java; so is one
// that comes twice.
func (l *Loader) Link(p *Piece) error {
	if l.ids == nil {
		l.settleACLs()
	}
	for i, n := range p.nodes {
		if n.path != RootPath {
			parent := ParentPath(n.path)
			if l.parent == nil || l.parent.path != parent {
				if l.parent = l.t.nodes[parent]; l.parent == nil {
					return fmt.Errorf("znode %q comes before its parent", n.path)
				}
			}
		}
		number := p.acls[i]
		id, ok := l.ids[number]
		if !ok && l.numbered {
			return fmt.Errorf("znode %q has ACL list %d, which does not exist", n.path, number)
		} else if !ok {
			id = l.t.acls.add(unknownACL)
			l.ids[number] = id
		} else {
			l.t.acls.retain(id)
		}
		n.acl = id
		before := len(l.t.nodes)
		if l.t.add(n, l.parent); len(l.t.nodes) == before {
			return fmt.Errorf("znode %q comes twice", n.path)
		}
	}
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
	l.single.nodes, l.single.acls = l.single.nodes[:0], l.single.acls[:0]
	if err := l.single.Node(path, data, acl, s); err != nil {
		return err
	}
	return l.Link(l.single)
}

// Finish returns the tree, with quotas counted anew. A snapshot without a root is an error.
func (l *Loader) Finish() (*Tree, error) {
	if l.t.root == nil {
		return nil, fmt.Errorf("no root znode")
	}
	l.t.acls.sweep()
	var found []string
	if top := l.t.nodes[QuotaPath]; top != nil {
		for stack := []*Node{top}; len(stack) > 0; {
			n := stack[len(stack)-1]
			stack = append(stack[:len(stack)-1], n.Children()...)
			if path, ok := quotaPathOf(n.path, LimitsName); ok {
				found = append(found, path)
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
	for stack := []*Node{t.root}; len(stack) > 0; {
		n := stack[len(stack)-1]
		stack = append(stack[:len(stack)-1], n.Children()...)
		if err := fn(n); err != nil {
			return err
		}
	}
	return nil
}
