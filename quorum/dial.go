package quorum

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab"
	"quoll/zab/wire"
)

// maxGreetings is how many learners' connections may be open that have not said who they are; then the oldest goes.
const maxGreetings = 256

// A server that was just elected does not listen yet, and others need not wait for it longer than it takes.
const (
	dialAgain = 100 * time.Millisecond
	dialPause = 4 * time.Millisecond
)

// dial connects to a quorum address of a member: all at once, and the first that answers is it (Learner.connectToLeader). Names are resolved anew.
func (p *Peer) dial(e zab.Dial) {
	server, connect := p.members.Load().server(e.SID), p.connect
	if p.node.Role() == zab.Observing && p.opts.Config.ObserverMasterPort > 0 {
		connect = p.connectAsObserver
	}
	p.wg.Go(func() {
		conn, err := connect(server)
		for end := time.Now().Add(dialAgain); errors.Is(err, syscall.ECONNREFUSED) && time.Now().Before(end); conn, err = connect(server) {
			select {
			case <-p.stop:
			case <-time.After(dialPause):
			}
		}
		if err != nil {
			p.post(message{event: zab.DialFailed{Dial: e.Dial, Reason: err.Error()}})
			return
		}
		r := p.reader(conn)
		if auth := p.opts.Authenticate; auth != nil {
			if err := auth(conn, r, e.SID, true); err != nil {
				_ = conn.Close()
				p.post(message{event: zab.DialFailed{Dial: e.Dial, Reason: err.Error()}})
				return
			}
		}
		_ = conn.SetDeadline(time.Time{})
		l := p.newLink(conn, r, true)
		p.post(message{event: zab.LinkUp{Link: l.id, Dial: e.Dial}, link: l})
		l.start()
	})
}

func (p *Peer) reader(conn net.Conn) *wire.Reader {
	return wire.NewReader(conn, p.opts.Config.JuteMaxBuffer+p.opts.Config.JuteMaxBufferExtraSize)
}

// connect returns a connection with a deadline.
func (p *Peer) connect(server *ensemble.Server) (net.Conn, error) {
	if server == nil {
		return nil, errors.New("the server is in no config")
	}
	timeout := p.opts.Config.CnxTimeout
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	limit := time.Duration(p.opts.Config.ConnectToLearnerMasterLimit) * p.opts.Config.TickTime
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, limit))
	defer cancel()
	go func() {
		select {
		case <-p.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(server.Quorum))
	for _, a := range server.Quorum {
		go func() {
			conn, err := p.connectTo(ctx, a)
			results <- result{conn, err}
		}()
	}
	var errs []error
	for n := len(server.Quorum); n > 0; n-- {
		r := <-results
		if r.err != nil {
			errs = append(errs, r.err)
			continue
		}
		cancel()
		go func(left int) {
			for range left {
				if r := <-results; r.err == nil {
					_ = r.conn.Close()
				}
			}
		}(n - 1)
		return r.conn, nil
	}
	return nil, errors.Join(errs...)
}

func (p *Peer) connectTo(ctx context.Context, a ensemble.Addr) (net.Conn, error) {
	host := a.Host
	if host == "" {
		host = "localhost"
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(a.Port)))
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(p.initTime()))
	if p.opts.Secure == nil {
		return conn, nil
	}
	secured, err := p.opts.Secure(conn, host)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

// listener accepts learners.
type listener struct {
	mu        sync.Mutex
	closed    bool
	listeners []net.Listener
	greetings []net.Conn // in the order they came
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
	ls := &listener{}
	p.listener = ls
	addresses := p.addresses(p.members.Load())
	p.wg.Go(func() { // a name may take its time
		var errs []error
		bound := 0
		for _, a := range addresses {
			l, err := net.Listen("tcp", a)
			if err == nil {
				bound++
				p.accept(ls, l)
				continue
			}
			errs = append(errs, err)
			p.log.Error("cannot listen for learners", "address", a, "error", err)
		}
		ls.mu.Lock()
		defer ls.mu.Unlock()
		if bound == 0 && !ls.closed {
			p.post(message{event: zab.ListenFailed{Reason: errors.Join(errs...).Error()}})
		}
	})
}

func (ls *listener) close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = true
	for _, l := range ls.listeners {
		_ = l.Close()
	}
	for _, c := range ls.greetings {
		_ = c.Close()
	}
	ls.greetings = nil
}

// accept takes connections from l until it is closed.
func (p *Peer) accept(ls *listener, l net.Listener) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		_ = l.Close()
		return
	}
	ls.listeners = append(ls.listeners, l)
	p.takeFrom(l, func(conn net.Conn) { p.greet(ls, conn) })
}

// takeFrom serves the connections of a listener until it is closed, each in a goroutine of its own.
func (p *Peer) takeFrom(l net.Listener, serve func(net.Conn)) {
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				p.log.Error("cannot accept a learner", "error", err)
				select {
				case <-p.stop:
					return
				case <-time.After(50 * time.Millisecond): // out of file descriptors, most likely
				}
				continue
			}
			p.wg.Go(func() { serve(conn) })
		}
	})
}

// begin notes a connection that has to say who it is, in the place of the oldest one if there are too many.
func (ls *listener) begin(conn net.Conn) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return false
	}
	if len(ls.greetings) >= maxGreetings {
		_ = ls.greetings[0].Close()
		ls.greetings = slices.Delete(ls.greetings, 0, 1)
	}
	ls.greetings = append(ls.greetings, conn)
	return true
}

func (ls *listener) greeted(conn net.Conn) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	i := slices.Index(ls.greetings, conn)
	if i < 0 {
		return false
	}
	ls.greetings = slices.Delete(ls.greetings, i, i+1)
	return !ls.closed
}

// greet finds out who a learner is, and makes a link of its connection.
func (p *Peer) greet(ls *listener, conn net.Conn) {
	if !ls.begin(conn) {
		_ = conn.Close()
		return
	}
	l, first, err := p.welcome(conn)
	if !ls.greeted(conn) && err == nil {
		err = net.ErrClosed
	}
	if err != nil {
		if !errors.Is(err, net.ErrClosed) {
			p.log.Info("closing a connection to the quorum port", "peer", conn.RemoteAddr().String(), "error", err)
		}
		_ = conn.Close()
		return
	}
	p.post(message{event: zab.LinkUp{Link: l.id}, link: l})
	l.start(first)
}

// welcome reads the first packet, which must be that of a learner, and of a member unless members can come by a reconfig.
func (p *Peer) welcome(conn net.Conn) (l *link, first wire.Packet, err error) {
	_ = conn.SetDeadline(time.Now().Add(p.initTime()))
	if secure := p.opts.Secure; secure != nil {
		if conn, err = secure(conn, ""); err != nil {
			return nil, first, err
		}
	}
	r := p.reader(conn)
	if auth := p.opts.Authenticate; auth != nil {
		if err := auth(conn, r, 0, false); err != nil {
			return nil, first, err
		}
	}
	if first, err = r.Packet(); err != nil {
		return nil, first, err
	}
	if first.Type != wire.TypeFollowerInfo && first.Type != wire.TypeObserverInfo {
		return nil, first, fmt.Errorf("%v is not what a learner begins with", first.Type)
	}
	first.Data = append([]byte(nil), first.Data...)
	if !p.opts.Config.ReconfigEnabled && len(first.Data) > 0 {
		var info wire.LearnerInfo
		d := jute.NewDecoder(first.Data)
		if info.Decode(&d); d.Err() == nil && info.SID >= 0 && p.members.Load().server(info.SID) == nil {
			return nil, first, fmt.Errorf("server %d is no member, and without reconfigEnabled none can come", info.SID)
		}
	}
	_ = conn.SetDeadline(time.Time{})
	return p.newLink(conn, r, false), first, nil
}
