//go:build !linux

package election

import (
	"net"
	"time"
)

// setUserTimeout is left to the kernel's own idea of a broken connection.
func setUserTimeout(*net.TCPConn, time.Duration) {}
