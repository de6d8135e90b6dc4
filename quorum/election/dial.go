package election

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"quoll/ensemble"
	"quoll/zab/wire"
)

// maxInitialText is the most bytes that the addresses of an initial message may have.
const maxInitialText = 2048

// dial connects to a server, unless that is under way or done. A member is dialled where the config says, and where it says that it is itself (told) only if
// nobody is there; a stranger has no other address.
func (p *Port) dial(pe *peer, told []ensemble.Addr) {
	if pe.dialling || pe.link != nil {
		return
	}
	if pe.sid > p.opts.SID && time.Since(pe.rang) < ringPause {
		return
	}
	tries := p.tries(pe.sid, told)
	if len(tries) == 0 {
		return
	}
	hello := p.hello()
	authenticate := p.opts.Authenticate != nil && p.committed.Server(pe.sid) != nil
	pe.dialling = true
	p.wg.Go(func() {
		err := p.initiateConnection(pe, tries, hello, authenticate)
		p.mu.Lock()
		pe.dialling = false
		p.prune(pe)
		p.mu.Unlock()
		if err != nil && pe.ctx.Err() == nil {
			p.rated.Warn("cannot open a channel to a server at its election address", "sid", pe.sid, "error", err)
		}
	})
}

// tries returns the lists of addresses at which to look for a server, one after the other.
func (p *Port) tries(sid int64, told []ensemble.Addr) (lists [][]ensemble.Addr) {
	try := func(addrs []ensemble.Addr) {
		if len(addrs) > 0 && !slices.ContainsFunc(lists, func(list []ensemble.Addr) bool { return ensemble.SameAddrs(list, addrs) }) {
			lists = append(lists, addrs)
		}
	}
	for _, c := range []*ensemble.Config{p.committed, p.lastSeen} {
		if s := c.Server(sid); s != nil {
			try(s.Election)
		}
	}
	try(told)
	return lists
}

// hello is the initial message of this server. It is written in one piece, because Java reads it with one read.
func (p *Port) hello() []byte {
	m := wire.InitialMessage{Version: wire.InitialV1, SID: p.opts.SID}
	if p.opts.MultiAddress {
		m.Version = wire.InitialV2
	}
	size := 0
	for _, a := range p.own {
		a = dialled(a)
		if size += len(a.String()) + 1; len(m.Addrs) > 0 && (!p.opts.MultiAddress || size > maxInitialText) {
			break
		}
		m.Addrs = append(m.Addrs, a)
	}
	return m.Append(nil)
}

// dialled is an address of a config as it is dialled and told: nothing is localhost on a server line.
func dialled(a ensemble.Addr) ensemble.Addr {
	if a.Host == "" {
		a.Host = "localhost"
	}
	return a
}

// initiateConnection opens a connection to a server and keeps it, or only rings there if the server is the larger one.
func (p *Port) initiateConnection(pe *peer, tries [][]ensemble.Addr, hello []byte, authenticate bool) error {
	raw, host, err := p.connect(pe.ctx, tries)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(pe.ctx, func() { _ = raw.Close() })
	defer stop()
	kept, err := p.introduce(pe, raw, host, hello, authenticate)
	if !kept {
		_ = raw.Close()
	}
	return err
}

// introduce is the handshake of who dialled. It reports whether the connection is in use.
func (p *Port) introduce(pe *peer, raw net.Conn, host string, hello []byte, authenticate bool) (bool, error) {
	l, err := p.begin(raw, host)
	if err != nil {
		return false, err
	}
	if _, err := l.conn.Write(hello); err != nil {
		return false, err
	}
	if authenticate {
		if err := p.opts.Authenticate(l.conn, l.r, pe.sid, true); err != nil {
			return false, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if pe.sid > p.opts.SID {
		pe.rang = time.Now()
		p.log.Debug("rang at a larger server", "sid", pe.sid, "address", raw.RemoteAddr().String())
		return false, nil
	}
	if err := p.adopt(pe, l); err != nil {
		return false, err
	}
	p.rated.Info("connected to a smaller server", "sid", pe.sid, "address", raw.RemoteAddr().String())
	return true, nil
}

// connect opens a connection to the first of the lists that has anybody, and returns which host it was.
func (p *Port) connect(ctx context.Context, tries [][]ensemble.Addr) (net.Conn, string, error) {
	var failed []error
	for _, addrs := range tries {
		conn, host, err := p.connectAny(ctx, addrs)
		if err == nil {
			return conn, host, nil
		}
		failed = append(failed, err)
	}
	return nil, "", errors.Join(failed...)
}

// connectAny dials all the addresses at the same time and returns the first connection. Names are resolved each time.
func (p *Port) connectAny(ctx context.Context, addrs []ensemble.Addr) (conn net.Conn, host string, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.opts.CnxTimeout)
	defer cancel()
	type result struct {
		conn net.Conn
		host string
		err  error
	}
	results := make(chan result, len(addrs))
	for _, a := range addrs {
		a = dialled(a)
		go func() {
			conn, err := p.dialer.DialContext(ctx, "tcp", a.String())
			results <- result{conn, a.Host, err}
		}()
	}
	var failed []error
	for range addrs {
		switch r := <-results; {
		case r.err != nil:
			failed = append(failed, r.err)
		case conn != nil:
			_ = r.conn.Close()
		default:
			conn, host = r.conn, r.host
			cancel() // the others
		}
	}
	if conn == nil {
		err = errors.Join(failed...)
	}
	return conn, host, err
}
