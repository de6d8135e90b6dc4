package compat

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/ensemble"
	"quoll/compat/peer"
	"quoll/metrics"
)

// memberRoles are asked in this order. The first three are of one ensemble, each of the others is a voter that is alone.
var memberRoles = []string{"leader", "follower", "observer", "read-only", "looking"}

// memberMetrics are the values of mntr that must be the same in every role that has them: what the program and the coming together of the ensemble decide.
var memberMetrics = []string{
	"server_state", "peer_state", "quorum_size", "learners", "synced_followers", "synced_observers", "synced_non_voting_followers", "pending_syncs",
	"last_proposal_size", "min_proposal_size", "max_proposal_size", "proposal_count", "commit_count",
	"learner_proposal_received_count", "learner_commit_received_count", "revalidate_count", "connection_revalidate_count",
	"connection_request_count", "looking_count", "quit_leading_due_to_disloyal_voter", "request_commit_queued", "cnt_election_time", "cnt_unavailable_time",
	"cnt_leader_unavailable_time", "cnt_follower_sync_time", "cnt_observer_sync_time", "cnt_quorum_ack_latency", "cnt_commit_propagation_latency",
	"cnt_propagation_latency", "cnt_proposal_latency", "cnt_proposal_ack_creation_latency", "cnt_updatelatency", "sync_processor_request_queued",
	"cnt_sync_process_time", "cnt_sync_processor_queue_time_ms", "cnt_sync_processor_queue_and_flush_time_ms", "cnt_server_write_committed_time_ms",
	"outstanding_changes_queued", "outstanding_changes_removed", "digest_mismatches_count", "unrecoverable_error_count",
	"znode_count", "ephemerals_count", "watch_count", "approximate_data_size", "global_sessions", "local_sessions", "num_alive_connections",
	"outstanding_requests", "last_client_response_size", "min_client_response_size", "max_client_response_size", "response_bytes", "watch_bytes",
	"sum_node_changed_watch_count", "sum_node_created_watch_count", "sum_node_deleted_watch_count", "sum_node_children_watch_count",
	"sum_leader_write_per_namespace", "sum_follower_write_per_namespace", "sum_observer_write_per_namespace",
	"sum_leader_read_per_namespace", "sum_follower_read_per_namespace", "sum_observer_read_per_namespace",
	"leader_quota_count_usage_per_namespace", "follower_quota_bytes_limit_per_namespace", "cnt_dbinittime", "cnt_startup_snap_load_time",
}

// memberMetricDifferences are values that differ in some role, and why. Those that never change are in metrics.Idle.
var memberMetricDifferences = map[string]string{
	"prep_processor_request_queued":            readsSkip,
	"cnt_prep_process_time":                    readsSkip,
	"cnt_prep_processor_queue_size":            readsSkip,
	"cnt_learner_request_processor_queue_size": readsSkip,
	"cnt_commit_process_time":                  "ZooKeeper's commit processor also turns for reads and for writes that wait",
	"cnt_commit_commit_proc_req_queued":        "ZooKeeper's commit processor also turns for reads and for writes that wait",
	"cnt_write_commit_proc_req_queued":         "ZooKeeper's commit processor also turns for reads and for writes that wait",
	"cnt_write_final_proc_time_ms":             "a learner's sync is no write",
	"cnt_local_write_committed_time_ms":        "a learner's sync is no write",
	"cnt_write_commitproc_time_ms":             "the writes of learners do not wait on the leader until they are committed; a learner's sync is no write",
	"cnt_startup_txns_loaded":                  "quoll reads the logs of an empty directory too",
	"cnt_startup_txns_load_time":               "quoll reads the logs of an empty directory too",
	"cnt_snapshottime":                         "quoll writes a snapshot at the first start of every member, ZooKeeper's leader does",
	"cnt_zookeeper_write_per_namespace":        "a learner of ZooKeeper writes /zookeeper/config a second time when it is synchronized",
}

