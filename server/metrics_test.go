package server

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/jute"
	"quoll/metrics"
)

// silentMetrics are the counters and summaries that stay at nothing on a standalone server, and why. Those of an ensemble are silent
// on ZooKeeper's standalone server too.
func silentMetrics() map[string]string {
	silent := map[string]string{}
	for reason, names := range map[string]string{
		"ensembles": `cnxn_closed_without_zk_server_running commit_count diff_count learner_commit_received_count learner_proposal_received_count
			looking_count proposal_count quit_leading_due_to_disloyal_voter request_commit_queued requests_not_forwarded_to_commit_processor
			revalidate_count skip_learner_request_to_next_processor_count snap_count commit_commit_proc_req_queued commit_process_time
			concurrent_request_processing_in_commit_processor election_time follower_sync_time inflight_diff_count inflight_snap_count
			leader_unavailable_time learner_handler_qp_size learner_request_processor_queue_size observer_sync_time pending_session_queue_size
			proposal_process_time read_commit_proc_issued read_commit_proc_req_queued reads_after_write_in_session_queue
			reads_issued_from_session_queue requests_in_session_queue session_queues_drained socket_closing_time
			time_waiting_empty_pool_in_commit_processor_read_ms unavailable_time write_batch_time_in_commit_processor write_commit_proc_issued
			write_commit_proc_req_queued ack_latency commit_propagation_latency learner_handler_qp_time_ms local_write_committed_time_ms
			om_commit_process_time_ms om_proposal_process_time_ms proposal_ack_creation_latency proposal_latency quorum_ack_latency
			read_commitproc_time_ms read_final_proc_time_ms server_write_committed_time_ms write_commitproc_time_ms write_final_proc_time_ms`,
		"TLS":                           "tls_handshake_exceeded unsuccessful_handshake",
		"Netty":                         "netty_queued_buffer_capacity",
		"the AdminServer":               "insecure_admin_count restore_error_count restore_rate_limited_count snapshot_error_count snapshot_rate_limited_count restore_time",
		"the authentication ensemble":   "ensemble_auth_fail ensemble_auth_skip ensemble_auth_success",
		"the throttle of requests":      "large_requests_rejected request_throttle_wait_count stale_requests_dropped throttled_ops request_throttle_queue_time_ms",
		"no cache of responses":         "response_packet_cache_hits response_packet_cache_misses",
		"no cleaner of watches":         "add_dead_watcher_stall_time dead_watchers_cleared dead_watchers_queued dead_watchers_cleaner_latency",
		"no JVM":                        "jvm_pause_time_ms",
		"what must never happen":        "digest_mismatches_count unrecoverable_error_count",
		"a race that this cannot stage": "stale_requests stale_replies",
	} {
		for name := range strings.FieldsSeq(names) {
			silent[name] = reason
		}
	}
	return silent
}

// TestEveryMetricIsWired does a bit of everything and looks for metrics that nobody counts.
func TestEveryMetricIsWired(t *testing.T) {
	dir := t.TempDir()
	settings := []string{"dataDir=" + dir, "enforceQuota=true", "nio.sessionlessCnxnTimeout=20", "tickTime=50", "maxCnxns=8"}
	first := startServer(t, settings...)
	everything(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, settings...)
	everything(t, s)
	if _, err := s.Snapshot(); err != nil {
		t.Fatal(err)
	}

	silent, counted := silentMetrics(), map[string]bool{}
	s.metrics.Each(func(m metrics.Sample) {
		switch m.Kind {
		case metrics.KindGauge:
			counted[m.Name] = true
			return
		case metrics.KindCounter:
			if m.Value.Float64() > 0 {
				counted[m.Name] = true
			}
		default:
			if m.Summary.Count > 0 {
				counted[m.Name] = true
			}
		}
	})
	for _, row := range metrics.Table() {
		reason, quiet := silent[row.Name]
		switch shown := counted[row.Name]; {
		case row.Mode != metrics.ModeAlways:
			if shown {
				t.Errorf("%s belongs to ensembles", row.Name)
			}
		case shown && quiet:
			t.Errorf("%s counts, although it should be silent: %s", row.Name, reason)
		case !shown && !quiet:
			t.Errorf("nothing counts %s", row.Name)
		}
		delete(silent, row.Name)
	}
	for name := range silent {
		t.Errorf("there is no metric %s", name)
	}
}

