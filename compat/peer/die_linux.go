package peer

import "syscall"

// dieWithParent has the kernel kill the child when this process dies, so that a test that
// panics or runs into its time limit leaves no server behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
