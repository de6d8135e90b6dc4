package server

import (
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"quoll/config"
	"quoll/ensemble"
	"quoll/jute"
)

// sessionThrottle limits how fast sessions are made and renewed: each takes tokens out of a bucket that fills with time, and while the bucket stays empty a growing share is refused
// by chance. Mirrors the Java class BlueThrottle.
type sessionThrottle struct {
	set       config.ConnectionThrottle
	size      int64 // of the bucket
	fillCount int64
	chance    func() float64

	mu             sync.Mutex
	tokens         int64
	filled, frozen time.Time
	drop           float64
}

// newSessionThrottle returns nil if there is no limit.
func newSessionThrottle(set config.ConnectionThrottle, now time.Time) *sessionThrottle {
	if set.Tokens <= 0 {
		return nil
	}
	t := &sessionThrottle{set: set, size: int64(set.Tokens), fillCount: int64(set.FillCount), chance: rand.Float64, filled: now, frozen: now}
	if set.WeightEnabled {
		t.size, t.fillCount = t.size*int64(set.GlobalWeight), t.fillCount*int64(set.GlobalWeight)
	}
	t.tokens = t.size
	return t
}

// need is what a session costs.
func (t *sessionThrottle) need(renewed, local bool) int64 {
	switch {
	case !t.set.WeightEnabled:
		return 1
	case renewed:
		return int64(t.set.RenewWeight)
	case local:
		return int64(t.set.LocalWeight)
	}
	return int64(t.set.GlobalWeight)
}

// take takes tokens out of the bucket, unless there are too few, or chance is against it. It returns how many are missing then.
func (t *sessionThrottle) take(need int64, now time.Time) (deficit int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if passed := now.Sub(t.filled).Truncate(time.Millisecond); passed > t.set.FillTime {
		// A time of 0 fills it at once; ZooKeeper refuses everybody then.
		if back := float64(passed) / float64(max(t.set.FillTime, 1)) * float64(t.fillCount); back < float64(t.size-t.tokens) {
			t.tokens += int64(back)
		} else {
			t.tokens = t.size
		}
		t.filled = now
	}
	if t.set.FreezeTime >= 0 && t.refuses(now) || t.tokens < need {
		return t.size - t.tokens, false
	}
	t.tokens -= need
	return t.size - t.tokens, true
}

// refuses lets chance decide, with a probability that goes up while the bucket is empty and down while it is full.
func (t *sessionThrottle) refuses(now time.Time) bool {
	if now.Sub(t.frozen).Truncate(time.Millisecond) > t.set.FreezeTime {
		switch missing := t.size - t.tokens; {
		case missing == t.size && t.drop < 1:
			t.drop = min(t.drop+t.set.DropIncrease, 1)
		case missing <= int64(math.Round(float64(t.size)*t.set.DecreaseRatio)) && t.drop > 0:
			t.drop = max(t.drop-t.set.DropDecrease, 0)
		}
		t.frozen = now
	}
	return t.chance() < t.drop
}

// dropChance is the probability with which sessions are refused.
func (t *sessionThrottle) dropChance() float64 {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.drop
}

// mayBegin reports whether the throttle lets a session begin.
func (c *conn) mayBegin(req *jute.ConnectRequest) bool {
	t := c.s.throttle
	if t == nil {
		c.s.metrics.ConnectionTokenDeficit.Observe(0)
		return true
	}
	deficit, ok := t.take(t.need(req.SessionID != 0, c.s.opts.LocalSessionsEnabled), c.now)
	if !ok {
		c.s.metrics.ConnectionRejected.Inc()
		return false
	}
	c.s.metrics.ConnectionTokenDeficit.Observe(deficit)
	return true
}

// crowded reports whether so many requests are under way that another one has to wait.
func (s *Server) crowded() bool {
	limit := int64(s.opts.RequestThrottleMaxRequests)
	return limit > 0 && s.outstanding.Load() >= limit
}

// stall lets a request wait while too many are under way (RequestThrottler). It reports whether the request is still to be carried out; an error closes the connection.
func (c *conn) stall(xid int32, op jute.Op) (proceed bool, err error) {
	s, o := c.s, c.s.opts
	if !c.endBatch() { // what it has asked for before must not wait for this
		return false, net.ErrClosed
	}
	timer := time.NewTimer(o.RequestThrottleStallTime)
	defer timer.Stop()
	for {
		if o.RequestThrottleDropStale && op != jute.OpCloseSession && c.stale() {
			s.metrics.StaleRequestsDropped.Inc()
			return false, net.ErrClosed
		}
		if !s.crowded() {
			break
		}
		s.metrics.RequestThrottleWaits.Inc()
		timer.Reset(o.RequestThrottleStallTime)
		select {
		case <-s.finished:
		case <-timer.C:
		case <-s.stop:
			return false, net.ErrClosed
		}
	}
	waited := time.Since(c.now)
	s.metrics.RequestThrottleQueueTime.Observe(waited.Milliseconds())
	if o.ThrottledOpWaitTime > 0 && waited > o.ThrottledOpWaitTime && op != jute.OpPing && op != jute.OpCloseSession {
		s.metrics.ThrottledOps.Inc()
		c.answer(xid, op, lastApplied, jute.ErrThrottledOp, false)
		return false, nil
	}
	return true, nil
}

// stale reports whether nobody waits for the answer to what the connection has asked for.
func (c *conn) stale() bool {
	o := c.s.opts
	if o.RequestStaleConnectionCheck && (c.raw != nil && hungUp(c.raw) || !c.room(math.MaxInt)) {
		return true
	}
	return o.RequestStaleLatencyCheck && time.Since(c.now).Milliseconds() > c.session.Load().timeout.Load()
}

// oneDone tells a request that is stalled that another is done.
func (s *Server) oneDone() {
	select {
	case s.finished <- struct{}{}:
	default:
	}
}

var errLargeRequest = errors.New("too many bytes of large requests are under way")

// takeLarge counts a request that is about to be under way, if it is large. An error closes the connection.
func (s *Server) takeLarge(r *Request, size int) error {
	if threshold := s.opts.LargeRequestThreshold; threshold <= 0 || size <= threshold {
		return nil
	}
	if s.large.Add(int64(size)) > int64(s.opts.LargeRequestMaxBytes) {
		s.large.Add(-int64(size))
		s.metrics.LargeRequestsRejected.Inc()
		return errLargeRequest
	}
	r.large = size
	return nil
}

// mayBeLarge reports whether a request of so many bytes may be read, beside the large ones that are under way.
func (s *Server) mayBeLarge(n int) bool {
	threshold := s.opts.LargeRequestThreshold
	if threshold <= 0 || n <= threshold || s.large.Load()+int64(n) <= int64(s.opts.LargeRequestMaxBytes) {
		return true
	}
	s.metrics.LargeRequestsRejected.Inc()
	return false
}

// outstandingLimit is how many requests may be under way while connections are read, 0 or less for any number. Leader and followers of an ensemble share it.
func (s *Server) outstandingLimit() int64 { return s.outstandingShare.Load() }

// shareOutstanding sets that limit for a membership (getGlobalOutstandingLimit of LeaderZooKeeperServer and FollowerZooKeeperServer).
func (s *Server) shareOutstanding(c *ensemble.Config) {
	limit := int64(s.opts.GlobalOutstandingLimit)
	if own := c.Server(s.opts.MyID); len(c.Voters()) > 2 && own != nil && own.Role == ensemble.Participant && limit > 0 {
		limit = max(limit/int64(len(c.Voters())-1), 1)
	}
	s.outstandingShare.Store(limit)
}
