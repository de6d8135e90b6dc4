package metrics

import (
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"time"
)

// Set holds all metrics of one server. Gauges show a value only while a function is registered. Times are in milliseconds
// and sizes in bytes unless a row says otherwise.
type Set struct {
	// Gauges of every serving server.
	ApproximateDataSize     Gauge         `zk:"approximate_data_size" doc:"Bytes of paths and data in the tree."`
	AuthFailedCount         Gauge         `zk:"auth_failed_count" doc:"Failed authentications since start."`
	AvgLatency              FloatGauge    `zk:"avg_latency" doc:"Mean latency of requests since the last reset."`
	ConnectionDropChance    FloatGauge    `zk:"connection_drop_probability" doc:"Chance between 0 and 1 that a new connection is dropped by the throttle."`
	EphemeralsCount         Gauge         `zk:"ephemerals_count" doc:"Ephemeral znodes."`
	GlobalSessions          Gauge         `zk:"global_sessions" doc:"Sessions known to the whole ensemble."`
	LastClientResponseSize  Gauge         `zk:"last_client_response_size" doc:"Size of the last response, -1 before the first."`
	LocalSessions           Gauge         `zk:"local_sessions" doc:"Sessions known to this server only."`
	MaxClientResponseSize   Gauge         `zk:"max_client_response_size" doc:"Size of the largest response, -1 before the first."`
	MaxFileDescriptorCount  Gauge         `zk:"max_file_descriptor_count" doc:"Limit of open file descriptors of the process."`
	MaxLatency              Gauge         `zk:"max_latency" doc:"Longest latency of a request since the last reset."`
	MinClientResponseSize   Gauge         `zk:"min_client_response_size" doc:"Size of the smallest response, -1 before the first."`
	MinLatency              Gauge         `zk:"min_latency" doc:"Shortest latency of a request since the last reset."`
	NonMTLSLocalConnCount   Gauge         `zk:"non_mtls_local_conn_count" doc:"Connections from this host without a client certificate."`
	NonMTLSRemoteConnCount  Gauge         `zk:"non_mtls_remote_conn_count" doc:"Connections from other hosts without a client certificate."`
	NumAliveConnections     Gauge         `zk:"num_alive_connections" doc:"Open client connections."`
	OpenFileDescriptorCount Gauge         `zk:"open_file_descriptor_count" doc:"Open file descriptors of the process."`
	OutstandingRequests     Gauge         `zk:"outstanding_requests" doc:"Requests received and not yet answered."`
	OutstandingTLSHandshake Gauge         `zk:"outstanding_tls_handshake" doc:"TLS handshakes under way."`
	PacketsReceived         Gauge         `zk:"packets_received" doc:"Packets received from clients since the last reset."`
	PacketsSent             Gauge         `zk:"packets_sent" doc:"Packets sent to clients since the last reset."`
	Uptime                  Gauge         `zk:"uptime" doc:"Milliseconds since the server began to serve."`
	WatchCount              Gauge         `zk:"watch_count" doc:"Watches of all kinds."`
	ZnodeCount              Gauge         `zk:"znode_count" doc:"Znodes in the tree."`
	QuotaBytesLimit         LabelledGauge `zk:"quota_bytes_limit_per_namespace" doc:"Byte quota by first path element; hard limit before soft."`
	QuotaBytesUsage         LabelledGauge `zk:"quota_bytes_usage_per_namespace" doc:"Bytes counted against the quota by first path element."`
	QuotaCountLimit         LabelledGauge `zk:"quota_count_limit_per_namespace" doc:"Znode quota by first path element; hard limit before soft."`
	QuotaCountUsage         LabelledGauge `zk:"quota_count_usage_per_namespace" doc:"Znodes counted against the quota by first path element."`

	// Gauges of ensemble members, then of the leader.
	QuorumSize               Gauge `zk:"quorum_size,ensemble" doc:"Voters in the configuration."`
	SyncedObservers          Gauge `zk:"synced_observers,ensemble" doc:"Observers in step with this server: on the leader, and on a follower that is an observer master."`
	LastProposalSize         Gauge `zk:"last_proposal_size,leader" doc:"Size of the last proposal, -1 before the first."`
	LeaderUptime             Gauge `zk:"leader_uptime,leader" doc:"Milliseconds since this server became leader."`
	Learners                 Gauge `zk:"learners,leader" doc:"Connected followers and observers."`
	MaxProposalSize          Gauge `zk:"max_proposal_size,leader" doc:"Size of the largest proposal, -1 before the first."`
	MinProposalSize          Gauge `zk:"min_proposal_size,leader" doc:"Size of the smallest proposal, -1 before the first."`
	PendingSyncs             Gauge `zk:"pending_syncs,leader" doc:"sync requests that wait for a commit."`
	SyncedFollowers          Gauge `zk:"synced_followers,leader" doc:"Voting followers in step with the leader."`
	SyncedNonVotingFollowers Gauge `zk:"synced_non_voting_followers,leader" doc:"Followers in step that have no vote in the current configuration."`

	// Counters.
	AddDeadWatcherStallTime        Counter           `zk:"add_dead_watcher_stall_time" doc:"Time that closing connections waited for the dead watcher cleaner."`
	BytesReceived                  Counter           `zk:"bytes_received_count" doc:"Bytes received from clients, length prefixes included."`
	CnxnClosedWithoutServer        Counter           `zk:"cnxn_closed_without_zk_server_running" doc:"Connections closed because the server did not serve."`
	Commits                        Counter           `zk:"commit_count" doc:"Transactions committed by this leader."`
	ConnectionDrops                Counter           `zk:"connection_drop_count" doc:"Client connections closed by the server or lost."`
	ConnectionRejected             Counter           `zk:"connection_rejected" doc:"Client connections refused by a limit or throttle."`
	ConnectionRequests             Counter           `zk:"connection_request_count" doc:"Requests for a session, new or resumed."`
	ConnectionRevalidations        Counter           `zk:"connection_revalidate_count" doc:"Sessions that clients brought back to this server."`
	DeadWatchersCleared            Counter           `zk:"dead_watchers_cleared" doc:"Watchers of closed connections that were removed."`
	DeadWatchersQueued             Counter           `zk:"dead_watchers_queued" doc:"Watchers of closed connections that wait for removal."`
	Diffs                          Counter           `zk:"diff_count" doc:"Learners synchronized by a difference."`
	DigestMismatches               Counter           `zk:"digest_mismatches_count" doc:"Transactions after which the tree's digest was not the leader's."`
	EnsembleAuthFail               Counter           `zk:"ensemble_auth_fail" doc:"Clients that named another ensemble."`
	EnsembleAuthSkip               Counter           `zk:"ensemble_auth_skip" doc:"Clients that named an ensemble while none is configured here."`
	EnsembleAuthSuccess            Counter           `zk:"ensemble_auth_success" doc:"Clients that named this ensemble."`
	InsecureAdmin                  Counter           `zk:"insecure_admin_count" doc:"AdminServer requests without TLS."`
	LargeRequestsRejected          Counter           `zk:"large_requests_rejected" doc:"Requests refused because too many bytes of large requests were in flight."`
	LearnerCommitsReceived         Counter           `zk:"learner_commit_received_count" doc:"COMMIT packets received as a learner."`
	LearnerProposalsReceived       Counter           `zk:"learner_proposal_received_count" doc:"PROPOSAL packets received as a learner."`
	LookingCount                   Counter           `zk:"looking_count" doc:"Times that this server went looking for a leader."`
	OutstandingChangesQueued       Counter           `zk:"outstanding_changes_queued" doc:"Changes prepared and not yet applied, entered."`
	OutstandingChangesRemoved      Counter           `zk:"outstanding_changes_removed" doc:"Changes prepared and not yet applied, left."`
	PrepRequestsQueued             Counter           `zk:"prep_processor_request_queued" doc:"Requests queued for preparation."`
	Proposals                      Counter           `zk:"proposal_count" doc:"Proposals made by this leader."`
	QuitLeadingDisloyalVoter       Counter           `zk:"quit_leading_due_to_disloyal_voter" doc:"Times a leader stepped down because a voter followed another."`
	QuotaExceededErrors            Labelled[Counter] `zk:"quota_exceeded_error_per_namespace" doc:"Requests refused by a quota, by first path element."`
	CommitsQueued                  Counter           `zk:"request_commit_queued" doc:"Committed requests queued for the commit stage."`
	RequestThrottleWaits           Counter           `zk:"request_throttle_wait_count" doc:"Requests that waited in the throttle."`
	RequestsNotForwarded           Counter           `zk:"requests_not_forwarded_to_commit_processor" doc:"Requests of a learner answered before the commit stage."`
	ResponseBytes                  Counter           `zk:"response_bytes" doc:"Bytes of responses written to clients."`
	ResponseCacheHits              Counter           `zk:"response_packet_cache_hits" doc:"Data responses found in the response cache."`
	ResponseCacheMisses            Counter           `zk:"response_packet_cache_misses" doc:"Data responses that had to be encoded."`
	ResponseGetChildrenCacheHits   Counter           `zk:"response_packet_get_children_cache_hits" doc:"Child lists found in the response cache."`
	ResponseGetChildrenCacheMisses Counter           `zk:"response_packet_get_children_cache_misses" doc:"Child lists that had to be encoded."`
	RestoreErrors                  Counter           `zk:"restore_error_count" doc:"Failed restore commands of the AdminServer."`
	RestoreRateLimited             Counter           `zk:"restore_rate_limited_count" doc:"Restore commands refused by the rate limit."`
	Revalidations                  Counter           `zk:"revalidate_count" doc:"Session validations asked for by learners."`
	SessionlessConnectionsExpired  Counter           `zk:"sessionless_connections_expired" doc:"Connections closed because no session was made in time."`
	SkipLearnerRequestToNext       Counter           `zk:"skip_learner_request_to_next_processor_count" doc:"Requests of learners that bypassed local session checks."`
	Snaps                          Counter           `zk:"snap_count" doc:"Learners synchronized by a snapshot."`
	SnapshotErrors                 Counter           `zk:"snapshot_error_count" doc:"Failed snapshot commands of the AdminServer."`
	SnapshotRateLimited            Counter           `zk:"snapshot_rate_limited_count" doc:"Snapshot commands refused by the rate limit."`
	StaleReplies                   Counter           `zk:"stale_replies" doc:"Replies whose connection was gone."`
	StaleRequests                  Counter           `zk:"stale_requests" doc:"Requests that became stale before they were processed."`
	StaleRequestsDropped           Counter           `zk:"stale_requests_dropped" doc:"Stale requests dropped unprocessed."`
	StaleSessionsExpired           Counter           `zk:"stale_sessions_expired" doc:"Sessions expired for lack of heartbeats."`
	SyncRequestsQueued             Counter           `zk:"sync_processor_request_queued" doc:"Requests queued for the transaction log."`
	ThrottledOps                   Counter           `zk:"throttled_ops" doc:"Requests answered with a throttling error."`
	TLSHandshakeExceeded           Counter           `zk:"tls_handshake_exceeded" doc:"Connections refused because too many TLS handshakes were under way."`
	UnrecoverableErrors            Counter           `zk:"unrecoverable_error_count" doc:"Errors that ended the server's service."`
	UnsuccessfulHandshakes         Counter           `zk:"unsuccessful_handshake" doc:"Failed TLS handshakes."`
	WatchBytes                     Counter           `zk:"watch_bytes" doc:"Bytes of watch events written to clients."`

	// Summaries without percentiles.
	CommitCommitQueueSize         Summary           `zk:"commit_commit_proc_req_queued" doc:"Committed requests waiting in the commit stage."`
	CommitProcessTime             Summary           `zk:"commit_process_time" doc:"Time of the leader or learner to take one commit."`
	ConcurrentCommitRequests      Summary           `zk:"concurrent_request_processing_in_commit_processor" doc:"Requests processed at the same time after the commit stage."`
	ConnectionTokenDeficit        Summary           `zk:"connection_token_deficit" doc:"Tokens missing in the connection throttle at a new connection."`
	DBInitTime                    Summary           `zk:"dbinittime" doc:"Time to load the snapshot and replay the log."`
	ElectionTime                  Summary           `zk:"election_time" doc:"Time between looking and a finished election."`
	FollowerSyncTime              Summary           `zk:"follower_sync_time" doc:"Time for this follower to synchronize with its leader."`
	FsyncTime                     Summary           `zk:"fsynctime" doc:"Time of one fsync of the transaction log."`
	InflightDiffs                 Summary           `zk:"inflight_diff_count" doc:"Learners that receive a difference at the same time."`
	InflightSnaps                 Summary           `zk:"inflight_snap_count" doc:"Learners that receive a snapshot at the same time."`
	LeaderUnavailableTime         Summary           `zk:"leader_unavailable_time" doc:"Time between election and service as a leader."`
	LearnerHandlerQueueSize       Labelled[Summary] `zk:"learner_handler_qp_size" doc:"Packets queued for a learner, by server id."`
	LearnerRequestQueueSize       Summary           `zk:"learner_request_processor_queue_size" doc:"Requests of learners waiting on the leader."`
	NettyQueuedBufferCapacity     Summary           `zk:"netty_queued_buffer_capacity" doc:"Received bytes queued on a throttled connection."`
	NodeChangedWatches            Summary           `zk:"node_changed_watch_count" doc:"Watches fired by one data change."`
	NodeChildrenWatches           Summary           `zk:"node_children_watch_count" doc:"Watches fired by one change of a child list."`
	NodeCreatedWatches            Summary           `zk:"node_created_watch_count" doc:"Watches fired by one creation."`
	NodeDeletedWatches            Summary           `zk:"node_deleted_watch_count" doc:"Watches fired by one deletion."`
	ObserverSyncTime              Summary           `zk:"observer_sync_time" doc:"Time for this observer to synchronize."`
	PendingSessionQueueSize       Summary           `zk:"pending_session_queue_size" doc:"Sessions with requests waiting in the commit stage."`
	PrepProcessTime               Summary           `zk:"prep_process_time" doc:"Time to prepare one request."`
	PrepQueueSize                 Summary           `zk:"prep_processor_queue_size" doc:"Requests waiting for preparation."`
	ProposalProcessTime           Summary           `zk:"proposal_process_time" doc:"Time of the leader to propose one request."`
	ReadsIssuedByCommit           Summary           `zk:"read_commit_proc_issued" doc:"Reads released by one turn of the commit stage."`
	ReadCommitQueueSize           Summary           `zk:"read_commit_proc_req_queued" doc:"Reads waiting in the commit stage."`
	ReadPerNamespace              Labelled[Summary] `zk:"read_per_namespace" doc:"Bytes of one read, by first path element."`
	ReadsAfterWriteInSessionQueue Summary           `zk:"reads_after_write_in_session_queue" doc:"Consecutive reads of a session behind one of its writes."`
	ReadsIssuedFromSessionQueue   Summary           `zk:"reads_issued_from_session_queue" doc:"Reads released from a session's queue at once."`
	RequestsInSessionQueue        Summary           `zk:"requests_in_session_queue" doc:"Requests in the queue of one session."`
	RestoreTime                   Summary           `zk:"restore_time" doc:"Time of one restore command of the AdminServer."`
	SessionQueuesDrained          Summary           `zk:"session_queues_drained" doc:"Session queues emptied by one turn of the commit stage."`
	SnapshotTime                  Summary           `zk:"snapshottime" doc:"Time to write one snapshot."`
	SocketClosingTime             Summary           `zk:"socket_closing_time" doc:"Time to close a connection to the leader."`
	StartupSnapLoadTime           Summary           `zk:"startup_snap_load_time" doc:"Time to load the snapshot at start."`
	StartupTxnsLoadTime           Summary           `zk:"startup_txns_load_time" doc:"Time to replay the log at start."`
	StartupTxnsLoaded             Summary           `zk:"startup_txns_loaded" doc:"Transactions replayed at start."`
	SyncProcessTime               Summary           `zk:"sync_process_time" doc:"Time to append one request to the transaction log."`
	SyncBatchSize                 Summary           `zk:"sync_processor_batch_size" doc:"Requests made durable by one fsync."`
	SyncQueueSize                 Summary           `zk:"sync_processor_queue_size" doc:"Requests waiting for the transaction log."`
	TimeWaitingEmptyPool          Summary           `zk:"time_waiting_empty_pool_in_commit_processor_read_ms" doc:"Time a write waited for running reads to finish."`
	UnavailableTime               Summary           `zk:"unavailable_time" doc:"Time between losing service and serving again."`
	WriteBatchTimeInCommit        Summary           `zk:"write_batch_time_in_commit_processor" doc:"Time of one batch of writes in the commit stage."`
	WritesIssuedByCommit          Summary           `zk:"write_commit_proc_issued" doc:"Writes released by one turn of the commit stage."`
	WriteCommitQueueSize          Summary           `zk:"write_commit_proc_req_queued" doc:"Writes waiting in the commit stage."`
	WritePerNamespace             Labelled[Summary] `zk:"write_per_namespace" doc:"Bytes of one write, by first path element."`

	// Summaries with percentiles.
	AckLatency               Labelled[Summary] `zk:"ack_latency,advanced" doc:"Time between the creation of a request and the ACK of a server, by server id; sampled by leader.ackLoggingFrequency."`
	CloseSessionPrepTime     Summary           `zk:"close_session_prep_time,advanced" doc:"Time to prepare the end of a session."`
	CommitPropagationLatency Summary           `zk:"commit_propagation_latency,advanced" doc:"Time between the leader's creation of a request and its commit on a learner."`
	DeadWatchersCleanLatency Summary           `zk:"dead_watchers_cleaner_latency,advanced" doc:"Time to remove one batch of dead watchers."`
	JVMPauseTime             Summary           `zk:"jvm_pause_time_ms,advanced" doc:"Pauses of the whole process noticed by the pause monitor."`
	LearnerHandlerQueueTime  Labelled[Summary] `zk:"learner_handler_qp_time_ms,advanced" doc:"Time a packet waited to be sent to a learner, by server id."`
	LocalWriteCommittedTime  Summary           `zk:"local_write_committed_time_ms,advanced" doc:"Time a committed write of this server's client spent in the commit stage."`
	OMCommitProcessTime      Summary           `zk:"om_commit_process_time_ms,advanced" doc:"Time of an observer master to pass on one commit."`
	OMProposalProcessTime    Summary           `zk:"om_proposal_process_time_ms,advanced" doc:"Time of an observer master to take one proposal."`
	PrepQueueTime            Summary           `zk:"prep_processor_queue_time_ms,advanced" doc:"Time a request waited for preparation."`
	PropagationLatency       Summary           `zk:"propagation_latency,advanced" doc:"Time between the leader's creation of a request and its application here."`
	ProposalAckCreateLatency Summary           `zk:"proposal_ack_creation_latency,advanced" doc:"Time between the leader's creation of a request and a learner's ACK."`
	ProposalLatency          Summary           `zk:"proposal_latency,advanced" doc:"Time between the leader's creation of a request and its proposal's arrival here."`
	QuorumAckLatency         Summary           `zk:"quorum_ack_latency,advanced" doc:"Time between a proposal and a quorum of ACKs."`
	ReadCommitTime           Summary           `zk:"read_commitproc_time_ms,advanced" doc:"Time a read spent in the commit stage."`
	ReadFinalTime            Summary           `zk:"read_final_proc_time_ms,advanced" doc:"Time to run a read."`
	ReadLatency              Summary           `zk:"readlatency,advanced" doc:"Time between the arrival of a read and its answer."`
	RequestThrottleQueueTime Summary           `zk:"request_throttle_queue_time_ms,advanced" doc:"Time a request waited in the throttle."`
	ServerWriteCommittedTime Summary           `zk:"server_write_committed_time_ms,advanced" doc:"Time a committed write of another server's client spent in the commit stage."`
	SyncQueueAndFlushTime    Summary           `zk:"sync_processor_queue_and_flush_time_ms,advanced" doc:"Time between a request's arrival at the transaction log and its durability."`
	SyncQueueFlushTime       Summary           `zk:"sync_processor_queue_flush_time_ms,advanced" doc:"Time to make one batch durable and hand it on."`
	SyncQueueTime            Summary           `zk:"sync_processor_queue_time_ms,advanced" doc:"Time a request waited for the transaction log."`
	UpdateLatency            Summary           `zk:"updatelatency,advanced" doc:"Time between the arrival of a write and its answer."`
	WriteCommitTime          Summary           `zk:"write_commitproc_time_ms,advanced" doc:"Time a write spent in the commit stage."`
	WriteFinalTime           Summary           `zk:"write_final_proc_time_ms,advanced" doc:"Time to apply a write and answer it."`

	provider Provider
	window   window
	rows     []any // pointers to the fields above, in the order of Table
}

