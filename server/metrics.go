package server

import (
	"bytes"
	"strings"
	"time"

	"quoll/config"
	"quoll/ensemble"
	"quoll/jute"
	"quoll/metrics"
	"quoll/tree"
	"quoll/zab"
)

// registerGauges makes the gauges of every server that serves visible (ZooKeeperServer.registerMetrics).
func (s *Server) registerGauges() {
	m, st := s.metrics, &s.stats
	none := func() int64 { return 0 }
	ofTree := func(fn func(*tree.Tree) int64) func() int64 {
		return func() (v int64) {
			s.readTree(func(t *tree.Tree) { v = fn(t) })
			return v
		}
	}
	m.AvgLatency.Register(st.latency.Avg)
	m.MinLatency.Register(st.latency.Min)
	m.MaxLatency.Register(st.latency.Max)
	m.PacketsReceived.Register(st.received.Load)
	m.PacketsSent.Register(st.sent.Load)
	m.LastClientResponseSize.Register(st.response.last.Load)
	m.MinClientResponseSize.Register(st.response.min.Load)
	m.MaxClientResponseSize.Register(st.response.max.Load)
	m.AuthFailedCount.Register(st.authFailed.Load)
	m.NumAliveConnections.Register(func() int64 { return int64(s.connectionCount()) })
	m.OutstandingRequests.Register(s.outstanding.Load)
	m.Uptime.Register(func() int64 { return s.clock(time.Now()) - st.since.Load() })
	m.WatchCount.Register(s.watches.total.Load)
	m.ZnodeCount.Register(ofTree(func(t *tree.Tree) int64 { return int64(nodeCount(t)) }))
	m.EphemeralsCount.Register(ofTree(func(t *tree.Tree) int64 { return int64(t.NumEphemerals()) }))
	m.ApproximateDataSize.Register(ofTree(dataSize))
	m.GlobalSessions.Register(ofTree(func(t *tree.Tree) int64 { return int64(t.Sessions()) }))
	m.OpenFileDescriptorCount.Register(metrics.OpenFDs)
	m.MaxFileDescriptorCount.Register(metrics.MaxFDs)
	m.LocalSessions.Register(s.localSessions)
	m.ConnectionDropChance.Register(s.throttle.dropChance)
	m.OutstandingTLSHandshake.Register(func() int64 {
		if s.doorstep == nil {
			return 0
		}
		return s.doorstep.count()
	})
	m.NonMTLSLocalConnCount.Register(none) // counted by ZooKeeper only where it tells TLS from plain text by the first byte
	m.NonMTLSRemoteConnCount.Register(none)
	for gauge, value := range map[*metrics.LabelledGauge]func(limits, used tree.Quota) int64{
		&m.QuotaCountLimit: func(limits, _ tree.Quota) int64 { return hardFirst(limits.CountHardLimit, limits.Count) },
		&m.QuotaBytesLimit: func(limits, _ tree.Quota) int64 { return hardFirst(limits.BytesHardLimit, limits.Bytes) },
		&m.QuotaCountUsage: func(_, used tree.Quota) int64 { return used.Count },
		&m.QuotaBytesUsage: func(_, used tree.Quota) int64 { return used.Bytes },
	} {
		gauge.Register(func() map[string]int64 { return s.quotas(value) })
	}
}

