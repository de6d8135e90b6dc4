package tracing

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// Variable says what one variable of the environment does.
type Variable struct {
	Name string
	// Value is as it is set, without what is a secret in it.
	Value string
	// Doc is empty for one that has no effect.
	Doc, Default string
	// Hint says of one without effect why.
	Hint string
}

// row is a variable that is read.
type row struct {
	name, doc, usual string
	number           bool
	unless           string // is set, which wins
}

const sampler, samplerArg = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"

// exporter are the variables of the collector, behind the prefixes of [variable].
var exporter = []row{
	{name: "ENDPOINT", doc: "The collector.", usual: usualEndpoint},
	{name: "PROTOCOL", doc: "How traces are sent, which is http/protobuf; another one ends the start.", usual: "http/protobuf"},
	{name: "HEADERS", doc: "Headers of each request to the collector, as name=value,name=value."},
	{name: "COMPRESSION", doc: "How what is sent is packed, gzip or none.", usual: "none"},
	{name: "TIMEOUT", doc: "Milliseconds that a request to the collector may take.", usual: strconv.FormatInt(usualTimeout.Milliseconds(), 10)},
	{name: "CERTIFICATE", doc: "PEM file of the authorities that the collector's certificate may come from.", usual: "those of the system"},
	{name: "CLIENT_CERTIFICATE", doc: "PEM file of the certificate that is shown to the collector, with CLIENT_KEY."},
	{name: "CLIENT_KEY", doc: "PEM file of the key of CLIENT_CERTIFICATE."},
}

// rows are all variables, those of the SDK with its own defaults.
var rows = func() []row {
	all := []row{
		{name: "OTEL_SERVICE_NAME", doc: "The service.name of the traces; wins over that of OTEL_RESOURCE_ATTRIBUTES.", usual: "quoll"},
		{name: "OTEL_RESOURCE_ATTRIBUTES", doc: "What the traces say of this server, as name=value,name=value."},
		{name: sampler, doc: "Which requests are traced: always_on, always_off, traceidratio, or one of these behind parentbased_, which is the same: no request has a parent.", usual: "traceidratio of " + strconv.FormatFloat(usualShare, 'g', -1, 64)},
		{name: samplerArg, doc: "The share of requests that the samplers with traceidratio in their names trace, from 0 to 1.", usual: "1"},
		{name: "OTEL_BSP_SCHEDULE_DELAY", doc: "Milliseconds that a span waits for others at most before it is sent.", usual: "5000", number: true},
		{name: "OTEL_BSP_EXPORT_TIMEOUT", doc: "Milliseconds that it may take to send a batch, all attempts together.", usual: "30000", number: true},
		{name: "OTEL_BSP_MAX_QUEUE_SIZE", doc: "Spans that wait to be sent; others are dropped.", usual: "2048", number: true},
		{name: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", doc: "Spans of a request to the collector.", usual: "512", number: true},
		{name: "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", doc: "Characters of an attribute, as a path is one; the rest is cut off. -1 is no limit.", usual: "-1", number: true},
		{name: "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", doc: "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT by its other name.", usual: "-1", number: true, unless: "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"},
		{name: "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", doc: "Attributes of a span; others are dropped. -1 is no limit.", usual: "128", number: true},
		{name: "OTEL_ATTRIBUTE_COUNT_LIMIT", doc: "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT by its other name.", usual: "128", number: true, unless: "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"},
	}
	for _, prefix := range prefixes {
		for _, r := range exporter {
			own := prefixes[0] + r.name
			if r.name = prefix + r.name; r.name != own {
				r.unless = own
			}
			switch r.name {
			case "OTEL_EXPORTER_OTLP_ENDPOINT":
				r.doc = "The collector; traces are sent to v1/traces below it."
			case "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":
				r.doc, r.usual = "Where traces are sent to, as it is.", ""
			}
			all = append(all, r)
		}
	}
	return all
}()

// unread are variables of OpenTelemetry that one might expect to do something, and why they do not.
var unread = map[string]string{
	"OTEL_SDK_DISABLED":                  "tracing.enabled says whether there are traces",
	"OTEL_TRACES_EXPORTER":               "traces are sent by OTLP; tracing.enabled says whether",
	"OTEL_PROPAGATORS":                   "ZooKeeper's protocol has no place for a context",
	"OTEL_EXPORTER_OTLP_INSECURE":        "whether there is TLS, http:// or https:// of the endpoint says",
	"OTEL_EXPORTER_OTLP_TRACES_INSECURE": "whether there is TLS, http:// or https:// of the endpoint says",
}

// Explain says what the variables of OpenTelemetry do that are set in this environment, in their order.
func Explain() (all []Variable) {
	for _, setting := range slices.Sorted(slices.Values(os.Environ())) {
		name, value, _ := strings.Cut(setting, "=")
		if !strings.HasPrefix(name, "OTEL_") || !isSet(name) {
			continue
		}
		v := Variable{Name: name, Value: value, Hint: unread[name]}
		if i := slices.IndexFunc(rows, func(r row) bool { return r.name == name }); i >= 0 {
			switch r := &rows[i]; {
			case isSet(r.unless):
				v.Hint = r.unless + " wins"
			case name == samplerArg && !isSet(sampler):
				v.Hint = sampler + " is not set"
			default:
				v.Doc, v.Default = r.doc, r.usual
			}
		}
		switch at, err := url.Parse(value); {
		case strings.HasSuffix(name, "_HEADERS"), strings.HasSuffix(name, "_ENDPOINT") && err != nil:
			v.Value = "(not shown)"
		case strings.HasSuffix(name, "_ENDPOINT"):
			v.Value = at.Redacted()
		}
		all = append(all, v)
	}
	return all
}

func isSet(name string) bool { return strings.TrimSpace(os.Getenv(name)) != "" }

// checkSDK has errors of what the SDK would take for something else and say so nowhere, or only in the log: with a sampler that it does not know every request would be traced.
func checkSDK() error {
	var wrong error
	for _, r := range rows {
		if value := os.Getenv(r.name); r.number && value != "" {
			if _, err := strconv.Atoi(value); err != nil {
				wrong = errors.Join(wrong, fmt.Errorf("%s: %q is no number", r.name, value))
			}
		}
	}
	if _, err := resource.New(context.Background(), resource.WithFromEnv()); err != nil {
		wrong = errors.Join(wrong, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err))
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { wrong = errors.Join(wrong, fmt.Errorf(sampler+": %w", err)) }))
	sdk.NewTracerProvider() // reads the sampler, and begins nothing
	return wrong
}
