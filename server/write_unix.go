//go:build unix

package server

import "syscall"

// writeNow writes as much of p as the socket takes without waiting. An error other than a closed connection shows again, and for good, at
// the next write, so it is only there that it counts.
func writeNow(raw syscall.RawConn, p []byte) (n int, err error) {
	err = raw.Write(func(fd uintptr) bool {
		n, _ = syscall.Write(int(fd), p)
		return true
	})
	return max(n, 0), err
}

// hungUp reports whether the client has closed its side, and nothing that it sent before is left to be read.
func hungUp(raw syscall.RawConn) (closed bool) {
	_ = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = n == 0 && err == nil || err == syscall.ECONNRESET
	})
	return closed
}