// Kind says what a metric measures and how a provider prints it.
type Kind uint8

// The kinds of metrics. Basic summaries show the median, advanced ones higher percentiles too.
const (
	KindGauge Kind = iota
	KindCounter
	KindBasic
	KindAdvanced
)

// Mode says which servers have a gauge. Counters and summaries are ModeAlways.
type Mode uint8

// The modes, from the widest.
const (
	ModeAlways   Mode = iota // every server that serves
	ModeEnsemble             // members of an ensemble
	ModeLeader               // the leader
)

// Desc is the row of one metric.
type Desc struct {
	Name     string // ZooKeeper's name, without zk_
	Kind     Kind
	Mode     Mode
	Labelled bool   // one value per key: a namespace or a server id
	Doc      string // one sentence
}

// table and fields are parallel: the row of a metric and the index of its field in Set.
var table, fields = describe()

// Table returns the rows of all metrics in the order of printing. The caller must not change them.
func Table() []Desc { return table }

func describe() (rows []Desc, index []int) {
	t := reflect.TypeFor[Set]()
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("zk")
		if !ok {
			continue
		}
		d := Desc{Doc: t.Field(i).Tag.Get("doc")}
		name, option, _ := strings.Cut(tag, ",")
		d.Name = name
		switch reflect.New(t.Field(i).Type).Interface().(type) {
		case *Gauge, *FloatGauge:
			d.Kind = KindGauge
		case *LabelledGauge:
			d.Kind, d.Labelled = KindGauge, true
		case *Counter:
			d.Kind = KindCounter
		case *Labelled[Counter]:
			d.Kind, d.Labelled = KindCounter, true
		case *Summary:
			d.Kind = KindBasic
		case *Labelled[Summary]:
			d.Kind, d.Labelled = KindBasic, true
		}
		switch option {
		case "":
		case "advanced":
			d.Kind = KindAdvanced
		case "ensemble":
			d.Mode = ModeEnsemble
		case "leader":
			d.Mode = ModeLeader
		default:
			panic(fmt.Sprintf("metrics: field %s has the unknown option %q", t.Field(i).Name, option))
		}
		rows, index = append(rows, d), append(index, i)
	}
	return rows, index
}

