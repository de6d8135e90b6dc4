package tracing

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"quoll/tlsconf/tlstest"
)

func opened(t *testing.T) *collector {
	t.Helper()
	c, err := newCollector()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// upload sends one span.
func upload(t *testing.T) error {
	t.Helper()
	return opened(t).UploadTraces(t.Context(), []*otlp.ResourceSpans{{ScopeSpans: []*otlp.ScopeSpans{{Spans: []*otlp.Span{{Name: "one"}}}}}})
}

// heard is one request to a collector, its body unpacked.
type heard struct {
	path   string
	header http.Header
	body   []byte
}

// answering is a collector that gives its answers one after the other, the last one for ever, and what it was sent.
func answering(t *testing.T, answers ...func(http.ResponseWriter)) (string, *[]heard) {
	t.Helper()
	requests := &[]heard{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" && err == nil {
			var unpacked *gzip.Reader
			if unpacked, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
				body, err = io.ReadAll(unpacked)
			}
		}
		if err != nil {
			t.Error(err)
		}
		*requests = append(*requests, heard{r.URL.Path, r.Header, body})
		answers[min(len(*requests), len(answers))-1](w)
	}))
	t.Cleanup(web.Close)
	return web.URL, requests
}

func ok(http.ResponseWriter) {}

func status(code int, after string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		http.Error(w, "so it is", code)
	}
}

// TestVariables: where to, with which headers and how packed.
func TestVariables(t *testing.T) {
	for _, one := range []struct {
		name      string
		variables map[string]string // of ENDPOINT the path
		path      string
		headers   map[string]string
		packed    bool
	}{
		{"usual", map[string]string{"ENDPOINT": ""}, "/v1/traces", map[string]string{"Content-Type": protobuf}, false},
		{"base", map[string]string{"ENDPOINT": "/tenant/", "COMPRESSION": "none", "PROTOCOL": "http/protobuf"}, "/tenant/v1/traces", nil, false},
		{"own", map[string]string{"ENDPOINT": "/base", "TRACES_ENDPOINT": "/mine"}, "/mine", nil, false},
		{"headers", map[string]string{"ENDPOINT": "", "HEADERS": "api-key=a%20b , x=1=2", "COMPRESSION": "gzip", "TIMEOUT": "9000"}, "/v1/traces", map[string]string{"Api-Key": "a b", "X": "1=2"}, true},
		{"own headers", map[string]string{"ENDPOINT": "", "HEADERS": "x=1", "TRACES_HEADERS": "x=2"}, "/v1/traces", map[string]string{"X": "2"}, false},
	} {
		t.Run(one.name, func(t *testing.T) {
			url, requests := answering(t, ok)
			for name, value := range one.variables {
				if strings.HasSuffix(name, "ENDPOINT") {
					value = url + value
				}
				t.Setenv("OTEL_EXPORTER_OTLP_"+name, value)
			}
			if err := upload(t); err != nil {
				t.Fatal(err)
			}
			r := (*requests)[0]
			if r.path != one.path || (r.header.Get("Content-Encoding") == "gzip") != one.packed {
				t.Errorf("%s, %v", r.path, r.header)
			}
			for name, value := range one.headers {
				if r.header.Get(name) != value {
					t.Errorf("%s is %q", name, r.header.Get(name))
				}
			}
			var sent otlp.TracesData
			if err := proto.Unmarshal(r.body, &sent); err != nil || sent.ResourceSpans[0].ScopeSpans[0].Spans[0].Name != "one" {
				t.Errorf("%v: %v", &sent, err)
			}
		})
	}
}

