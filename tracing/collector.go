package tracing

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	usualEndpoint = "http://localhost:4318"
	usualTimeout  = 10 * time.Second
	protobuf      = "application/x-protobuf"
	answerLimit   = 64 << 10 // bytes of a collector's answer that are read
)

// collector sends batches of spans, as protobuf over HTTP. OpenTelemetry's own client of this protocol brings gRPC along, a hundred packages, which take
// time to build and have holes to mend.
type collector struct {
	url     string
	headers http.Header
	gzip    bool
	http    *http.Client
}

// prefixes are those of the collector's variables; the first wins.
var prefixes = [...]string{"OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"}

// variable is OTEL_EXPORTER_OTLP_TRACES_name, or else OTEL_EXPORTER_OTLP_name, and which of the two says so.
func variable(name string) (value, from string) {
	for _, prefix := range prefixes {
		from = prefix + name
		if value = strings.TrimSpace(os.Getenv(from)); value != "" {
			break
		}
	}
	return value, from
}

// newCollector is the one that OpenTelemetry's variables name. Its errors begin with the name of a variable and show no value of a header.
func newCollector() (*collector, error) {
	c := &collector{headers: http.Header{"Content-Type": {protobuf}, "User-Agent": {"quoll"}}}
	if value, from := variable("PROTOCOL"); value != "" && value != "http/protobuf" {
		return nil, fmt.Errorf("%s: traces are sent by http/protobuf and not by %q: unset it, and name the collector's port for HTTP, 4318 as a rule", from, value)
	}
	value, from := variable("ENDPOINT")
	endpoint, err := url.Parse(cmp.Or(value, usualEndpoint))
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return nil, fmt.Errorf("%s: not like %s", from, usualEndpoint)
	}
	if from == "OTEL_EXPORTER_OTLP_ENDPOINT" { // the other one is taken as it is
		endpoint = endpoint.JoinPath("v1", "traces")
	}
	c.url = endpoint.String()

	value, from = variable("HEADERS")
	for pair := range strings.SplitSeq(value, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, escaped, found := strings.Cut(pair, "=")
		text, err := url.PathUnescape(strings.TrimSpace(escaped))
		if name = strings.TrimSpace(name); !found || name == "" || err != nil {
			return nil, fmt.Errorf("%s: not like name=value,name=value", from)
		}
		c.headers.Add(name, text)
	}
	switch value, from = variable("COMPRESSION"); value {
	case "", "none":
	case "gzip":
		c.gzip = true
		c.headers.Set("Content-Encoding", "gzip")
	default:
		return nil, fmt.Errorf("%s: %q is neither gzip nor none", from, value)
	}
	timeout := usualTimeout
	if value, from = variable("TIMEOUT"); value != "" {
		ms, err := strconv.ParseInt(value, 10, 32)
		if err != nil || ms <= 0 {
			return nil, fmt.Errorf("%s: %q is no number of milliseconds", from, value)
		}
		timeout = time.Duration(ms) * time.Millisecond
	}
	secure, err := security()
	if err != nil {
		return nil, err
	}
	c.http = &http.Client{Timeout: timeout, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}}
	return c, nil
}

// security is the TLS of the variables that name certificates, which are PEM files.
func security() (*tls.Config, error) {
	t := &tls.Config{}
	if file, from := variable("CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", from, err)
		}
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: there is no certificate in %s", from, file)
		}
	}
	certificate, from := variable("CLIENT_CERTIFICATE")
	key, _ := variable("CLIENT_KEY")
	if certificate != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("%s, with its CLIENT_KEY: %w", from, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// Start and Stop are for [otlptrace.Client]: a connection is made when there is something to send.
func (c *collector) Start(context.Context) error { return nil }

func (c *collector) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

var _ otlptrace.Client = (*collector)(nil)

// UploadTraces sends spans, and once more those that the collector has no time for or that did not reach it, until ctx ends.
func (c *collector) UploadTraces(ctx context.Context, spans []*otlp.ResourceSpans) error {
	body, err := proto.Marshal(&otlp.TracesData{ResourceSpans: spans}) // the same bytes as an ExportTraceServiceRequest
	if err != nil {
		return err
	}
	if c.gzip {
		var small bytes.Buffer
		w := gzip.NewWriter(&small)
		if _, err := w.Write(body); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		body = small.Bytes()
	}
	var last error
	if _, err := backoff.Retry(ctx, func() (any, error) {
		last = c.send(ctx, body)
		return nil, last
	}); err != nil {
		return last // which says more than that the time is over
	}
	return nil
}

// send sends one request. Errors are tried again unless they are [backoff.Permanent].
func (c *collector) send(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return backoff.Permanent(err)
	}
	request.Header = c.headers
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	switch response.StatusCode {
	case http.StatusOK:
		if response.Header.Get("Content-Type") == protobuf {
			return backoff.Permanent(rejected(answer))
		}
		return nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16); err == nil {
			return fmt.Errorf("the collector answers %s: %w", response.Status, backoff.RetryAfter(int(seconds)))
		}
		return fmt.Errorf("the collector answers %s", response.Status)
	}
	return backoff.Permanent(fmt.Errorf("the collector answers %s: %.200q", response.Status, answer))
}

// rejected is what an ExportTraceServiceResponse says of spans that the collector does not want, nil if it wants all: its field 1 is a message with their number and the reason.
func rejected(answer []byte) error {
	partly, _ := protowire.ConsumeBytes(field(answer, 1))
	spans, _ := protowire.ConsumeVarint(field(partly, 1))
	reason, _ := protowire.ConsumeString(field(partly, 2))
	if len(partly) == 0 {
		return nil
	}
	return fmt.Errorf("the collector does not want %d spans: %.200q", spans, reason)
}

// field is the value of a field of a protobuf message, nil if there is none or the message is damaged.
func field(message []byte, number protowire.Number) []byte {
	for len(message) > 0 {
		found, _, tag := protowire.ConsumeTag(message)
		_, _, size := protowire.ConsumeField(message)
		if tag < 0 || size < 0 {
			break
		}
		if found == number {
			return message[tag:size]
		}
		message = message[size:]
	}
	return nil
}