// New returns an empty Set that prints the way of provider p.
func New(p Provider) *Set {
	s := &Set{provider: p}
	s.window.turned.Store(time.Now().UnixNano())
	v := reflect.ValueOf(s).Elem()
	for i, d := range table {
		// Only the Prometheus provider shows a percentile of basic summaries, so only it pays for their buckets.
		init := func(y *Summary) { y.init(&s.window, d.Kind == KindAdvanced || p == Prometheus) }
		row := v.Field(fields[i]).Addr().Interface()
		switch m := row.(type) {
		case *Summary:
			init(m)
		case *Labelled[Summary]:
			m.init = init
		}
		s.rows = append(s.rows, row)
	}
	return s
}

// Unregister removes the gauges: of the named modes, or all if none is named. A server calls it when it stops serving and
// a leader, with ModeLeader, when it steps down.
func (s *Set) Unregister(modes ...Mode) {
	for i, row := range s.rows {
		g, ok := row.(interface{ unregister() })
		all := len(modes) == 0
		for _, m := range modes {
			all = all || m == table[i].Mode
		}
		if ok && all {
			g.unregister()
		}
	}
}

// Reset sets counters and summaries back to nothing, as the four-letter word srst does. Labels stay, with zeros. Like the
// upstream providers, only Default can be reset: the others keep their values.
func (s *Set) Reset() {
	if s.provider != Default {
		return
	}
	for _, row := range s.rows {
		switch m := row.(type) {
		case *Counter:
			m.reset()
		case *Labelled[Counter]:
			m.each(func(_ string, c *Counter) { c.reset() })
		case *Summary:
			m.Reset()
		case *Labelled[Summary]:
			m.each(func(_ string, y *Summary) { y.Reset() })
		}
	}
}

