// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/macpool/macpool/internal/problem"
)

// linger looks for sandboxes that outlive their pods. Their addresses are kept, since the interface is there; but somebody
// should see why the runtime does not end them (R-G4).
func (a *Agent) linger(ctx context.Context) error {
	select {
	case <-a.ready:
	case <-ctx.Done():
		return nil
	}
	said := map[attemptKey]bool{}
	return a.every(a.times.Linger, func(ctx context.Context) {
		if a.contact.cachesAgree() { // while the API is away nobody knows which pods are gone (F5)
			said = a.lookForLingering(ctx, said)
		}
	})(ctx)
}

// lookForLingering counts what lingers and says it once; said is what was said already. The cache proposes, the API decides.
func (a *Agent) lookForLingering(ctx context.Context, said map[attemptKey]bool) map[attemptKey]bool {
	still := map[attemptKey]bool{}
	for _, entry := range a.reporter.lingering(ctx, a.journal.in(attached)) {
		if !a.netnsAlive(entry.NetNS) {
			continue // the reaper's
		}
		gone, err := a.podGone(ctx, entry.Pod)
		if err != nil {
			a.log.V(1).Info("A pod whose sandbox lingers was not looked up", "pod", entry.Pod, "error", err.Error())
		}
		if err != nil && said[entry.key()] || gone {
			still[entry.key()] = true
		}
		if !gone || said[entry.key()] {
			continue
		}
		trouble := problem.SandboxLingers.New(entry.Pod.Namespace, entry.Pod.Name, fmt.Sprintf("more than %s", lingersAfter.Truncate(time.Minute)),
			entry.Interface, a.nodeName, entry.Claim.Name)
		a.log.Info("A sandbox outlives its pod", "container", entry.ContainerID, "interface", entry.Interface, "pod", entry.Pod,
			"claim", entry.Claim)
		a.says.onClaim(entry.Claim, trouble)
	}
	a.metrics.lingering.Store(int64(len(still)))
	return still
}
