package tree

import (
	"fmt"
	"hash/maphash"
)

// index finds nodes by path. It is a hash table in segments, each of which is split when it is full and joined when it is empty enough (extendible
// hashing), so that no transaction waits while all of it is made anew. A slot has the path's hash: what is not there is missed without a look at a node, and
// a segment is split without one.
//
// The seed is another one in each tree, lest clients choose paths that meet in one place; nothing that can be seen depends on it.
type index struct {
	tree     *Tree
	seed     maphash.Seed
	segments []*segment // by the low bits of the hash, a power of two of them; one that is told by fewer bits is there several times
	count    int        // of nodes
}

// segment is 4 KiB. The high bits of the hash say where a slot should be; it is there or in one of the next.
type segment struct {
	count uint32
	depth uint32 // the number of low bits of the hash that all in it have in common
	slots [segmentSlots]slot
}

type slot struct {
	hash uint32
	id   ref // 0 if it is free
}

const (
	segmentSlots = 511
	segmentFull  = segmentSlots * 4 / 5
	homeShift    = 32 - 9
)

func newIndex(t *Tree) index {
	return index{tree: t, seed: maphash.MakeSeed(), segments: []*segment{{}}}
}

func (x *index) hash(path string) uint32 { return uint32(maphash.String(x.seed, path)) }

func (x *index) segment(hash uint32) *segment { return x.segments[int(hash)&(len(x.segments)-1)] }

// home is where the slot of a hash should be.
func home(hash uint32) int { return min(int(hash>>homeShift), segmentSlots-1) }

func next(i int) int {
	if i++; i == segmentSlots {
		return 0
	}
	return i
}

// find returns the node at path, or nil. It does not allocate.
func (x *index) find(path string) *Node {
	hash := x.hash(path)
	s := x.segment(hash)
	for i := home(hash); ; i = next(i) {
		switch e := s.slots[i]; {
		case e.id == 0:
			return nil
		case e.hash == hash:
			n := x.tree.node(e.id)
			if int(n.pathLen) == len(path) && string(x.tree.texts.at(n.text, len(path))) == path {
				return n
			}
		}
	}
}

// touch brings the place of a path into the processor's cache; its result means nothing.
func (x *index) touch(path string) uint32 {
	hash := x.hash(path)
	return x.segment(hash).slots[home(hash)].hash
}

// add adds a node whose path none has.
func (x *index) add(n *Node) {
	hash := x.hash(n.path())
	for x.segment(hash).count == segmentFull {
		x.split(hash)
	}
	x.segment(hash).put(slot{hash, n.id})
	x.count++
}

func (s *segment) put(e slot) {
	i := home(e.hash)
	for s.slots[i].id != 0 {
		i = next(i)
	}
	s.slots[i] = e
	s.count++
}

func (x *index) remove(n *Node) {
	hash := x.hash(n.path())
	s := x.segment(hash)
	i := home(hash)
	for s.slots[i].id != n.id {
		i = next(i)
	}
	// Those behind it that would not be found behind a free slot move up.
	free := i
	for i = next(i); s.slots[i].id != 0; i = next(i) {
		if distance(home(s.slots[i].hash), i) >= distance(free, i) {
			s.slots[free] = s.slots[i]
			free = i
		}
	}
	s.slots[free] = slot{}
	s.count--
	x.count--
	x.join(hash)
}

// distance is the number of steps from one slot to another.
func distance(from, to int) int {
	if to < from {
		to += segmentSlots
	}
	return to - from
}

// split makes two segments of the one for a hash.
func (x *index) split(hash uint32) {
	s := x.segment(hash)
	if s.depth == homeShift {
		// So many paths do not agree in 23 bits of a good hash.
		panic(fmt.Sprintf("tree: %d of %d paths have the low bits of the hash %x in common", s.count, x.count, hash))
	}
	if 1<<s.depth == len(x.segments) {
		x.segments = append(x.segments, x.segments...)
	}
	bit := uint32(1) << s.depth
	zero, one := &segment{depth: s.depth + 1}, &segment{depth: s.depth + 1}
	for _, e := range s.slots {
		switch {
		case e.id == 0:
		case e.hash&bit == 0:
			zero.put(e)
		default:
			one.put(e)
		}
	}
	x.replace(hash&^bit, zero)
	x.replace(hash|bit, one)
}

// join undoes a split when little is left of both segments.
func (x *index) join(hash uint32) {
	s := x.segment(hash)
	if s.count > segmentFull/8 || s.depth == 0 {
		return
	}
	other := x.segment(hash ^ 1<<(s.depth-1))
	if other.depth != s.depth || other.count > segmentFull/2 {
		return
	}
	for _, e := range s.slots {
		if e.id != 0 {
			other.put(e)
		}
	}
	other.depth--
	x.replace(hash, other)
}

// replace makes s the segment for all hashes that have its low bits in common with hash.
func (x *index) replace(hash uint32, s *segment) {
	for i := int(hash) & (1<<s.depth - 1); i < len(x.segments); i += 1 << s.depth {
		x.segments[i] = s
	}
}
