package server

import (
	"sync"
	"sync/atomic"
	"time"
)

// latencies sums up how long requests took, in milliseconds.
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

// mean is the average in milliseconds, 0 without requests.
func (l *latencies) mean() float64 {
	if l.count == 0 {
		return 0
	}
	return float64(l.sum) / float64(l.count)
}

// serverStats is what the words srvr, stat and mntr show of the server (ServerStats). srst resets all but authFailed.
type serverStats struct {
	received, sent atomic.Int64 // packets
	authFailed     atomic.Int64
	fsyncExceeded  atomic.Int64 // syncs slower than fsync.warningthresholdms

	mu       sync.Mutex
	latency  latencies
	response struct{ last, min, max int64 } // bytes of replies, -1 before the first
}

func (st *serverStats) requestsDone(n int, took time.Duration) {
	st.mu.Lock()
	st.latency.add(took.Milliseconds(), int64(n))
	st.mu.Unlock()
}

func (st *serverStats) responseSize(n int64) {
	st.mu.Lock()
	r := &st.response
	if r.last = n; r.min < 0 || n < r.min {
		r.min = n
	}
	r.max = max(r.max, n)
	st.mu.Unlock()
}

func (st *serverStats) latencies() latencies {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.latency
}

func (st *serverStats) reset() {
	st.received.Store(0)
	st.sent.Store(0)
	st.mu.Lock()
	st.latency = latencies{}
	st.response.last, st.response.min, st.response.max = -1, -1, -1
	st.mu.Unlock()
}
