//go:build !linux

package peer

import "syscall"

// dieWithParent can promise nothing on this system.
func dieWithParent() *syscall.SysProcAttr { return nil }
