// SPDX-License-Identifier: Apache-2.0

package tracing_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/tracing"
	"github.com/macpool/macpool/internal/tracing/tracingtest"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
)

// TestOneTrace sends a request's spans to a collector: they are of the caller's trace, one within the other, and the API server is told.
func TestOneTrace(t *testing.T) {
	receiver := tracingtest.New(t)
	tracer, err := tracing.FromEnv(t.Context(), receiver.Env, "node-1", "v1", func(err error) { t.Errorf("spans are lost: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		told = append(told, req.Header.Get("Traceparent"))
		w.WriteHeader(http.StatusConflict)
	}))
	defer api.Close()
	client := http.Client{Transport: tracing.Wrap(http.DefaultTransport)}
	get := func(ctx context.Context) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.URL+"/apis", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	get(t.Context()) // belongs to nothing
	ctx, whole := tracer.Begin(t.Context(), &agentapi.Request{
		Command: agentapi.Add, Pool: "iot", Trace: agentapi.Trace{Parent: "00-" + traceID + "-" + spanID + "-01", State: "vendor=x"},
	})
	inner, part := tracing.Child(ctx, "bind")
	get(inner)
	part.End(errors.New("somebody was faster"))
	whole.End(nil)
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	spans := map[string]*tracepb.Span{}
	for _, s := range receiver.Spans() {
		spans[s.GetName()] = s
	}
	add, bind, call := spans["CNI ADD"], spans["bind"], spans["GET /apis"]
	if len(spans) != 3 || add == nil || bind == nil || call == nil {
		t.Fatalf("the collector has %v", spans)
	}
	for child, parent := range map[*tracepb.Span]string{
		add: spanID, bind: hex.EncodeToString(add.GetSpanId()), call: hex.EncodeToString(bind.GetSpanId()),
	} {
		if got := hex.EncodeToString(child.GetParentSpanId()); got != parent {
			t.Errorf("the parent of %s is %s, want %s", child.GetName(), got, parent)
		}
		if got := hex.EncodeToString(child.GetTraceId()); got != traceID {
			t.Errorf("%s is of trace %s", child.GetName(), got)
		}
	}
	if bind.GetStatus().GetMessage() != "somebody was faster" || call.GetKind() != tracepb.Span_SPAN_KIND_CLIENT || add.GetTraceState() != "vendor=x" {
		t.Errorf("spans are %v, %v, %v", add, bind, call)
	}
	if len(told) != 2 || told[0] != "" || !strings.Contains(told[1], traceID+"-"+hex.EncodeToString(call.GetSpanId())) {
		t.Errorf("the API server was told %q", told)
	}
}

// TestOffCostsNothing: without a collector nothing is made, and a request allocates nothing.
func TestOffCostsNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	none, err := tracing.FromEnv(t.Context(), func(string) string { return "" }, "node-1", "v1", nil)
	if none != nil || err != nil || runtime.NumGoroutine() != before {
		t.Fatalf("without a collector there is %v, %v", none, err)
	}
	ctx, req := t.Context(), &agentapi.Request{Command: agentapi.Add, Trace: agentapi.Trace{Parent: "00-" + traceID + "-" + spanID + "-01"}}
	allocations := testing.AllocsPerRun(100, func() {
		ctx, whole := none.Begin(ctx, req)
		_, part := tracing.Child(ctx, "bind")
		part.Set("a", "b")
		part.End(nil)
		whole.End(nil)
	})
	if allocations != 0 {
		t.Errorf("a request allocates %v times", allocations)
	}
	if err := none.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		on   bool
		want string
	}{
		"disabled":         {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}},
		"for traces alone": {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/x", "OTEL_EXPORTER_OTLP_HEADERS": "a=b%20c, d=e"}, on: true},
		"no URL":           {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4318"}, want: "is no URL"},
		"grpc":             {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, want: "4318"},
		"headers":          {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "a"}, want: "name=value"},
		"no certificate":   {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/none"}, want: "OTEL_EXPORTER_OTLP_CERTIFICATE"},
	} {
		tracer, err := tracing.FromEnv(t.Context(), func(name string) string { return c.env[name] }, "n", "v", nil)
		if (tracer != nil) != c.on || c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, %v", name, tracer, err)
		}
		if err := tracer.Shutdown(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCollectorAway: spans that get lost are told once, and again when they arrive.
func TestCollectorAway(t *testing.T) {
	broken := true
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken {
			http.Error(w, "full", http.StatusServiceUnavailable)
		}
	}))
	defer collector.Close()
	var told []error
	env := func(name string) string { return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL}[name] }
	tracer, err := tracing.FromEnv(t.Context(), env, "n", "v", func(err error) { told = append(told, err) })
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, s := tracer.Begin(t.Context(), &agentapi.Request{Command: agentapi.Add})
		s.End(nil)
		if err := tracer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		broken = len(told) == 0
	}
	if len(told) != 2 || told[0] == nil || told[1] != nil {
		t.Errorf("told %v", told)
	}
}