// registerGauges makes the gauges of a member visible (QuorumZooKeeperServer, LeaderZooKeeperServer, FollowerZooKeeperServer).
func (m *Member) registerGauges(role zab.Role) {
	s, g := m.s, m.s.metrics
	g.QuorumSize.Register(func() int64 {
		committed, _ := m.configs()
		return int64(len(committed.Voters()))
	})
	learners := func(counts func(l *zab.LearnerStatus) bool) func() int64 {
		return func() (n int64) {
			status := m.status()
			for i := range status.Learners {
				if counts(&status.Learners[i]) {
					n++
				}
			}
			return n
		}
	}
	switch role {
	case zab.Following:
		if s.opts.ObserverMasterPort > 0 || s.opts.MetricsProvider == config.PrometheusMetricsProvider { // which shows 0 for what has no value
			g.SyncedObservers.Register(m.observers)
		}
	case zab.Leading:
		g.Learners.Register(func() int64 {
			status := m.status()
			return int64(len(status.Learners) + status.Syncing)
		})
		g.SyncedFollowers.Register(learners(func(l *zab.LearnerStatus) bool { return !l.Observer }))
		g.SyncedObservers.Register(learners(func(l *zab.LearnerStatus) bool { return l.Observer }))
		g.SyncedNonVotingFollowers.Register(learners(func(l *zab.LearnerStatus) bool {
			committed, _ := m.configs()
			return !l.Observer && !committed.IsVoter(l.SID)
		}))
		g.PendingSyncs.Register(func() int64 { return int64(m.status().Syncs) })
		g.LeaderUptime.Register(s.uptime)
		g.LastProposalSize.Register(s.stats.proposal.last.Load)
		g.MinProposalSize.Register(s.stats.proposal.min.Load)
		g.MaxProposalSize.Register(s.stats.proposal.max.Load)
	}
}

// status is a recent picture of the node. Before the peer runs there is none.
func (m *Member) status() (status zab.Status) {
	if p := m.peer.Load(); p != nil {
		status = (*p).Status()
	}
	return status
}

// configs are the configs in force and last seen.
func (m *Member) configs() (committed, lastSeen *ensemble.Config) {
	if p := m.peer.Load(); p != nil {
		return (*p).Configs()
	}
	return &m.s.opts.Ensemble, &m.s.opts.Ensemble
}

// master is the sid of the server that an observer learns from: the leader, or a follower that passes observers on.
func (m *Member) master() (sid int64) {
	if p := m.peer.Load(); p != nil {
		sid = (*p).Master()
	}
	return sid
}

// observerLinks are the observers that this server serves, as a leader or as one that passes them on.
func (m *Member) observerLinks() []ensemble.Link {
	if p := m.peer.Load(); p != nil {
		return (*p).ObserverLinks()
	}
	return nil
}

// resetObserverLinks makes their numbers begin anew.
func (m *Member) resetObserverLinks() {
	if p := m.peer.Load(); p != nil {
		(*p).ResetObserverLinks()
	}
}

// observers is how many observers this follower passes on to the leader.
func (m *Member) observers() (n int64) {
	if p := m.peer.Load(); p != nil {
		n = int64((*p).Observers())
	}
	return n
}

// Metrics are those of the server. What drives a member of an ensemble counts there too.
func (s *Server) Metrics() *metrics.Set { return s.metrics }

func hardFirst(hard, soft int64) int64 {
	if hard > -1 {
		return hard
	}
	return soft
}

// quotas sums up a number of all quotas by namespace.
func (s *Server) quotas(value func(limits, used tree.Quota) int64) map[string]int64 {
	sums := map[string]int64{}
	s.readTree(func(t *tree.Tree) {
		t.EachQuota(func(path string) {
			if limits, used, ok := t.Quota(path); ok {
				sums[namespace(path)] += value(limits, used)
			}
		})
	})
	return sums
}

// namespace is the first component of a path, by which ZooKeeper counts requests; empty for the root.
func namespace(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return name
}

// traffic adds the sizes of requests to the summaries of their namespaces. Sizes that repeat, as in most batches, cost nothing until
// the batch ends.
type traffic struct {
	family  *metrics.Labelled[metrics.Summary]
	name    string
	summary *metrics.Summary // of name
	run     tally
}

// add counts a request for path. It allocates nothing while the namespace stays the same.
func (t *traffic) add(path []byte, size int) {
	name, _, _ := bytes.Cut(bytes.TrimPrefix(path, []byte("/")), []byte("/"))
	if len(name) == 0 {
		return
	}
	if t.summary == nil || t.name != string(name) {
		t.run.end(t.summary)
		t.name = string(name)
		t.summary = t.family.With(t.name)
	}
	t.run.add(t.summary, int64(size))
}

func (t *traffic) end() { t.run.end(t.summary) }

