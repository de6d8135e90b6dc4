package tree

import (
	"encoding/binary"
	"hash/crc32"
	"strings"

	"quoll/jute"
)

// Node is a znode. Its fields change only in Apply; Data is replaced and never written to, so a slice once read stays as it is.
//
// The layout is what 40 million of them cost: leaves carry one nil pointer for children, names are tails of the path.
type Node struct {
	path     string
	data     []byte
	children *[]*Node
	czxid    int64
	mzxid    int64
	pzxid    int64
	ctime    int64
	mtime    int64
	owner    int64
	version  int32
	cversion int32 // creations of children
	aversion int32
	acl      aclID
	index    uint32 // position among the parent's children
	crc      uint32 // CRC-32 of path and data, where the digest begins
	digest   uint32 // digest of this node; 0 below /zookeeper/, which does not count
	gen      uint32 // of the cut that this node's last change is for
}

// Path returns the node's path, "" for the root.
func (n *Node) Path() string { return n.path }

// Name returns the last component of the path.
func (n *Node) Name() string { return n.path[strings.LastIndexByte(n.path, '/')+1:] }

// Data returns the node's data, nil for null. The caller must not write to it.
func (n *Node) Data() []byte { return n.data }

// NumChildren is the number of children.
func (n *Node) NumChildren() int {
	if n.children == nil {
		return 0
	}
	return len(*n.children)
}

// Children returns the children in no order. The slice belongs to the tree and is valid until the next Apply.
func (n *Node) Children() []*Node {
	if n.children == nil {
		return nil
	}
	return *n.children
}

// Version returns the data version.
func (n *Node) Version() int32 { return n.version }

// Owner returns the ephemeral owner as stored: a session, or a mark for containers and TTL nodes.
func (n *Node) Owner() Owner { return Owner(n.owner) }

// Mtime is the time of the last change of data, milliseconds since 1970.
func (n *Node) Mtime() int64 { return n.mtime }

// Mzxid is the zxid of the last change of data.
func (n *Node) Mzxid() int64 { return n.mzxid }

// Pzxid is the zxid of the last change of the set of children.
func (n *Node) Pzxid() int64 { return n.pzxid }

// CRC is the CRC-32 of path and data, from which [Digester.Node] goes on.
func (n *Node) CRC() uint32 { return n.crc }

// Stat is the stat that clients see: cversion counts creations and deletions, and only true ephemerals have an owner.
func (n *Node) Stat() jute.Stat {
	owner := Owner(n.owner)
	if !owner.Ephemeral() {
		owner = 0
	}
	children := int32(n.NumChildren())
	return jute.Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, Ctime: n.ctime, Mtime: n.mtime,
		Version: n.version, Cversion: 2*n.cversion - children, Aversion: n.aversion,
		EphemeralOwner: int64(owner), DataLength: int32(len(n.data)), NumChildren: children, Pzxid: n.pzxid,
	}
}

// Persisted is the stat as a snapshot and the digest have it.
func (n *Node) Persisted() jute.StatPersisted {
	return jute.StatPersisted{
		Czxid: n.czxid, Mzxid: n.mzxid, Ctime: n.ctime, Mtime: n.mtime,
		Version: n.version, Cversion: n.cversion, Aversion: n.aversion, EphemeralOwner: n.owner, Pzxid: n.pzxid,
	}
}

func (n *Node) addChild(c *Node) {
	if n.children == nil {
		n.children = new([]*Node)
	}
	c.index = uint32(len(*n.children))
	*n.children = append(*n.children, c)
}

// hasChild reports whether c is linked to n. A znode that lost its parent on replay is in the tree without being anybody's child.
func (n *Node) hasChild(c *Node) bool {
	return n.children != nil && int(c.index) < len(*n.children) && (*n.children)[c.index] == c
}

func (n *Node) removeChild(c *Node) {
	if !n.hasChild(c) {
		return
	}
	list := *n.children
	last := len(list) - 1
	list[c.index] = list[last]
	list[c.index].index = c.index
	list[last] = nil
	if last == 0 {
		n.children = nil
		return
	}
	if list = list[:last]; cap(list) > 64 && len(list) < cap(list)/4 {
		list = append(make([]*Node, 0, 2*len(list)), list...)
	}
	*n.children = list
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
