package metrics

import (
	"fmt"
	"strconv"
)

// Provider says how metrics are printed. It stands for the class of metricsProvider.className.
type Provider uint8

// The providers that come with ZooKeeper.
const (
	Default    Provider = iota // DefaultMetricsProvider: integers and avg, min, max, cnt, sum, percentiles
	Prometheus                 // PrometheusMetricsProvider: doubles and quantiles over a window
	Null                       // NullMetricsProvider: nothing
)

// ParseProvider returns the provider of a Java class name; the empty name means Default.
func ParseProvider(class string) (Provider, error) {
	switch class {
	case "", "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider":
		return Default, nil
	case "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider":
		return Prometheus, nil
	case "org.apache.zookeeper.metrics.impl.NullMetricsProvider":
		return Null, nil
	}
	return Default, fmt.Errorf("metrics: unknown metrics provider class %q", class)
}

// Value is a Java Long or Double.
type Value struct {
	i      int64
	f      float64
	double bool
}

// Int returns the Value of an integer.
func Int(i int64) Value { return Value{i: i} }

// Float returns the Value of a double.
func Float(f float64) Value { return Value{f: f, double: true} }

// Float64 returns v as a number.
func (v Value) Float64() float64 {
	if v.double {
		return v.f
	}
	return float64(v.i)
}

// String returns v as Java prints it.
func (v Value) String() string {
	if v.double {
		return JavaDouble(v.f)
	}
	return strconv.FormatInt(v.i, 10)
}

// Dump calls emit with all keys, without zk_, and values, in the form of the Set's provider: the metric part of mntr and of
// the AdminServer's monitor command.
func (s *Set) Dump(emit func(key string, v Value)) {
	switch s.provider {
	case Default:
		s.Each(func(m Sample) { dumpDefault(m, emit) })
	case Prometheus:
		s.Each(func(m Sample) { dumpPrometheus(m, emit) })
	}
}

// AppendMntr appends the lines of mntr that follow the non-metric ones: zk_<key>, a tab, the value, a newline.
func (s *Set) AppendMntr(dst []byte) []byte {
	s.Dump(func(key string, v Value) {
		dst = append(dst, "zk_"...)
		dst = append(dst, key...)
		dst = append(dst, '\t')
		dst = append(dst, v.String()...)
		dst = append(dst, '\n')
	})
	return dst
}

var percentiles = []struct {
	name string
	q    float64
}{{"p50_", 0.5}, {"p95_", 0.95}, {"p99_", 0.99}, {"p999_", 0.999}}

func dumpDefault(m Sample, emit func(string, Value)) {
	name := m.Name
	if m.Labelled {
		name = m.Key + "_" + name
	}
	if m.Summary == nil {
		emit(name, m.Value)
		return
	}
	emit("avg_"+name, Float(m.Summary.Avg()))
	emit("min_"+name, Int(m.Summary.Min))
	emit("max_"+name, Int(m.Summary.Max))
	emit("cnt_"+name, Int(m.Summary.Count))
	emit("sum_"+name, Int(m.Summary.Sum))
	if m.Kind == KindAdvanced {
		for _, p := range percentiles {
			emit(p.name+name, Int(m.Summary.Percentile(p.q)))
		}
	}
}

// Quantiles returns those that a Prometheus summary of this kind shows.
func (k Kind) Quantiles() []float64 {
	switch k {
	case KindBasic:
		return []float64{0.5}
	case KindAdvanced:
		return []float64{0.5, 0.9, 0.99}
	}
	return nil
}

func dumpPrometheus(m Sample, emit func(string, Value)) {
	label, labels := "", ""
	if m.Labelled {
		label = `key="` + m.Key + `"` // not escaped, as upstream
		labels, label = "{"+label+"}", label+","
	}
	if m.Summary == nil {
		emit(m.Name+labels, Float(m.Value.Float64()))
		return
	}
	for _, q := range m.Kind.Quantiles() {
		emit(m.Name+"{"+label+`quantile="`+JavaDouble(q)+`"}`, Float(m.Summary.Quantile(q)))
	}
	emit(m.Name+"_count"+labels, Float(float64(m.Summary.Count)))
	emit(m.Name+"_sum"+labels, Float(float64(m.Summary.Sum)))
}
