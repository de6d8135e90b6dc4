package compat

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// words are asked in this order of both servers after the same program.
var words = []string{
	"ruok", "isro", "gtmk", "stmk\x00\x00\x00\x00\x00\x00\x01\x33", "gtmk", "conf", "dirs", "envi", "srvr", "stat", "cons", "dump", "wchs", "wchc", "wchp",
	"hash", "crst", "cons", "mntr", "srst", "srvr", "abcd", "RUOK", "ruok\r\n", "\xff\xf4\xff\xfd",
}

// wordDifferences are the lines in which quoll may differ, by pattern of the line, and why.
var wordDifferences = []struct{ line, reason string }{
	{`^(Zookeeper version: |zk_version|zookeeper\.version)`, "each names its own commit and date of build"},
	{`^java\.(version|vendor|home|class\.path|library\.path)=`, "there is no Java: <NA>, as Java prints what it does not know"},
	{`^os\.memory\.`, "of the process, not of a heap; without a limit there is no maximum"},
	{`^(host\.name|user\.dir|dataDir|dataLogDir|clientPort)=`, "of the machine and of this test"},
	{`^(dataDirSize|dataLogSize)=|^(data|log)dir_size: `, "files end in different places"},
	{`^Received: |^Sent: |^zk_packets_(received|sent)\t`, "the probes until the server serves count too"},
	{`^Latency min/avg/max: `, "time"},
	{`^\d+ expire at `, "time"},
}

// wordMetrics are the values of mntr that must be the same, when the program is the same. The others are times, sizes of queues and the
// state of the process.
var wordMetrics = []string{
	"server_state", "znode_count", "ephemerals_count", "watch_count", "approximate_data_size", "global_sessions", "local_sessions", "num_alive_connections",
	"outstanding_requests", "auth_failed_count", "connection_drop_probability", "outstanding_tls_handshake", "non_mtls_local_conn_count",
	"last_client_response_size", "min_client_response_size", "max_client_response_size",
	"connection_request_count", "connection_revalidate_count", "connection_rejected", "stale_sessions_expired", "sessionless_connections_expired",
	"digest_mismatches_count", "watch_bytes", "response_bytes", "unrecoverable_error_count", "cnt_readlatency", "cnt_updatelatency", "cnt_propagation_latency",
	"sum_node_changed_watch_count", "cnt_node_changed_watch_count", "cnt_node_created_watch_count", "cnt_node_deleted_watch_count",
	"sum_node_children_watch_count", "cnt_node_children_watch_count", "sum_app_read_per_namespace", "cnt_app_read_per_namespace",
	"sum_app_write_per_namespace", "cnt_app_write_per_namespace", "min_app_write_per_namespace", "max_app_write_per_namespace",
	"app_quota_count_limit_per_namespace", "app_quota_bytes_limit_per_namespace", "app_quota_count_usage_per_namespace",
	"app_quota_bytes_usage_per_namespace", "cnt_sync_process_time", "outstanding_changes_queued", "outstanding_changes_removed",
	"cnt_connection_token_deficit", "sum_connection_token_deficit", "cnt_dbinittime", "cnt_startup_snap_load_time", "cnt_snapshottime",
}

// wordMetricDifferences are values that are meant to differ, and why.
var wordMetricDifferences = map[string]string{
	"prep_processor_request_queued":      readsSkip,
	"cnt_prep_process_time":              readsSkip,
	"cnt_prep_processor_queue_time_ms":   readsSkip,
	"sync_processor_request_queued":      readsSkip,
	"cnt_sync_processor_queue_time_ms":   readsSkip,
	"cnt_proposal_process_time":          "there is no hand-over between threads to measure",
	"cnt_request_throttle_queue_time_ms": "there is no queue in front of preparation without a throttle",
	"cnt_startup_txns_loaded":            "quoll reads the logs of an empty directory too",
	"cnt_startup_txns_load_time":         "quoll reads the logs of an empty directory too",
}

const readsSkip = "reads of ZooKeeper pass the stages of writes, quoll's do not"

// TestWords asks both servers the same words and compares lines, keys and, where the program decides them, values.
func TestWords(t *testing.T) {
	opts := peer.Options{Config: []string{"4lw.commands.whitelist=*"}}
	java, quoll := peer.Java(t, opts), peer.Quoll(t, opts)
	want, have := wordAnswers(t, java), wordAnswers(t, quoll)
	for i, word := range words {
		t.Run(fmt.Sprintf("%d-%.4q", i, word), func(t *testing.T) {
			if word == "mntr" {
				compareMntr(t, want[i], have[i])
				return
			}
			a, b := wordLines(want[i]), wordLines(have[i])
			if len(a) != len(b) {
				t.Fatalf("java answers\n%s\nquoll answers\n%s", want[i], have[i])
			}
			for n := range a {
				if a[n] != b[n] {
					t.Errorf("line %d\njava  %q\nquoll %q", n+1, a[n], b[n])
				}
			}
		})
	}
}

// wordAnswers runs the program and asks.
func wordAnswers(t *testing.T, s *peer.Server) (answers []string) {
	t.Helper()
	ctx := t.Context()
	// A busy machine may leave connections behind of those that found out whether the server serves.
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		answer, err := s.FourLetter("srvr")
		must(t, err)
		if strings.Contains(answer, "\nConnections: 1\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has connections that nobody made:\n%s", s.Kind(), answer)
		}
	}
	c, err := client.Connect(ctx, s.Addr(), client.Options{Timeout: patience})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	wordProgram(t, c, "/app")
	for range words {
		answer, err := s.FourLetter(words[len(answers)])
		must(t, err)
		answers = append(answers, answer)
	}
	return answers
}

