package quorum

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab"
	"quoll/zab/wire"
)

// listener takes connections of learners at some addresses. Those that have not said who they are end with it.
type listener struct {
	ctx    context.Context // of the peer, and ended by close
	cancel context.CancelFunc

	mu        sync.Mutex
	listeners []net.Listener
}

// addresses are the own quorum addresses, of the newest config that has this server; a server that was removed stays where it was when it started.
func (p *Peer) addresses(m *members) (list []string) {
	c := p.opts.Config
	var s *ensemble.Server
	for _, of := range []*ensemble.Config{m.lastSeen, m.committed, c.LastSeen, &c.Ensemble} {
		if s == nil && of != nil {
			s = of.Server(c.MyID)
		}
	}
	for _, a := range s.Quorum {
		host := a.Host
		if c.QuorumListenOnAllIPs {
			host = ""
		} else if host == "" {
			host = "localhost"
		}
		list = append(list, net.JoinHostPort(host, strconv.Itoa(a.Port)))
	}
	return list
}

// listen begins or ends accepting learners.
func (p *Peer) listen(on bool) {
	if p.listener != nil {
		p.listener.close()
		p.listener = nil
	}
	if !on {
		return
	}
	failed := func(err error) { p.post(message{event: zab.ListenFailed{Reason: err.Error()}}) }
	p.listener = p.listenAt(p.addresses(p.members.Load()), failed, func(_ context.Context, c *conn, first wire.Packet) {
		_ = c.SetDeadline(time.Time{})
		l := p.newLink(c, false)
		p.post(message{event: zab.LinkUp{Link: l.id}, link: l})
		l.start(first)
	})
}

// listenAt begins to accept connections. Each is given to serve, in a goroutine of its own, when a learner's first packet has come on it; the context ends when the listener is
// closed. failed, unless it is nil, is told if nobody can come at any of the addresses.
func (p *Peer) listenAt(addresses []string, failed func(error), serve func(ctx context.Context, c *conn, first wire.Packet)) *listener {
	ls := &listener{}
	ls.ctx, ls.cancel = context.WithCancel(p.ctx)
	p.wg.Go(func() { // a name may take its time
		var errs []error
		for _, a := range addresses {
			l, err := new(net.ListenConfig).Listen(ls.ctx, "tcp", a)
			if err == nil {
				p.accept(ls, l, serve)
				continue
			}
			errs = append(errs, err)
			if ls.ctx.Err() == nil {
				p.log.Error("cannot listen for learners", "address", a, "error", err)
			}
		}
		if len(errs) == len(addresses) && ls.ctx.Err() == nil && failed != nil {
			failed(errors.Join(errs...))
		}
	})
	return ls
}

func (ls *listener) close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.cancel()
	for _, l := range ls.listeners {
		_ = l.Close()
	}
}

// accept takes connections from l until that is closed.
func (p *Peer) accept(ls *listener, l net.Listener, serve func(ctx context.Context, c *conn, first wire.Packet)) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.ctx.Err() != nil {
		_ = l.Close()
		return
	}
	ls.listeners = append(ls.listeners, l)
	p.wg.Go(func() {
		for {
			raw, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				p.rated.Error("cannot accept a learner", "error", err)
				select {
				case <-ls.ctx.Done():
				case <-time.After(50 * time.Millisecond): // out of file descriptors, most likely
				}
				continue
			}
			c := &conn{Conn: raw, raw: raw, guests: &p.guests}
			p.guests.enter(c)
			p.wg.Go(func() { p.greet(ls, c, serve) })
		}
	})
}

// greet finds out who a learner is, and serves it.
func (p *Peer) greet(ls *listener, c *conn, serve func(ctx context.Context, c *conn, first wire.Packet)) {
	goesOn := context.AfterFunc(ls.ctx, func() { _ = c.Close() })
	first, err := p.welcome(c)
	if !goesOn() {
		err = net.ErrClosed
	}
	if err != nil {
		if !errors.Is(err, net.ErrClosed) {
			p.rated.Info("closing a connection to the quorum port", "peer", c.RemoteAddr().String(), "error", err)
		}
		_ = c.Close()
		return
	}
	serve(ls.ctx, c, first)
}

// welcome reads the first packet, which must be that of a learner, and of a member unless members can come by a reconfig.
func (p *Peer) welcome(c *conn) (first wire.Packet, err error) {
	if err := p.open(c, "", 0, false); err != nil {
		return first, err
	}
	if first, err = c.reader.Packet(); err != nil {
		return first, err
	}
	if first.Type != wire.TypeFollowerInfo && first.Type != wire.TypeObserverInfo {
		return first, fmt.Errorf("%v is not what a learner begins with", first.Type)
	}
	first.Data = bytes.Clone(first.Data)
	var info wire.LearnerInfo
	d := jute.NewDecoder(first.Data)
	if info.Decode(&d); d.Err() != nil {
		return first, fmt.Errorf("%v without the protocol of 3.4", first.Type)
	}
	known := p.members.Load().server(info.SID) != nil
	if !known && info.SID >= 0 && !p.opts.Config.ReconfigEnabled {
		return first, fmt.Errorf("server %d is no member, and without reconfigEnabled none can come", info.SID)
	}
	if !p.guests.introduce(c, info.SID, known) {
		return first, net.ErrClosed
	}
	return first, nil
}
