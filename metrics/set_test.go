package metrics

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestTableIsSpec proves that the table has exactly the names, kinds, modes and labels of the specification.
func TestTableIsSpec(t *testing.T) {
	page, err := os.ReadFile("../docs/spec/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "### 6.3 ")
	section, _, ended := strings.Cut(section, "### 6.4 ")
	if !found || !ended {
		t.Fatal("the specification has no section 6.3 before 6.4")
	}
	want := make(map[string]Desc)
	kind, mode, labelled := KindGauge, ModeAlways, false
	marks := regexp.MustCompile(`\*\*([^*]+)\*\*(?::| \()`)
	notes := regexp.MustCompile(` ?\([^)]*\)`)
	at := marks.FindAllStringSubmatchIndex(section, -1)
	for i, m := range at {
		switch mark := section[m[2]:m[3]]; mark {
		case "gauge":
			kind, mode, labelled = KindGauge, ModeAlways, false
		case "labelled":
			labelled = true
		case "ensemble members":
			mode, labelled = ModeEnsemble, false
		case "leader only":
			mode = ModeLeader
		case "counter":
			kind, mode = KindCounter, ModeAlways
		case "summary, basic (0.5)":
			kind = KindBasic
		case "summary, advanced (0.5, 0.9, 0.99)":
			kind = KindAdvanced
		case "JVM/process":
			continue // of the Prometheus endpoint
		default:
			t.Fatalf("section 6.3 has the unknown mark %q", mark)
		}
		end := len(section)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		names := strings.ReplaceAll(section[m[1]:end], " (labelled)", "!")
		names, _, _ = strings.Cut(notes.ReplaceAllString(names, ""), ".")
		for name := range strings.FieldsFuncSeq(names, func(r rune) bool { return strings.ContainsRune(",;\n ", r) }) {
			name, label := strings.CutSuffix(name, "!")
			want[name] = Desc{Name: name, Kind: kind, Mode: mode, Labelled: labelled || label}
		}
	}
	got := make(map[string]bool)
	for _, d := range Table() {
		if got[d.Name] {
			t.Errorf("%s is in the table twice", d.Name)
		}
		got[d.Name] = true
		if !strings.HasSuffix(d.Doc, ".") {
			t.Errorf("%s has no sentence of documentation: %q", d.Name, d.Doc)
		}
		d.Doc = ""
		if w, ok := want[d.Name]; !ok {
			t.Errorf("%s is not in the specification", d.Name)
		} else if d != w {
			t.Errorf("%s: the table has %+v, the specification %+v", d.Name, d, w)
		}
	}
	for name := range want {
		if !got[name] {
			t.Errorf("%s is missing in the table", name)
		}
	}
}

// TestEveryFieldHasARow finds a field of Set without a tag, or with a tag that describe does not understand.
func TestEveryFieldHasARow(t *testing.T) {
	for i := range reflect.TypeFor[Set]().NumField() {
		f := reflect.TypeFor[Set]().Field(i)
		if f.IsExported() != slices.Contains(fields, i) {
			t.Errorf("field %s: exported %v, in the table %v", f.Name, f.IsExported(), !f.IsExported())
		}
	}
}

// TestMntrKeys compares keys and the form of values with those recorded from Apache ZooKeeper by compat/mntr.
func TestMntrKeys(t *testing.T) {
	for _, role := range []string{"standalone", "follower", "observer", "leader", "prometheus"} {
		t.Run(role, func(t *testing.T) {
			s := New(Default)
			if role == "prometheus" {
				s = New(Prometheus)
			}
			register(s, ModeAlways)
			switch role {
			case "leader":
				register(s, ModeEnsemble)
				register(s, ModeLeader)
				for _, id := range []string{"1", "3"} {
					s.LearnerHandlerQueueSize.With(id).Observe(1)
					s.LearnerHandlerQueueTime.With(id).Observe(1)
				}
			case "follower", "observer":
				s.QuorumSize.Register(func() int64 { return 2 })
			}
			for _, namespace := range []string{"app", "zookeeper"} {
				s.ReadPerNamespace.With(namespace).Observe(3)
				s.WritePerNamespace.With(namespace).Observe(3)
			}
			var got []string
			for line := range strings.Lines(string(s.AppendMntr(nil))) {
				key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
				form := "int"
				if _, err := strconv.ParseInt(value, 10, 64); err != nil {
					form = "double"
				}
				got = append(got, key+"\t"+form)
			}
			want := recorded(t, role)
			for _, line := range want {
				if !slices.Contains(got, line) {
					t.Errorf("missing: %q", line)
				}
			}
			for _, line := range got {
				if !slices.Contains(want, line) {
					t.Errorf("not recorded: %q", line)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d lines, %d recorded", len(got), len(want))
			}
		})
	}
}

// recorded returns the lines of testdata/mntr that are metrics.
func recorded(t *testing.T, role string) (lines []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", "mntr", role+"-3.9.5.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		key, form, _ := strings.Cut(line, "\t")
		if !strings.HasPrefix(line, "#") && form != "text" && key != "zk_observer_master_id" {
			lines = append(lines, line)
		}
	}
	if len(lines) < 300 {
		t.Fatalf("only %d lines recorded for %s", len(lines), role)
	}
	return lines
}

// register gives all gauges of a mode a function.
func register(s *Set, mode Mode) {
	for i, row := range s.rows {
		if table[i].Mode != mode {
			continue
		}
		switch g := row.(type) {
		case *Gauge:
			g.Register(func() int64 { return 7 })
		case *FloatGauge:
			g.Register(func() float64 { return 1.5 })
		case *LabelledGauge:
			g.Register(func() map[string]int64 { return map[string]int64{"app": -1} })
		}
	}
}

// lines returns the lines of mntr that contain part.
func lines(s *Set, part string) (found []string) {
	for line := range strings.Lines(string(s.AppendMntr(nil))) {
		if strings.Contains(line, part) {
			found = append(found, strings.TrimSuffix(line, "\n"))
		}
	}
	return found
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDefaultForm(t *testing.T) {
	s := New(Default)
	s.AvgLatency.Register(func() float64 { return 3.1791 })
	s.ZnodeCount.Register(func() int64 { return 23 })
	s.QuotaCountLimit.Register(func() map[string]int64 { return map[string]int64{"b": 1, "a": 10} })
	s.BytesReceived.Add(120)
	s.QuotaExceededErrors.With("app").Inc()
	s.FsyncTime.ObserveN(3, 2)
	s.FsyncTime.Observe(4)
	s.UpdateLatency.Observe(12)
	s.LearnerHandlerQueueSize.With("1").Observe(5)
	expect(t, lines(s, "avg_latency"), "zk_avg_latency\t3.1791")
	expect(t, lines(s, "znode_count"), "zk_znode_count\t23")
	expect(t, lines(s, "count_limit"), "zk_a_quota_count_limit_per_namespace\t10", "zk_b_quota_count_limit_per_namespace\t1")
	expect(t, lines(s, "bytes_received"), "zk_bytes_received_count\t120")
	expect(t, lines(s, "exceeded_error"), "zk_app_quota_exceeded_error_per_namespace\t1")
	expect(t, lines(s, "fsynctime"), "zk_avg_fsynctime\t3.3333", "zk_min_fsynctime\t3", "zk_max_fsynctime\t4", "zk_cnt_fsynctime\t3", "zk_sum_fsynctime\t10")
	expect(t, lines(s, "updatelatency"), "zk_avg_updatelatency\t12.0", "zk_min_updatelatency\t12", "zk_max_updatelatency\t12",
		"zk_cnt_updatelatency\t1", "zk_sum_updatelatency\t12",
		"zk_p50_updatelatency\t12", "zk_p95_updatelatency\t12", "zk_p99_updatelatency\t12", "zk_p999_updatelatency\t12")
	expect(t, lines(s, "qp_size"), "zk_avg_1_learner_handler_qp_size\t5.0", "zk_min_1_learner_handler_qp_size\t5", "zk_max_1_learner_handler_qp_size\t5",
		"zk_cnt_1_learner_handler_qp_size\t1", "zk_sum_1_learner_handler_qp_size\t5")

	s.Reset()
	expect(t, lines(s, "bytes_received"), "zk_bytes_received_count\t0")
	expect(t, lines(s, "exceeded_error"), "zk_app_quota_exceeded_error_per_namespace\t0")
	expect(t, lines(s, "fsynctime"), "zk_avg_fsynctime\t0.0", "zk_min_fsynctime\t0", "zk_max_fsynctime\t0", "zk_cnt_fsynctime\t0", "zk_sum_fsynctime\t0")
	expect(t, lines(s, "p999_updatelatency"), "zk_p999_updatelatency\t0")
	expect(t, lines(s, "cnt_1_learner_handler_qp_size"), "zk_cnt_1_learner_handler_qp_size\t0")
	expect(t, lines(s, "znode_count"), "zk_znode_count\t23")

	expect(t, lines(New(Default), "bytes_received"), "zk_bytes_received_count\t0") // sets share nothing
}

func TestPrometheusForm(t *testing.T) {
	s := New(Prometheus)
	s.ZnodeCount.Register(func() int64 { return 21 })
	s.QuotaCountLimit.Register(func() map[string]int64 { return map[string]int64{"app": 10} })
	s.BytesReceived.Add(20_000_000)
	s.FsyncTime.ObserveN(3, 2)
	s.FsyncTime.Observe(4)
	s.AckLatency.With("2").Observe(5)
	s.Reset() // not supported by this provider
	expect(t, lines(s, "znode_count"), "zk_znode_count\t21.0")
	expect(t, lines(s, "quota_count_limit"), "zk_quota_count_limit_per_namespace{key=\"app\"}\t10.0")
	expect(t, lines(s, "bytes_received"), "zk_bytes_received_count\t2.0E7")
	expect(t, lines(s, "fsynctime"), "zk_fsynctime{quantile=\"0.5\"}\t3.0", "zk_fsynctime_count\t3.0", "zk_fsynctime_sum\t10.0")
	expect(t, lines(s, "_ack_latency"), "zk_ack_latency{key=\"2\",quantile=\"0.5\"}\t5.0", "zk_ack_latency{key=\"2\",quantile=\"0.9\"}\t5.0",
		"zk_ack_latency{key=\"2\",quantile=\"0.99\"}\t5.0", "zk_ack_latency_count{key=\"2\"}\t1.0", "zk_ack_latency_sum{key=\"2\"}\t5.0",
		"zk_quorum_ack_latency{quantile=\"0.5\"}\tNaN", "zk_quorum_ack_latency{quantile=\"0.9\"}\tNaN", "zk_quorum_ack_latency{quantile=\"0.99\"}\tNaN",
		"zk_quorum_ack_latency_count\t0.0", "zk_quorum_ack_latency_sum\t0.0")
}

func TestNullForm(t *testing.T) {
	s := New(Null)
	register(s, ModeAlways)
	s.BytesReceived.Add(1)
	if got := s.AppendMntr([]byte("zk_version\t3\n")); string(got) != "zk_version\t3\n" {
		t.Errorf("the null provider prints %q", got)
	}
}

func TestUnregister(t *testing.T) {
	s := New(Default)
	for _, mode := range []Mode{ModeAlways, ModeEnsemble, ModeLeader} {
		register(s, mode)
	}
	present := func(names ...string) {
		t.Helper()
		var got []string
		s.Each(func(m Sample) {
			if m.Kind == KindGauge && slices.Contains([]string{"znode_count", "avg_latency", "quota_count_usage_per_namespace", "quorum_size", "learners"}, m.Name) {
				got = append(got, m.Name)
			}
		})
		expect(t, got, names...)
	}
	present("avg_latency", "znode_count", "quota_count_usage_per_namespace", "quorum_size", "learners")
	s.Unregister(ModeLeader)
	present("avg_latency", "znode_count", "quota_count_usage_per_namespace", "quorum_size")
	s.Unregister()
	present()
}

// TestWindow turns the window of the Prometheus percentiles until a value has left it, and once more around.
func TestWindow(t *testing.T) {
	s := New(Prometheus)
	median := func(name string) (q float64) {
		s.Each(func(m Sample) {
			if m.Name == name {
				q = m.Summary.Quantile(0.5)
			}
		})
		return q
	}
	now := time.Unix(0, s.window.turned.Load())
	s.FsyncTime.ObserveN(10, 3)
	s.ReadPerNamespace.With("app").Observe(10)
	for i := range 2 * windowSlices {
		if i%windowSlices == 0 && i > 0 {
			s.FsyncTime.Observe(20)
		}
		want := 10.0
		if i >= windowSlices {
			want = 20
		}
		if got := median("fsynctime"); got != want {
			t.Fatalf("after %d turns the median is %v, not %v", i, got, want)
		}
		s.turn(now.Add(windowTime/windowSlices - 1)) // too early
		now = now.Add(windowTime / windowSlices)
		s.turn(now)
	}
	for _, name := range []string{"fsynctime", "read_per_namespace"} {
		if got := median(name); got == got {
			t.Errorf("the median of %s is %v, not NaN, after its values have left the window", name, got)
		}
	}
	if got := s.FsyncTime.Count(); got != 4 {
		t.Errorf("the count is %d, not 4: it covers more than the window", got)
	}
}

func TestParseProvider(t *testing.T) {
	for class, want := range map[string]Provider{
		"": Default,
		"org.apache.zookeeper.metrics.impl.DefaultMetricsProvider":          Default,
		"org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider": Prometheus,
		"org.apache.zookeeper.metrics.impl.NullMetricsProvider":             Null,
	} {
		if got, err := ParseProvider(class); err != nil || got != want {
			t.Errorf("%q gives %v, %v", class, got, err)
		}
	}
	if _, err := ParseProvider("org.example.Mine"); err == nil || !strings.Contains(err.Error(), `"org.example.Mine"`) {
		t.Errorf("an unknown class gives %v", err)
	}
}

func TestProcess(t *testing.T) {
	before := OpenFDs()
	if before < 0 {
		t.Skip("this system does not tell open file descriptors")
	}
	var open []*os.File
	for range 50 { // more than the runtime opens or closes meanwhile
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, f)
	}
	if got := OpenFDs(); got < before+40 || got > before+60 {
		t.Errorf("%d open files after opening 50, %d before", got, before)
	}
	for _, f := range open {
		f.Close()
	}
	if got := MaxFDs(); got < before {
		t.Errorf("the limit of open files is %d", got)
	}
	if age := time.Since(ProcessStart()); age < 0 || age > time.Hour {
		t.Errorf("the process started %v ago", age)
	}
}
