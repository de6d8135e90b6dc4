package compat

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/config"
	"quoll/jute"
	"quoll/tlsconf/tlstest"
)

// asked is what monitoring tools ask: a server that stands alone, and an ensemble. What they make of a member without a quorum is in TestMemberWords.
type asked struct {
	alone          *peer.Server
	members        []*peer.Server
	metrics, admin []string // addresses of the members for Prometheus and for the AdminServer
}

// word asks one server.
func word(t *testing.T, s *peer.Server, word string) string {
	t.Helper()
	answer, err := s.FourLetter(word)
	if err != nil {
		t.Fatalf("%s: %v", word, err)
	}
	return answer
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, response.Status, err)
	}
	return body
}

// TestMonitors reads the answers of ZooKeeper and of quoll as the monitoring tools of others read them: how they cut lines, which keys and forms they want. None of
// the tools runs here.
func TestMonitors(t *testing.T) {
	series := map[string]bool{} // that ZooKeeper has
	for _, kind := range peer.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			a := &asked{}
			whitelist := "4lw.commands.whitelist=*"
			var mu sync.Mutex
			var err error
			a.alone, err = kind.Start(peer.Options{Config: []string{whitelist}})
			peer.Check(t, err)
			t.Cleanup(func() { a.alone.Close() })
			member := peer.Kind{Name: kind.Name, Start: func(o peer.Options) (*peer.Server, error) {
				ports := [2]int{}
				for i := range ports {
					var err error
					if ports[i], err = peer.FreePort(); err != nil {
						return nil, err
					}
				}
				mu.Lock()
				o.Config = append(o.Config, "metricsProvider.className="+config.PrometheusMetricsProvider, "metricsProvider.httpHost=127.0.0.1", fmt.Sprint("metricsProvider.httpPort=", ports[0]),
					"admin.enableServer=true", "admin.serverAddress=127.0.0.1", fmt.Sprint("admin.serverPort=", ports[1]))
				a.metrics = append(a.metrics, fmt.Sprint("127.0.0.1:", ports[0]))
				a.admin = append(a.admin, fmt.Sprint("127.0.0.1:", ports[1]))
				mu.Unlock()
				return kind.Start(o)
			}}
			a.members = peer.Ensemble(t, peer.Options{Config: []string{whitelist}}, member, member, member)
			for name, tool := range map[string]func(*testing.T, *asked){
				"Solr": solr, "Datadog": datadog, "telegraf": telegraf, "zookeeper-exporter": exporter, "check_zookeeper": nagios, "Zabbix": zabbix, "probes": probes,
			} {
				t.Run(name, func(t *testing.T) { tool(t, a) })
			}
			t.Run("dashboards", func(t *testing.T) { dashboards(t, a, series) })
		})
	}
}

// probes are what Kubernetes, load balancers and zkServer.sh look for in words.
func probes(t *testing.T, a *asked) {
	for _, s := range append([]*peer.Server{a.alone}, a.members...) {
		if answer := word(t, s, "isro"); answer != "rw" {
			t.Errorf("isro: %q", answer)
		}
		if !regexp.MustCompile(`(?m)^Mode: (standalone|leader|follower)$`).MatchString(word(t, s, "srvr")) {
			t.Error("srvr has no Mode")
		}
	}
	binary, err := peer.Binary()
	peer.Check(t, err)
	if out, err := exec.CommandContext(t.Context(), binary, "status", a.alone.Addr()).Output(); err != nil || string(out) != "Mode: standalone\n" {
		t.Errorf("quoll status: %v: %s", err, out)
	}
}

