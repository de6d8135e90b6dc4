//go:build !amd64

package adler32

func add(s1, s2 uint32, b []byte) (uint32, uint32) { return addBytes(s1, s2, b) }
