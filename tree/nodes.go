package tree

// node is the node with a number, which is that of its cell.
func (t *Tree) node(id ref) *Node { return (*Node)(t.nodes.at(id)) }

func (t *Tree) extraAt(r ref) *extra { return (*extra)(t.extras.at(r)) }

// newNode makes a node that is not in the tree yet, with a copy of data and the CRC-32 of path and data.
func (t *Tree) newNode(path string, data []byte, crc uint32) *Node {
	id := t.nodes.alloc(nodeSize)
	n := t.node(id)
	*n = Node{id: id, pathLen: uint32(len(path)), dataLen: dataLen(data), crc: crc}
	n.text = t.texts.alloc(n.textLen())
	text := t.texts.at(n.text, n.textLen())
	copy(text[copy(text, path):], data)
	return n
}

// dataLen keeps null and empty apart.
func dataLen(data []byte) int32 {
	if data == nil {
		return nullData
	}
	return int32(len(data))
}

// free gives back the cells of a node that is not in the tree, or no more.
func (t *Tree) free(n *Node) {
	t.texts.release(n.text, n.textLen())
	if n.extra != 0 {
		t.extras.release(n.extra, extraSize)
	}
	n.gen = noNode
	t.nodes.release(n.id, nodeSize)
}

// copy makes a node that is not in the tree and says what n says.
func (t *Tree) copy(n *Node) *Node {
	id := t.nodes.alloc(nodeSize)
	c := t.node(id)
	*c = *n
	c.id, c.gen = id, noNode
	c.text = t.texts.alloc(n.textLen())
	copy(t.texts.at(c.text, n.textLen()), t.texts.at(n.text, n.textLen()))
	if n.extra != 0 {
		c.extra = t.extras.alloc(extraSize)
		*t.extraAt(c.extra) = *t.extraAt(n.extra)
	}
	return c
}

// extend returns the node's extra part to be changed.
func (t *Tree) extend(n *Node) *extra {
	if n.extra == 0 {
		e := n.now()
		n.extra = t.extras.alloc(extraSize)
		*t.extraAt(n.extra) = e
	}
	return t.extraAt(n.extra)
}

// setData gives the node a copy of data, where the old data was if it fits there.
func (t *Tree) setData(n *Node, data []byte) {
	old, oldLen := n.text, n.textLen()
	n.dataLen = dataLen(data)
	if newLen := n.textLen(); !t.texts.fits(old, oldLen, newLen) {
		n.text = t.texts.alloc(newLen)
		copy(t.texts.at(n.text, newLen), t.texts.at(old, oldLen)[:n.pathLen])
		t.texts.release(old, oldLen)
	}
	copy(t.texts.at(n.text, n.textLen())[n.pathLen:], data)
	n.crc = t.digester.Content(n.path(), data)
}

// linked reports whether the node is its parent's child. A znode that lost its parent on replay is in the tree without being anybody's child.
func (n *Node) linked() bool { return n.prev != 0 }

// addChild puts n at the end of the parent's list.
func (t *Tree) addChild(parent, n *Node) {
	e := t.extend(parent)
	if e.children++; e.child == 0 {
		e.child, n.prev = n.id, n.id
		return
	}
	first := t.node(e.child)
	t.node(first.prev).next = n.id
	n.prev, first.prev = first.prev, n.id
}

// removeChild takes n, which goes, out of the list.
func (t *Tree) removeChild(parent, n *Node) {
	e := t.extend(parent)
	e.children--
	// Whoever is behind n, the first one if that is nobody, has what is before n before it.
	after := n.next
	if after == 0 {
		after = e.child
	}
	t.node(after).prev = n.prev
	if e.child == n.id {
		e.child = n.next
	} else {
		t.node(n.prev).next = n.next
	}
}

// orphan takes the children from a node that goes: replay over a fuzzy snapshot or a damaged log deletes what has children.
func (t *Tree) orphan(n *Node) {
	w := t.Walk(n)
	for w.Next(); ; {
		below := w.Next()
		if below == nil {
			break
		}
		t.note(below) // while an open capture can see that it belongs to the tree
	}
	t.changes.orphans = true
	e := t.extend(n)
	for id := e.child; id != 0; {
		c := t.node(id)
		id = c.next
		c.prev, c.next = 0, 0
	}
	e.child, e.children = 0, 0
}

// reachable reports whether the node is below the root, or the root.
func (t *Tree) reachable(n *Node) bool {
	for n != nil && n.pathLen > 0 {
		if !n.linked() {
			return false
		}
		n = t.index.find(ParentPath(n.path()))
	}
	return n != nil
}

// Walk goes over a node and all below it, parents before children. The tree must not change from one step to the next.
type Walk struct {
	t    *Tree
	top  ref
	next []ref // a node that comes, of each level; the deepest last
}

// Walk begins at n.
func (t *Tree) Walk(n *Node) Walk { return Walk{t: t, top: n.id, next: []ref{n.id}} }

// Next returns the next node, nil at the end.
func (w *Walk) Next() *Node {
	if len(w.next) == 0 {
		return nil
	}
	last := len(w.next) - 1
	n := w.t.node(w.next[last])
	if w.next = w.next[:last]; n.next != 0 && n.id != w.top {
		w.next = append(w.next, n.next)
	}
	if child := n.now().child; child != 0 {
		w.next = append(w.next, child)
	}
	return n
}
