// SPDX-License-Identifier: Apache-2.0

package faultproxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/macpool/macpool/e2e/chaos/faultproxy"
)

// script is a plan that does one thing to every request.
type script struct {
	fault *faultproxy.Fault
	stop  func(*faultproxy.Request, faultproxy.Phase) bool

	mu       sync.Mutex
	injected int
	last     *faultproxy.Request
}

func (s *script) Reached(r *faultproxy.Request, p faultproxy.Phase) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = r
	return s.stop == nil || s.stop(r, p)
}

func (s *script) Decide(*faultproxy.Request) *faultproxy.Fault { return s.fault }

func (s *script) Injected(*faultproxy.Request, *faultproxy.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.injected++
}

// request is the last one. The proxy may still tell of its end while its client reads the answer.
func (s *script) request() *faultproxy.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.injected
}

// server is an API server that counts what it was asked whole.
type server struct {
	*httptest.Server
	served atomic.Int64
	events chan string
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{events: make(chan string, 8)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.served.Add(1)
		if r.URL.Query().Get("watch") != "true" {
			_, _ = fmt.Fprintf(w, "answer %d to %s %s", s.served.Load(), r.Method, body) //nolint:gosec // G705: nobody browses this
			return
		}
		flow := http.NewResponseController(w)
		_ = flow.Flush()
		for {
			select {
			case e := <-s.events:
				_, _ = io.WriteString(w, e)
				_ = flow.Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func newProxy(t *testing.T, s *server, plan faultproxy.Plan) *faultproxy.Proxy {
	t.Helper()
	up, err := faultproxy.NewUpstream(s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := faultproxy.New(t.Context(), "agent-1", up, plan, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const leases = "/apis/macpool.dev/v1alpha1/macleases"

func do(ctx context.Context, method, url, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// Each fault does to a write what its name says: what the client sees, and how often the API server has done it.
func TestFaults(t *testing.T) {
	const whole = "answer 1 to POST {}"
	cases := map[string]struct {
		fault    *faultproxy.Fault
		wantCode int // 0: the connection breaks
		wantText string
		want     int64
	}{
		"none":                              {nil, 200, whole, 1},
		"delay":                             {&faultproxy.Fault{Kind: faultproxy.Delay, For: time.Millisecond}, 200, whole, 1},
		"delay of the answer":               {&faultproxy.Fault{Kind: faultproxy.DelayAnswer, For: time.Millisecond}, 200, whole, 1},
		"drop before send":                  {&faultproxy.Fault{Kind: faultproxy.DropBefore}, 0, "", 0},
		"F6: response dropped after commit": {&faultproxy.Fault{Kind: faultproxy.DropAfter}, 0, "", 1},
		"F6: 504 after commit":              {&faultproxy.Fault{Kind: faultproxy.Timeout504}, 504, "injected fault", 1},
		"duplicate":                         {&faultproxy.Fault{Kind: faultproxy.Duplicate}, 200, "answer 2 to POST {}", 2},
		"F7: conflict":                      {&faultproxy.Fault{Kind: faultproxy.Conflict409}, 409, `"reason":"Conflict"`, 0},
		"F8: too many":                      {&faultproxy.Fault{Kind: faultproxy.TooMany429}, 429, `"reason":"TooManyRequests"`, 0},
		"F35: unauthorized":                 {&faultproxy.Fault{Kind: faultproxy.Unauthorized401}, 401, `"reason":"Unauthorized"`, 0},
		"500":                               {&faultproxy.Fault{Kind: faultproxy.Error500}, 500, `"code":500`, 0},
		"503":                               {&faultproxy.Fault{Kind: faultproxy.Unavailable503}, 503, `"code":503`, 0},
		"reset in the request":              {&faultproxy.Fault{Kind: faultproxy.ResetRequest, Bytes: 1}, 0, "", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, plan := newServer(t), &script{fault: c.fault}
			p := newProxy(t, s, plan)
			code, text, err := do(t.Context(), http.MethodPost, p.URL()+leases, "{}")
			if code != c.wantCode || !strings.Contains(text, c.wantText) || (err != nil) != (c.wantCode == 0) {
				t.Errorf("got %d %q %v", code, text, err)
			}
			if got := s.served.Load(); got != c.want {
				t.Errorf("the API server did it %d times, want %d", got, c.want)
			}
			if injected := plan.count() == 1; injected != (c.fault != nil) {
				t.Errorf("injected %d times", plan.count())
			}
			if r := plan.request(); r.Class() != "agent-1 create macleases" || string(r.Body) != "{}" {
				t.Errorf("class %q, body %q", r.Class(), r.Body)
			}
		})
	}
}

// An answer that ends early is an error to the client, never a shorter answer.
func TestHalfAnswers(t *testing.T) {
	for _, kind := range []faultproxy.Kind{faultproxy.Truncate, faultproxy.ResetAnswer} {
		for _, n := range []int{0, 5, 1000} {
			s := newServer(t)
			p := newProxy(t, s, &script{fault: &faultproxy.Fault{Kind: kind, Bytes: n}})
			code, text, err := do(t.Context(), http.MethodPut, p.URL()+leases+"/a", "{}")
			if err == nil {
				t.Errorf("%s after %d octets: %d %q without error", kind, n, code, text)
			}
			if s.served.Load() != 1 {
				t.Errorf("%s: the API server did it %d times", kind, s.served.Load())
			}
		}
	}
}

func TestLateDuplicate(t *testing.T) {
	s := newServer(t)
	p := newProxy(t, s, &script{fault: &faultproxy.Fault{Kind: faultproxy.LateDuplicate, For: 20 * time.Millisecond}})
	if _, text, err := do(t.Context(), http.MethodPost, p.URL()+leases, "{}"); err != nil || text != "answer 1 to POST {}" {
		t.Errorf("got %q %v", text, err)
	}
	await(t, "the second request", func() bool { return s.served.Load() == 2 })
}

// A request that was delayed arrives, although its client has given up.
func TestLateCommit(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := newProxy(t, s, &script{
		fault: &faultproxy.Fault{Kind: faultproxy.Delay, For: 200 * time.Millisecond},
		stop: func(*faultproxy.Request, faultproxy.Phase) bool {
			cancel() // the proxy has it, and waits
			return true
		},
	})
	if _, _, err := do(ctx, http.MethodPost, p.URL()+leases, "{}"); err == nil {
		t.Error("the client did not give up")
	}
	await(t, "the commit", func() bool { return s.served.Load() == 1 })
}

// What the plan stops at a phase is broken off there: before the API server, or after it.
func TestPhases(t *testing.T) {
	for phase, want := range map[faultproxy.Phase]int64{faultproxy.Arrived: 0, faultproxy.Committed: 1} {
		s := newServer(t)
		p := newProxy(t, s, &script{stop: func(_ *faultproxy.Request, at faultproxy.Phase) bool { return at != phase }})
		if _, text, err := do(t.Context(), http.MethodPost, p.URL()+leases, "{}"); err == nil {
			t.Errorf("phase %d: answered %q", phase, text)
		}
		if got := s.served.Load(); got != want {
			t.Errorf("phase %d: done %d times, want %d", phase, got, want)
		}
	}
}

func TestPartition(t *testing.T) {
	s := newServer(t)
	p := newProxy(t, s, &script{})
	p.Partition(faultproxy.Refused)
	if _, text, err := do(t.Context(), http.MethodGet, p.URL()+leases, ""); err == nil {
		t.Errorf("cut off, and answered %q", text)
	}
	p.Heal()
	p.Partition(faultproxy.Silent)
	done := make(chan error, 1)
	go func() {
		_, _, err := do(t.Context(), http.MethodGet, p.URL()+leases, "")
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("answered while silent: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	p.Heal()
	if err := <-done; err != nil {
		t.Errorf("after the heal: %v", err)
	}
}

// A watch can be held up without losing anything, and cut; a list can be what it was before.
func TestWatch(t *testing.T) {
	s := newServer(t)
	plan := &script{}
	p := newProxy(t, s, plan)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+leases+"?watch=true&fieldSelector=a%3Db", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	w := p.Watches()[0]
	if w.Class() != "agent-1 watch macleases" {
		t.Errorf("class %q", w.Class())
	}
	resume := w.Stall()
	s.events <- "first"
	got := make(chan string, 1)
	go func() {
		buffer := make([]byte, 100)
		n, _ := resp.Body.Read(buffer)
		got <- string(buffer[:n])
	}()
	select {
	case text := <-got:
		t.Fatalf("stalled, and got %q", text)
	case <-time.After(50 * time.Millisecond):
	}
	resume()
	if text := <-got; text != "first" {
		t.Errorf("got %q", text)
	}

	p.Snapshot(t.Context())
	plan.fault = &faultproxy.Fault{Kind: faultproxy.StaleList}
	url := p.URL() + leases + "?fieldSelector=a%3Db&resourceVersion=0&limit=500"
	if _, text, err := do(t.Context(), http.MethodGet, url, ""); err != nil || text != "answer 2 to GET " {
		t.Errorf("stale list %q %v", text, err)
	}
	if _, text, err := do(t.Context(), http.MethodGet, p.URL()+leases, ""); err != nil || text != "answer 3 to GET " {
		t.Errorf("a list that was not recorded: %q %v", text, err)
	}
	w.Cut()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("a watch that was cut ended in order")
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s", what)
		}
	}
}
