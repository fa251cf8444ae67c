// SPDX-License-Identifier: Apache-2.0

// Package faultproxy stands between one client of the API server and the API server, and lets go wrong what can go wrong between
// them: late, lost, repeated and half requests and answers, answers that are no longer true, watches that say nothing, and no
// connection at all. What happens when is a Plan's to decide; the same Plan hears of every request at each of its phases, so that a
// process can be killed at exactly one of them.
package faultproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// Upstream is the API server. One serves all proxies.
type Upstream struct {
	url       *url.URL
	transport *http.Transport

	requests, nanoseconds atomic.Int64
}

// Load is how many requests the API server has answered, watches aside, and how long that took it, all in all.
func (u *Upstream) Load() (requests int64, took time.Duration) {
	return u.requests.Load(), time.Duration(u.nanoseconds.Load())
}

// NewUpstream is the API server at a URL, whose certificate ca has signed; without ca, it has none.
func NewUpstream(address string, ca []byte) (*Upstream, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's address: %w", err)
	}
	t := &http.Transport{
		MaxIdleConns: 1000, MaxIdleConnsPerHost: 1000, IdleConnTimeout: time.Minute,
		// The client's own header goes through; what is compressed could not be told apart.
		DisableCompression: true,
	}
	if ca != nil {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(ca) {
			return nil, errors.New("reading the API server's authority: no certificate")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &Upstream{url: u, transport: t}, nil
}

// CloseIdle forgets connections, as to an API server that was killed.
func (u *Upstream) CloseIdle() { u.transport.CloseIdleConnections() }

// Proxy is the way of one client. Its side is plain HTTP, so that a fault can strike at an octet. Safe for concurrent use.
type Proxy struct {
	// Name is the client's.
	Name string

	upstream *Upstream
	plan     Plan
	clock    clock.Clock
	server   *http.Server
	listener net.Listener

	mu        sync.Mutex
	token     string
	conns     map[net.Conn]bool
	watches   map[*Watch]bool
	outage    Outage
	healed    chan struct{}       // closed while there is no outage
	snapshots map[string]snapshot // path and selectors -> an answer to a list
}

// New listens on a free port of 127.0.0.1. The proxy ends with ctx.
func New(ctx context.Context, name string, upstream *Upstream, plan Plan, clk clock.Clock) (*Proxy, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for %s: %w", name, err)
	}
	p := &Proxy{
		Name: name, upstream: upstream, plan: plan, clock: clk, listener: ln,
		conns: map[net.Conn]bool{}, watches: map[*Watch]bool{}, healed: make(chan struct{}), snapshots: map[string]snapshot{},
	}
	close(p.healed)
	p.server = &http.Server{
		Handler: p, ReadHeaderTimeout: time.Minute, ConnState: p.track,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	context.AfterFunc(ctx, func() { _ = p.server.Close() })
	go func() { _ = p.server.Serve(ln) }()
	return p, nil
}

// URL is what the client connects to.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// SetToken gives the client's requests a bearer token, which a client does not send over plain HTTP.
func (p *Proxy) SetToken(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.token = token
}

// ServeHTTP is http.Handler's.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r := classify(p.Name, req)
	var err error
	if r.Body, err = io.ReadAll(req.Body); err != nil {
		return // the client is gone
	}
	if !p.plan.Reached(r, Arrived) || !p.awaitWay(req.Context()) {
		reset(w)
		return
	}
	f := p.plan.Decide(r)
	if f == nil {
		f = &Fault{}
	}
	if p.refused(w, req, r, f) {
		return
	}
	// A request that is on its way arrives, whatever becomes of who sent it. A watch ends with its client.
	ctx := req.Context()
	if r.Verb != "watch" {
		ctx = context.WithoutCancel(ctx)
	}
	answer, err := p.forward(ctx, req, r, f)
	if err != nil {
		reset(w)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	if r.Verb == "watch" && answer.StatusCode == http.StatusOK {
		p.stream(w, req, r, answer)
		return
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		reset(w)
		return
	}
	p.answer(w, req, r, f, answer, body)
}

// refused does those faults of which the API server hears nothing, and tells whether that was one.
func (p *Proxy) refused(w http.ResponseWriter, req *http.Request, r *Request, f *Fault) bool {
	switch f.Kind {
	case Conflict409, TooMany429, Error500, Unavailable503, Unauthorized401, Gone410, NoInitialEvents:
		p.plan.Injected(r, f)
		refuse(w, f.Kind)
	case DropBefore:
		p.plan.Injected(r, f)
		reset(w)
	case ResetRequest:
		p.plan.Injected(r, f)
		p.sendPart(req, r.Body[:min(f.Bytes, len(r.Body))])
		reset(w)
	case StaleList:
		old, ok := p.recorded(req)
		if !ok {
			return false
		}
		p.plan.Injected(r, f)
		old.write(w)
	default:
		return false
	}
	return true
}

// forward sends the request to the API server, in the way that the fault says.
func (p *Proxy) forward(ctx context.Context, req *http.Request, r *Request, f *Fault) (*http.Response, error) {
	if f.Kind == Delay {
		p.plan.Injected(r, f)
		p.clock.Sleep(f.For)
	}
	answer, err := p.roundTrip(ctx, req, r.Body)
	if err != nil || f.Kind != Duplicate {
		return answer, err
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	p.plan.Injected(r, f)
	return p.roundTrip(ctx, req, r.Body)
}

// roundTrip asks the API server.
func (p *Proxy) roundTrip(ctx context.Context, req *http.Request, body []byte) (*http.Response, error) {
	out := p.outgoing(ctx, req)
	out.Body, out.ContentLength = http.NoBody, 0
	if len(body) > 0 {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	asked := p.clock.Now()
	answer, err := p.upstream.transport.RoundTrip(out)
	if err != nil {
		return nil, fmt.Errorf("asking the API server: %w", err)
	}
	if !out.URL.Query().Has("watch") {
		p.upstream.requests.Add(1)
		p.upstream.nanoseconds.Add(int64(p.clock.Since(asked)))
	}
	return answer, nil
}

// outgoing is the request as it goes to the API server, without its body.
func (p *Proxy) outgoing(ctx context.Context, req *http.Request) *http.Request {
	out := req.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.Host, out.RequestURI = p.upstream.url.Scheme, p.upstream.url.Host, p.upstream.url.Host, ""
	out.Header.Del("Connection")
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.token != "" {
		out.Header.Set("Authorization", "Bearer "+p.token)
	}
	return out
}

// sendPart begins a request that never ends: the API server sees its connection break in the body.
func (p *Proxy) sendPart(req *http.Request, part []byte) {
	pr, pw := io.Pipe()
	ctx, cancel := context.WithCancel(req.Context())
	out := p.outgoing(ctx, req)
	out.Body = pr
	done := make(chan struct{})
	go func() {
		defer close(done)
		if answer, err := p.upstream.transport.RoundTrip(out); err == nil {
			_ = answer.Body.Close()
		}
	}()
	_, _ = pw.Write(part)
	cancel()
	_ = pw.CloseWithError(context.Canceled)
	<-done
}

// answer hands the API server's answer on, as the fault says.
func (p *Proxy) answer(w http.ResponseWriter, req *http.Request, r *Request, f *Fault, answer *http.Response, body []byte) {
	if !p.plan.Reached(r, Committed) {
		reset(w)
		return
	}
	if !p.awaitWay(req.Context()) {
		reset(w)
		return
	}
	switch f.Kind { //nolint:exhaustive // the others need nothing here
	case DropAfter:
		p.plan.Injected(r, f)
		reset(w)
		return
	case Timeout504:
		p.plan.Injected(r, f)
		refuse(w, f.Kind)
		return
	case DelayAnswer:
		p.plan.Injected(r, f)
		p.clock.Sleep(f.For)
	case LateDuplicate:
		ctx := context.WithoutCancel(req.Context())
		go func() {
			p.clock.Sleep(f.For)
			if second, err := p.roundTrip(ctx, req, r.Body); err == nil {
				p.plan.Injected(r, f)
				_ = second.Body.Close()
			}
		}()
	}
	snapshot{status: answer.StatusCode, header: answer.Header, body: body}.head(w)
	if f.Kind == Truncate || f.Kind == ResetAnswer {
		p.plan.Injected(r, f)
		_, _ = w.Write(body[:min(f.Bytes, max(0, len(body)-1))])
		_ = http.NewResponseController(w).Flush()
		if f.Kind == ResetAnswer {
			reset(w)
			return
		}
		panic(http.ErrAbortHandler) // an orderly end, before all is said
	}
	_, _ = w.Write(body)
	// What is written is with the client when the connection says so, not when the handler ends.
	_ = http.NewResponseController(w).Flush()
	p.plan.Reached(r, Answered)
}

// reset breaks the client's connection: what it has not read is gone.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	breakConn(conn)
}

func breakConn(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
