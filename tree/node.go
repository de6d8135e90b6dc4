package tree

import (
	"encoding/binary"
	"hash/crc32"
	"iter"
	"strings"
	"unsafe"

	"quoll/jute"
)

// Node is a znode of a tree. It changes in Apply only, and is no more once its znode is deleted: neither it nor what its methods show of the tree may be used
// after the next Apply, but for strings, which are copies.
//
// Nodes lie side by side in the cells of an arena and name each other by numbers; the layout is what millions of them cost. Most znodes stay as they were
// created and have no children. What the others have beyond that is a cell of its own.
type Node struct {
	czxid      int64
	ctime      int64
	text       ref // of path and data
	pathLen    uint32
	dataLen    int32 // -1 for null
	next, prev ref   // siblings: the first one's prev is the last one, and who has no prev is nobody's child
	acl        aclID
	crc        uint32 // CRC-32 of path and data, where the digest begins
	gen        uint32 // of the cut that this node's last change is for; noNode if there is none in the cell
	extra      ref    // 0 if all of it is as in a new znode
	id         ref    // of this node
}

// extra is what changes in a znode, and the ends of its children's list.
type extra struct {
	mzxid    int64
	pzxid    int64
	mtime    int64
	owner    int64
	version  int32
	cversion int32 // creations of children
	aversion int32
	children uint32
	child    ref // the first one
}

const (
	nodeSize  = int(unsafe.Sizeof(Node{}))
	extraSize = int(unsafe.Sizeof(extra{}))
	noNode    = 1<<32 - 1
	nullData  = -1
)

// tree is in the head of the node's chunk.
func (n *Node) tree() *Tree {
	return (*chunk)(unsafe.Add(unsafe.Pointer(n), -int(n.id&placeMask)*unit)).tree
}

// now is the node's extra part, whether it has it in a cell or not.
func (n *Node) now() extra {
	if n.extra == 0 {
		return extra{mzxid: n.czxid, pzxid: n.czxid, mtime: n.ctime}
	}
	return *n.tree().extraAt(n.extra)
}

// textLen is the number of bytes in path and data.
func (n *Node) textLen() int { return int(n.pathLen) + max(int(n.dataLen), 0) }

// path is Path without a copy.
func (n *Node) path() string {
	return unsafe.String(unsafe.SliceData(n.tree().texts.at(n.text, int(n.pathLen))), n.pathLen)
}

// Path returns the node's path, "" for the root.
func (n *Node) Path() string { return strings.Clone(n.path()) }

// Name returns the last component of the path. Unlike other strings it is no copy.
func (n *Node) Name() string {
	path := n.path()
	return path[strings.LastIndexByte(path, '/')+1:]
}

// Data returns the node's data, nil for null. It is the tree's: the caller must not write to it, nor keep it until the next Apply.
func (n *Node) Data() []byte {
	if n.dataLen == nullData {
		return nil
	}
	text := n.tree().texts.at(n.text, n.textLen())
	return text[n.pathLen:len(text):len(text)]
}

// NumChildren is the number of children.
func (n *Node) NumChildren() int {
	if n.extra == 0 {
		return 0
	}
	return int(n.tree().extraAt(n.extra).children)
}

// EachChild goes over the children in no order. The tree must not change meanwhile.
func (n *Node) EachChild() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		t := n.tree()
		for id := n.now().child; id != 0; {
			c := t.node(id)
			if !yield(c) {
				return
			}
			id = c.next
		}
	}
}

// Children returns the children in no order, in a slice of the caller's.
func (n *Node) Children() []*Node {
	list := make([]*Node, 0, n.NumChildren())
	for c := range n.EachChild() {
		list = append(list, c)
	}
	return list
}

// Version returns the data version.
func (n *Node) Version() int32 { return n.now().version }

// Owner returns the ephemeral owner as stored: a session, or a mark for containers and TTL nodes.
func (n *Node) Owner() Owner { return Owner(n.now().owner) }

// Mtime is the time of the last change of data, milliseconds since 1970.
func (n *Node) Mtime() int64 { return n.now().mtime }

// Mzxid is the zxid of the last change of data.
func (n *Node) Mzxid() int64 { return n.now().mzxid }

// Pzxid is the zxid of the last change of the set of children.
func (n *Node) Pzxid() int64 { return n.now().pzxid }