// solr is ZookeeperStatusHandler: ruok is imok; each line of mntr has a TAB, each of conf an equals sign, but for that of the word membership; the leader counts its followers.
func solr(t *testing.T, a *asked) {
	followers, counted := 0, -1
	for _, s := range append([]*peer.Server{a.alone}, a.members...) {
		if answer := word(t, s, "ruok"); answer != "imok" {
			t.Errorf("ruok: %q", answer)
		}
		values := map[string]string{}
		for line := range strings.Lines(word(t, s, "mntr")) {
			parts := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(parts) < 2 {
				t.Errorf("mntr has a line %q", line)
				continue
			}
			values[parts[0]] = parts[1]
		}
		for line := range strings.Lines(word(t, s, "conf")) {
			line = strings.TrimSuffix(line, "\n")
			if key, value, _ := strings.Cut(line, "="); value == "" && !strings.HasPrefix(line, "membership:") {
				t.Errorf("conf has a line %q", line)
			} else if key == "clientPort" && !strings.HasSuffix(s.Addr(), ":"+value) {
				t.Errorf("conf has the client port %q", value)
			}
		}
		switch state := values["zk_server_state"]; {
		case s == a.alone && state == "standalone":
		case s != a.alone && state == "follower":
			followers++
		case s != a.alone && state == "leader":
			for _, key := range []string{"zk_followers", "zk_synced_followers"} {
				if value, ok := values[key]; ok {
					n, err := strconv.ParseFloat(value, 32)
					if err != nil {
						t.Error(err)
					}
					counted = max(counted, int(n))
				}
			}
		default:
			t.Errorf("zk_server_state is %q", state)
		}
	}
	if followers != 2 || counted != 2 {
		t.Errorf("there are %d followers and the leader counts %d", followers, counted)
	}
}

// datadog is the check zk of integrations-core: it reads stat line by line, and of mntr those lines that are two words.
func datadog(t *testing.T, a *asked) {
	for _, s := range append([]*peer.Server{a.alone}, a.members...) {
		lines := strings.Split(word(t, s, "stat"), "\n")
		if !regexp.MustCompile(`\d+\.\d+\.\d+`).MatchString(lines[0]) || lines[1] != "Clients:" {
			t.Fatalf("stat begins with %q", lines[:2])
		}
		end := slices.Index(lines, "")
		values := map[string]string{}
		for i, key := range []string{"Latency min/avg/max", "Received", "Sent", "Connections", "Outstanding", "Zxid", "Mode", "Node count"} {
			have, value, _ := strings.Cut(lines[end+1+i], ": ")
			if have != key {
				t.Fatalf("stat has %q, not %s", lines[end+1+i], key)
			}
			values[key] = value
		}
		latencies := strings.Split(values["Latency min/avg/max"], "/")
		for _, l := range latencies {
			if _, err := strconv.ParseFloat(l, 64); err != nil || len(latencies) != 3 {
				t.Errorf("the latencies are %q", latencies)
			}
		}
		if zxid, found := strings.CutPrefix(values["Zxid"], "0x"); !found {
			t.Errorf("the zxid is %q", values["Zxid"])
		} else if _, err := strconv.ParseInt(zxid, 16, 64); err != nil {
			t.Error(err)
		}
		if !slices.Contains([]string{"leader", "follower", "standalone"}, strings.ToLower(values["Mode"])) {
			t.Errorf("the mode is %q", values["Mode"])
		}
		mode, numbers := "", 0
		for i, line := range strings.Split(word(t, s, "mntr"), "\n") {
			words := strings.Fields(line)
			if i == 0 && words[0] != "zk_version" {
				t.Errorf("mntr begins with %q", line)
			}
			if len(words) != 2 {
				continue
			}
			if words[0] == "zk_server_state" {
				mode = words[1]
			} else if _, err := strconv.ParseFloat(words[1], 64); err == nil {
				numbers++
			}
		}
		if mode == "" || numbers < 100 {
			t.Errorf("mntr has the mode %q and %d numbers", mode, numbers)
		}
	}
}

