// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

const (
	// garbagePercent is how much garbage may lie beside what is alive before it is collected: half of what Go allows by itself. What is alive is
	// caches, which grow with the cluster, and most of it strings, in which a collection has nothing to follow.
	garbagePercent = 50
	// The start reads the whole cluster, and looks at all of it once. It is over when in restLook no more than restShare of what is alive was
	// allocated, or restLeast; it is taken for over after restLooks, in a cluster in which something happens all the time.
	restLook  = 5 * time.Second
	restLooks = 60
	restShare = 0.2
	restLeast = 16 << 20
)

// addThrift makes the manager keep little memory beside what is alive. What the start took is given back when it is over: the memory would lie
// there until a collection much later finds it unused.
func addThrift(mgr ctrl.Manager) error {
	setGarbage()
	err := mgr.Add(everyReplica(func(ctx context.Context) error {
		if mgr.GetCache().WaitForCacheSync(ctx) && awaitRest(ctx, heap) {
			debug.FreeOSMemory()
		}
		return nil
	}))
	if err != nil {
		return fmt.Errorf("adding what gives memory back: %w", err)
	}
	return nil
}

// setGarbage obeys GOGC, if it is set.
func setGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// awaitRest waits until the start is over; false if ctx ends before. heap tells what was allocated so far, and what the last collection has left.
func awaitRest(ctx context.Context, heap func() (allocated, alive uint64)) bool {
	before, _ := heap()
	for range restLooks {
		select {
		case <-time.After(restLook):
		case <-ctx.Done():
			return false
		}
		allocated, alive := heap()
		if allocated-before <= max(restLeast, uint64(restShare*float64(alive))) {
			return true
		}
		before = allocated
	}
	return true
}

func heap() (allocated, alive uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

// everyReplica is a Runnable that needs not be the leader.
type everyReplica manager.RunnableFunc

// Start is manager.Runnable's.
func (r everyReplica) Start(ctx context.Context) error { return r(ctx) }

// NeedLeaderElection is manager.LeaderElectionRunnable's.
func (everyReplica) NeedLeaderElection() bool { return false }
