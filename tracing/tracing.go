// Package tracing sends traces of requests to an OpenTelemetry collector over OTLP and HTTP.
//
// ZooKeeper's protocol carries no context, so each request is a trace of its own, with a span for each part of its time. Where to, how often and how much at a time the variables
// of OpenTelemetry say, which its SDK reads: OTEL_EXPORTER_OTLP_ENDPOINT and its like, OTEL_TRACES_SAMPLER, OTEL_BSP_*, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"quoll/server"
)

// usualShare is the share of requests that is traced unless OTEL_TRACES_SAMPLER says otherwise. That of OpenTelemetry is all, which is for programs with fewer requests.
const usualShare = 0.01

// closeTime is how long the last spans may take.
const closeTime = 5 * time.Second

// Tracer makes spans of requests and sends them. What the collector does not take in time is dropped.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// Start begins to send what [Tracer.Served] is told. The errors are those of the OTEL_* variables; a collector that is not there is none, but has a line in the log now and then.
func Start(version string, log *slog.Logger) (*Tracer, error) {
	to, options, err := configured(version)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(context.Background(), to)
	if err != nil {
		return nil, fmt.Errorf("tracing.enabled: %w", err)
	}
	options = append(options, sdk.WithBatcher(exporter))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are lost", "error", err) }))
	provider := sdk.NewTracerProvider(options...)
	return &Tracer{provider, provider.Tracer("quoll")}, nil
}

// Check finds out whether [Start] would have an error. It sends nothing.
func Check() error {
	_, _, err := configured("")
	return err
}

// configured is what the variables say: of the collector, and of all else.
func configured(version string) (*collector, []sdk.TracerProviderOption, error) {
	to, err := newCollector()
	if err == nil {
		err = checkSDK()
	}
	self := resource.NewSchemaless(attribute.String("service.name", "quoll"), attribute.String("service.version", version))
	if err == nil {
		var host *resource.Resource
		if host, err = resource.New(context.Background(), resource.WithHost(), resource.WithFromEnv()); err == nil { // the environment wins
			self, err = resource.Merge(self, host)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("tracing.enabled: %w", err)
	}
	options := []sdk.TracerProviderOption{sdk.WithResource(self)}
	if !isSet(sampler) {
		options = append(options, sdk.WithSampler(sdk.TraceIDRatioBased(usualShare)))
	}
	return to, options, nil
}

// Served makes the spans of one request, which is for [server.Options]. The names of the attributes are OpenTelemetry's where it has some.
func (t *Tracer) Served(r server.Served) {
	ctx, span := t.tracer.Start(context.Background(), "zookeeper."+r.Op.String(), trace.WithTimestamp(r.Begun), trace.WithSpanKind(trace.SpanKindServer))
	defer span.End(trace.WithTimestamp(r.Ended))
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.String("db.system.name", "zookeeper"), attribute.String("db.operation.name", r.Op.String()), attribute.String("client.address", r.Client),
		attribute.String("zookeeper.session", fmt.Sprintf("0x%x", uint64(r.Session))), attribute.String("zookeeper.zxid", fmt.Sprintf("0x%x", uint64(r.Zxid))))
	if r.Path != "" {
		span.SetAttributes(attribute.String("zookeeper.path", r.Path))
	}
	if r.Reads > 1 {
		span.SetAttributes(attribute.Int("zookeeper.reads", r.Reads))
	}
	if r.Failed {
		span.SetStatus(codes.Error, "the transaction failed")
	}
	begin := r.Begun
	for _, stage := range r.Stages {
		_, part := t.tracer.Start(ctx, stage.Name, trace.WithTimestamp(begin))
		part.End(trace.WithTimestamp(stage.End))
		begin = stage.End
	}
}

// Close sends what is left, for some seconds at most.
func (t *Tracer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return t.provider.Shutdown(ctx)
}
