// SPDX-License-Identifier: Apache-2.0

package growths

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/hack/bench/rig"
)

// settling is how long a manager that is ready has for all that it looks at after a start.
const (
	settling     = 5 * time.Second
	settlingMost = 2 * time.Minute
	startingMost = 10 * time.Minute
	// givingBack is more than the two looks that the manager takes to find that it is at rest, and that it can give back what its start took.
	givingBack = 11 * time.Second
)

// started is what a start of the manager has shown.
type started struct {
	leases int
	// ready is the seconds from its start to its first 200 at /readyz.
	ready  float64
	memory rig.Memory
	// heap is what is alive in it, cpu the seconds that it had used when it was at rest.
	heap, cpu float64
	// server is what the API server has in memory, serverHeap what is in use of it by objects, dead ones too.
	server, serverHeap float64
}

// restart stops the manager and starts it again, and waits until it is at rest.
func (w *world) restart(ctx context.Context) (s started, err error) {
	if err := w.fresh(ctx); err != nil {
		return s, err
	}
	if w.Manager != nil && w.Manager.Running() {
		if err := w.Manager.Stop(ctx); err != nil {
			return s, err
		}
	}
	s.leases = w.leases
	begin := time.Now()
	err = w.StartManager(ctx)
	for err != nil && w.Manager != nil && w.Manager.Running() && time.Since(begin) < startingMost {
		err = w.Manager.AwaitReady(ctx, w.ManagerHealth)
	}
	if err != nil {
		return s, fmt.Errorf("starting the manager on %d leases: %w", w.leases, err)
	}
	s.ready = time.Since(begin).Seconds()
	if err := w.rest(ctx); err != nil {
		return s, err
	}
	if err := rig.Pause(ctx, givingBack); err != nil {
		return s, err
	}
	if s.memory, err = rig.MemoryOf(w.Manager.PID()); err != nil {
		return s, err
	}
	metrics, err := metricsOf(ctx, w.ManagerMetrics)
	if err != nil {
		return s, err
	}
	s.heap, s.cpu = metrics["go_memstats_heap_alloc_bytes"], metrics["process_cpu_seconds_total"]
	text, err := w.API.Kubectl(ctx, "get", "--raw", "/metrics")
	if err != nil {
		return s, fmt.Errorf("asking for the metrics of the API server: %w", err)
	}
	server, err := sumsOf(strings.NewReader(text))
	s.server, s.serverHeap = server["process_resident_memory_bytes"], server["go_memstats_heap_alloc_bytes"]
	return s, err
}

// rest waits until the manager does no more than it always does: less than half a second of CPU in five. One that goes on for minutes is
// looked at as it is.
func (w *world) rest(ctx context.Context) error {
	_ = eventually(ctx, settlingMost, func(ctx context.Context) error {
		before, err := metricsOf(ctx, w.ManagerMetrics)
		if err != nil {
			return err
		}
		if err := rig.Pause(ctx, settling); err != nil {
			return err
		}
		after, err := metricsOf(ctx, w.ManagerMetrics)
		if err != nil {
			return err
		}
		if used := after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]; used > 0.5 {
			return fmt.Errorf("the manager is still at work: %.1f s of CPU in %s", used, settling)
		}
		return nil
	})
	return context.Cause(ctx)
}

// fresh waits until the API server has taken up what was stored behind its back, so that its catching up is no part of what comes.
func (w *world) fresh(ctx context.Context) error {
	for _, kind := range []string{"MacClaimList", "MacLeaseList"} {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
		if err := eventually(ctx, settlingMost, func(ctx context.Context) error {
			return w.Client.List(ctx, list, client.Limit(1))
		}); err != nil {
			return fmt.Errorf("waiting for the API server to know what is stored: %w", err)
		}
	}
	return nil
}

// known tells whether the manager has counted all leases, which are then served as the API server's own.
func (w *world) known(ctx context.Context) error {
	return eventually(ctx, settlingMost, func(ctx context.Context) error {
		pool := &v1alpha1.MacPool{}
		if err := w.Client.Get(ctx, client.ObjectKey{Name: poolName}, pool); err != nil {
			return err
		}
		if pool.Status.Leased == nil || *pool.Status.Leased < int64(w.leases) {
			return fmt.Errorf("the pool counts %v leases of %d", pool.Status.Leased, w.leases)
		}
		return nil
	})
}
