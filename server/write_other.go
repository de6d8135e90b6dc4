//go:build !unix

package server

import "syscall"

// writeNow writes nothing: a goroutine that may wait does it.
func writeNow(syscall.RawConn, []byte) (n int, err error) { return 0, nil }

// hungUp cannot tell on this system.
func hungUp(syscall.RawConn) bool { return false }
