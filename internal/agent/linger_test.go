// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/macpool/macpool/internal/problem"
)

// TestLingering proves the row "gone, Ready, sandbox still there" of R-G4: the address is kept, and after ten minutes somebody is told, once.
func TestLingering(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Times.Linger, o.Metrics = 20*time.Millisecond, prometheus.NewRegistry() })
	running, gone := f.newPod(t, "running", n.name, ""), f.newPod(t, "gone", n.name, "")
	f.attach(t, n, "c1", running)
	f.attach(t, n, "c2", gone)
	f.deletePod(t, gone)
	counts := func(want float64) {
		t.Helper()
		eventually(t, "the number of sandboxes that linger", func() error {
			if got := scrape(t, n)["macpool_agent_lingering"]; got != want {
				return fmt.Errorf("it is %g, want %g", got, want)
			}
			return nil
		})
	}
	eventually(t, "the first look", func() error {
		n.agent.reporter.mu.Lock()
		defer n.agent.reporter.mu.Unlock()
		if len(n.agent.reporter.podless) != 1 {
			return fmt.Errorf("%d are without a pod", len(n.agent.reporter.podless))
		}
		return nil
	})
	if got := scrape(t, n)["macpool_agent_lingering"]; got != 0 {
		t.Errorf("%g linger at once", got)
	}
	n.clock.ahead.Store(int64(lingersAfter + time.Second))
	counts(1)
	f.awaitEvent(t, f.claimOf(t, gone), problem.SandboxLingers)
	if holder := f.claimOf(t, gone).Status.Holder; holder == nil || holder.PodUID != gone.UID {
		t.Errorf("the holder is %+v, want the pod whose sandbox is there", holder)
	}
	n.clock.ahead.Add(int64(time.Hour))
	counts(1)
	f.awaitEvent(t, f.claimOf(t, gone), problem.SandboxLingers) // still one

	del(t, n, "c2")
	counts(0)
}
