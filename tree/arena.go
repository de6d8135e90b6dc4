package tree

import (
	"math/bits"
	"unsafe"
)

// ref names a cell of an arena: the number of its chunk and where it begins in there, in units of 8 bytes. 0 is none.
type ref uint32

const (
	unit      = 8 // bytes
	placeBits = 13
	placeMask = 1<<placeBits - 1
	chunkSize = unit << placeBits
	chunkHead = 64
	maxChunks = 1<<(32-placeBits) - 1
)

// arena is memory in cells of a few sizes: the collector sees few and large objects that have no pointers in them, however many cells there are. All cells of
// a chunk have the same size. A chunk with none in use is given back to the collector, so that its room serves any size.
type arena struct {
	tree   *Tree
	chunks []*chunk          // by number; 0 is nobody's
	spare  []uint32          // numbers whose chunk was given back
	room   [cellSizes]uint32 // for each size the first chunk that has room
	limit  int               // of chunks
}

// chunk is 64 KiB, so that the allocator's pages hold it without loss. Its cells lie behind its head.
type chunk struct {
	tree       *Tree // the only pointer, and first: the collector looks no further
	number     uint32
	next, prev uint32 // of the chunks with room for the same size; 0 is none
	used       uint32 // cells
	fresh      uint16 // where the cells are that never were in use, in units
	free       uint16 // the first of the others that are not, 0 if all are; each begins with the next
	_          [chunkSize - 28]byte
}

const (
	cellMin   = 16
	cellMax   = 4096 // what is larger is an object of its own
	cellSizes = 57
)

// cellSize is the size of the cells for n bytes, from 1 to cellMax. There are eight sizes from a power of two to the next, so that a sixteenth is lost on average.
func cellSize(n int) int {
	n = max(n, cellMin)
	shift := cellShift(n)
	return (n + 1<<shift - 1) >> shift << shift
}

// cellShift says that the sizes around n are multiples of 1<<cellShift(n).
func cellShift(n int) int { return max(3, bits.Len(uint(n-1))-4) }

// class numbers the sizes of cells, from 0 to cellSizes-1.
func class(size int) int {
	shift := cellShift(size)
	return (shift-3)<<3 + size>>shift
}

func newArena(t *Tree, limit int) arena { return arena{tree: t, chunks: []*chunk{nil}, limit: limit} }

// at is the address of a cell, where it stays until it is released.
func (a *arena) at(r ref) unsafe.Pointer { return a.chunks[r>>placeBits].at(uint16(r & placeMask)) }

func (c *chunk) at(place uint16) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(c), int(place)*unit)
}

// nextCell goes over all cells that are or were in use, in an arena where all have the same size: it returns the one at a place that it returned before, 0 if
// there is none, and the next place. The first place is 1<<placeBits, the last is before len(chunks)<<placeBits.
func (a *arena) nextCell(place, size int) (ref, int) {
	place = max(place, place&^placeMask+chunkHead/unit)
	if c := a.chunks[place>>placeBits]; c == nil || place&placeMask >= int(c.fresh) {
		return 0, (place>>placeBits + 1) << placeBits
	}
	return ref(place), place + size/unit
}

// alloc takes a cell, in which there is anything. It returns 0 when all chunks that there may be are full.
func (a *arena) alloc(size int) ref {
	class := class(size)
	if a.room[class] == 0 && !a.grow(class) {
		return 0
	}
	c := a.chunks[a.room[class]]
	place := c.free
	if place != 0 {
		c.free = *(*uint16)(c.at(place))
	} else {
		place = c.fresh
		c.fresh += uint16(size / unit)
	}
	if c.used++; c.full(size) {
		a.unlist(c, class)
	}
	return ref(c.number)<<placeBits | ref(place)
}

// release gives a cell back. Its first two bytes are overwritten.
func (a *arena) release(r ref, size int) {
	class := class(size)
	c := a.chunks[r>>placeBits]
	if c.full(size) {
		a.list(c, class)
	}
	*(*uint16)(a.at(r)) = c.free
	c.free = uint16(r & placeMask)
	// The last chunk of its size stays, lest a cell that comes and goes makes one each time.
	if c.used--; c.used == 0 && (c.next != 0 || c.prev != 0) {
		a.unlist(c, class)
		a.chunks[c.number] = nil
		a.spare = append(a.spare, c.number)
	}
}

func (c *chunk) full(size int) bool { return c.free == 0 && int(c.fresh)*unit+size > chunkSize }

// grow adds a chunk.
func (a *arena) grow(class int) bool {
	number := uint32(len(a.chunks))
	if n := len(a.spare); n > 0 {
		number, a.spare = a.spare[n-1], a.spare[:n-1]
	} else if int(number) > a.limit {
		return false
	} else {
		a.chunks = append(a.chunks, nil)
	}
	c := &chunk{tree: a.tree, number: number, fresh: chunkHead / unit}
	a.chunks[number] = c
	a.list(c, class)
	return true
}

// list puts a chunk among those that have room.
func (a *arena) list(c *chunk, class int) {
	if c.next = a.room[class]; c.next != 0 {
		a.chunks[c.next].prev = c.number
	}
	a.room[class] = c.number
}

func (a *arena) unlist(c *chunk, class int) {
	if c.prev != 0 {
		a.chunks[c.prev].next = c.next
	} else {
		a.room[class] = c.next
	}
	if c.next != 0 {
		a.chunks[c.next].prev = c.prev
	}
	c.next, c.prev = 0, 0
}
