package server

import (
	"fmt"
	"time"

	"quoll/jute"
	"quoll/tree"
)

// duties are the requests that time makes: sessions that expire, containers and TTL nodes that go. They belong to whoever gives requests their order, a
// standalone server or a leader (SessionTrackerImpl, ContainerManager).
type duties struct {
	s                    *Server
	nextExpiry, nextReap time.Time
	reap                 []string // containers and TTL nodes that wait for their turn
}

// begin starts the clocks.
func (d *duties) begin(now time.Time) {
	d.nextExpiry = now.Add(d.untilNextBucket(now))
	d.nextReap = now.Add(d.s.opts.ContainerCheckInterval)
	d.reap = nil
}

// next is when something is due.
func (d *duties) next() time.Time {
	if d.nextReap.Before(d.nextExpiry) {
		return d.nextReap
	}
	return d.nextExpiry
}

// untilNextBucket is the time until the next multiple of a tick on the server's clock, where a bucket of sessions ends.
func (d *duties) untilNextBucket(now time.Time) time.Duration {
	tick := d.s.sessions.tick
	return time.Duration(tick-d.s.clock(now)%tick) * time.Millisecond
}

// expire ends the local sessions whose time is up, and if all is set appends requests that end the others. Nothing happens within a bucket.
func (d *duties) expire(now time.Time, requests []*Request, all bool) []*Request {
	if now.Before(d.nextExpiry) {
		return requests
	}
	s := d.s
	if late := now.Sub(d.nextExpiry); late > s.opts.TickTime {
		// The server itself stood still, as in a pause of its machine: nobody could have touched a session meanwhile.
		s.sessions.forgive(late.Milliseconds())
	}
	d.nextExpiry = now.Add(d.untilNextBucket(now))
	for _, session := range s.sessions.expired(s.clock(now), all) {
		s.log.Info(fmt.Sprintf("Expiring session 0x%x, timeout of %dms exceeded", session.id, session.timeout.Load()))
		s.metrics.StaleSessionsExpired.Inc()
		if session.local.Load() {
			s.expireLocal(session)
		} else {
			requests = append(requests, &Request{Session: session.id, Op: jute.OpCloseSession, internal: true})
		}
	}
	return requests
}

// due appends what is due to requests.
func (d *duties) due(now time.Time, requests []*Request) []*Request {
	s := d.s
	requests = d.expire(now, requests, true)
	if !now.Before(d.nextReap) {
		if len(d.reap) == 0 {
			s.readTree(func(t *tree.Tree) { d.reap = reapable(t, s.opts.Now(), s.opts.ContainerMaxNeverUsedInterval) })
		}
		// One at a time, so that a great many do not crowd out the clients.
		if len(d.reap) > 0 {
			requests = append(requests, &Request{Op: jute.OpDeleteContainer, Body: jute.AppendString(nil, d.reap[0]), internal: true})
			d.reap = d.reap[1:]
		}
		d.nextReap = now.Add(s.opts.ContainerCheckInterval)
		if perMinute := s.opts.ContainerMaxPerMinute; len(d.reap) > 0 && perMinute > 0 {
			d.nextReap = now.Add(time.Minute / time.Duration(perMinute))
		}
	}
	return requests
}
