package election

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"quoll/ensemble"
)

// acceptWait is how long accepting pauses when it fails: others may close their files.
const acceptWait = 50 * time.Millisecond

// listening is one set of own addresses that is listened on.
type listening struct {
	ctx       context.Context
	cancel    context.CancelFunc
	listeners []net.Listener
	left      int // addresses that are bound or still tried
}

// bind listens on the own addresses, and no longer on those before.
func (p *Port) bind() {
	addrs := bindAddrs(p.own, p.opts.ListenOnAllIPs)
	on := p.startListening(len(addrs))
	for _, addr := range addrs {
		p.wg.Go(func() { p.bindOne(on, addr) })
	}
}

// accept takes connections from listeners that are there already.
func (p *Port) accept(listeners []net.Listener) {
	on := p.startListening(len(listeners))
	on.listeners = slices.Clone(listeners)
	for _, l := range listeners {
		p.wg.Go(func() { p.acceptConnections(on, l) })
	}
}

func (p *Port) startListening(n int) *listening {
	p.stopListening()
	on := &listening{left: n}
	on.ctx, on.cancel = context.WithCancel(context.Background())
	p.listening = on
	return on
}

func (p *Port) stopListening() {
	if p.listening == nil {
		return
	}
	p.listening.cancel()
	for _, l := range p.listening.listeners {
		_ = l.Close()
	}
}

// bindAddrs returns where to listen: each address once. A wildcard is that of IPv4 and IPv6, as in Java.
func bindAddrs(own []ensemble.Addr, all bool) []string {
	var list []string
	for _, a := range own {
		a = dialled(a)
		if all || a.Wildcard() {
			a.Host = ""
		}
		if addr := a.String(); !slices.Contains(list, addr) {
			list = append(list, addr)
		}
	}
	return list
}

// bindOne binds an address and takes its connections. It tries as often as it may, because the name of a server may not be known yet when it starts.
func (p *Port) bindOne(on *listening, addr string) {
	var config net.ListenConfig
	for n := 1; ; n++ {
		l, err := config.Listen(on.ctx, "tcp", addr)
		if err == nil {
			if p.bound(on, l) {
				p.log.Info("accepting election connections", "address", l.Addr().String())
				p.acceptConnections(on, l)
			}
			return
		}
		if on.ctx.Err() != nil {
			return
		}
		p.log.Error("cannot listen on an election address", "address", addr, "attempt", n, "error", err)
		if p.opts.BindRetries > 0 && n >= p.opts.BindRetries {
			p.giveUp(on, err)
			return
		}
		if !wait(on.ctx, p.bindWait) {
			return
		}
	}
}

// bound notes a listener, or closes it if the address is not wanted any more.
func (p *Port) bound(on *listening, l net.Listener) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on.ctx.Err() != nil {
		_ = l.Close()
		return false
	}
	on.listeners = append(on.listeners, l)
	return true
}

// giveUp says that this server listens nowhere, if addr was the last one that could have worked.
func (p *Port) giveUp(on *listening, err error) {
	p.mu.Lock()
	on.left--
	last := on.left == 0 && on.ctx.Err() == nil
	p.mu.Unlock()
	if !last {
		return
	}
	err = fmt.Errorf("election: no election address could be bound after %d attempts (zookeeper.electionPortBindRetry): %w", p.opts.BindRetries, err)
	p.log.Error("this server cannot be reached on its election port", "error", err)
	if p.opts.BindFailed != nil {
		p.opts.BindFailed(err)
	}
}

func (p *Port) acceptConnections(on *listening, l net.Listener) {
	for {
		conn, err := l.Accept()
		if err == nil {
			p.admit(conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) || on.ctx.Err() != nil {
			return
		}
		p.rated.Error("cannot accept a connection", "address", l.Addr().String(), "error", err)
		if !wait(on.ctx, acceptWait) {
			return
		}
	}
}

// wait reports whether the time has passed before the context ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