// everything uses each part of a server once.
func everything(t *testing.T, s *Server) {
	t.Helper()
	ctx := t.Context()
	c, watcher := connect(t, s), connect(t, s)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Exists(ctx, "/app", false); err == nil {
		must(nil, c.Delete(ctx, "/app", -1))
	}
	_, _ = watcher.Exists(ctx, "/app", true)
	must(watcher.ChildNames(ctx, "/", true))
	must(c.Create(ctx, "/app", []byte("x"), client.OpenACL, jute.ModePersistent))
	_, _, err := watcher.Get(ctx, "/app", true)
	must(nil, err)
	must(c.Set(ctx, "/app", []byte("yy"), -1))
	must(watcher.Exists(ctx, "/app", true))
	must(c.Create(ctx, "/app/gone", nil, client.OpenACL, jute.ModePersistent))
	must(watcher.Exists(ctx, "/app/gone", true))
	must(nil, c.Delete(ctx, "/app/gone", -1))

	for i := range listingMin {
		_, _ = c.Create(ctx, fmt.Sprintf("/app/%d", i), nil, client.OpenACL, jute.ModePersistent)
	}
	for range 3 {
		must(c.ChildNames(ctx, "/app", false))
	}
	for i := range listingMin {
		must(nil, c.Delete(ctx, fmt.Sprintf("/app/%d", i), -1))
	}

	if _, err := c.Exists(ctx, "/zookeeper/quota/full", false); err != nil {
		must(c.Create(ctx, "/full", nil, client.OpenACL, jute.ModePersistent))
		must(c.Create(ctx, "/zookeeper/quota/full", nil, client.OpenACL, jute.ModePersistent))
		must(c.Create(ctx, "/zookeeper/quota/full/zookeeper_limits", []byte("count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=1"), client.OpenACL, jute.ModePersistent))
		must(c.Create(ctx, "/zookeeper/quota/full/zookeeper_stats", []byte("count=0,bytes=0"), client.OpenACL, jute.ModePersistent))
	}
	if _, err := c.Create(ctx, "/full/2", nil, client.OpenACL, jute.ModePersistent); err == nil {
		t.Fatal("the quota is not enforced")
	}

	// A session that is brought back, then left alone until it expires; another that is closed.
	raw := client.NewRawConn(dial(t, s))
	session, err := raw.Handshake(&jute.ConnectRequest{Timeout: 1})
	must(nil, err)
	raw.Close()
	raw = client.NewRawConn(dial(t, s))
	_, err = raw.Handshake(&jute.ConnectRequest{Timeout: 1, SessionID: session.SessionID, Password: session.Password[:]})
	must(nil, err)
	must(nil, connect(t, s).Close())
	eventually(t, "the session expires", func() bool { return s.metrics.StaleSessionsExpired.Load() > 0 })

	silentConn := dial(t, s)
	closed(t, silentConn)
	dial(t, s).Close()
	eventually(t, "a lost connection is noticed", func() bool { return s.metrics.ConnectionDrops.Load() > 0 })
	eventually(t, "a connection too many is rejected", func() bool {
		if nc, err := net.Dial("tcp", s.addr()); err == nil {
			t.Cleanup(func() { nc.Close() })
		}
		return s.metrics.ConnectionRejected.Load() > 0
	})
}

