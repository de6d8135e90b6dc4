package tree

import (
	"fmt"
	"strings"

	"quoll/jute"
)

// Loader builds a tree from what a snapshot holds: sessions, then ACL lists, then nodes with parents before children.
type Loader struct {
	t    *Tree
	acls map[int64][]jute.ACL
}

// NewLoader starts an empty tree.
func NewLoader() *Loader { return &Loader{t: empty(), acls: map[int64][]jute.ACL{}} }

// Session adds a session; timeout in milliseconds.
func (l *Loader) Session(id int64, timeout int32) { l.t.sessions[id] = timeout }

// ACL adds the ACL list of a number. It keeps acl.
func (l *Loader) ACL(number int64, acl []jute.ACL) { l.acls[number] = acl }

// Node adds a node. It copies data. A node without its parent, or without a root before it, is an error, as in Java.
func (l *Loader) Node(path string, data []byte, acl int64, s jute.StatPersisted) error {
	if path != RootPath {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("znode path %q does not start with a slash", path)
		}
		if l.t.nodes[ParentPath(path)] == nil {
			return fmt.Errorf("znode %q comes before its parent", path)
		}
	}
	if old := l.t.nodes[path]; old != nil {
		return fmt.Errorf("znode %q comes twice", path)
	}
	list, ok := l.acls[acl]
	if !ok && acl != -1 {
		list = unknownACL
	}
	l.t.link(&Node{
		path: path, data: clone(data), acl: l.t.acls.add(list), crc: l.t.digester.Content(path, data),
		czxid: s.Czxid, mzxid: s.Mzxid, pzxid: s.Pzxid, ctime: s.Ctime, mtime: s.Mtime,
		version: s.Version, cversion: s.Cversion, aversion: s.Aversion, owner: s.EphemeralOwner,
	})
	return nil
}

// Finish returns the tree, with quotas counted anew. A snapshot without a root is an error.
func (l *Loader) Finish() (*Tree, error) {
	if l.t.root == nil {
		return nil, fmt.Errorf("no root znode")
	}
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

// Walk visits the nodes of a tree that changes meanwhile, parents before children. What it has passed may be stale at its end: it is
// how ZooKeeper writes its fuzzy snapshots. Nodes that come and go below a position it has passed may be missing.
type Walk struct {
	t     *Tree
	stack []string
}

// Walk starts a walk at the root.
func (t *Tree) Walk() *Walk { return &Walk{t: t, stack: []string{RootPath}} }

// Next visits up to n nodes and reports whether there are more. The tree must not change during the call.
func (w *Walk) Next(n int, visit func(*Node) error) (more bool, err error) {
	for ; n > 0 && len(w.stack) > 0; n-- {
		path := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		node := w.t.nodes[path]
		if node == nil {
			continue
		}
		if err := visit(node); err != nil {
			return false, err
		}
		for _, c := range node.Children() {
			w.stack = append(w.stack, c.path)
		}
	}
	return len(w.stack) > 0, nil
}
