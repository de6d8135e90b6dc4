package server

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"quoll/metrics"
	"quoll/zab"
)

// latencies sums up how long the requests of a connection took, in milliseconds.
type latencies struct {
	min, max, sum, count int64
}

func (l *latencies) add(ms, n int64) {
	if l.count == 0 || ms < l.min {
		l.min = ms
	}
	l.max = max(l.max, ms)
	l.sum += ms * n
	l.count += n
}

// mean is the average in whole milliseconds, 0 without requests.
func (l *latencies) mean() int64 {
	if l.count == 0 {
		return 0
	}
	return l.sum / l.count
}

// serverStats is what the words srvr, stat and mntr show of the server (ServerStats). srst resets the first group.
type serverStats struct {
	received, sent atomic.Int64     // packets
	latency        *metrics.Summary // of requests, milliseconds
	response       extremes         // bytes of replies and events without their length field
	proposal       extremes         // bytes of the transactions that a leader proposed

	authFailed    atomic.Int64
	fsyncExceeded atomic.Int64 // syncs slower than fsync.warningthresholdms

	// The service that the numbers are of: ZooKeeper makes a new server for each role of a member, and the numbers begin anew.
	role  atomic.Int32 // zab.Role, of a member
	since atomic.Int64 // when it began, milliseconds of the server's clock
	// active says that there is one: a leader that takes no clients has one too.
	active atomic.Bool
}

// Active reports whether the server is at work, alone, in a role or read-only, be it that it takes no clients: then the AdminServer's commands answer.
func (s *Server) Active() bool { return s.stats.active.Load() }

// uptime is how long it has been, in milliseconds.
func (s *Server) uptime() int64 { return s.clock(time.Now()) - s.stats.since.Load() }

// role is what a member does, or last did, for clients that write.
func (s *Server) role() zab.Role { return zab.Role(s.stats.role.Load()) }

// beginService makes numbers and gauges those of a service: of a server that stands alone or is read-only, with the role 0, or of a member in a role.
func (s *Server) beginService(role zab.Role) {
	s.stats.reset()
	s.stats.proposal.reset()
	s.stats.role.Store(int32(role))
	s.stats.since.Store(s.clock(time.Now()))
	s.stats.active.Store(true)
	s.registerGauges()
	if role != zab.Looking {
		s.member.registerGauges(role)
	}
}

// endService hides the gauges of a member.
func (s *Server) endService() {
	s.stats.active.Store(false)
	s.metrics.Unregister()
}

func (st *serverStats) requestsDone(n int, took time.Duration) {
	st.latency.ObserveN(took.Milliseconds(), int64(n))
}

// responses notes the sizes of frames that follow each other, and returns how many they are.
func (st *serverStats) responses(frames []byte) (n int64) {
	low, high, last := int64(-1), int64(-1), int64(-1)
	for len(frames) > 0 {
		last = int64(binary.BigEndian.Uint32(frames))
		frames = frames[4+last:]
		if n++; n == 1 || last < low {
			low = last
		}
		high = max(high, last)
	}
	if n > 0 {
		st.response.add(low, high, last)
	}
	return n
}

func (st *serverStats) reset() {
	st.received.Store(0)
	st.sent.Store(0)
	st.latency.Reset()
	st.response.reset()
}

// extremes is the last, the least and the greatest of some numbers, -1 before the first (BufferStats).
type extremes struct{ last, min, max atomic.Int64 }

func (e *extremes) reset() {
	e.last.Store(-1)
	e.min.Store(-1)
	e.max.Store(-1)
}

// add takes in some numbers at once.
func (e *extremes) add(low, high, last int64) {
	e.last.Store(last)
	for old := e.min.Load(); (old < 0 || low < old) && !e.min.CompareAndSwap(old, low); old = e.min.Load() {
	}
	for old := e.max.Load(); high > old && !e.max.CompareAndSwap(old, high); old = e.max.Load() {
	}
}
