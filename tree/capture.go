package tree

import (
	"cmp"
	"slices"

	"quoll/jute"
)

// Capture is what changed in a tree between two cuts, or all of it, exactly as it was at the second one. It is read out in slices while the
// tree goes on: what is about to change before it was read is copied first. Only one capture of a tree is open at a time.
type Capture struct {
	// Zxid is that of the last transaction in it, and Digest that of the tree then.
	Zxid, Digest int64
	// Znodes is the number of znodes in the whole tree.
	Znodes int
	// Full tells that the capture has everything, and not only what changed.
	Full bool
	// Sessions and ACLs hold what changed of them.
	Sessions []SessionChange
	ACLs     []ACLChange

	t       *Tree
	gen     uint32
	list    []string // paths of what changed, sorted; nil in a full capture, which goes over all cells of nodes
	gone    []string // paths of what the cut before had and was deleted since, until they are among the list
	next    int      // in the list, or the ref of a cell
	end     int
	saved   map[string]*Node // copies of what changed after the cut and before it was read
	cutZxid int64            // that of changes, for Undo
}

// SessionChange is a session that was opened or, if Gone, closed; Timeout in milliseconds.
type SessionChange struct {
	ID      int64
	Timeout int32
	Gone    bool
}

// ACLChange is an ACL list that has a number now, or a number that no znode refers to any more: then ACL is nil.
type ACLChange struct {
	Number int64
	ACL    []jute.ACL
}

// changes is what a tree remembers between two cuts.
type changes struct {
	gen      uint32   // of the cut to come; 0 while nothing is remembered
	list     []string // paths of znodes that were made or changed
	gone     []string // paths of znodes that the last cut had and that were deleted
	dead     int      // znodes that came and went since the last cut; when they are half of the list they are dropped from it
	sessions map[int64]struct{}
	cutZxid  int64 // no znode that the last cut had was made behind this
	orphans  bool  // a znode was deleted that had children, as replay over a fuzzy snapshot or a damaged log does: see SettleOrphans
	open     *Capture
}

const changesMin = 1 << 16

// Track makes the tree remember from now on what changes, for the next cut.
func (t *Tree) Track() {
	if t.changes.gen == 0 {
		t.restartTracking(1)
	}
}

func (t *Tree) restartTracking(gen uint32) {
	t.changes.gen, t.changes.list, t.changes.gone, t.changes.dead, t.changes.cutZxid = gen, nil, nil, 0, max(t.lastZxid, t.loaded)
	t.changes.sessions, t.acls.changed = map[int64]struct{}{}, map[aclID]struct{}{}
}

// Changed is the number of znodes that the next cut would have. Znodes that are no more count as well.
func (t *Tree) Changed() int { return len(t.changes.list) + len(t.changes.gone) }

// Cut begins a capture of what changed since the last cut, or of everything, and starts to remember what changes from here on. It takes no
// longer for a large tree than for a small one, but for the lists of sessions and ACLs of a full capture. The capture that was open before must be closed.
func (t *Tree) Cut(full bool) *Capture {
	ch := &t.changes
	c := &Capture{Zxid: t.lastZxid, Digest: t.Digest(), Znodes: t.Len(), Full: full || ch.gen == 0 || ch.orphans, t: t, saved: map[string]*Node{}, cutZxid: ch.cutZxid}
	if c.Full {
		// Generations up to the capture's are waiting to be read, the capture's own have been.
		c.gen = ch.gen + 1
		c.next, c.end = 1<<placeBits, len(t.nodes.chunks)<<placeBits
		c.Sessions = make([]SessionChange, 0, len(t.sessions))
		for id, timeout := range t.sessions {
			c.Sessions = append(c.Sessions, SessionChange{ID: id, Timeout: timeout})
		}
		c.ACLs = make([]ACLChange, 0, len(t.acls.lists))
		t.EachACL(func(number int64, acl []jute.ACL) { c.ACLs = append(c.ACLs, ACLChange{number, acl}) })
	} else {
		c.gen, c.list, c.gone = ch.gen, ch.list, ch.gone
		for id := range ch.sessions {
			timeout, ok := t.sessions[id]
			c.Sessions = append(c.Sessions, SessionChange{id, timeout, !ok})
		}
		for id := range t.acls.changed {
			change := ACLChange{Number: int64(id)}
			if l := t.acls.lists[id]; l.refs > 0 {
				change.ACL = l.acl
			}
			c.ACLs = append(c.ACLs, change)
		}
	}
	t.restartTracking(c.gen + 1)
	ch.open = c
	return c
}

// Sort brings the changed znodes into the order of [ComparePaths], in which Next reads them out. It needs no lock and is to be called once, before Next.
func (c *Capture) Sort() {
	c.list, c.gone = append(c.list, c.gone...), nil
	slices.SortFunc(c.list, ComparePaths)
	c.list = slices.Compact(c.list)
}

