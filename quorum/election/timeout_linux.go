package election

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout ends a connection when what was written is not acknowledged for so long: behind a broken network the kernel would repeat it for a quarter of an
// hour, and votes would go nowhere. Java pings the peer with multiAddress.reachabilityCheckEnabled, and otherwise waits.
func setUserTimeout(conn *net.TCPConn, d time.Duration) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}
