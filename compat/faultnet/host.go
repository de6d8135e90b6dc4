package faultnet

import (
	"context"
	"fmt"
	"net"
	"os"
)

// Host is a network namespace with a device and an address. The nil Host is where this process is itself, at the loopback address.
type Host struct {
	number    byte     // the last of its address
	namespace *os.File // keeps it while there is no process
	device    *os.File // what is read was sent by the host, what is written arrives there
}

// Addr is the address, without a port.
func (h *Host) Addr() string {
	if h == nil {
		return "127.0.0.1"
	}
	return fmt.Sprint("10.83.0.", h.number)
}

// Dial connects from the host to an address, host:port, where the host is no name.
func (h *Host) Dial(ctx context.Context, addr string) (conn net.Conn, err error) {
	err = h.Do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
		return err
	})
	return conn, err
}

func (h *Host) close() error {
	err := h.device.Close()
	if e := h.namespace.Close(); err == nil {
		err = e
	}
	return err
}
