//go:build !unix

package quoll

import (
	"errors"
	"net"
)

// setBacklog fails: the backlog is the operating system's here.
func setBacklog(net.Listener, int) error {
	return errors.New("cannot be changed on this operating system")
}
