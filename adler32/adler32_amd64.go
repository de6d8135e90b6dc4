package adler32

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2

// sums adds up n*32 bytes from p on, n in 1..173: total is their sum, before the sum, over each 32 bytes, of all bytes before these, and weighted the sum of the bytes times
// 32 for the first of each 32 bytes down to 1 for the last.
//
//go:noescape
func sums(p *byte, n int) (total, before, weighted uint64)

// add adds bytes, no more than a block, and leaves s1 and s2 unreduced.
func add(s1, s2 uint32, b []byte) (uint32, uint32) {
	if n := len(b) / 32; n > 0 && hasAVX2 {
		total, before, weighted := sums(&b[0], n)
		s2 = uint32((uint64(s2) + 32*(uint64(n)*uint64(s1)+before) + weighted) % modulus)
		s1 = (s1 + uint32(total)) % modulus
		b = b[32*n:]
	}
	return addBytes(s1, s2, b)
}
