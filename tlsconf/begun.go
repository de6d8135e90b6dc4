package tlsconf

import "net"

// FirstByte is what a client begins with that speaks TLS: the type of a record that has a handshake in it.
const FirstByte = 0x16

// Begun is a connection of which something was read already, to find out what it speaks.
type Begun struct {
	net.Conn
	// Begin is what was read and is to be read again. Read consumes it.
	Begin []byte
}

// Read is that of a net.Conn.
func (b *Begun) Read(p []byte) (int, error) {
	if len(b.Begin) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.Begin)
	b.Begin = b.Begin[n:]
	return n, nil
}

// NetConn is the connection below, as that of a tls.Conn.
func (b *Begun) NetConn() net.Conn { return b.Conn }