// tally observes equal values that follow each other at once.
type tally struct{ value, n int64 }

func (t *tally) add(to *metrics.Summary, value int64) {
	if value != t.value {
		t.end(to)
		t.value = value
	}
	t.n++
}

func (t *tally) end(to *metrics.Summary) {
	if t.n > 0 {
		to.ObserveN(t.value, t.n)
		t.n = 0
	}
}

// statSize is what ZooKeeper adds to every read of a namespace for the Stat in its answer.
const statSize = 68

// countRead counts a read that succeeded with so many bytes of data or names.
func (q *query) countRead(path []byte, size int) {
	q.reads.family = &q.s.metrics.ReadPerNamespace
	q.reads.add(path, len(path)+size+statSize)
	if t := q.s.sampled(); t != nil {
		t.take(path, q.c, false, size+statSize)
	}
}

// countWrites counts what a transaction has changed, for a connection or, if that is nil, somebody else.
func (s *Server) countWrites(txn *tree.Txn, changes []tree.Change, c *conn) {
	a := &s.apply
	a.writes.family = &s.metrics.WritePerNamespace
	for i := range changes {
		ch := &changes[i]
		size := len(ch.Path)
		switch {
		case ch.Kind == tree.Deleted:
		case txn.Op() != jute.OpMulti:
			size += len(txn.Data)
		default:
			if n := s.tree.Lookup(ch.Path); n != nil {
				size += len(n.Data())
			}
		}
		a.path = append(a.path[:0], ch.Path...)
		a.writes.add(a.path, size)
		if t := s.sampled(); t != nil {
			t.take(a.path, c, true, size)
		}
	}
}

// observeWatches counts the watches that one change has fired at one path, if there were any.
func observeWatches(to *metrics.Summary, fired *audience) {
	if n := len(fired.conns); n > 0 {
		to.Observe(int64(n))
	}
}

// countReads counts n reads that took so long. Only a member of a ZooKeeper ensemble has a stage of commits, which holds up no read here.
func (s *Server) countReads(took time.Duration, n int) {
	s.stats.requestsDone(n, took)
	s.metrics.ReadLatency.ObserveN(took.Milliseconds(), int64(n))
	if s.member != nil {
		s.metrics.ReadCommitTime.ObserveN(0, int64(n))
		s.metrics.ReadFinalTime.ObserveN(took.Milliseconds(), int64(n))
	}
}

// countConfig counts that /zookeeper/config was written without a transaction.
func (s *Server) countConfig(c *ensemble.Config) {
	s.metrics.WritePerNamespace.With(namespace(tree.ConfigPath)).Observe(int64(len(tree.ConfigPath) + len(c.String())))
}

// updated counts a write that is answered, with the others of its batch.
func (s *Server) updated(took time.Duration) {
	a, ms := &s.apply, took.Milliseconds()
	a.latency.add(s.stats.latency, ms)
	a.updates.add(&s.metrics.UpdateLatency, ms)
}

// batchTimes says when a batch of requests was taken, prepared, written to the log and durable.
type batchTimes struct{ begin, prepared, logged, durable time.Time }

// batchBegins counts requests that are about to be prepared. waiting is how many others still wait for that. As in ZooKeeper, the
// request at work is not in the queue.
func (s *Server) batchBegins(now time.Time, requests []*Request, waiting int) {
	m := s.metrics
	m.PrepRequestsQueued.Add(int64(len(requests)))
	m.PrepQueueSize.Observe(int64(len(requests) - 1 + waiting))
	var queued tally
	for _, r := range requests {
		if r.conn == nil {
			continue
		}
		queued.add(&m.PrepQueueTime, now.Sub(r.received).Milliseconds())
		// A connection has this request in its queue until it is closed.
		if r.Op != jute.OpCloseSession && s.opts.RequestStaleConnectionCheck && r.conn.waiting.Load() == 0 {
			m.StaleRequests.Inc()
		}
	}
	queued.end(&m.PrepQueueTime)
}

