package election

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"quoll/ensemble"
	"quoll/zab/wire"
)

// maxTold is how many of the addresses that an initial message names are dialled.
const maxTold = 8

// errOwnSID is the error of a connection from a server with the sid of this one.
var errOwnSID = errors.New("election: a server with this server's own sid; two servers have the same myid")

// admit starts greeting a connection. When there are too many others that have not said who they are, one of them goes.
func (p *Port) admit(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = conn.Close()
		return
	}
	if len(p.greetings) >= maxGreetings {
		i := Crowding(p.greetings)
		_ = p.greetings[i].Close()
		p.greetings = slices.Delete(p.greetings, i, i+1)
	}
	p.greetings = append(p.greetings, conn)
	p.wg.Go(func() { p.greet(conn) })
}

// Crowding finds the connection that has to go when there are too many: the oldest one of the address that has the most. conns are in the order in which they came.
func Crowding(conns []net.Conn) int {
	count := make(map[string]int)
	for _, conn := range conns {
		count[host(conn)]++
	}
	most := 0
	for i, conn := range conns {
		if count[host(conn)] > count[host(conns[most])] {
			most = i
		}
	}
	return most
}

func host(conn net.Conn) string {
	if addr, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return string(addr.IP)
	}
	return ""
}

// greet finds out who opened a connection, and keeps or closes it.
func (p *Port) greet(conn net.Conn) {
	err := p.receiveConnection(conn)
	p.mu.Lock()
	p.greeted(conn)
	closed := p.closed
	p.mu.Unlock()
	if err == nil {
		return
	}
	_ = conn.Close()
	if closed {
		return
	}
	if errors.Is(err, errOwnSID) {
		p.rated.Warn("closing a connection", "address", conn.RemoteAddr().String(), "error", err)
		return
	}
	// Anybody can make these come as fast as connections do.
	p.log.Debug("closing a connection", "address", conn.RemoteAddr().String(), "error", err)
}

// greeted takes a connection off the list of greetings, and reports whether it was still there.
func (p *Port) greeted(conn net.Conn) bool {
	i := slices.Index(p.greetings, conn)
	if i < 0 {
		return false
	}
	p.greetings = slices.Delete(p.greetings, i, i+1)
	return true
}

// receiveConnection carries out the acceptor's rules of section 2.1. A connection that nobody uses after an error is closed by the caller.
func (p *Port) receiveConnection(raw net.Conn) error {
	l, err := p.begin(raw, "")
	if err != nil {
		return err
	}
	m, err := l.r.InitialMessage()
	if err != nil {
		return err
	}
	p.mu.Lock()
	sid, err := p.identify(m.SID)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	if p.opts.Authenticate != nil {
		if err := p.opts.Authenticate(l.conn, l.r, sid, false); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.greeted(raw) || p.closed {
		return errGone
	}
	pe := p.peer(sid)
	if m.SID > p.opts.SID {
		p.rated.Info("a larger server connected", "sid", sid, "address", raw.RemoteAddr().String())
		return p.adopt(pe, l)
	}
	// A doorbell. Who rings has no connection, whatever this side believes.
	_ = raw.Close()
	if pe.link != nil {
		pe.link.close()
		pe.link = nil
	}
	p.dial(pe, p.told(m))
	p.prune(pe)
	return nil
}

// identify returns the sid that a connection stands for.
func (p *Port) identify(sid int64) (int64, error) {
	switch {
	case sid == p.opts.SID:
		return 0, errOwnSID
	case sid < 0:
		return 0, fmt.Errorf("election: the sid %d of an initial message is negative", sid)
	case p.opts.RefuseStrangers && !p.member(sid):
		return 0, fmt.Errorf("election: server %d is in neither config, and strangers are refused", sid)
	case sid == wire.GenericObserver:
		p.lastGeneric--
		return p.lastGeneric, nil
	}
	return sid, nil
}

// told returns the addresses of an initial message that can be dialled. Where nobody can come by a reconfig a member may have moved to another host, but to none of the ports that
// something else has: who rings in its name is not to make this server knock at those.
func (p *Port) told(m wire.InitialMessage) []ensemble.Addr {
	var list []ensemble.Addr
	for _, a := range m.Addrs {
		if !a.Wildcard() && len(list) < maxTold && (!p.opts.RefuseStrangers || p.electionPort(a.Port)) {
			list = append(list, a)
		}
	}
	return list
}

// electionPort reports whether a member has its election port there.
func (p *Port) electionPort(port int) bool {
	for _, c := range []*ensemble.Config{p.committed, p.lastSeen} {
		for i := range c.Servers {
			if slices.ContainsFunc(c.Servers[i].Election, func(a ensemble.Addr) bool { return a.Port == port }) {
				return true
			}
		}
	}
	return false
}
