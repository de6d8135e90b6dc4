//go:build !unix

package quorum

import "net"

// writeDirectly returns nil: package net has no write that does not wait.
func writeDirectly(net.Conn) directly { return nil }
