package adler32

import (
	"bytes"
	"hash/adler32"
	"math/rand/v2"
	"testing"
)

// TestSameAsStandardLibrary compares every length up to some blocks, of any bytes and of the largest ones, in one piece and in several.
func TestSameAsStandardLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 3*block)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	for name, all := range map[string][]byte{"random": random, "largest": bytes.Repeat([]byte{255}, len(random))} {
		for n := 0; n <= len(all); n++ {
			if n > 2*block && n%97 != 0 {
				continue
			}
			b := all[len(all)-n:]
			want := adler32.Checksum(b)
			if got := Checksum(b); got != want {
				t.Fatalf("%s, %d bytes: %#x, not %#x", name, n, got, want)
			}
			h := New()
			for rest := b; len(rest) > 0; {
				k := min(len(rest), 1+rng.IntN(300))
				h.Write(rest[:k])
				rest = rest[k:]
			}
			if h.Sum32() != want || !bytes.Equal(h.Sum(nil), append([]byte(nil), byte(want>>24), byte(want>>16), byte(want>>8), byte(want))) {
				t.Fatalf("%s, %d bytes in pieces: %#x, not %#x", name, n, h.Sum32(), want)
			}
		}
	}
	s1, s2 := addBytes(1, 0, random[:block])
	if got := s2%modulus<<16 | s1%modulus; got != adler32.Checksum(random[:block]) {
		t.Errorf("byte by byte: %#x", got)
	}
}

func BenchmarkChecksum(b *testing.B) {
	data := make([]byte, 1100)
	for _, of := range []struct {
		name string
		sum  func([]byte) uint32
	}{{"here", Checksum}, {"standard library", adler32.Checksum}} {
		b.Run(of.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				of.sum(data)
			}
		})
	}
}