// telegraf takes every line of mntr for zk_key value, and the version for a text.
func telegraf(t *testing.T, a *asked) {
	line := regexp.MustCompile(`^zk_(\w[\w\.\-]*)\s+([\w\.\-]+)`)
	for _, s := range append([]*peer.Server{a.alone}, a.members...) {
		fields := map[string]string{}
		for text := range strings.Lines(word(t, s, "mntr")) {
			parts := line.FindStringSubmatch(strings.TrimSuffix(text, "\n"))
			if parts == nil {
				// ZooKeeper's own summaries by namespace and by quantile end a gathering as well.
				if !strings.Contains(text, "{") {
					t.Errorf("mntr has a line %q", text)
				}
				continue
			}
			fields[parts[1]] = parts[2]
		}
		for _, field := range []string{"approximate_data_size", "avg_latency", "ephemerals_count", "max_file_descriptor_count", "max_latency", "min_latency", "num_alive_connections",
			"open_file_descriptor_count", "outstanding_requests", "packets_received", "packets_sent", "version", "watch_count", "znode_count", "server_state"} {
			if fields[field] == "" {
				t.Errorf("mntr has no %s", field)
			}
		}
		if !strings.HasPrefix(fields["version"], "3.9.5-") {
			t.Errorf("the version is %q", fields["version"])
		}
	}
}

