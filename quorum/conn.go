package quorum

import (
	"net"
	"time"

	"quoll/zab/wire"
)

// conn is a connection between servers for packets: secured, and with authentication behind it if there is any.
type conn struct {
	net.Conn              // what is written to
	reader   *wire.Reader // what is read
	raw      net.Conn     // TCP: closing it never waits, as a farewell in TLS can
	guests   *guests      // where it is noted if it was accepted
	sid      int64        // of who opened it, if it was accepted and has said so
}

// open makes a connection of c.raw. The peer has initLimit ticks for it, and for the packet that comes next if it has the first word. Whoever closes c ends it.
func (p *Peer) open(c *conn, host string, sid int64, dialled bool) error {
	_ = c.raw.SetDeadline(time.Now().Add(p.initTime()))
	if secure := p.opts.Secure; secure != nil {
		secured, err := secure(c.raw, host)
		if err != nil {
			return err
		}
		c.Conn = secured
	}
	c.reader = wire.NewReader(c.Conn, wire.MaxToken)
	if auth := p.opts.Authenticate; auth != nil {
		return auth(c.Conn, c.reader, sid, dialled)
	}
	return nil
}

// packetLimit is how many bytes the data of a packet may have.
func (p *Peer) packetLimit() int {
	return p.opts.Config.JuteMaxBuffer + p.opts.Config.JuteMaxBufferExtraSize
}

// Close closes the connection. It may be called by any goroutine, and more than once.
func (c *conn) Close() error {
	if c.guests != nil {
		c.guests.leave(c)
	}
	return c.raw.Close()
}

// RemoteAddr is the address of the peer; unlike other methods of the connection it can be called while that is being opened.
func (c *conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }
