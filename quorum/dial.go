package quorum

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"
	"time"

	"quoll/ensemble"
	"quoll/zab"
)

// A server that was just elected does not listen yet, and others need not wait for it longer than it takes.
const (
	dialAgain = 100 * time.Millisecond
	dialPause = 4 * time.Millisecond
)

// dial connects to the leader, at all addresses at once, and the first that answers is it (Learner.connectToLeader); or with observerMasterPort an observer to a follower.
// Names are resolved anew.
func (p *Peer) dial(e zab.Dial) {
	server := p.members.Load().server(e.SID)
	connect := func() (*conn, error) { return p.connect(server) }
	if p.node.Role() == zab.Observing && p.opts.Config.ObserverMasterPort > 0 {
		connect = p.connectAsObserver
	}
	p.wg.Go(func() {
		c, err := connect()
		for end := time.Now().Add(dialAgain); errors.Is(err, syscall.ECONNREFUSED) && time.Now().Before(end); c, err = connect() {
			select {
			case <-p.ctx.Done():
			case <-time.After(dialPause):
			}
		}
		if err != nil {
			p.post(message{event: zab.DialFailed{Dial: e.Dial, Reason: err.Error(), Gone: gone(err, p.votes.Connected(e.SID))}})
			return
		}
		l := p.newLink(c, true)
		p.post(message{event: zab.LinkUp{Link: l.id, Dial: e.Dial}, link: l})
		l.start()
	})
}

// gone reports whether a leader that could not be reached is a process that has ended, or a machine that does not answer, and not one that is about to listen: then it is
// better to look for another one at once than to try five times, or for initLimit ticks, as Java does. The connection of the election port, on which it told of itself a moment
// ago, ends with the process.
func gone(err error, votes bool) bool {
	var name *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &name):
		return false
	case errors.Is(err, syscall.ECONNREFUSED):
		return !votes
	case errors.Is(err, syscall.EHOSTUNREACH):
		return true
	}
	return errors.As(err, &timeout) && timeout.Timeout()
}

// connect connects to a server.
func (p *Peer) connect(server *ensemble.Server) (*conn, error) {
	if server == nil {
		return nil, errors.New("the server is in no config")
	}
	timeout := p.opts.Config.CnxTimeout
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	limit := time.Duration(p.opts.Config.ConnectToLearnerMasterLimit) * p.opts.Config.TickTime
	return p.connectAny(server.ID, server.Quorum, min(timeout, limit))
}

// connectAny connects to all addresses of a server at once, each within a time, and returns the first connection that is ready.
func (p *Peer) connectAny(sid int64, addrs []ensemble.Addr, timeout time.Duration) (first *conn, err error) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	type result struct {
		c   *conn
		err error
	}
	results := make(chan result, len(addrs))
	for _, a := range addrs {
		go func() {
			c, err := p.connectTo(ctx, sid, a, timeout)
			results <- result{c, err}
		}()
	}
	var errs []error
	for range addrs {
		switch r := <-results; {
		case r.err != nil:
			errs = append(errs, r.err)
		case first != nil:
			_ = r.c.Close()
		default:
			first = r.c
			cancel() // the others
		}
	}
	if first == nil {
		return nil, errors.Join(errs...)
	}
	return first, nil
}

func (p *Peer) connectTo(ctx context.Context, sid int64, a ensemble.Addr, timeout time.Duration) (*conn, error) {
	host := a.Host
	if host == "" {
		host = "localhost"
	}
	d := net.Dialer{Timeout: timeout}
	raw, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(a.Port)))
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, raw: raw}
	goesOn := context.AfterFunc(ctx, func() { _ = c.Close() })
	if err = p.open(c, host, sid, true); !goesOn() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}
