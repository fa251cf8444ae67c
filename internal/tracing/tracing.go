// SPDX-License-Identifier: Apache-2.0

// Package tracing records where the time of a request goes, as OpenTelemetry spans: of the caller's trace, if the runtime has handed one
// to the plugin. Without a Tracer nothing is recorded, and nothing is allocated for it.
package tracing

import (
	"context"
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/macpool/macpool/internal/agentapi"
)

// scope is the name of what makes the spans.
const scope = "github.com/macpool/macpool"

// Tracer begins traces, or goes on with those of callers. A nil Tracer records nothing. Safe for concurrent use.
type Tracer struct{ provider *sdktrace.TracerProvider }

// FromEnv is the Tracer that the environment asks for with OpenTelemetry's own variables; nil if OTEL_EXPORTER_OTLP_ENDPOINT and
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT name nowhere to send spans to, or OTEL_SDK_DISABLED is true. report is told when the spans begin to
// get lost, and with nil when they arrive again.
func FromEnv(ctx context.Context, getenv func(string) string, node, version string, report func(error)) (*Tracer, error) {
	exporter, err := newExporter(getenv, report)
	if err != nil || exporter == nil {
		return nil, err
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", "macpool-agent"), attribute.String("service.version", version),
			attribute.String("k8s.node.name", node),
		),
		resource.WithFromEnv(), // which has the last word
	)
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return &Tracer{sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))}, nil
}

// Shutdown sends what is left.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Flush sends what there is.
func (t *Tracer) Flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }

// Span is a time in a trace. The zero value records nothing.
type Span struct{ span trace.Span }

// Begin begins the span of a request, as a child of the caller's span if it has told one.
func (t *Tracer) Begin(ctx context.Context, req *agentapi.Request) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": req.Trace.Parent, "tracestate": req.Trace.State})
	ctx, span := t.provider.Tracer(scope).Start(ctx, "CNI "+string(req.Command), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("macpool.pool", req.Pool), attribute.String("macpool.network", req.Network),
		attribute.String("macpool.interface", req.Interface), attribute.String("container.id", req.ContainerID),
		attribute.String("k8s.namespace.name", req.Pod.Namespace), attribute.String("k8s.pod.name", req.Pod.Name),
		attribute.String("k8s.pod.uid", req.Pod.UID),
	))
	return ctx, Span{span}
}

// Child begins a span within that of ctx, if there is one that is recorded.
func Child(ctx context.Context, name string) (context.Context, Span) {
	return child(ctx, name, trace.SpanKindInternal)
}

func child(ctx context.Context, name string, kind trace.SpanKind) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithSpanKind(kind))
	return ctx, Span{span}
}

// Set adds an attribute. What is empty is left out.
func (s Span) Set(key, value string) {
	if s.span != nil && value != "" {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// End ends the span, with the error to which it came.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil {
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End()
}

// Wrap makes spans of the HTTP requests that belong to one, and hands them on to whom they are sent.
func Wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		ctx, s := child(req.Context(), req.Method+" "+req.URL.Path, trace.SpanKindClient)
		if s.span == nil { // a watch, or somebody else's call
			return next.RoundTrip(req)
		}
		s.span.SetAttributes(
			attribute.String("http.request.method", req.Method), attribute.String("url.full", req.URL.String()),
			attribute.String("server.address", req.URL.Hostname()),
		)
		req = req.Clone(ctx) // a RoundTripper must not change what it was given
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
		resp, err := next.RoundTrip(req)
		if err == nil {
			s.span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
			if resp.StatusCode >= http.StatusBadRequest {
				s.span.SetStatus(codes.Error, resp.Status)
			}
		}
		s.End(err)
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip is http.RoundTripper's.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
