package tree

import "unsafe"

// texts holds path and data of each node, the one behind the other, in a cell, or in an object of its own if they are larger than a cell can be or there are
// no more cells.
type texts struct {
	cells arena
	large [][]byte
	free  []uint32 // numbers of large that are not in use
}

// largeText in a ref says that the rest is a number of large.
const largeText ref = 1 << 31

// at returns the first n bytes of a text.
func (x *texts) at(r ref, n int) []byte {
	switch {
	case r == 0:
		return []byte{}
	case r&largeText != 0:
		return x.large[r&^largeText][:n]
	}
	return unsafe.Slice((*byte)(x.cells.at(r)), n)
}

// alloc makes room for a text of n bytes, in which there is anything.
func (x *texts) alloc(n int) ref {
	if n == 0 {
		return 0
	}
	if n <= cellMax {
		if r := x.cells.alloc(cellSize(n)); r != 0 {
			return r
		}
	}
	b := make([]byte, n)
	if last := len(x.free) - 1; last >= 0 {
		number := x.free[last]
		x.free, x.large[number] = x.free[:last], b
		return largeText | ref(number)
	}
	x.large = append(x.large, b)
	return largeText | ref(len(x.large)-1)
}

// fits reports whether a text of n bytes can be where one of old bytes is, in r.
func (x *texts) fits(r ref, old, n int) bool {
	if old == n {
		return true
	}
	return r&largeText == 0 && old > 0 && n > 0 && n <= cellMax && cellSize(old) == cellSize(n)
}

// release gives up a text of n bytes.
func (x *texts) release(r ref, n int) {
	switch {
	case n == 0:
	case r&largeText != 0:
		x.large[r&^largeText] = nil
		x.free = append(x.free, uint32(r&^largeText))
	default:
		x.cells.release(r, cellSize(n))
	}
}
