// SPDX-License-Identifier: Apache-2.0

package faultproxy

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
)

// Watch is a watch that is open.
type Watch struct {
	*Request

	proxy *Proxy
	req   *http.Request
	// cut is closed when the watch is to end.
	cut  chan struct{}
	once sync.Once

	mu      sync.Mutex
	resumed chan struct{} // closed while the watch flows
}

// Stall keeps what the watch has to say until the returned function is called; nothing is lost.
func (w *Watch) Stall() (resume func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	resumed := make(chan struct{})
	w.resumed = resumed
	return sync.OnceFunc(func() { close(resumed) })
}

// Cut ends the watch; the client watches again, from where it was.
func (w *Watch) Cut() { w.once.Do(func() { close(w.cut) }) }

// Watches are the watches that are open now.
func (p *Proxy) Watches() []*Watch {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.watches))
}

// stream copies a watch as it comes.
func (p *Proxy) stream(out http.ResponseWriter, req *http.Request, r *Request, answer *http.Response) {
	w := &Watch{Request: r, proxy: p, req: req, cut: make(chan struct{}), resumed: make(chan struct{})}
	close(w.resumed)
	p.mu.Lock()
	p.watches[w] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.watches, w)
		p.mu.Unlock()
	}()
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	go func() {
		select {
		case <-w.cut:
		case <-ctx.Done():
		}
		_ = answer.Body.Close() // ends a read that waits
	}()
	snapshot{status: answer.StatusCode, header: answer.Header}.head(out)
	flow := http.NewResponseController(out)
	_ = flow.Flush()
	buffer := make([]byte, 64<<10)
	for {
		n, err := answer.Body.Read(buffer)
		if n > 0 {
			if !w.await(ctx) || !p.awaitWay(ctx) {
				break
			}
			if _, err := out.Write(buffer[:n]); err != nil || flow.Flush() != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	panic(http.ErrAbortHandler) // in the midst of it, as connections end
}

// await waits while the watch is stalled.
func (w *Watch) await(ctx context.Context) bool {
	for {
		w.mu.Lock()
		resumed := w.resumed
		w.mu.Unlock()
		select {
		case <-resumed:
			w.mu.Lock()
			same := resumed == w.resumed
			w.mu.Unlock()
			if same {
				return true
			}
		case <-w.cut:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// snapshot is an answer that was recorded.
type snapshot struct {
	status int
	header http.Header
	body   []byte
}

func (s snapshot) head(w http.ResponseWriter) {
	header := w.Header()
	maps.Copy(header, s.header)
	if s.body != nil {
		header.Set("Content-Length", strconv.Itoa(len(s.body)))
	}
	w.WriteHeader(s.status)
}

func (s snapshot) write(w http.ResponseWriter) {
	s.head(w)
	_, _ = w.Write(s.body)
}

// selection is what a list or a watch selects: path and selectors.
func selection(req *http.Request) string {
	q := req.URL.Query()
	kept := url.Values{}
	for _, key := range []string{"labelSelector", "fieldSelector"} {
		if v := q.Get(key); v != "" {
			kept.Set(key, v)
		}
	}
	return req.URL.Path + "?" + kept.Encode()
}

// Snapshot lists now what the client's open watches select, to be served as StaleList later.
func (p *Proxy) Snapshot(ctx context.Context) {
	for _, w := range p.Watches() {
		key := selection(w.req)
		list := w.req.Clone(ctx)
		u, err := url.Parse(key)
		if err != nil {
			continue
		}
		list.URL = u
		answer, err := p.roundTrip(ctx, list, nil)
		if err != nil {
			continue
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			continue
		}
		p.mu.Lock()
		p.snapshots[key] = snapshot{status: answer.StatusCode, header: answer.Header, body: body}
		p.mu.Unlock()
	}
}

// Forget drops the snapshots.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.snapshots)
}

func (p *Proxy) recorded(req *http.Request) (snapshot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.snapshots[selection(req)]
	return s, ok
}