// exporter is dabealu/zookeeper-exporter: the first two words of each line of mntr, numbers but for three keys, and the sentence of a server that does not serve.
func exporter(t *testing.T, a *asked) {
	for _, s := range append([]*peer.Server{a.alone}, a.members...) {
		for text := range strings.Lines(word(t, s, "mntr")) {
			if strings.HasPrefix(text, "zk_jvm_") {
				continue // the names of Java's pools have spaces, over which the exporter stumbles
			}
			words := strings.Split(strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\t", " "), " ")
			if len(words) < 2 {
				t.Errorf("mntr has a line %q", text)
				continue
			}
			switch words[0] {
			case "zk_server_state", "zk_peer_state":
			case "zk_version":
				if !regexp.MustCompile(`^([0-9]+\.[0-9]+\.[0-9]+).*$`).MatchString(words[1]) {
					t.Errorf("the version is %q", words[1])
				}
			default:
				if _, err := strconv.ParseFloat(words[1], 64); err != nil {
					t.Errorf("mntr has a line %q", text)
				}
			}
		}
	}
}

// nagios is check_zookeeper.py, which comes with ZooKeeper: key, TAB, value; and stat where there is no mntr.
func nagios(t *testing.T, a *asked) {
	keys := map[string]bool{}
	for text := range strings.Lines(word(t, a.alone, "mntr")) {
		key, value, found := strings.Cut(strings.TrimSpace(text), "\t")
		if !found || value == "" {
			t.Errorf("mntr has a line %q", text)
		}
		keys[key] = true
	}
	for _, key := range []string{"zk_avg_latency", "zk_max_latency", "zk_min_latency", "zk_packets_received", "zk_packets_sent", "zk_outstanding_requests", "zk_znode_count", "zk_watch_count",
		"zk_ephemerals_count", "zk_approximate_data_size", "zk_open_file_descriptor_count", "zk_max_file_descriptor_count", "zk_num_alive_connections"} {
		if !keys[key] {
			t.Errorf("mntr has no %s", key)
		}
	}
}

// zabbix is its template ZooKeeper by HTTP: the JSON of the command monitor, and of connections.
func zabbix(t *testing.T, a *asked) {
	leaders := 0
	for _, addr := range a.admin {
		var monitor map[string]any
		if err := json.Unmarshal(get(t, "http://"+addr+"/commands/monitor"), &monitor); err != nil {
			t.Fatal(err)
		}
		keys := []string{"server_state", "uptime", "version", "approximate_data_size", "max_file_descriptor_count", "open_file_descriptor_count", "outstanding_requests", "commit_count", "diff_count",
			"snap_count", "looking_count", "num_alive_connections", "global_sessions", "local_sessions", "connection_drop_count", "connection_rejected", "connection_revalidate_count",
			"revalidate_count", "max_latency", "min_latency", "avg_latency", "znode_count", "ephemerals_count", "watch_count", "packets_sent", "packets_received", "bytes_received_count"}
		if monitor["server_state"] == "leader" {
			leaders++
			keys = append(keys, "pending_syncs", "quorum_size", "synced_followers", "synced_non_voting_followers", "synced_observers", "learners")
		}
		for _, key := range keys {
			if monitor[key] == nil {
				t.Errorf("monitor has no %s", key)
			}
		}
		var connections map[string]any
		if err := json.Unmarshal(get(t, "http://"+addr+"/commands/connections"), &connections); err != nil || connections["connections"] == nil || connections["secure_connections"] == nil {
			t.Errorf("connections: %v", err)
		}
	}
	if leaders != 1 {
		t.Errorf("there are %d leaders", leaders)
	}
}

// dashboardSeries are what public dashboards for Prometheus ask: Grafana's 10465, "ZooKeeper by Prometheus", in the form that ops-center/grafana-dashboards has, and
// grafana/jsonnet-libs, zookeeper-observ-lib. Series of the JVM, which a server in Go has not, are left out.
const dashboardSeries = `
add_dead_watcher_stall_time approximate_data_size avg_latency bytes_received_count close_session_prep_time_sum commit_commit_proc_req_queued_sum commit_count commit_process_time_sum
commit_propagation_latency_sum concurrent_request_processing_in_commit_processor_sum connection_drop_count connection_drop_probability connection_rejected connection_request_count
connection_token_deficit_sum dbinittime dbinittime_count dbinittime_sum dead_watchers_cleaner_latency_sum dead_watchers_cleared dead_watchers_queued diff_count digest_mismatches_count
ensemble_auth_fail ensemble_auth_skip ensemble_auth_success ephemerals_count follower_sync_time_sum fsynctime fsynctime_count fsynctime_sum global_sessions last_client_response_size
last_proposal_size leader_uptime learner_handler_qp_size_sum learners local_sessions local_write_committed_time_ms_sum looking_count max_client_response_size max_latency max_proposal_size
min_client_response_size min_latency min_proposal_size node_changed_watch_count_sum node_children_watch_count_sum node_created_watch_count_sum node_deleted_watch_count_sum
num_alive_connections om_commit_process_time_ms_sum om_proposal_process_time_ms_sum open_file_descriptor_count outstanding_changes_queued outstanding_changes_removed outstanding_requests
outstanding_tls_handshake packets_received packets_sent pending_session_queue_size_sum prep_process_time_sum prep_processor_queue_size_sum prep_processor_queue_time_ms_sum
prep_processor_request_queued propagation_latency_sum proposal_ack_creation_latency proposal_count proposal_latency_sum quit_leading_due_to_disloyal_voter quorum_ack_latency_sum quorum_size
read_commit_proc_issued_sum read_commit_proc_req_queued_sum read_commitproc_time_ms_sum read_final_proc_time_ms_sum read_per_namespace_sum readlatency_sum
reads_after_write_in_session_queue_sum reads_issued_from_session_queue_sum request_commit_queued requests_in_session_queue_sum response_packet_cache_hits response_packet_cache_misses
response_packet_get_children_cache_hits response_packet_get_children_cache_misses revalidate_count server_write_committed_time_ms_sum session_queues_drained_sum
sessionless_connections_expired snap_count snapshottime_count snapshottime_sum stale_sessions_expired startup_snap_load_time startup_snap_load_time_count startup_snap_load_time_sum
startup_txns_loaded startup_txns_loaded_count startup_txns_loaded_sum sync_process_time_sum sync_processor_batch_size_sum sync_processor_queue_flush_time_ms_sum
sync_processor_queue_size_sum sync_processor_request_queued synced_non_voting_followers synced_observers time_waiting_empty_pool_in_commit_processor_read_ms_sum tls_handshake_exceeded
unrecoverable_error_count updatelatency_sum watch_count write_batch_time_in_commit_processor_sum write_commit_proc_issued_sum write_commit_proc_req_queued_sum
write_commitproc_time_ms_sum write_final_proc_time_ms_sum write_per_namespace_sum znode_count`

// dashboards looks for the series that dashboards ask, over all members. ZooKeeper itself comes first, and what it has not either is not asked of quoll.
func dashboards(t *testing.T, a *asked, series map[string]bool) {
	c, err := client.Connect(t.Context(), a.members[0].Addr(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Create(t.Context(), "/series", nil, client.OpenACL, jute.ModePersistent); err != nil { // some have no value before a write
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, addr := range a.metrics {
		for _, m := range regexp.MustCompile(`(?m)^([a-zA-Z_]\w*)[ {]`).FindAllSubmatch(get(t, "http://"+addr+"/metrics"), -1) {
			have[string(m[1])] = true
		}
	}
	found := 0
	for _, name := range strings.Fields(dashboardSeries) {
		switch {
		case a.alone.Kind() == "java":
			series[name] = have[name]
			if !have[name] {
				t.Logf("ZooKeeper has no %s", name)
			}
		case series[name] && !have[name]:
			t.Errorf("no series %s", name)
		}
		if have[name] {
			found++
		}
	}
	if found < 100 {
		t.Errorf("only %d of the series are there", found)
	}
}

// operated starts a member as an operator does, with its own configuration file.
func operated(t *testing.T, kind peer.Kind, o peer.Options, id int) *peer.Server {
	t.Helper()
	o.Work = t.TempDir()
	o.Dir = filepath.Join(o.Work, "data")
	if err := errors.Join(os.Mkdir(o.Dir, 0o755), os.WriteFile(filepath.Join(o.Dir, "myid"), fmt.Appendln(nil, id), 0o644)); err != nil {
		t.Fatal(err)
	}
	s, err := kind.Start(o)
	peer.Check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// freePorts are some, each another.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		port, err := peer.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	return ports
}

// TestPravega does what the scripts of pravega/zookeeper-operator do: the first member starts from a dynamic file of its own line, zu.jar adds the next as an observer,
// whose dynamic file is the answer, and makes it a participant when it runs, by removing and adding it; the readiness probe reads zoo.cfg and the dynamic file.
func TestPravega(t *testing.T) {
	for _, kind := range peer.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			ports := freePorts(t, 6)
			line := func(id int, role string) string {
				p := ports[3*(id-1):]
				return fmt.Sprintf("server.%d=127.0.0.1:%d:%d:%s;127.0.0.1:%d", id, p[0], p[1], role, p[2])
			}
			start := func(id int, members string) *peer.Server {
				t.Helper()
				dynamic := filepath.Join(t.TempDir(), "zoo.cfg.dynamic")
				if err := os.WriteFile(dynamic, []byte(members), 0o644); err != nil {
					t.Fatal(err)
				}
				return operated(t, kind, peer.Options{Port: ports[3*(id-1)+2], Flags: []string{"-Dzookeeper.skipACL=yes"}, Config: []string{
					"4lw.commands.whitelist=cons, envi, conf, crst, srvr, stat, mntr, ruok", "initLimit=10", "syncLimit=2", "standaloneEnabled=false", "reconfigEnabled=true", "skipACL=yes",
					"dynamicConfigFile=" + dynamic}}, id)
			}
			one := start(1, line(1, "participant")+"\n")
			c, err := client.Connect(ctx, one.Addr(), client.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			// zu prints or writes the answer to a reconfig without its version.
			reconfig := func(joining, leaving string) string {
				t.Helper()
				answer, _, err := c.Reconfig(ctx, joining, leaving, "", -1)
				if err != nil {
					t.Fatal(err)
				}
				lines := strings.Split(string(answer), "\n")
				if !strings.HasPrefix(lines[len(lines)-1], "version=") {
					t.Errorf("the answer to a reconfig ends with %q", lines[len(lines)-1])
				}
				return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "version=") }), "\n") + "\n"
			}
			members := reconfig(line(2, "observer"), "")
			if want := line(1, "participant") + "\n" + line(2, "observer") + "\n"; members != want {
				t.Errorf("the dynamic file of the second is %q, not %q", members, want)
			}
			two := start(2, members)
			reconfig("", "2")
			// The script waits for a second, in which the removed one comes back as a server that is no member.
			for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				_, _, err := c.Reconfig(ctx, line(2, "participant"), "", "", -1)
				if err == nil {
					break
				}
				if !errors.Is(err, jute.ErrNewConfigNoQuorum) || time.Now().After(end) {
					t.Fatal(err)
				}
			}
			if word(t, two, "ruok") != "imok" {
				t.Error("ruok is not imok")
			}
			// What the probe reads: the last line of zoo.cfg is dynamicConfigFile, and the server's line there says what it is.
			role := ""
			for end := time.Now().Add(30 * time.Second); role != "participant" && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				static, err := os.ReadFile(filepath.Join(filepath.Dir(two.Dir()), kind.Name+".cfg"))
				if err != nil {
					t.Fatal(err)
				}
				lines := strings.Split(strings.TrimSuffix(string(static), "\n"), "\n")
				dynamic, found := strings.CutPrefix(lines[len(lines)-1], "dynamicConfigFile=")
				if !found || strings.Count(string(static), "dynamicConfigFile=") != 1 {
					t.Fatalf("zoo.cfg ends with %q", lines[len(lines)-1])
				}
				text, err := os.ReadFile(dynamic)
				if err != nil {
					t.Fatal(err)
				}
				for l := range strings.Lines(string(text)) {
					if strings.HasPrefix(l, "server.2=") && strings.Contains(l, "participant") {
						role = "participant"
					}
				}
			}
			if role != "participant" {
				t.Error("the dynamic file of the second does not say that it is a participant")
			}
			// What the teardown counts: connections that are not local.
			for l := range strings.Lines(word(t, one, "cons")) {
				if l = strings.TrimSuffix(l, "\n"); l != "" && !strings.Contains(l, "/127.0.0.1:") {
					t.Errorf("cons has a line %q", l)
				}
			}
			if err := c.Sync(ctx, "/"); err != nil {
				t.Error(err)
			}
			if have := reconfig("", "2"); have != line(1, "participant")+"\n" {
				t.Errorf("left are %q", have)
			}
		})
	}
}

