package tracing

import (
	"reflect"
	"testing"
)

// TestExplain: what a variable does, why one has no effect, and no secret.
func TestExplain(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:secret@collector:4318", "OTEL_EXPORTER_OTLP_HEADERS": "key=secret", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "1", "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
		"OTEL_SDK_DISABLED": "true", samplerArg: "0.5", "OTEL_OTHER": "x", "OTEL_SERVICE_NAME": "",
	} {
		t.Setenv(name, value)
	}
	timeout := exporter[4]
	want := []Variable{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:xxxxx@collector:4318", "The collector; traces are sent to v1/traces below it.", usualEndpoint, ""},
		{"OTEL_EXPORTER_OTLP_HEADERS", "(not shown)", exporter[2].doc, "", ""},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "2", "", "", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT wins"},
		{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1", timeout.doc, timeout.usual, ""},
		{"OTEL_OTHER", "x", "", "", ""},
		{"OTEL_SDK_DISABLED", "true", "", "", unread["OTEL_SDK_DISABLED"]},
		{samplerArg, "0.5", "", "", sampler + " is not set"},
	}
	if got := Explain(); !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nand not\n%q", got, want)
	}
	t.Setenv(sampler, "traceidratio")
	if got := Explain(); got[len(got)-1].Doc == "" {
		t.Errorf("%q", got)
	}
	if err := Check(); err != nil {
		t.Error(err)
	}
}
