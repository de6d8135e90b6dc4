package metrics

// Idle are the metrics that a server never changes, each with the reason: nothing of the kind happens in it. They are printed all the same, with the value that
// ZooKeeper has before the first event. The names are those of [Table].
var Idle = map[string]string{
	"proposal_process_time":                               noStages,
	"concurrent_request_processing_in_commit_processor":   noStages,
	"time_waiting_empty_pool_in_commit_processor_read_ms": noStages,
	"pending_session_queue_size":                          noStages,
	"requests_in_session_queue":                           noStages,
	"read_commit_proc_issued":                             noStages,
	"read_commit_proc_req_queued":                         noStages,
	"reads_after_write_in_session_queue":                  noStages,
	"reads_issued_from_session_queue":                     noStages,
	"requests_not_forwarded_to_commit_processor":          noStages,
	"skip_learner_request_to_next_processor_count":        noStages,

	"request_throttle_wait_count":    noThrottle,
	"request_throttle_queue_time_ms": noThrottle,
	"stale_requests_dropped":         noThrottle,
	"throttled_ops":                  noThrottle,
	"large_requests_rejected":        noThrottle,

	"response_packet_cache_hits":   noCache,
	"response_packet_cache_misses": noCache,

	"add_dead_watcher_stall_time":   noCleaner,
	"dead_watchers_queued":          noCleaner,
	"dead_watchers_cleared":         noCleaner,
	"dead_watchers_cleaner_latency": noCleaner,

	"netty_queued_buffer_capacity":          noNetty,
	"cnxn_closed_without_zk_server_running": noNetty,

	"ensemble_auth_fail":    noEnsembleAuth,
	"ensemble_auth_skip":    noEnsembleAuth,
	"ensemble_auth_success": noEnsembleAuth,

	"om_proposal_process_time_ms": "an observer master passes bytes on and looks at no packet",
	"om_commit_process_time_ms":   "an observer master passes bytes on and looks at no packet",
	"jvm_pause_time_ms":           "there is no virtual machine that pauses",
}

const (
	noStages       = "requests are not handed from thread to thread: a read is run where it arrives, a write waits in the queue of its connection"
	noThrottle     = "there is no throttle before the requests of a server"
	noCache        = "replies are encoded from the tree and not kept"
	noCleaner      = "the watches of a connection go when it closes"
	noNetty        = "counted by ZooKeeper's Netty connections only"
	noEnsembleAuth = "of the authentication scheme ensemble"
)
