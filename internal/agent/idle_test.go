// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestIdleAgentHearsNothingOfOthers: of an ADD and a DEL on another node, from the pod's creation to its claim's release, an agent is sent not one octet.
// What it is sent at the end, about a pod of its own, shows that it would have been by then.
func TestIdleAgentHearsNothingOfOthers(t *testing.T) {
	f := newFixture(t)
	idle := newNode(t)
	var mu sync.Mutex
	var heard bytes.Buffer
	idle.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err == nil && req.URL.Query().Has("watch") {
			resp.Body = &overheard{resp.Body, &mu, &heard}
		}
		return resp, err
	})
	idle.start(t)
	idle.awaitReady(t)
	busy := startNode(t)
	mu.Lock()
	heard.Reset()
	mu.Unlock()

	bound := f.newPod(t, "busy-0", busy.name, "busy")
	f.prebind(t, busy, bound)
	f.add(t, busy, "c1", bound)
	unbound := f.newPod(t, "busy-1", busy.name, "busy")
	f.add(t, busy, "c2", unbound)
	del(t, busy, "c1")
	del(t, busy, "c2")
	f.awaitNoHolder(t, bound)
	f.awaitNoHolder(t, unbound)
	f.deletePod(t, bound)

	own := f.newPod(t, "own-0", idle.name, "own")
	f.prebind(t, idle, own)
	eventually(t, "the own pod in the cache", func() error {
		return idle.agent.cluster.cache.Get(t.Context(), client.ObjectKeyFromObject(own), &corev1.Pod{})
	})
	mu.Lock()
	defer mu.Unlock()
	if !bytes.Contains(heard.Bytes(), []byte("own-0")) {
		t.Error("the agent was not sent its own pod, or it was not seen here")
	}
	if bytes.Contains(heard.Bytes(), []byte("busy-")) {
		t.Errorf("the agent was sent what concerns another node: %q", heard.Bytes())
	}
}

// overheard copies what is read.
type overheard struct {
	io.ReadCloser

	mu *sync.Mutex
	to *bytes.Buffer
}

func (o *overheard) Read(b []byte) (int, error) {
	n, err := o.ReadCloser.Read(b)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to.Write(b[:n])
	return n, err
}
