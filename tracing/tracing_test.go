package tracing

import (
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"quoll"
	"quoll/client"
	"quoll/jute"
	"quoll/server"
)

// receiver is a collector that keeps what it is sent.
type receiver struct {
	mu    sync.Mutex
	spans map[string]*otlp.Span // by name
	names map[string]string     // attributes of the resource
}

func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(body)
	}
	data, err := io.ReadAll(body)
	var request otlp.TracesData // the same bytes as an ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(data, &request) != nil {
		http.Error(w, "this is no trace", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range request.ResourceSpans {
		for _, a := range of.Resource.Attributes {
			c.names[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range of.ScopeSpans {
			for _, span := range scope.Spans {
				c.spans[span.Name] = span
			}
		}
	}
}

// freePorts are two ports that nobody listens on.
func freePorts(t *testing.T) (ports [2]int) {
	t.Helper()
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // after the other one is known
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// collect has the requests of a server, as a member of an ensemble, sent to a receiver.
func collect(t *testing.T, sampler string) *receiver {
	t.Helper()
	c := &receiver{spans: map[string]*otlp.Span{}, names: map[string]string{}}
	web := httptest.NewServer(c)
	defer web.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", web.URL)
	t.Setenv("OTEL_TRACES_SAMPLER", sampler)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	traces, err := Start("1.2.3", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "myid"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	free := freePorts(t)
	heard := make(chan server.Served, 100)
	s, err := quoll.Start(quoll.Options{Dir: dir, Served: func(r server.Served) {
		traces.Served(r)
		heard <- r
	}, Set: map[string]string{
		"standaloneEnabled": "false", "initLimit": "10", "syncLimit": "5", "server.1": fmt.Sprintf("127.0.0.1:%d:%d", free[0], free[1]),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	zk, err := client.Connect(t.Context(), s.Addr(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer zk.Close()
	if _, err := zk.Create(t.Context(), "/traced", []byte("secret"), client.OpenACL, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
	for r := range heard {
		if r.Path == "/traced" {
			break
		}
	}
	if err := traces.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTraces: a collector gets a span for a request and one for each part of its time, under the names that the environment gives.
func TestTraces(t *testing.T) {
	c := collect(t, "always_on")
	root := c.spans["zookeeper.create"]
	if root == nil {
		t.Fatalf("%v", c.spans)
	}
	attributes := map[string]string{}
	for _, a := range root.Attributes {
		attributes[a.Key] = a.Value.GetStringValue()
	}
	if attributes["zookeeper.path"] != "/traced" || attributes["db.operation.name"] != "create" || attributes["client.address"] == "" || attributes["zookeeper.zxid"] == "" {
		t.Errorf("%v", attributes)
	}
	if c.names["service.name"] != "quoll" || c.names["service.version"] != "1.2.3" || c.names["deployment.environment.name"] != "test" {
		t.Errorf("%v", c.names)
	}
	at := root.StartTimeUnixNano
	for _, name := range []string{"queue", "quorum", "backlog", "apply"} {
		part := c.spans[name]
		if part == nil || string(part.ParentSpanId) != string(root.SpanId) || part.StartTimeUnixNano != at {
			t.Fatalf("%s: %v, which begins not at %d in %v", name, part, at, root)
		}
		at = part.EndTimeUnixNano
	}
	if at != root.EndTimeUnixNano {
		t.Errorf("the parts end at %d, the whole at %d", at, root.EndTimeUnixNano)
	}
}

// TestSampler: the variable decides which requests are traced.
func TestSampler(t *testing.T) {
	if c := collect(t, "always_off"); len(c.spans) > 0 {
		t.Errorf("%v", c.spans)
	}
}