// TestRefusedVariables: what cannot be done is said with the name of the variable, and without a secret.
func TestRefusedVariables(t *testing.T) {
	for name, value := range map[string]string{
		"PROTOCOL": "grpc", "ENDPOINT": "collector:4317", "TRACES_ENDPOINT": "ftp://collector", "HEADERS": "secret", "TRACES_HEADERS": "a=secret%zz", "COMPRESSION": "zstd", "TIMEOUT": "10s",
		"CERTIFICATE": "/nowhere", "CLIENT_CERTIFICATE": "/nowhere", "CLIENT_KEY": "/nowhere",
		sampler: "some", "OTEL_BSP_MAX_QUEUE_SIZE": "many", "OTEL_RESOURCE_ATTRIBUTES": "a",
	} {
		t.Run(name, func(t *testing.T) {
			full := name
			if !strings.HasPrefix(name, "OTEL_") {
				full = "OTEL_EXPORTER_OTLP_" + name
			}
			t.Setenv(full, value)
			if all := Explain(); len(all) != 1 || all[0].Name != full || all[0].Doc == "" || strings.Contains(all[0].Value, "secret") {
				t.Errorf("explained as %v", all)
			}
			if err := Check(); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAgain: what a collector has no time for is sent again, what it does not want is not, and is told.
func TestAgain(t *testing.T) {
	rejects := func(w http.ResponseWriter) {
		part := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7)
		part = protowire.AppendString(protowire.AppendTag(part, 2, protowire.BytesType), "too old")
		w.Header().Set("Content-Type", protobuf)
		_, _ = w.Write(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), part))
	}
	damaged := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", protobuf)
		_, _ = w.Write([]byte{0x0a, 0xff, 0xff})
	}
	for _, one := range []struct {
		name    string
		answers []func(http.ResponseWriter)
		sent    int
		err     string
	}{
		{"later", []func(http.ResponseWriter){status(503, "0"), status(429, "0"), status(502, ""), ok}, 4, ""},
		{"never", []func(http.ResponseWriter){status(400, ""), ok}, 1, `the collector answers 400 Bad Request: "so it is\n"`},
		{"broken", []func(http.ResponseWriter){status(500, "0"), ok}, 1, `the collector answers 500 Internal Server Error: "so it is\n"`},
		{"partly", []func(http.ResponseWriter){rejects}, 1, `the collector does not want 7 spans: "too old"`},
		{"damaged", []func(http.ResponseWriter){damaged}, 1, ""},
	} {
		t.Run(one.name, func(t *testing.T) {
			url, requests := answering(t, one.answers...)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
			message := ""
			if err := upload(t); err != nil {
				message = err.Error()
			}
			if len(*requests) != one.sent || message != one.err {
				t.Errorf("%d requests, and %q", len(*requests), message)
			}
		})
	}
	t.Run("when", func(t *testing.T) {
		url, _ := answering(t, status(503, "3600"))
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
		var when *backoff.RetryAfterError
		if err := opened(t).send(t.Context(), nil); !errors.As(err, &when) || when.Duration != time.Hour {
			t.Errorf("%v", err)
		}
	})
}

// TestCertificates: a collector with TLS that asks for a certificate, and one that the certificates do not vouch for.
func TestCertificates(t *testing.T) {
	ca, dir := tlstest.New(t, "ca"), t.TempDir()
	file := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		ca.Write(name, data)
		return name
	}
	subjects := make(chan string, 1)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { subjects <- r.TLS.PeerCertificates[0].Subject.CommonName }))
	web.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue("collector", nil)}, ClientAuth: tls.RequireAnyClientCert}
	web.StartTLS()
	defer web.Close()
	own := ca.Issue("quoll", nil)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", web.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", file("own.pem", ca.Store(own)))
	t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", file("own.pem", ca.Store(own)))
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", file("ca.pem", ca.Trust()))
	if err := opened(t).send(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if subject := <-subjects; subject != "quoll" {
		t.Errorf("it hears from %q", subject)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", file("other.pem", tlstest.New(t, "other").Trust()))
	var stranger x509.UnknownAuthorityError
	if err := opened(t).send(t.Context(), nil); !errors.As(err, &stranger) {
		t.Errorf("spans for anybody: %v", err)
	}
}