// TestStrimzi starts members with the files that Strimzi's scripts write: TLS for clients and members out of PKCS12 stores, each member's own address 0.0.0.0, the client part
// of the server lines at a loopback address for the probe, and clients at a secure port that no server line names.
func TestStrimzi(t *testing.T) {
	ca := tlstest.New(t, "cluster-ca")
	form := func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }
	own, dir := ca.Issue("zookeeper", form), t.TempDir()
	const password = "password"
	key, err := pkcs12.Modern2023.Encode(own.PrivateKey, own.Leaf, []*x509.Certificate{ca.Leaf()}, password)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := pkcs12.Modern2023.EncodeTrustStore([]*x509.Certificate{ca.Leaf()}, password)
	if err != nil {
		t.Fatal(err)
	}
	keyFile, trustFile := filepath.Join(dir, "cluster.keystore.p12"), filepath.Join(dir, "cluster.truststore.p12")
	if err := errors.Join(os.WriteFile(keyFile, key, 0o600), os.WriteFile(trustFile, trust, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, kind := range peer.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			ports := freePorts(t, 12)
			line := func(id int, host string) string {
				p := ports[4*(id-1):]
				return fmt.Sprintf("server.%d=%s:%d:%d:participant;127.0.0.1:%d", id, host, p[1], p[2], p[3])
			}
			servers, failures := make([]*peer.Server, 3), make([]error, 3)
			var up sync.WaitGroup
			for i := range servers {
				id, work := i+1, t.TempDir()
				lines := []string{"4lw.commands.whitelist=*", "standaloneEnabled=false", "reconfigEnabled=true", "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory", "ssl.clientAuth=need",
					"ssl.quorum.clientAuth=need", fmt.Sprint("secureClientPort=", ports[4*i]), "sslQuorum=true"}
				for _, prefix := range []string{"ssl.", "ssl.quorum."} {
					for _, store := range [][2]string{{"trustStore", trustFile}, {"keyStore", keyFile}} {
						lines = append(lines, prefix+store[0]+".location="+store[1], prefix+store[0]+".password="+password, prefix+store[0]+".type=PKCS12")
					}
				}
				lines = append(lines, "tickTime=2000", "initLimit=5", "syncLimit=2", "autopurge.purgeInterval=1")
				for other := 1; other <= 3; other++ {
					host := "127.0.0.1"
					if other == id {
						host = "0.0.0.0" // as each has its own address there, for the sake of DNS
					}
					lines = append(lines, line(other, host))
				}
				data := filepath.Join(work, "data")
				if err := errors.Join(os.Mkdir(data, 0o755), os.WriteFile(filepath.Join(data, "myid"), fmt.Appendln(nil, id), 0o644)); err != nil {
					t.Fatal(err)
				}
				up.Go(func() {
					servers[i], failures[i] = kind.Start(peer.Options{Work: work, Dir: data, Port: ports[4*i+3], Config: lines, Flags: []string{"-Dzookeeper.skipACL=yes", "-Dzookeeper.electionPortBindRetry=0"}})
				})
			}
			up.Wait()
			t.Cleanup(func() {
				for _, s := range servers {
					if s != nil {
						s.Close()
					}
				}
			})
			peer.Check(t, errors.Join(failures...))
			for _, s := range servers {
				if answer := word(t, s, "ruok"); answer != "imok" {
					t.Errorf("zookeeper_healthcheck.sh reads %q", answer)
				}
			}
			secure := &tls.Dialer{Config: ca.Config(ca.Issue("operator", form))}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			c, err := client.Connect(ctx, fmt.Sprint("127.0.0.1:", ports[0]), client.Options{Dial: func(ctx context.Context, addr string) (net.Conn, error) { return secure.DialContext(ctx, "tcp", addr) }})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			properties := filepath.Join(dir, "client.properties")
			if err := os.WriteFile(properties, fmt.Appendf(nil, "zookeeper.client.secure=true\nzookeeper.ssl.keyStore.location=%s\nzookeeper.ssl.keyStore.password=%s\n"+
				"zookeeper.ssl.trustStore.location=%s\nzookeeper.ssl.trustStore.password=%[2]s\n", keyFile, password, trustFile), 0o600); err != nil {
				t.Fatal(err)
			}
			binary, err := peer.Binary()
			peer.Check(t, err)
			if out, err := exec.CommandContext(t.Context(), binary, "status", "--client-configuration", properties, fmt.Sprint("127.0.0.1:", ports[0])).CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "Mode: ") {
				t.Errorf("quoll status: %v: %s", err, out)
			}
			// The operator wants its own list of the members and sends all of it.
			text, _, err := c.GetConfig(ctx, false)
			if err != nil || strings.Count(string(text), ":participant;127.0.0.1:") != 3 {
				t.Errorf("the members are %q: %v", text, err)
			}
			want := []string{line(1, "127.0.0.1"), line(2, "127.0.0.1"), line(3, "127.0.0.1")}
			if text, _, err = c.Reconfig(ctx, "", "", strings.Join(want, ","), -1); err != nil || !bytes.HasPrefix(text, []byte(strings.Join(want, "\n")+"\nversion=")) {
				t.Errorf("a reconfig to the operator's list: %q, %v", text, err)
			}
		})
	}
}
