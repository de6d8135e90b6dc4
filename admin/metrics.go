package admin

import (
	"fmt"
	"math"
	"net/http"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"quoll/metrics"
	"quoll/server"
)

// scrapes is how many clients may have the metrics made at a time.
const scrapes = 2

// Metrics is a running endpoint of the metrics, at /metrics. Mirrors the Java class PrometheusMetricsProvider.
type Metrics struct{ *endpoint }

// StartMetrics opens the endpoint of the metrics. Its errors name the key that is wrong.
func StartMetrics(o Options) (*Metrics, error) {
	c := o.Config
	registry := prometheus.NewRegistry()
	registry.MustRegister(zooKeeper{o.Server.Metrics()}, own{o.Server})
	if c.MetricsExportJVMInfo {
		registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), virtualMachine{})
	}
	scrape := promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: scrapes, ErrorHandling: promhttp.ContinueOnError})
	e, err := serve(settings{
		keys: "metricsProvider.httpHost, metricsProvider.httpPort", host: c.MetricsHTTPHost, number: c.MetricsHTTPPort, log: o.Logger,
		handler: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/metrics" {
				http.NotFound(w, r)
				return
			}
			r.Header.Del("Accept") // as ZooKeeper, which has one format
			if query := r.URL.Query(); query.Has("name[]") {
				// The handler looks for the names of families, ZooKeeper's for those of samples.
				for _, name := range query["name[]"] {
					query.Add("name[]", strings.TrimSuffix(strings.TrimSuffix(name, "_count"), "_sum"))
				}
				r.URL.RawQuery = query.Encode()
			}
			scrape.ServeHTTP(w, r)
		},
	})
	if err != nil {
		return nil, err
	}
	o.Logger.Info(fmt.Sprintf("Starting /metrics HTTP endpoint at host: %s, port: %d, exportJvmInfo: %v", c.MetricsHTTPHost, c.MetricsHTTPPort, c.MetricsExportJVMInfo), "listening", e.Addr())
	return &Metrics{e}, nil
}

// zooKeeper collects ZooKeeper's metrics under its names, which have neither prefix nor suffix.
type zooKeeper struct{ set *metrics.Set }

// descriptions are those of the rows of metrics.Table, by name.
var descriptions = func() map[string]*prometheus.Desc {
	m := map[string]*prometheus.Desc{}
	for _, d := range metrics.Table() {
		var labels []string
		if d.Labelled {
			labels = []string{"key"}
		}
		m[d.Name] = prometheus.NewDesc(d.Name, d.Doc, labels, nil)
	}
	return m
}()

// Describe sends the descriptions of all metrics; those that a server does not have in its role do not come in Collect.
func (z zooKeeper) Describe(to chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		to <- d
	}
}

// Collect sends the metrics as they are now.
func (z zooKeeper) Collect(to chan<- prometheus.Metric) {
	z.set.Each(func(m metrics.Sample) {
		var labels []string
		if m.Labelled {
			labels = []string{strings.ToValidUTF8(m.Key, "\ufffd")}
		}
		if m.Summary != nil {
			quantiles := map[float64]float64{}
			for _, q := range m.Kind.Quantiles() {
				quantiles[q] = m.Summary.Quantile(q)
			}
			to <- prometheus.MustNewConstSummary(descriptions[m.Name], uint64(m.Summary.Count), float64(m.Summary.Sum), quantiles, labels...)
			return
		}
		kind := prometheus.GaugeValue
		if m.Kind == metrics.KindCounter {
			kind = prometheus.CounterValue
		}
		to <- prometheus.MustNewConstMetric(descriptions[m.Name], kind, m.Value.Float64(), labels...)
	})
}

// own collects the metrics that only quoll has.
type own struct{ s *server.Server }

var ownDescriptions = func() (list []*prometheus.Desc) {
	for _, m := range server.OwnMetrics {
		list = append(list, prometheus.NewDesc("quoll_"+m.Name, m.Doc, m.Labels, nil))
	}
	return list
}()

// Describe sends the descriptions.
func (o own) Describe(to chan<- *prometheus.Desc) {
	for _, d := range ownDescriptions {
		to <- d
	}
}

// Collect sends the values.
func (o own) Collect(to chan<- prometheus.Metric) {
	for i, m := range server.OwnMetrics {
		m.Values(o.s, func(v float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(ownDescriptions[i], prometheus.GaugeValue, v, labels...)
		})
	}
}

// virtualMachine collects those metrics of the virtual machine that dashboards and alerts use, with what they mean here.
type virtualMachine struct{}

var (
	vmUsed      = prometheus.NewDesc("jvm_memory_bytes_used", "Bytes of the heap in use.", []string{"area"}, nil)
	vmCommitted = prometheus.NewDesc("jvm_memory_bytes_committed", "Bytes that the heap has from the system.", []string{"area"}, nil)
	vmMax       = prometheus.NewDesc("jvm_memory_bytes_max", "Bytes that the process may have, -1 without a limit.", []string{"area"}, nil)
	vmThreads   = prometheus.NewDesc("jvm_threads_current", "Goroutines.", nil, nil)
)

// Describe sends the descriptions.
func (virtualMachine) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{vmUsed, vmCommitted, vmMax, vmThreads} {
		to <- d
	}
}

// Collect sends the values.
func (virtualMachine) Collect(to chan<- prometheus.Metric) {
	memory := []runtimemetrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	runtimemetrics.Read(memory)
	used := float64(memory[0].Value.Uint64())
	limit := float64(debug.SetMemoryLimit(-1))
	if limit == math.MaxInt64 {
		limit = -1
	}
	heap := func(d *prometheus.Desc, v float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, "heap")
	}
	heap(vmUsed, used)
	heap(vmCommitted, used+float64(memory[1].Value.Uint64()+memory[2].Value.Uint64()))
	heap(vmMax, limit)
	to <- prometheus.MustNewConstMetric(vmThreads, prometheus.GaugeValue, float64(runtime.NumGoroutine()))
}
