package admin

import (
	"cmp"
	"container/list"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"quoll/tlsconf"
)

const (
	maxConnections = 128              // at a time
	firstByteTime  = 10 * time.Second // that a client has to say whether it speaks TLS
)

// crowd is the connections of a listener. When there are too many, one of the address that has the most goes, so that nobody shuts others out: the one that has been there longest
// without being answered, since a client that has something to ask does so at once, or else the one that began to be answered last. It is never the one that has just come.
type crowd struct {
	sync.Mutex
	list list.List // of *member, the oldest first
}

// member is a connection of a crowd.
type member struct {
	net.Conn
	crowd *crowd
	place *list.Element
	busy  atomic.Bool // it is being answered
	once  sync.Once
}

func (c *crowd) join(conn net.Conn) *member {
	m := &member{Conn: conn, crowd: c}
	c.Lock()
	m.place = c.list.PushBack(m)
	var tooMany *member
	if c.list.Len() > maxConnections {
		tooMany = c.crowding(m)
	}
	c.Unlock()
	if tooMany != nil {
		_ = tooMany.Close()
	}
	return m
}

// crowding finds the one that has to go for who has just come. The crowd is locked.
func (c *crowd) crowding(newcomer *member) (goes *member) {
	count, most := map[string]int{}, 0
	for e := c.list.Front(); e != nil; e = e.Next() {
		m := e.Value.(*member)
		count[m.host()]++
		most = max(most, count[m.host()])
	}
	for e := c.list.Front(); e != nil; e = e.Next() {
		m := e.Value.(*member)
		switch {
		case m == newcomer || count[m.host()] < most:
		case !m.busy.Load():
			return m
		default:
			goes = m
		}
	}
	return cmp.Or(goes, newcomer)
}

// host is the address that the connection comes from.
func (m *member) host() string {
	host, _, _ := net.SplitHostPort(m.RemoteAddr().String())
	return host
}

// memberOf finds the member that a connection is, which may speak TLS.
func memberOf(conn net.Conn) *member {
	for {
		switch c := conn.(type) {
		case *member:
			return c
		case interface{ NetConn() net.Conn }: // one of TLS, or one that was looked at
			conn = c.NetConn()
		}
	}
}

// Close closes the connection.
func (m *member) Close() error {
	m.once.Do(func() {
		m.crowd.Lock()
		defer m.crowd.Unlock()
		m.crowd.list.Remove(m.place)
	})
	return m.Conn.Close()
}

// port is a listener of HTTP, of HTTPS, or of both. Accept takes no time with a client: whether it speaks TLS is found out elsewhere.
type port struct {
	net.Listener
	tls      func() *tls.Config // nil for none
	unified  bool               // plain text too
	insecure func()             // a client of a unified port speaks plain text
	crowd    crowd
	ready    chan net.Conn
	closed   chan struct{}
	once     sync.Once
	wg       sync.WaitGroup
}

func newPort(l net.Listener, tls func() *tls.Config, unified bool, insecure func()) *port {
	p := &port{Listener: l, tls: tls, unified: unified, insecure: insecure, ready: make(chan net.Conn), closed: make(chan struct{})}
	p.wg.Go(p.listen)
	return p
}

func (p *port) listen() {
	for {
		conn, err := p.Listener.Accept()
		if err != nil {
			select {
			case <-p.closed:
				return
			case <-time.After(50 * time.Millisecond): // out of file descriptors, most likely
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		m := p.crowd.join(conn)
		switch {
		case p.tls == nil:
			p.hand(m)
		case !p.unified:
			p.hand(tls.Server(m, p.tls()))
		default:
			p.wg.Go(func() { p.tell(m) })
		}
	}
}

// tell finds out what a client speaks.
func (p *port) tell(m *member) {
	_ = m.SetReadDeadline(time.Now().Add(firstByteTime))
	first := make([]byte, 1)
	if _, err := io.ReadFull(m, first); err != nil {
		_ = m.Close()
		return
	}
	_ = m.SetReadDeadline(time.Time{})
	conn := &tlsconf.Begun{Conn: m, Begin: first}
	if first[0] == tlsconf.FirstByte {
		p.hand(tls.Server(conn, p.tls()))
		return
	}
	p.insecure()
	p.hand(conn)
}

func (p *port) hand(conn net.Conn) {
	select {
	case p.ready <- conn:
	case <-p.closed:
		_ = conn.Close()
	}
}

// Accept returns the next connection whose client is known.
func (p *port) Accept() (net.Conn, error) {
	select {
	case conn := <-p.ready:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the listener and the connections that are not served yet.
func (p *port) Close() (err error) {
	p.once.Do(func() {
		close(p.closed)
		err = p.Listener.Close()
		p.crowd.Lock()
		var all []*member
		for e := p.crowd.list.Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*member))
		}
		p.crowd.Unlock()
		for _, m := range all {
			_ = m.Close()
		}
		p.wg.Wait()
	})
	return err
}
