package tree

import "quoll/jute"

// OpenACL is world:anyone with all permissions.
var OpenACL = []jute.ACL{{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}}

// readOnlyACL guards /zookeeper/config.
var readOnlyACL = []jute.ACL{{Perms: jute.PermRead, Scheme: "world", ID: "anyone"}}

// unknownACL stands for a list that a snapshot names but does not contain: nobody matches it.
var unknownACL = []jute.ACL{{Perms: jute.PermAll, Scheme: "unknown", ID: "unknown"}}

// aclID numbers an ACL list of the table; openACL is never counted.
type aclID int32

const openACL aclID = 0

// aclTable shares equal ACL lists among znodes (ReferenceCountedACLCache).
type aclTable struct {
	lists []aclList
	byKey map[string]aclID
	free  []aclID
	key   []byte
	// changed has the numbers that got or lost a list since the last cut; nil while nobody wants to know.
	changed map[aclID]struct{}
}

type aclList struct {
	acl  []jute.ACL
	key  string
	refs int
}

func newACLTable() aclTable {
	return aclTable{lists: []aclList{{acl: OpenACL}}, byKey: map[string]aclID{}}
}

// add takes one reference to the list. A nil list is the open one, as in Java.
func (t *aclTable) add(acl []jute.ACL) aclID {
	if acl == nil || len(acl) == 1 && acl[0] == OpenACL[0] {
		return openACL
	}
	t.key = t.key[:0]
	for i := range acl {
		t.key = acl[i].Append(t.key)
	}
	id, ok := t.byKey[string(t.key)]
	if !ok {
		l := aclList{acl: acl, key: string(t.key)}
		if n := len(t.free); n > 0 {
			id, t.free = t.free[n-1], t.free[:n-1]
			t.lists[id] = l
		} else {
			id = aclID(len(t.lists))
			t.lists = append(t.lists, l)
		}
		t.byKey[l.key] = id
		t.note(id)
	}
	t.lists[id].refs++
	return id
}

func (t *aclTable) release(id aclID) {
	if id == openACL {
		return
	}
	if l := &t.lists[id]; l.refs > 1 {
		l.refs--
	} else {
		delete(t.byKey, l.key)
		*l = aclList{}
		t.free = append(t.free, id)
		t.note(id)
	}
}

func (t *aclTable) note(id aclID) {
	if t.changed != nil {
		t.changed[id] = struct{}{}
	}
}

// place gives all lists the numbers that a store knows them by. The table is empty before.
func (t *aclTable) place(lists map[int64][]jute.ACL) {
	for number, acl := range lists {
		for int64(len(t.lists)) <= number {
			t.lists = append(t.lists, aclList{})
		}
		t.key = t.key[:0]
		for i := range acl {
			t.key = acl[i].Append(t.key)
		}
		l := aclList{acl: acl, key: string(t.key)}
		t.lists[number] = l
		t.byKey[l.key] = aclID(number)
	}
	for id := range t.lists {
		if t.lists[id].acl == nil {
			t.free = append(t.free, aclID(id))
		}
	}
}

// retain takes one more reference to a list that has a number.
func (t *aclTable) retain(id aclID) {
	if id != openACL {
		t.lists[id].refs++
	}
}

// sweep drops the lists that a loader has brought and that no znode has taken.
func (t *aclTable) sweep() {
	for id := range t.lists {
		if l := &t.lists[id]; l.refs == 0 && l.acl != nil && aclID(id) != openACL {
			l.refs = 1
			t.release(aclID(id))
		}
	}
}

// ACL returns the node's ACL. The caller must not write to it.
func (t *Tree) ACL(n *Node) []jute.ACL { return t.acls.lists[n.acl].acl }

// EachACL calls fn for every list that a znode may refer to by number, in no order.
func (t *Tree) EachACL(fn func(id int64, acl []jute.ACL)) {
	for id, l := range t.acls.lists {
		if l.refs > 0 {
			fn(int64(id), l.acl)
		}
	}
}

// ACLNumber is the number under which a snapshot refers to the node's ACL: -1 for the open one, which needs no entry.
func (t *Tree) ACLNumber(n *Node) int64 {
	if n.acl == openACL {
		return -1
	}
	return int64(n.acl)
}