// CRC is the CRC-32 of path and data, from which [Digester.Node] goes on.
func (n *Node) CRC() uint32 { return n.crc }

// Stat is the stat that clients see: cversion counts creations and deletions, and only true ephemerals have an owner.
func (n *Node) Stat() jute.Stat {
	if n.extra == 0 {
		return jute.Stat{Czxid: n.czxid, Mzxid: n.czxid, Pzxid: n.czxid, Ctime: n.ctime, Mtime: n.ctime, DataLength: max(n.dataLen, 0)}
	}
	e := n.tree().extraAt(n.extra)
	owner := Owner(e.owner)
	if !owner.Ephemeral() {
		owner = 0
	}
	return jute.Stat{
		Czxid: n.czxid, Mzxid: e.mzxid, Ctime: n.ctime, Mtime: e.mtime,
		Version: e.version, Cversion: 2*e.cversion - int32(e.children), Aversion: e.aversion,
		EphemeralOwner: int64(owner), DataLength: max(n.dataLen, 0), NumChildren: int32(e.children), Pzxid: e.pzxid,
	}
}

// Persisted is the stat as a snapshot and the digest have it.
func (n *Node) Persisted() jute.StatPersisted {
	if n.extra == 0 {
		return jute.StatPersisted{Czxid: n.czxid, Mzxid: n.czxid, Pzxid: n.czxid, Ctime: n.ctime, Mtime: n.ctime}
	}
	e := n.tree().extraAt(n.extra)
	return jute.StatPersisted{
		Czxid: n.czxid, Mzxid: e.mzxid, Ctime: n.ctime, Mtime: e.mtime,
		Version: e.version, Cversion: e.cversion, Aversion: e.aversion, EphemeralOwner: e.owner, Pzxid: e.pzxid,
	}
}

// Owner is a znode's ephemeralOwner as stored (EphemeralType).
type Owner int64

// ContainerOwner marks a container.
const ContainerOwner Owner = -1 << 63

// MaxTTL is the longest time to live in milliseconds.
const MaxTTL = 1<<40 - 1

// TTLOwner marks a TTL node; ttl in milliseconds, 1 to [MaxTTL].
func TTLOwner(ttl int64) Owner { return Owner(-1<<56 | ttl) }

// TTL returns the time to live in milliseconds of a TTL node's owner.
func (o Owner) TTL() (ttl int64, ok bool) {
	return int64(o) & MaxTTL, uint64(o)>>40 == 0xff0000
}

// Ephemeral reports whether the owner is a session.
func (o Owner) Ephemeral() bool {
	_, ttl := o.TTL()
	return o != 0 && o != ContainerOwner && !ttl
}

// Digester computes digests (DigestCalculator, version 2). It holds the few bytes that the checksum goes over: on the stack they would be
// allocated for each node, because package crc32 calls its code through a variable. It is not for use by several goroutines.
type Digester struct{ buf [128]byte }

// Node continues the CRC of a node's path and data over its stat: the digest of one node.
func (d *Digester) Node(crc uint32, s *jute.StatPersisted) uint32 {
	b := d.buf[:60]
	be := binary.BigEndian
	be.PutUint64(b[0:], uint64(s.Czxid))
	be.PutUint64(b[8:], uint64(s.Mzxid))
	be.PutUint64(b[16:], uint64(s.Pzxid))
	be.PutUint64(b[24:], uint64(s.Ctime))
	be.PutUint64(b[32:], uint64(s.Mtime))
	be.PutUint32(b[40:], uint32(s.Version))
	be.PutUint32(b[44:], uint32(s.Cversion))
	be.PutUint32(b[48:], uint32(s.Aversion))
	be.PutUint64(b[52:], uint64(s.EphemeralOwner))
	return crc32.Update(crc, crc32.IEEETable, b)
}

// Content is the CRC-32 of path and data with which a node's digest begins.
func (d *Digester) Content(path string, data []byte) uint32 {
	p := append(d.buf[:0], path...)
	return crc32.Update(crc32.ChecksumIEEE(p), crc32.IEEETable, data)
}

// Digested reports whether the node at path counts in the tree digest: all but those below /zookeeper/.
func Digested(path string) bool { return !strings.HasPrefix(path, "/zookeeper/") }