// TestMntrKeys compares with the keys of ZooKeeper after the program of compat/mntr.
func TestMntrKeys(t *testing.T) {
	s := startServer(t, "dataDir="+t.TempDir())
	c := connect(t, s)
	ctx := t.Context()
	for _, n := range [][2]string{{"/app", "x"}, {"/zookeeper/quota/app", ""}, {"/zookeeper/quota/app/zookeeper_limits", "count=100,bytes=-1"}, {"/zookeeper/quota/app/zookeeper_stats", "count=0,bytes=0"}} {
		if _, err := c.Create(ctx, n[0], []byte(n[1]), client.OpenACL, jute.ModePersistent); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Set(ctx, "/app", []byte("y"), -1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Get(ctx, "/app", false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exists(ctx, "/app", false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ChildNames(ctx, "/app", false); err != nil {
		t.Fatal(err)
	}
	recorded, err := os.ReadFile("../testdata/mntr/standalone-3.9.5.txt")
	if err != nil {
		t.Fatal(err)
	}
	var want, have []string
	for line := range strings.Lines(string(recorded)) {
		if key, _, ok := strings.Cut(line, "\t"); ok {
			want = append(want, key)
		}
	}
	values := map[string]string{}
	for line := range strings.Lines(ask(t, s, "mntr")) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		values[key] = value
		have = append(have, key)
	}
	slices.Sort(have)
	slices.Sort(want)
	for _, key := range want {
		// The shell that made the recording reads and writes in the namespace of quotas too.
		if _, ok := values[key]; !ok && !strings.Contains(key, "_zookeeper_") {
			t.Errorf("mntr has no %s", key)
		}
	}
	for _, key := range have {
		if !slices.Contains(want, key) {
			t.Errorf("mntr has %s, which ZooKeeper has not", key)
		}
	}
	for key, value := range map[string]string{
		"zk_version": FullVersion(), "zk_server_state": "standalone", "zk_znode_count": "9", "zk_ephemerals_count": "0", "zk_watch_count": "0",
		"zk_global_sessions": "1", "zk_num_alive_connections": "2", "zk_outstanding_requests": "0", "zk_connection_drop_probability": "0.0",
		"zk_app_quota_count_limit_per_namespace": "100", "zk_app_quota_bytes_limit_per_namespace": "-1", "zk_app_quota_count_usage_per_namespace": "1",
		"zk_app_quota_bytes_usage_per_namespace": "1", "zk_cnt_app_read_per_namespace": "3", "zk_sum_app_read_per_namespace": "217",
		"zk_cnt_app_write_per_namespace": "2", "zk_sum_app_write_per_namespace": "10", "zk_connection_request_count": "1",
		"zk_min_client_response_size": "20", // of the empty list of children
	} {
		if values[key] != value {
			t.Errorf("%s is %q, not %q", key, values[key], value)
		}
	}
	ask(t, s, "srst")
	answer := ask(t, s, "mntr")
	for _, line := range []string{"zk_cnt_app_read_per_namespace\t0", "zk_connection_request_count\t0", "zk_cnt_fsynctime\t0", "zk_packets_sent\t1", "zk_znode_count\t9"} {
		if !strings.Contains(answer, line+"\n") {
			t.Errorf("after srst mntr has no %q", line)
		}
	}
}

// TestStale counts requests and replies of connections that have gone.
func TestStale(t *testing.T) {
	c, _ := hotConn(t)
	s := c.s
	r := &Request{Op: jute.OpDelete, conn: c, received: time.Now(), write: true}
	c.push(r)
	s.batchBegins(time.Now(), []*Request{r}, 0)
	if n := s.metrics.StaleRequests.Load(); n != 0 {
		t.Errorf("%d stale requests while the connection is there", n)
	}
	c.cleanUp()
	s.batchBegins(time.Now(), []*Request{r, {Op: jute.OpCloseSession, conn: c}, {Op: jute.OpCloseSession}}, 0)
	c.settle(r, nil, nil)
	if requests, replies := s.metrics.StaleRequests.Load(), s.metrics.StaleReplies.Load(); requests != 1 || replies != 1 {
		t.Errorf("%d stale requests, %d stale replies", requests, replies)
	}
}

// TestTraffic adds up sizes by namespace, whatever order they come in.
func TestTraffic(t *testing.T) {
	set := metrics.New(metrics.Default)
	tr := traffic{family: &set.ReadPerNamespace}
	for _, path := range []string{"/a/b", "/a/b", "/a", "/", "", "/b", "/b/long/way/down", "/a/b"} {
		tr.add([]byte(path), len(path))
	}
	tr.end()
	tr.end() // counts nothing twice
	for name, want := range map[string][4]int64{"a": {4, 14, 2, 4}, "b": {2, 18, 2, 16}} {
		y := set.ReadPerNamespace.With(name)
		if got := [4]int64{y.Count(), int64(y.Avg()*float64(y.Count()) + 0.5), y.Min(), y.Max()}; got != want {
			t.Errorf("%s: count, sum, min, max %v, not %v", name, got, want)
		}
	}
	for path, want := range map[string]string{"": "", "/": "", "/a": "a", "/a/b/c": "a"} {
		if got := namespace(path); got != want {
			t.Errorf("the namespace of %q is %q", path, got)
		}
	}
}

// TestResponses takes sizes out of frames that follow each other.
func TestResponses(t *testing.T) {
	st := serverStats{latency: metrics.NewSummary()}
	st.reset()
	frame := func(n int) []byte { return append(jute.AppendInt32(nil, int32(n)), make([]byte, n)...) }
	check := func(last, low, high int64) {
		t.Helper()
		if r := &st.response; r.last.Load() != last || r.min.Load() != low || r.max.Load() != high {
			t.Errorf("last, min, max %d, %d, %d, not %d, %d, %d", r.last.Load(), r.min.Load(), r.max.Load(), last, low, high)
		}
	}
	check(-1, -1, -1)
	if n := st.responses(bytes.Join([][]byte{frame(20), frame(16), frame(100), frame(17)}, nil)); n != 4 {
		t.Errorf("%d frames", n)
	}
	check(17, 16, 100)
	st.responses(frame(50))
	check(50, 16, 100)
	st.requestsDone(3, 5*time.Millisecond)
	if st.latency.Avg() != 5 || st.latency.Count() != 3 {
		t.Error("the latency of a batch counts for each of its requests")
	}
	st.reset()
	check(-1, -1, -1)
}