// Next reads out up to about n more znodes, fewer if there is much data in them: it calls put for each that is in the tree at the cut, and del for the path
// of each that went since the cut before. It reports whether there are more. Each path comes once, in the order of [ComparePaths] unless the capture is full.
// The tree must not change during the call. The node is valid during the call of put, and so is its data.
func (c *Capture) Next(n int, put func(*Node) error, del func(path string) error) (more bool, err error) {
	if c.Full {
		return c.nextOfAll(n, put)
	}
	for ; n > 0 && c.next < len(c.list); n-- {
		path := c.list[c.next]
		c.next++
		if node := c.t.index.find(path); c.saved[path] != nil {
			n, err = c.putSaved(path, n, put)
		} else if node != nil && c.pending(node) {
			node.gen = 0
			n -= weight(node)
			err = put(node)
		} else {
			err = del(path)
		}
		if err != nil {
			return false, err
		}
	}
	return c.next < len(c.list), nil
}

// weight is how many znodes more one counts as because of its data.
func weight(n *Node) int { return n.textLen() >> 12 }

// putSaved reads out a copy of what has changed since the cut, of n znodes that are to be read; it returns how many are left.
func (c *Capture) putSaved(path string, n int, put func(*Node) error) (int, error) {
	node := c.saved[path]
	delete(c.saved, path)
	n -= weight(node)
	err := put(node)
	c.t.free(node)
	return n, err
}

func (c *Capture) nextOfAll(n int, put func(*Node) error) (more bool, err error) {
	for path := range c.saved { // first, so that few of them are held at a time
		if n <= 0 {
			break
		}
		if n, err = c.putSaved(path, n-1, put); err != nil {
			return false, err
		}
	}
	for ; n > 0 && c.next < c.end; n-- {
		var id ref
		if id, c.next = c.t.nodes.nextCell(c.next, nodeSize); id == 0 {
			continue
		}
		if node := c.t.node(id); c.pending(node) {
			node.gen = c.gen
			n -= weight(node)
			if err := put(node); err != nil {
				return false, err
			}
		}
	}
	return c.next < c.end || len(c.saved) > 0, nil
}

// Close ends the capture: the tree makes no more copies for it. The tree must not change during the call.
func (c *Capture) Close() {
	if c.t.changes.open == c {
		c.t.changes.open = nil
	}
	for _, node := range c.saved {
		c.t.free(node)
	}
	c.saved = nil
}

// Undo closes a capture that is not full and puts what it had back among the changes for the next cut. The tree must not change during the call.
func (c *Capture) Undo() {
	c.Close()
	ch := &c.t.changes
	ch.gone = append(ch.gone, c.gone...)
	for _, path := range c.list {
		if node := c.t.index.find(path); node == nil {
			ch.gone = append(ch.gone, path)
		} else if node.gen != ch.gen {
			node.gen = ch.gen
			ch.list = append(ch.list, path)
		}
	}
	for _, s := range c.Sessions {
		ch.sessions[s.ID] = struct{}{}
	}
	for _, a := range c.ACLs {
		c.t.acls.changed[aclID(a.Number)] = struct{}{}
	}
	ch.cutZxid = c.cutZxid
}

// note is called before each change of a node that the tree has.
func (t *Tree) note(n *Node) {
	ch := &t.changes
	if n.gen == ch.gen || ch.gen == 0 {
		return
	}
	if c := ch.open; c != nil && c.pending(n) {
		c.saved[n.Path()] = t.copy(n)
	}
	t.changed(n)
}

// pending reports whether the znode is in the capture, as it is now, and was not read yet.
func (c *Capture) pending(n *Node) bool {
	if c.Full {
		return n.gen < c.gen && (!c.t.changes.orphans || c.t.reachable(n))
	}
	return n.gen == c.gen
}

// changed notes a znode for the next cut.
func (t *Tree) changed(n *Node) {
	ch := &t.changes
	if ch.gen == 0 {
		return
	}
	n.gen = ch.gen
	ch.list = append(ch.list, n.Path())
	if len(ch.list) >= changesMin && ch.dead >= len(ch.list)/2 {
		t.compact()
	}
}

// compact drops from the changes what came and went since the last cut, and so never was in one. A path that came again stays once: its node
// has another generation from the first time that it is met until all are.
func (t *Tree) compact() {
	ch := &t.changes
	ch.list = slices.DeleteFunc(ch.list, func(path string) bool {
		n := t.index.find(path)
		if n == nil || n.gen != ch.gen {
			return true
		}
		n.gen = 0
		return false
	})
	for _, path := range ch.list {
		t.index.find(path).gen = ch.gen
	}
	ch.dead = 0
}

// forget notes that a znode goes.
func (t *Tree) forget(n *Node) {
	switch ch := &t.changes; {
	case ch.gen == 0:
	case n.czxid > ch.cutZxid:
		ch.dead++
	default:
		ch.gone = append(ch.gone, n.Path())
	}
}

// SettleOrphans is called when a log has been replayed: what looked orphaned over a fuzzy snapshot has found its parents again, as a rule, and then
// the next cut need not have everything.
func (t *Tree) SettleOrphans() {
	if !t.changes.orphans {
		return
	}
	reached := 0
	_ = t.Each(func(*Node) error { reached++; return nil })
	t.changes.orphans = reached != t.Len()
}

func (t *Tree) sessionChanged(id int64) {
	if t.changes.gen != 0 {
		t.changes.sessions[id] = struct{}{}
	}
}

// ComparePaths orders paths component by component: parents before children, a subtree in one piece, siblings by name.
func ComparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if x, y := a[i], b[i]; x != y {
			switch {
			case x == '/':
				return -1
			case y == '/':
				return 1
			}
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(len(a), len(b))
}