// TestMemberWords asks members of an ensemble of either kind, in every role, the same words after the same programs, and compares lines, keys and values.
func TestMemberWords(t *testing.T) {
	peer.RequireJVM(t)
	want, have := memberAnswers(t, ensemble.Java), memberAnswers(t, ensemble.Quoll)
	differ := map[string]bool{}
	for _, role := range memberRoles {
		for i, word := range words {
			t.Run(fmt.Sprintf("%s-%d-%.4q", role, i, word), func(t *testing.T) {
				if word == "mntr" && role != "looking" {
					compareMemberMntr(t, want[role][i], have[role][i], differ)
					return
				}
				a, b := memberLines(word, want[role][i]), memberLines(word, have[role][i])
				if !slices.Equal(a, b) {
					t.Errorf("java answers\n%s\nquoll answers\n%s", strings.Join(a, ""), strings.Join(b, ""))
				}
			})
		}
	}
	for key, reason := range memberMetricDifferences {
		if !differ[key] {
			t.Errorf("%s is the same in every role: %s is no longer true", key, reason)
		}
	}
}

// memberTimeout is that of sessions, so long that no client sends a ping, which would count.
const memberTimeout = 2 * time.Minute

// memberAnswers runs the programs and asks, and returns the answers by role.
func memberAnswers(t *testing.T, kind ensemble.Kind) map[string][]string {
	t.Helper()
	answers := map[string][]string{}
	start := func(o ensemble.Options, ids ...int64) *ensemble.Ensemble {
		o.Work = t.TempDir()
		o.Config = append(o.Config, fmt.Sprint("maxSessionTimeout=", memberTimeout.Milliseconds()))
		e, err := ensemble.New(o)
		must(t, err)
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(e.Tails(30))
			}
			must(t, e.Close())
		})
		for _, id := range ids {
			must(t, e.Member(id).Start())
		}
		return e
	}
	ask := func(role string, m *ensemble.Member) {
		for _, word := range words {
			answer, err := m.Word(word)
			must(t, err)
			answers[role] = append(answers[role], answer)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	connect := func(m *ensemble.Member, readOnly bool) *client.Client {
		c, err := client.Connect(ctx, m.Addr(), client.Options{Timeout: memberTimeout, ReadOnly: readOnly})
		must(t, err)
		t.Cleanup(c.Abandon)
		return c
	}

	e := start(ensemble.Options{Kinds: []ensemble.Kind{kind, kind, kind, kind}, Observers: 1}, 2, 3)
	leader, err := e.Serving() // of two the higher one
	must(t, err)
	must(t, e.Start(e.Member(1), e.Member(4)))
	_, err = e.Serving()
	must(t, err)
	members := map[string]*ensemble.Member{"leader": leader, "follower": e.Member(2), "observer": e.Member(4)}
	var clients []*client.Client
	for _, role := range memberRoles[:3] {
		clients = append(clients, connect(members[role], false))
		wordProgram(t, clients[len(clients)-1], "/"+role)
	}
	for _, c := range clients {
		must(t, c.Sync(ctx, "/"))
	}
	for _, role := range memberRoles[:3] {
		m := members[role]
		settled := func() bool { // a log may be behind the state
			queued := m.Metric("zk_sync_processor_request_queued")
			return m.Metric("zk_cnt_sync_process_time") == queued && (role == "observer" || m.Metric("zk_cnt_proposal_ack_creation_latency") == queued)
		}
		for deadline := time.Now().Add(patience); !settled(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the log of the %s is behind", role)
			}
		}
		ask(role, m)
	}
	must(t, e.Close())

	alone := func(answers string, o ensemble.Options) *ensemble.Member {
		o.Kinds = []ensemble.Kind{kind, kind, kind}
		m := start(o, 1).Member(1)
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			answer, err := m.Word("srvr")
			if err == nil && strings.Contains(answer, answers) {
				return m
			}
			if time.Now().After(deadline) {
				t.Fatalf("a member that is alone answers %q, %v, not %q", answer, err, answers)
			}
		}
	}
	// Without local sessions nobody has one at a server of ZooKeeper that is read-only.
	m := alone("Mode: read-only", ensemble.Options{Flags: []string{"-Dreadonlymode.enabled=true"}, Config: []string{"localSessionsEnabled=true"}})
	_, err = connect(m, true).ChildNames(ctx, "/", true)
	must(t, err)
	ask("read-only", m)
	ask("looking", alone("not currently serving", ensemble.Options{}))
	return answers
}

