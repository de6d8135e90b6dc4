package quoll

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"quoll/config"
)

// TestBacklog: the listen backlog is the configured one, which Linux shows where a connection has the segments that were acknowledged out of order.
func TestBacklog(t *testing.T) {
	settings := config.Defaults()
	settings.ClientPortListenBacklog = 7
	l, err := listen("clientPort", "127.0.0.1:0", settings)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	if controlErr := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO) }); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	if info.Sacked != 7 {
		t.Errorf("the backlog is %d", info.Sacked)
	}
}
