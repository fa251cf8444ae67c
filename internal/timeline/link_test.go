// SPDX-License-Identifier: Apache-2.0

package timeline

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"
)

// stream is a body that ends when the test says so.
type stream struct{ end chan error }

func (s *stream) Read([]byte) (int, error) {
	err := <-s.end
	if err == nil {
		err = errors.New("closed by this side")
	}
	return 0, err
}

func (s *stream) Close() error {
	close(s.end)
	return nil
}

// TestLink walks through what a process hears of the API server's going away and coming back.
func TestLink(t *testing.T) {
	const watch, list = "https://api/macleases?watch=true&timeoutSeconds=300", "https://api/macleases"
	fake := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	var broken, back int
	l := &Link{Clock: fake, Broken: func() { broken++ }, Back: func() { back++ }}
	var status int // of the next answer, 0 for none
	body := &stream{}
	transport := l.Wrap(roundTripper(func(*http.Request) (*http.Response, error) {
		if status == 0 {
			return nil, errors.New("connection refused")
		}
		body = &stream{end: make(chan error, 1)}
		return &http.Response{StatusCode: status, Body: body}, nil
	}))
	ask := func(ctx context.Context, url string, s int) *http.Response {
		status = s
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return nil
		}
		return resp
	}
	end := func(err error) {
		body.end <- err
	}
	over, stop := context.WithCancel(t.Context())
	stop()
	var open *http.Response
	read := func() { _, _ = open.Body.Read(make([]byte, 1)) }
	steps := []struct {
		name         string
		do           func()
		broken, back int
	}{
		{"a list", func() { ask(t.Context(), list, 200) }, 0, 0},
		{"a list that fails", func() { ask(t.Context(), list, 0) }, 0, 0},
		{"a list without storage", func() { ask(t.Context(), list, 500) }, 0, 0},
		{"a watch", func() { open = ask(t.Context(), watch, 200) }, 0, 0},
		{"it ends at its time", func() { fake.SetTime(fake.Now().Add(300 * time.Second)); end(io.EOF); read() }, 0, 0},
		{"another", func() { open = ask(t.Context(), watch, 200) }, 0, 0},
		{"this side ends it", func() { _ = open.Body.Close(); read() }, 0, 0},
		{"another", func() { open = ask(t.Context(), watch, 200) }, 0, 0},
		{"the server ends it", func() { end(io.ErrUnexpectedEOF); read() }, 1, 0},
		{"once", func() { end(io.ErrUnexpectedEOF); read() }, 1, 0},
		{"no server", func() { ask(t.Context(), watch, 0) }, 2, 0},
		{"a watch that nobody waits for", func() { ask(over, watch, 0) }, 2, 0},
		{"a busy one", func() { ask(t.Context(), watch, 429) }, 2, 0},
		{"an answer", func() { ask(t.Context(), list, 200) }, 2, 1},
		{"another answer", func() { ask(t.Context(), list, 200) }, 2, 1},
		{"a version that is gone", func() { ask(t.Context(), watch, 410) }, 3, 1},
		{"a kind that is gone", func() { ask(t.Context(), watch, 404) }, 4, 1},
		{"back", func() { open = ask(t.Context(), watch, 200) }, 4, 2},
		{"cut off early", func() { fake.SetTime(fake.Now().Add(298 * time.Second)); end(io.EOF); read() }, 5, 2},
	}
	for _, s := range steps {
		s.do()
		if broken != s.broken || back != s.back {
			t.Fatalf("%s: broken %d, back %d; want %d, %d", s.name, broken, back, s.broken, s.back)
		}
	}
}
