// SPDX-License-Identifier: Apache-2.0

// Package tracingtest receives spans as a collector does: what it takes is OTLP by OpenTelemetry's own definition of the messages.
package tracingtest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Receiver is a collector.
type Receiver struct {
	*httptest.Server

	mu    sync.Mutex
	spans []*tracepb.Span
}

// New starts a receiver, which fails the test when it is sent what is not OTLP.
func New(t *testing.T) *Receiver {
	t.Helper()
	r := &Receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := r.take(req); err != nil {
			t.Error(err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(r.Close)
	return r
}

// Env is the environment of who sends there.
func (r *Receiver) Env(name string) string {
	return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": r.URL + "/"}[name]
}

// Spans are those that came.
func (r *Receiver) Spans() []*tracepb.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*tracepb.Span(nil), r.spans...)
}

func (r *Receiver) take(req *http.Request) error {
	if req.Method != http.MethodPost || req.URL.Path != "/v1/traces" || req.Header.Get("Content-Type") != "application/json" {
		return fmt.Errorf("%s %s of type %s is no OTLP by HTTP as JSON", req.Method, req.URL.Path, req.Header.Get("Content-Type"))
	}
	var message any
	if err := json.NewDecoder(req.Body).Decode(&message); err != nil {
		return fmt.Errorf("reading spans: %w", err)
	}
	// Of protobuf's JSON, OTLP differs in the ids alone, which are in hex.
	text, err := json.Marshal(inBase64(message))
	if err != nil {
		return err
	}
	var data tracepb.TracesData
	if err := protojson.Unmarshal(text, &data); err != nil {
		return fmt.Errorf("reading spans: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range data.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
	return nil
}

func inBase64(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = inBase64(v[i])
		}
	case map[string]any:
		for key, value := range v {
			text, ok := value.(string)
			if id, err := hex.DecodeString(text); ok && err == nil && (key == "traceId" || key == "spanId" || key == "parentSpanId") {
				v[key] = base64.StdEncoding.EncodeToString(id)
			} else {
				v[key] = inBase64(value)
			}
		}
	}
	return v
}
