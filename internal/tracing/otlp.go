// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exporter sends spans by OTLP over HTTP, as JSON. OpenTelemetry's own exporter links gRPC and protobuf's registry, which is 12 MB more of
// an agent that runs on every node, whether it traces or not.
type exporter struct {
	url     string
	headers http.Header
	client  *http.Client
	report  func(error)
	lost    atomic.Bool
}

// newExporter is the exporter that the environment asks for; nil for none.
func newExporter(getenv func(string) string, report func(error)) (*exporter, error) {
	setting := func(name string) string {
		return cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_"+name), getenv("OTEL_EXPORTER_OTLP_"+name))
	}
	target := getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if base := getenv("OTEL_EXPORTER_OTLP_ENDPOINT"); target == "" && base != "" {
		target = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	if disabled, _ := strconv.ParseBool(getenv("OTEL_SDK_DISABLED")); disabled || target == "" {
		return nil, nil
	}
	if u, err := url.Parse(target); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("reading OTEL_EXPORTER_OTLP_ENDPOINT: %q is no URL like http://collector:4318", target)
	}
	if p := setting("PROTOCOL"); strings.HasPrefix(p, "grpc") {
		return nil, fmt.Errorf("reading OTEL_EXPORTER_OTLP_PROTOCOL: %s is not spoken; name the collector's port for HTTP, which is 4318", p)
	}
	e := &exporter{url: target, report: report, headers: http.Header{"Content-Type": {"application/json"}}}
	for pair := range strings.SplitSeq(setting("HEADERS"), ",") {
		key, value, ok := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(strings.TrimSpace(value))
		if pair != "" && (!ok || err != nil) {
			return nil, errors.New("reading OTEL_EXPORTER_OTLP_HEADERS: write it as name=value,name=value, with what is special in a value escaped as in URLs")
		}
		if ok {
			e.headers.Set(strings.TrimSpace(key), decoded)
		}
	}
	timeout := 10 * time.Second
	if ms, err := strconv.Atoi(setting("TIMEOUT")); err == nil && ms > 0 {
		timeout = time.Duration(ms) * time.Millisecond
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute, MaxIdleConns: 1}
	if file := setting("CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file) //nolint:gosec // G304: the file that the administrator names
		if err != nil {
			return nil, fmt.Errorf("reading OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading OTEL_EXPORTER_OTLP_CERTIFICATE: %s has no certificate in PEM", file)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	e.client = &http.Client{Transport: transport, Timeout: timeout}
	return e, nil
}

// ExportSpans is sdktrace.SpanExporter's. Spans that do not arrive are lost: nothing waits for them.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.send(ctx, spans)
	if lost := err != nil; e.lost.Swap(lost) != lost {
		e.report(err)
	}
	return nil
}

// Shutdown is sdktrace.SpanExporter's.
func (e *exporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

func (e *exporter) send(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	body, err := json.Marshal(encode(spans))
	if err != nil {
		return fmt.Errorf("encoding spans: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("sending spans: %w", err)
	}
	req.Header = e.headers.Clone()
	resp, err := e.client.Do(req)
	if err != nil {
		return fmt.Errorf("sending spans: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("sending spans to %s: %s %s", e.url, resp.Status, bytes.TrimSpace(answer))
	}
	return nil
}
