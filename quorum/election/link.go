package election

import (
	"errors"
	"net"
	"sync"
	"time"

	"quoll/jute"
	"quoll/zab/wire"
)

// errGone is the error of a handshake that ended when nobody wanted its connection any more.
var errGone = errors.New("election: not wanted any more")

// link is a connection to another server, from the handshake on. Mirrors QuorumCnxManager.SendWorker and RecvWorker.
type link struct {
	raw  net.Conn // TCP; closing it never waits
	conn net.Conn // what is read and written
	r    *wire.Reader
	wake chan struct{} // has room for one: there is a vote
	done chan struct{} // closed by close
	once sync.Once
}

// begin makes a link of a new connection, secured and with a deadline for the handshake.
func (p *Port) begin(raw net.Conn, host string) (*link, error) {
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
		_ = tcp.SetKeepAlive(p.opts.KeepAlive)
		setUserTimeout(tcp, p.opts.HandshakeTimeout)
	}
	if err := raw.SetDeadline(time.Now().Add(p.opts.HandshakeTimeout)); err != nil {
		return nil, err
	}
	l := &link{raw: raw, conn: raw, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if p.opts.Secure != nil {
		var err error
		if l.conn, err = p.opts.Secure(raw, host); err != nil {
			return nil, err
		}
	}
	l.r = wire.NewReader(l.conn, wire.MaxToken)
	return l, nil
}

// adopt makes a link the connection of its server, and ends the one there was. The error is errGone if the server was forgotten meanwhile.
func (p *Port) adopt(pe *peer, l *link) error {
	if p.closed || p.peers[pe.sid] != pe {
		return errGone
	}
	if err := l.raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if pe.link != nil {
		pe.link.close()
	}
	pe.link = l
	pe.newest = p.tick()
	if pe.unsent == nil {
		pe.unsent = pe.last // nobody knows whether it arrived
	}
	p.wg.Go(func() { p.send(pe, l) })
	p.wg.Go(func() { p.receive(pe, l) })
	return nil
}

// send writes the votes for a server while the link is up.
func (p *Port) send(pe *peer, l *link) {
	defer p.lost(pe, l)
	for {
		frame := p.take(pe, l)
		if frame == nil {
			select {
			case <-l.wake:
				continue
			case <-l.done:
				return
			}
		}
		_ = l.conn.SetWriteDeadline(time.Now().Add(p.opts.HandshakeTimeout)) // if it fails so does the write
		if _, err := l.conn.Write(frame); err != nil {
			l.tell(p, "cannot send a vote", pe.sid, err)
			return
		}
	}
}

// take returns the unsent vote for a server, nil if there is none or if it belongs to the link that came after this one.
func (p *Port) take(pe *peer, l *link) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pe.link != l || pe.unsent == nil {
		return nil
	}
	pe.last, pe.unsent = pe.unsent, nil
	return pe.last
}

// receive hands on the votes of a server while the link is up.
func (p *Port) receive(pe *peer, l *link) {
	defer p.lost(pe, l)
	for {
		frame, err := l.r.Frame()
		if err != nil {
			l.tell(p, "connection broken", pe.sid, err)
			return
		}
		d := jute.NewDecoder(frame)
		var vote wire.Notification
		if vote.Decode(&d); d.Err() != nil {
			p.log.Debug("dropping a vote that cannot be decoded", "sid", pe.sid, "bytes", len(frame), "error", d.Err())
			continue
		}
		p.opts.Heard(pe.sid, vote)
	}
}

// lost ends a link.
func (p *Port) lost(pe *peer, l *link) {
	l.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if pe.link == l {
		pe.link = nil
		p.prune(pe)
	}
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.done)
		_ = l.raw.Close()
	})
}

func (l *link) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// tell logs why a link ends, unless this side ended it.
func (l *link) tell(p *Port, what string, sid int64, err error) {
	select {
	case <-l.done:
	default:
		p.rated.Info(what, "sid", sid, "address", l.raw.RemoteAddr().String(), "error", err)
	}
}