// batchEnds counts n requests that are applied. Times that one clock reading covers for all of them are shared out evenly.
func (s *Server) batchEnds(now time.Time, n int64, t *batchTimes, logged bool) {
	m := s.metrics
	m.PrepProcessTime.ObserveN(t.prepared.Sub(t.begin).Milliseconds()/n, n)
	m.PropagationLatency.ObserveN(now.Sub(t.begin).Milliseconds(), n)
	if !logged {
		return
	}
	m.SyncRequestsQueued.Add(n)
	m.SyncQueueSize.Observe(n - 1)
	m.SyncBatchSize.Observe(n)
	m.SyncQueueTime.ObserveN(t.prepared.Sub(t.begin).Milliseconds(), n)
	m.SyncProcessTime.ObserveN(t.logged.Sub(t.prepared).Milliseconds()/n, n)
	m.SyncQueueFlushTime.Observe(now.Sub(t.logged).Milliseconds())
	m.SyncQueueAndFlushTime.ObserveN(t.durable.Sub(t.begin).Milliseconds(), n)
}

// countPreparing counts a request that a leader is about to prepare, at now, while others wait behind it.
func (s *Server) countPreparing(r *Request, now time.Time, waiting int) {
	m := s.metrics
	m.PrepRequestsQueued.Inc()
	m.PrepQueueSize.Observe(int64(waiting))
	if r.received.IsZero() {
		return
	}
	m.PrepQueueTime.Observe(now.Sub(r.received).Milliseconds())
	if s.journal != nil {
		r.leftQueue.Store(int64(now.Sub(s.started)))
	}
	if r.conn != nil && r.Op != jute.OpCloseSession && s.opts.RequestStaleConnectionCheck && r.conn.waiting.Load() == 0 {
		m.StaleRequests.Inc()
	}
}

// countPrepared counts n transactions that a leader has prepared since a time, which they share.
func (s *Server) countPrepared(began time.Time, n int64) {
	if n > 0 {
		s.metrics.PrepProcessTime.ObserveN(time.Since(began).Milliseconds()/n, n)
	}
}

// countProposal counts a proposal of so many bytes (Leader.propose).
func (s *Server) countProposal(size int) {
	s.metrics.Proposals.Inc()
	s.stats.proposal.add(int64(size), int64(size), int64(size))
}

// countApplied counts transactions that a member has applied, begun at a time, and when they were committed (CommitProcessor, FinalRequestProcessor). Those of all
// learners pass the queues of a ZooKeeper leader, and count there as its own.
func (s *Server) countApplied(batch []Proposal, committed, began time.Time) {
	if s.service.Load() <= 0 {
		return // on the way to a service
	}
	now, wall := time.Now(), s.opts.Now().UnixMilli()
	m, n, took := s.metrics, int64(len(batch)), now.Sub(began).Milliseconds()
	m.CommitCommitQueueSize.Observe(n)
	m.WriteCommitQueueSize.Observe(s.outstanding.Load())
	m.WritesIssuedByCommit.Observe(n)
	m.WriteBatchTimeInCommit.Observe(took)
	m.CommitProcessTime.Observe(took)
	m.WriteFinalTime.ObserveN(took/n, n)
	leads, own := s.role() == zab.Leading, int64(0)
	var propagation, waited tally
	for i := range batch {
		p := &batch[i]
		if since := wall - p.Txn.Time; since >= 0 { // clocks differ
			propagation.add(&m.PropagationLatency, since)
		}
		if p.Request != nil && p.Request.conn != nil {
			waited.add(&m.WriteCommitTime, began.Sub(p.Request.received).Milliseconds())
			own++
		} else if leads {
			own++
		}
	}
	propagation.end(&m.PropagationLatency)
	waited.end(&m.WriteCommitTime)
	m.SessionQueuesDrained.Observe(own)
	if queued := began.Sub(committed).Milliseconds(); own > 0 {
		m.LocalWriteCommittedTime.ObserveN(queued, own)
	}
	if queued := began.Sub(committed).Milliseconds(); own < n {
		m.ServerWriteCommittedTime.ObserveN(queued, n-own)
	}
}
