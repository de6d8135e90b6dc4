package quorum

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestGone(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	silent := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	for _, c := range []struct {
		name  string
		err   error
		votes bool
		want  bool
	}{
		{"it is about to listen", refused, true, false},
		{"the process has ended", refused, false, true},
		{"one of its addresses refuses", errors.Join(silent, refused), true, false},
		{"the machine does not answer", silent, true, true},
		{"nor is there a way to it", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, true, true},
		{"the servers of names do not answer", &net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}, false, false},
		{"it is in no config", errors.New("the server is in no config"), true, false},
	} {
		if got := gone(c.err, c.votes); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
