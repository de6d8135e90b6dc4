// Package adler32 is hash/adler32 several times faster where the processor has AVX2: every byte of the log and of a snapshot goes through this checksum, which cost a
// quarter of the time of a write.
package adler32

import "hash"

const (
	modulus = 65521
	// block is the most bytes after which the sums must be reduced: 255*n*(n+1)/2 + (n+1)*(modulus-1) stays below 2^32.
	block = 5552
)

// Checksum returns the Adler-32 checksum of b (RFC 1950).
func Checksum(b []byte) uint32 { return update(1, b) }

// New returns a hash that computes the checksum of what is written to it.
func New() hash.Hash32 {
	d := digest(1)
	return &d
}

type digest uint32

func (d *digest) Write(b []byte) (int, error) {
	*d = digest(update(uint32(*d), b))
	return len(b), nil
}

func (d *digest) Sum32() uint32  { return uint32(*d) }
func (d *digest) Reset()         { *d = 1 }
func (d *digest) Size() int      { return 4 }
func (d *digest) BlockSize() int { return 4 }

func (d *digest) Sum(in []byte) []byte {
	return append(in, byte(*d>>24), byte(*d>>16), byte(*d>>8), byte(*d))
}

// update continues a checksum with more bytes.
func update(sum uint32, b []byte) uint32 {
	s1, s2 := sum&0xffff, sum>>16
	for len(b) > 0 {
		n := min(len(b), block)
		s1, s2 = add(s1, s2, b[:n])
		s1, s2, b = s1%modulus, s2%modulus, b[n:]
	}
	return s2<<16 | s1
}

// addBytes adds bytes, no more than a block, one by one.
func addBytes(s1, s2 uint32, b []byte) (uint32, uint32) {
	for len(b) >= 4 {
		w := b[:4:4]
		s1 += uint32(w[0])
		s2 += s1
		s1 += uint32(w[1])
		s2 += s1
		s1 += uint32(w[2])
		s2 += s1
		s1 += uint32(w[3])
		s2 += s1
		b = b[4:]
	}
	for _, c := range b {
		s1 += uint32(c)
		s2 += s1
	}
	return s1, s2
}
