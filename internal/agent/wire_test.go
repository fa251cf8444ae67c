// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/macpool/macpool/api/v1alpha1"
)

// apiWire is an agent's connection to the API server, in the hands of a test.
type apiWire struct {
	mu sync.Mutex
	// on, if set, serves a request instead of next.
	on func(req *http.Request, next http.RoundTripper) (*http.Response, error)
	// streams are the open answers of watches.
	streams map[*stream]bool
	// healed is closed when set lets requests through: then those that hang are cut.
	healed chan struct{}
	// asked are the requests but heartbeats, watches and lists of alternates, as "GET /path".
	asked []string
}

func newWire() *apiWire { return &apiWire{streams: map[*stream]bool{}, healed: make(chan struct{})} }

func (w *apiWire) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		query := req.URL.Query()
		isWatch := query.Has("watch")
		w.mu.Lock()
		on := w.on
		if !isWatch && query.Get("limit") != "1" && !strings.HasPrefix(query.Get("fieldSelector"), alternateNode) {
			w.asked = append(w.asked, req.Method+" "+req.URL.Path)
		}
		w.mu.Unlock()
		if on != nil {
			return on(req, next)
		}
		resp, err := next.RoundTrip(req)
		if err == nil && isWatch {
			resp.Body = w.track(resp.Body)
		}
		return resp, err
	})
}

// set has on serve the requests from now on; nil lets them through. Watches that are open are cut.
func (w *apiWire) set(on func(req *http.Request, next http.RoundTripper) (*http.Response, error)) {
	w.mu.Lock()
	w.on = on
	streams := w.streams
	w.streams = map[*stream]bool{}
	if on == nil {
		close(w.healed)
		w.healed = make(chan struct{})
	}
	w.mu.Unlock()
	if on != nil {
		for s := range streams {
			_ = s.ReadCloser.Close()
		}
	}
}

// hook is set for some requests; the watches stay.
func (w *apiWire) hook(on func(req *http.Request, next http.RoundTripper) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = on
}

// refuse is an API server that is not there.
func refuse(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, errNoNetwork }

// hang is an API server that takes requests and never answers.
func (w *apiWire) hang(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
	w.mu.Lock()
	healed := w.healed
	w.mu.Unlock()
	select {
	case <-req.Context().Done():
		return nil, req.Context().Err()
	case <-healed:
		return nil, errNoNetwork
	}
}

// requests returns what was asked since the last call.
func (w *apiWire) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

type stream struct {
	io.ReadCloser

	wire *apiWire
}

func (w *apiWire) track(body io.ReadCloser) io.ReadCloser {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &stream{ReadCloser: body, wire: w}
	w.streams[s] = true
	return s
}

// Close is io.Closer's.
func (s *stream) Close() error {
	s.wire.mu.Lock()
	delete(s.wire.streams, s)
	s.wire.mu.Unlock()
	return s.ReadCloser.Close()
}

// isStatusWrite tells whether a request writes the status of a claim.
func isStatusWrite(req *http.Request) bool {
	return req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/macclaims/") && strings.HasSuffix(req.URL.Path, "/status")
}

// setsHolder tells whether a write of a claim's status has a holder in it.
func setsHolder(t *testing.T, req *http.Request) bool {
	t.Helper()
	body, err := req.GetBody()
	if err != nil {
		t.Error(err)
		return false
	}
	var claim v1alpha1.MacClaim
	if err := json.NewDecoder(body).Decode(&claim); err != nil {
		t.Error(err)
	}
	return claim.Status.Holder != nil
}

// loseEachAnswerOnce drops the answer to each write the first time it is sent, after the API server has carried it out.
func (w *apiWire) loseEachAnswerOnce() {
	var mu sync.Mutex
	lost := map[string]bool{}
	w.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err != nil || req.Method == http.MethodGet {
			return resp, err
		}
		mu.Lock()
		defer mu.Unlock()
		if key := req.Method + " " + req.URL.Path; !lost[key] {
			lost[key] = true
			_ = resp.Body.Close()
			return nil, io.ErrUnexpectedEOF
		}
		return resp, nil
	})
}

// isMetadataOnly tells whether an Accept header asks for objects without spec and status.
func isMetadataOnly(accept string) bool {
	return strings.Contains(accept, "as=PartialObjectMetadataList")
}
