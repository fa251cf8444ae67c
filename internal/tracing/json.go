// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The types are OTLP's messages in its JSON encoding: names in camel case, ids in hex, 64-bit numbers as strings. Only what the agent's spans
// have is there.
type (
	tracesData struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   attributes   `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	attributes struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeSpans struct {
		Scope struct {
			Name string `json:"name"`
		} `json:"scope"`
		Spans []span `json:"spans"`
	}
	span struct {
		TraceID      string     `json:"traceId"`
		SpanID       string     `json:"spanId"`
		ParentSpanID string     `json:"parentSpanId,omitempty"`
		TraceState   string     `json:"traceState,omitempty"`
		Flags        uint32     `json:"flags"`
		Name         string     `json:"name"`
		Kind         int        `json:"kind"`
		Start        string     `json:"startTimeUnixNano"`
		End          string     `json:"endTimeUnixNano"`
		Attributes   []keyValue `json:"attributes,omitempty"`
		Status       status     `json:"status"`
	}
	status struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	keyValue struct {
		Key   string         `json:"key"`
		Value map[string]any `json:"value"`
	}
)

// encode is spans as OTLP's. All are of one process, and so of one resource.
func encode(spans []sdktrace.ReadOnlySpan) tracesData {
	if len(spans) == 0 {
		return tracesData{}
	}
	var scoped scopeSpans
	scoped.Scope.Name = scope
	for _, s := range spans {
		encoded := span{
			TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(),
			TraceState: s.SpanContext().TraceState().String(), Flags: uint32(s.SpanContext().TraceFlags()),
			Name: s.Name(), Kind: int(s.SpanKind()), // which is numbered as OTLP does
			Start: nanoseconds(s.StartTime()), End: nanoseconds(s.EndTime()),
			Attributes: encodeAttributes(s.Attributes()),
		}
		if s.Parent().SpanID().IsValid() {
			encoded.ParentSpanID = s.Parent().SpanID().String()
		}
		if s.Status().Code == codes.Error {
			encoded.Status = status{Code: 2, Message: s.Status().Description}
		}
		scoped.Spans = append(scoped.Spans, encoded)
	}
	return tracesData{[]resourceSpans{{
		Resource: attributes{encodeAttributes(spans[0].Resource().Attributes())}, ScopeSpans: []scopeSpans{scoped},
	}}}
}

func nanoseconds(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func encodeAttributes(all []attribute.KeyValue) []keyValue {
	var encoded []keyValue
	for _, a := range all {
		value := map[string]any{"stringValue": a.Value.String()}
		if a.Value.Type() == attribute.INT64 {
			value = map[string]any{"intValue": strconv.FormatInt(a.Value.AsInt64(), 10)}
		}
		encoded = append(encoded, keyValue{string(a.Key), value})
	}
	return encoded
}
