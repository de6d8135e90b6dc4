package server

import "time"

// lot is where connections are whose clients are quiet, or have asked nothing yet. A connection that waits for its client costs most because of its goroutine's stack and its buffer: parked it has
// neither, and the kernel tells of all of them together when something arrives.
type lot struct {
	s      *Server
	poller *poller
}

// quietTime is how long a client is quiet, once to twice, before its connection is parked. A client that works never is; pings are further apart.
const quietTime = time.Second

// newLot makes the lot of a server, nil where the system has none.
func newLot(s *Server) *lot {
	p, err := newPoller()
	if err != nil {
		s.log.Warn("connections that are idle keep their goroutines", "error", err)
	}
	if p == nil {
		return nil
	}
	l := &lot{s: s, poller: p}
	s.wg.Go(func() { p.run(l.wake) })
	s.wg.Go(l.sweep)
	return l
}

func (l *lot) close() {
	if l != nil {
		l.poller.close()
	}
}

// sweep asks the goroutines of connections that received nothing since the last time to park them.
func (l *lot) sweep() {
	tick := time.NewTicker(quietTime)
	defer tick.Stop()
	for {
		select {
		case <-l.s.stop:
			return
		case <-tick.C:
		}
		for _, c := range l.s.connections() {
			seen := c.received.Load()
			quiet := seen == c.seen && c.raw != nil && c.session.Load() != nil && c.waiting.Load() == 0
			c.seen = seen
			if quiet && !c.isParked() {
				_ = c.net.SetReadDeadline(time.Unix(1, 0))
			}
		}
	}
}

// wake goes on with a connection for which something has arrived.
func (l *lot) wake(c *conn) {
	c.out.Lock()
	parked := c.out.parked
	c.out.parked = false
	c.out.Unlock()
	if parked {
		l.s.wg.Go(func() {
			c.attachReader()
			c.read(true)
		})
	}
}

func (c *conn) isParked() bool {
	c.out.Lock()
	defer c.out.Unlock()
	return c.out.parked
}

// park gives up the connection's goroutine, which must return if it reports true, until the client sends something or the connection is closed. It does not while
// there is anything to be done.
func (c *conn) park() bool {
	if c.s.lot == nil || c.raw == nil || c.r != c.w || c.waiting.Load() > 0 {
		return false
	}
	c.fifo.Lock()
	c.fifo.queue, c.fifo.spare = nil, nil // nothing waits, and only this goroutine adds
	c.fifo.Unlock()
	c.out.Lock()
	defer c.out.Unlock()
	if c.out.closed || c.out.hangUp || c.out.flushing || c.unsent() > 0 {
		return false
	}
	r := c.connReader
	c.connReader, c.out.space = nil, nil // nobody waits who could be woken
	if c.out.parked = c.s.lot.poller.add(c); !c.out.parked {
		c.connReader = r
		return false
	}
	r.release()
	return true
}