var (
	memberPorts  = regexp.MustCompile(`(127\.0\.0\.1:\d+:\d+)|^(electionPort|quorumPort)=\d+`)
	memberExpiry = regexp.MustCompile(`^\d+ expire at `)
)

// memberLines is what must be the same of an answer. In which order sessions come depends on who leads, and which of them expire together on time.
func memberLines(word, answer string) (lines []string) {
	for _, line := range wordLines(answer) {
		if !memberExpiry.MatchString(line) {
			lines = append(lines, memberPorts.ReplaceAllString(line, "$2"))
		}
	}
	if word == "dump" {
		slices.Sort(lines)
	}
	return lines
}

func compareMemberMntr(t *testing.T, java, quoll string, differ map[string]bool) {
	t.Helper()
	wantKeys, want := parseMntr(java)
	haveKeys, have := parseMntr(quoll)
	head := func(keys []string) []string {
		n := slices.IndexFunc(keys, func(key string) bool {
			return !slices.Contains([]string{"version", "server_state", "peer_state", "observer_master_id"}, key)
		})
		return keys[:n]
	}
	if a, b := head(wantKeys), head(haveKeys); !slices.Equal(a, b) {
		t.Errorf("the answer begins with %q, not %q", b, a)
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		switch value, ok := have[key]; {
		case !ok:
			t.Errorf("quoll has no %s", key)
		case value == want[key]:
		case slices.Contains(memberMetrics, key):
			t.Errorf("%s: java has %s, quoll %s", key, want[key], value)
		default:
			differ[key] = true
			if _, declared := memberMetricDifferences[key]; !declared && strings.HasPrefix(key, "cnt_") && !memberCounts.MatchString(key) && metrics.Idle[strings.TrimPrefix(key, "cnt_")] == "" {
				t.Errorf("%s: java has %s, quoll %s, and nothing says why", key, want[key], value)
			}
		}
	}
	for _, pair := range memberSums {
		if a, b := want[pair[0]]+"+"+want[pair[1]], have[pair[0]]+"+"+have[pair[1]]; sum(t, a) != sum(t, b) {
			t.Errorf("%s and %s: java has %s, quoll %s", pair[0], pair[1], a, b)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[key]; !ok {
			t.Errorf("quoll has %s, java has not", key)
		}
		name := strings.TrimPrefix(key, "cnt_")
		if metrics.Idle[name] != "" && have[key] != "0" {
			t.Errorf("%s is %s, but never changes as metrics.Idle says: %s", key, have[key], metrics.Idle[name])
		}
	}
}

// memberSums are values of which the sum must be the same: which of its learners ZooKeeper brings to an empty state by a snapshot depends on who comes first.
var memberSums = [][2]string{{"diff_count", "snap_count"}, {"cnt_inflight_diff_count", "cnt_inflight_snap_count"}}

func sum(t *testing.T, text string) (n int) {
	t.Helper()
	for number := range strings.SplitSeq(text, "+") {
		i, err := strconv.Atoi(number)
		must(t, err)
		n += i
	}
	return n
}

// memberCounts depend on what happened to be written, synced, read or asked together.
var memberCounts = regexp.MustCompile(`_(fsynctime|inflight_(diff|snap)_count|learner_handler_qp_size|sync_processor_(batch_size|queue_size|queue_flush_time_ms)|session_queues_drained|write_batch_time_in_commit_processor` +
	`|write_commit_proc_issued|readlatency|read_commitproc_time_ms|read_final_proc_time_ms|prep_processor_queue_time_ms|socket_closing_time)$`)
