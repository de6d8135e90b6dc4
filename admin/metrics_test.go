package admin

import (
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"quoll/config"
	"quoll/metrics"
	"quoll/server"
)

func startMetrics(t *testing.T, more ...string) *Server {
	t.Helper()
	settings := append([]string{"metricsProvider.className=" + config.PrometheusMetricsProvider, "metricsProvider.httpHost=127.0.0.1", "metricsProvider.httpPort=0"}, more...)
	a := start(t, settings...)
	m, err := StartMetrics(Options{Config: a.Config, Server: a.Server, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return &Server{Options: a.Options, endpoint: m.endpoint}
}

// TestMetrics has each row of metrics.Table that a server alone has, with its type and labels, and nothing else but the process, the runtime and quoll_*.
func TestMetrics(t *testing.T) {
	a := startMetrics(t)
	set := a.Server.Metrics()
	for _, name := range []string{"app", "b\"\\\n\xff"} {
		set.ReadPerNamespace.With(name).Observe(5)
		set.WritePerNamespace.With(name).Observe(5)
		set.QuotaExceededErrors.With(name).Inc()
	}
	set.LearnerHandlerQueueSize.With("1").Observe(1)
	set.LearnerHandlerQueueTime.With("1").Observe(1)
	set.AckLatency.With("1").Observe(1)
	for range 100 {
		set.ReadLatency.Observe(7)
	}
	answer, text := ask(t, a, "GET", "/metrics", "", "Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	if got := answer.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4; charset=utf-8") {
		t.Error(got)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[metrics.Kind]string{metrics.KindGauge: "GAUGE", metrics.KindCounter: "COUNTER", metrics.KindBasic: "SUMMARY", metrics.KindAdvanced: "SUMMARY"}
	for _, d := range metrics.Table() {
		f := families[d.Name]
		delete(families, d.Name)
		if d.Mode != metrics.ModeAlways || d.Kind == metrics.KindGauge && d.Labelled {
			if f != nil {
				t.Errorf("%s is there", d.Name)
			}
			continue
		}
		if f == nil {
			t.Errorf("there is no %s", d.Name)
			continue
		}
		m := f.Metric[0]
		if f.GetType().String() != kinds[d.Kind] || d.Labelled != (len(m.Label) == 1 && m.Label[0].GetName() == "key") {
			t.Errorf("%s is a %s with the labels %v", d.Name, f.GetType(), m.Label)
		}
		if got := len(m.GetSummary().GetQuantile()); got != len(d.Kind.Quantiles()) {
			t.Errorf("%s has %d quantiles", d.Name, got)
		}
	}
	for name := range families {
		if !regexp.MustCompile(`^(quoll|go|process)_|^jvm_(memory_bytes_(used|committed|max)|threads_current)$`).MatchString(name) {
			t.Errorf("%s is no metric of ZooKeeper", name)
		}
	}
	for _, m := range server.OwnMetrics {
		if f := families["quoll_"+m.Name]; f == nil && !strings.HasPrefix(m.Name, "last_snapshot") {
			t.Errorf("there is no quoll_%s", m.Name)
		}
	}
	for _, line := range []string{
		`readlatency{quantile="0.99"} 7`, `readlatency_count 100`, `readlatency_sum 700`, `read_per_namespace_count{key="app"} 1`,
		`read_per_namespace_count{key="b\"\\\n�"} 1`, `quoll_server_state{state="standalone"} 1`, "# TYPE proposal_count counter",
	} {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			t.Errorf("there is no line %q", line)
		}
	}
}

func TestMetricsHTTP(t *testing.T) {
	a := startMetrics(t, "metricsProvider.exportJvmInfo=false")
	_, text := ask(t, a, "GET", "/metrics", "")
	if regexp.MustCompile(`(?m)^(go|process|jvm_memory)_`).MatchString(text) {
		t.Error("metrics of the process are there")
	}
	for path, want := range map[string][]string{
		"/metrics?name[]=znode_count":                       {"znode_count"},
		"/metrics?name[]=fsynctime_sum&name[]=commit_count": {"commit_count", "fsynctime"},
		"/metrics?name[]=nosuch":                            nil,
	} {
		_, text := ask(t, a, "GET", path, "")
		var got []string
		for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(text, -1) {
			got = append(got, m[1])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q", path, got)
		}
	}
	for path, want := range map[string]int{"/": 404, "/metrics/": 404, "/commands": 404} {
		if answer, _ := ask(t, a, "GET", path, ""); answer.StatusCode != want {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	if answer, _ := ask(t, a, "TRACE", "/metrics", ""); answer.StatusCode != 403 {
		t.Error(answer.Status)
	}
	if _, err := net.Dial("tcp", a.Addr()); err != nil {
		t.Error(err)
	}
}
