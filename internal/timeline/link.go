// SPDX-License-Identifier: Apache-2.0

package timeline

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// earlySlack is how much before its time a watch may end without being cut off.
const earlySlack = time.Second

// Link listens to a process's way to the API server for the server's going away and coming back. Whether it has come back as
// another one, with an older state, no client can see: client-go's watches go on where they were, from a resourceVersion that
// the server will only reach again, and report nothing.
//
// Watches tell, and single requests do not: they get lost for many reasons, while a server that ends takes all its
// watches with it. Safe for concurrent use.
type Link struct {
	Clock clock.PassiveClock
	// Broken is called when a watch ended before its time or could not be begun, Back at the first answer after that. They
	// may be called from anywhere and must not block.
	Broken, Back func()

	down atomic.Bool
}

// Wrap is a rest.Config's WrapTransport.
func (l *Link) Wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		watch := isWatch(req)
		resp, err := next.RoundTrip(req)
		switch {
		case err != nil:
			if watch && req.Context().Err() == nil {
				l.broken()
			}
			return resp, err
		case watch && goneAway(resp.StatusCode):
			l.broken()
		case resp.StatusCode < http.StatusBadRequest && l.down.CompareAndSwap(true, false):
			l.Back()
		}
		if watch && resp.StatusCode == http.StatusOK {
			resp.Body = &watchBody{ReadCloser: resp.Body, link: l, due: l.due(req)}
		}
		return resp, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip is http.RoundTripper's.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func (l *Link) broken() {
	l.down.Store(true)
	l.Broken()
}

func isWatch(req *http.Request) bool {
	value, err := strconv.ParseBool(req.URL.Query().Get("watch"))
	return req.Method == http.MethodGet && err == nil && value
}

// goneAway tells whether an answer to a watch shows a server that does not know what it knew: the kind, or the version from
// which to go on; or that has lost its storage. One that is busy, or minds the token, is the same as before.
func goneAway(status int) bool {
	return status == http.StatusNotFound || status == http.StatusGone || status >= http.StatusInternalServerError
}

// due is when the server ends the watch by itself; zero if it never does.
func (l *Link) due(req *http.Request) time.Time {
	seconds, err := strconv.Atoi(req.URL.Query().Get("timeoutSeconds"))
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return l.Clock.Now().Add(time.Duration(seconds) * time.Second)
}

// watchBody is the stream of a watch.
type watchBody struct {
	io.ReadCloser

	link   *Link
	due    time.Time
	closed atomic.Bool
	ended  sync.Once
}

// Read is io.Reader's.
func (b *watchBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !b.closed.Load() {
		b.ended.Do(func() {
			if b.due.IsZero() || b.link.Clock.Now().Before(b.due.Add(-earlySlack)) {
				b.link.broken()
			}
		})
	}
	return n, err
}

// Close is io.Closer's. A watch that this side ends says nothing about the other.
func (b *watchBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}