// Sample is one value of one metric. Value holds a gauge or a counter, Summary the other kinds.
type Sample struct {
	*Desc
	Key     string // the label's value if Labelled
	Value   Value
	Summary *Snapshot
}

// Each calls f for all values in the order of Table; keys of a labelled metric come in ascending order. Gauges without a
// function are left out. f must not keep Sample.Summary.
func (s *Set) Each(f func(Sample)) {
	s.turn(time.Now())
	snap := new(Snapshot)
	for i, row := range s.rows {
		sample := Sample{Desc: &table[i]}
		counter := func(key string, c *Counter) {
			sample.Key, sample.Value = key, Int(c.Load())
			f(sample)
		}
		summary := func(key string, y *Summary) {
			y.snapshot(snap)
			sample.Key, sample.Summary = key, snap
			f(sample)
		}
		switch m := row.(type) {
		case *Counter:
			counter("", m)
		case *Labelled[Counter]:
			m.each(counter)
		case *Summary:
			summary("", m)
		case *Labelled[Summary]:
			m.each(summary)
		case gauge:
			m.each(func(key string, v Value) {
				sample.Key, sample.Value = key, v
				f(sample)
			})
		}
	}
}

// turn moves the window of the Prometheus percentiles when a fifth of its ten minutes has passed. Each calls it, so that no
// update has to read a clock: between two scrapes the window only grows.
func (s *Set) turn(now time.Time) {
	turned := s.window.turned.Load()
	if s.provider != Prometheus || now.UnixNano()-turned < int64(windowTime)/windowSlices {
		return
	}
	if !s.window.turned.CompareAndSwap(turned, now.UnixNano()) {
		return // somebody else is turning it
	}
	next := (s.window.slice.Load() + 1) % windowSlices
	for _, row := range s.rows {
		switch m := row.(type) {
		case *Summary:
			m.slices[next].clear()
		case *Labelled[Summary]:
			m.each(func(_ string, y *Summary) { y.slices[next].clear() })
		}
	}
	s.window.slice.Store(next)
}

// window is the place in the ring of slices that all summaries of a Set write to.
type window struct {
	slice  atomic.Uint32
	turned atomic.Int64 // nanoseconds since 1970
}
