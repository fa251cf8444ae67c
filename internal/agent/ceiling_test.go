// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/macpool/macpool/internal/problem"
)

// TestLastAddressesOfANamespace proves that of the pods which a node attaches at once as many get an address as their namespace may have, and
// the rest is told why (R-S4): the binds of a process come one after the other, and do not refuse each other for nothing.
func TestLastAddressesOfANamespace(t *testing.T) {
	const limit, pods = 4, 16
	f := newFixture(t)
	f.pool.Spec.MaxPerNamespace = new(int32(limit))
	f.must(t, f.Update(t.Context(), f.pool))
	f.setReady(t, f.pool)
	n := startNode(t, func(o *Options) { o.Times.API = 0 }) // the product's
	var all sync.WaitGroup
	var attached atomic.Int32
	for i := range pods {
		pod := f.newPod(t, fmt.Sprintf("pod-%d", i), n.name, "")
		all.Go(func() {
			resp, _, err := tryAsk(t.Context(), n.socket, f.addition(pod.Name, pod))
			switch {
			case err != nil:
				t.Errorf("ADD of %s: %v", pod.Name, err)
			case resp.Error == nil:
				attached.Add(1)
			default:
				wantProblem(t, resp, problem.NamespaceFull)
			}
		})
	}
	all.Wait()
	if got := attached.Load(); got != limit {
		t.Errorf("%d pods have an address, want %d", got, limit)
	}
}