// wordProgram does something of everything that words show, below a znode that it makes.
func wordProgram(t *testing.T, c *client.Client, app string) {
	t.Helper()
	ctx := t.Context()
	create := func(path, data string, mode jute.CreateMode) {
		_, err := c.Create(ctx, path, []byte(data), client.OpenACL, mode)
		must(t, err)
	}
	create(app, "x", jute.ModePersistent)
	create(app+"/config", "some data", jute.ModePersistent)
	create(app+"/member", "", jute.ModeEphemeral)
	create("/zookeeper/quota"+app, "", jute.ModePersistent)
	create("/zookeeper/quota"+app+"/zookeeper_limits", "count=10,bytes=-1=;byteHardLimit=200;countHardLimit=-1", jute.ModePersistent)
	create("/zookeeper/quota"+app+"/zookeeper_stats", "count=0,bytes=0", jute.ModePersistent)
	if _, err := c.Create(ctx, app, nil, client.OpenACL, jute.ModePersistent); err == nil {
		t.Fatalf("%s could be created twice", app)
	}
	_, _, err := c.Get(ctx, app+"/config", true)
	must(t, err)
	_, err = c.Set(ctx, app+"/config", []byte("other"), -1)
	must(t, err)
	_, err = c.Exists(ctx, app+"/new", true)
	if err == nil {
		t.Fatalf("%s/new exists", app)
	}
	_, err = c.ChildNames(ctx, app, true)
	must(t, err)
	create(app+"/new", "1", jute.ModePersistent)
	_, err = c.Exists(ctx, app+"/new", true)
	must(t, err)
	must(t, c.Delete(ctx, app+"/new", -1))
	// One watch stays, of each kind.
	_, err = c.Exists(ctx, app+"/none", true)
	if err == nil {
		t.Fatalf("%s/none exists", app)
	}
	_, err = c.ChildNames(ctx, app, true)
	must(t, err)
	_, _, err = c.Get(ctx, app+"/config", false)
	must(t, err)
}

// wordNumbers are what differs between two runs of the same server: addresses, sessions, times.
var wordNumbers = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`/127\.0\.0\.1:\d+\[[0-9a-f]\]`), "ADDRESS[N]"},
	{regexp.MustCompile(`/127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`0x[0-9a-f]{14,15}\b`), "SESSION"},
	{regexp.MustCompile(`Sets \(\d+\)/`), "Sets (N)/"},
	{regexp.MustCompile(`\b(est|lresp|llat|minlat|avglat|maxlat)=\d+`), "$1=N"},
}

// wordLines is what must be the same of an answer. ZooKeeper lists connections in any order, and has not yet forgotten some buckets of
// dump that have become empty.
func wordLines(answer string) (lines []string) {
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "0 expire at ") {
			continue
		}
		lines = append(lines, wordShape(line))
	}
	for i := 0; i < len(lines); {
		n := slices.IndexFunc(lines[i:], func(line string) bool { return !strings.HasPrefix(line, " ADDRESS[N]") })
		if n < 0 {
			n = len(lines) - i
		}
		slices.Sort(lines[i : i+n])
		i += n + 1
	}
	return lines
}

// wordShape is what must be the same of a line.
func wordShape(line string) string {
	for _, d := range wordDifferences {
		if prefix := regexp.MustCompile(d.line).FindString(line); prefix != "" {
			return prefix
		}
	}
	for _, n := range wordNumbers {
		line = n.pattern.ReplaceAllString(line, n.with)
	}
	return line
}

// parseMntr returns the keys without zk_ in their order, and their values.
func parseMntr(answer string) (keys []string, values map[string]string) {
	values = map[string]string{}
	for line := range strings.Lines(answer) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		key = strings.TrimPrefix(key, "zk_")
		values[key] = value
		keys = append(keys, key)
	}
	return keys, values
}

func compareMntr(t *testing.T, java, quoll string) {
	t.Helper()
	wantKeys, want := parseMntr(java)
	haveKeys, have := parseMntr(quoll)
	if !slices.Equal(wantKeys[:2], haveKeys[:2]) {
		t.Errorf("the answer begins with %q, not %q", haveKeys[:2], wantKeys[:2])
	}
	number := regexp.MustCompile(`^-?\d+$`)
	double := regexp.MustCompile(`^-?\d+\.\d{1,4}$`)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		value, ok := have[key]
		switch {
		case !ok:
			t.Errorf("quoll has no %s", key)
		case number.MatchString(want[key]) != number.MatchString(value), double.MatchString(want[key]) != double.MatchString(value):
			t.Errorf("%s: java has %s, quoll %s", key, want[key], value)
		case slices.Contains(wordMetrics, key) && value != want[key]:
			t.Errorf("%s: java has %s, quoll %s", key, want[key], value)
		case wordMetricDifferences[key] != "" && value == want[key]:
			t.Errorf("%s is %s of both servers: %s is no longer true", key, value, wordMetricDifferences[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[key]; !ok {
			t.Errorf("quoll has %s, java has not", key)
		}
	}
	for _, key := range wordMetrics {
		if _, ok := want[key]; !ok {
			t.Errorf("java has no %s", key)
		}
	}
}
