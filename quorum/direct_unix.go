//go:build unix

package quorum

import (
	"net"
	"syscall"

	"quoll/tlsconf"
)

// writeDirectly returns what writes to a TCP connection without waiting, nil for any other.
func writeDirectly(conn net.Conn) directly {
	if plain, ok := conn.(*tlsconf.Begun); ok {
		conn = plain.Conn
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	var left []byte
	var n int
	attempt := func(fd uintptr) bool {
		n, _ = syscall.Write(int(fd), left) // an error comes again, to the writer
		return true
	}
	return func(b []byte) int {
		left, n = b, 0
		_ = raw.Write(attempt)
		left = nil
		return max(n, 0)
	}
}
