//go:build unix

package quoll

import (
	"net"
	"syscall"
)

// setBacklog changes how many connections may wait to be accepted. Package net takes the operating system's limit; listening again with
// another number is how a socket's backlog is changed.
func setBacklog(l net.Listener, n int) error {
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), n) }); err != nil {
		return err
	}
	return failed
}
