// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// TestT25AgentReadsItsNodeAlone attacks the API server with nothing but the agent itself: whatever it lists or watches of pods and claims, in its caches
// and beside them, from its start through ADD and DEL, is of its node or of one namespace. Of many nodes none reads what concerns the others.
func TestT25AgentReadsItsNodeAlone(t *testing.T) {
	f := newFixture(t)
	n := newNode(t)
	var mu sync.Mutex
	selected := map[string]bool{} // what was listed or watched, and by which field
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		collection := req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]
		if req.Method == http.MethodGet && (collection == "pods" || collection == "macclaims") {
			mu.Lock()
			selected[strings.TrimPrefix(req.URL.Path, "/apis/macpool.dev/v1alpha1")+" "+req.URL.Query().Get("fieldSelector")] = true
			mu.Unlock()
		}
		return next.RoundTrip(req)
	})
	n.start(t)
	n.awaitReady(t)
	f.add(t, n, "c1", f.newPod(t, "db-0", n.name, "db")) // which binds by itself
	prebound := f.newPod(t, "db-1", n.name, "db")
	f.prebind(t, n, prebound)
	f.add(t, n, "c2", prebound)
	del(t, n, "c1")
	n.stop()

	mu.Lock()
	defer mu.Unlock()
	for _, cached := range []string{"/api/v1/pods spec.nodeName=" + n.name, "/macclaims " + holderNode + "=" + n.name} {
		if !selected[cached] {
			t.Errorf("the agent has not asked for %q, but for %v", cached, selected)
		}
	}
	for what := range selected {
		if !strings.HasSuffix(what, "="+n.name) && !strings.Contains(what, "/namespaces/"+f.namespace+"/") {
			t.Errorf("the agent asked for %q, which is not of its node alone", what)
		}
	}
}

// TestT25Backoff has an API server that is too busy answer an agent: it asks ever less often, to once a second, and agents that were turned away together
// come back apart.
func TestT25Backoff(t *testing.T) {
	n := newNode(t)
	a, err := New(apiConfig(t), n.options)
	if err != nil {
		t.Fatal(err)
	}
	jitter := a.jitter
	var backoffs, others []time.Duration
	a.jitter = func(n time.Duration) time.Duration {
		backoffs = append(backoffs, n)
		for range 8 {
			others = append(others, jitter(n))
		}
		return 0
	}
	calls := 0
	err = a.retry(t.Context(), func(context.Context) error {
		if calls++; calls <= 7 {
			return apierrors.NewTooManyRequests("too many requests, please try again later", 1)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{
		50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, time.Second, time.Second,
	}
	if diff := cmp.Diff(want, backoffs); diff != "" {
		t.Errorf("times between two calls (-want +got):\n%s", diff)
	}
	for i, backoff := range backoffs {
		apart := others[8*i : 8*i+8]
		if slices.Max(apart) >= backoff || slices.Min(apart) == slices.Max(apart) {
			t.Errorf("after %s eight agents wait %v more", backoff/2, apart)
		}
	}
}
