package quorum

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"quoll/ensemble"
	"quoll/zab"
)

// maxObservers is how many connections a follower passes on at a time.
const maxObservers = 1024

// observerMaster passes connections of observers on to the leader, byte for byte (Java's ObserverMaster answers them itself from what the follower knows).
// Observers that only know the followers' ports work, and reach a leader that they could not reach themselves; the leader still has a link for each.
type observerMaster struct {
	mu        sync.Mutex
	closed    bool
	listeners []net.Listener
	conns     map[net.Conn]struct{}
}

// masterAddr is where a voter serves observers.
type masterAddr struct {
	ensemble.Addr
	sid int64
}

// mastersOf are the addresses at which the voters of a config serve observers, in random order, so that observers spread over them.
func (p *Peer) mastersOf(c *ensemble.Config) (list []masterAddr) {
	for _, s := range c.Servers {
		if s.Role == ensemble.Participant {
			for _, a := range s.Quorum {
				list = append(list, masterAddr{ensemble.Addr{Host: a.Host, Port: p.opts.Config.ObserverMasterPort}, s.ID})
			}
		}
	}
	rand.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	return list
}

// serveObservers begins to pass on connections to a leader.
func (p *Peer) serveObservers(leader int64) {
	port := p.opts.Config.ObserverMasterPort
	if port <= 0 {
		return
	}
	m := &observerMaster{conns: map[net.Conn]struct{}{}}
	p.master = m
	for _, a := range p.addresses(p.members.Load()) {
		host, _, _ := net.SplitHostPort(a)
		p.wg.Go(func() {
			l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if err != nil {
				p.log.Error("cannot listen for observers: observerMasterPort", "error", err)
				return
			}
			m.mu.Lock()
			if m.closed {
				_ = l.Close()
			}
			m.listeners = append(m.listeners, l)
			m.mu.Unlock()
			p.takeFrom(l, func(conn net.Conn) { p.passOn(m, conn, leader) })
		})
	}
}

// passOn connects an observer with the leader until either of them ends the connection.
func (p *Peer) passOn(m *observerMaster, observer net.Conn, leader int64) {
	if !m.add(observer) {
		return
	}
	defer m.drop(observer)
	conn, err := p.connect(p.members.Load().server(leader))
	if err != nil {
		p.log.Info("an observer cannot be passed on to the leader", "observer", observer.RemoteAddr().String(), "error", err)
		return
	}
	_ = conn.SetDeadline(time.Time{})
	if !m.add(conn) {
		return
	}
	defer m.drop(conn)
	p.passedOn.Add(1)
	defer p.passedOn.Add(-1)
	p.log.Info("an observer is passed on to the leader", "observer", observer.RemoteAddr().String(), "leader", leader)
	up := make(chan struct{})
	go func() {
		defer close(up)
		_, _ = io.Copy(conn, observer)
		m.drop(conn)
	}()
	_, _ = io.Copy(observer, conn)
	m.drop(observer)
	<-up
}

// add notes an open connection. It closes it if there are too many, or if nobody is served any more.
func (m *observerMaster) add(c net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.conns) >= 2*maxObservers {
		_ = c.Close()
		return false
	}
	m.conns[c] = struct{}{}
	return true
}

func (m *observerMaster) drop(c net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, c)
	_ = c.Close()
}

// close ends all connections.
func (m *observerMaster) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, l := range m.listeners {
		_ = l.Close()
	}
	for c := range m.conns {
		_ = c.Close()
	}
}

// connectAsObserver connects to a follower that passes observers on, or else to the leader itself.
func (p *Peer) connectAsObserver(leader *ensemble.Server) (net.Conn, error) {
	for _, a := range p.mastersOf(p.members.Load().committed) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := p.connectTo(ctx, a.Addr)
		if cancel(); err == nil {
			p.learnsFrom.Store(a.sid)
			return conn, nil
		}
	}
	p.learnsFrom.Store(0)
	return p.connect(leader)
}

// Master is the sid of the server that this one learns from: the leader, or the follower that passes an observer on; 0 if it is no learner.
func (p *Peer) Master() int64 {
	s := p.Status()
	switch sid := p.learnsFrom.Load(); {
	case s.Role == zab.Observing && sid != 0:
		return sid
	case s.Role == zab.Observing || s.Role == zab.Following:
		return s.Leader
	}
	return 0
}

// Observers is how many connections of observers are passed on to the leader.
func (p *Peer) Observers() int { return int(p.passedOn.Load()) }
