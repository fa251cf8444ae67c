// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

const (
	// garbagePercent is how much garbage may lie beside what is alive before it is collected: half of what Go allows by itself. What is alive is
	// caches, which grow with the cluster, and most of it strings, in which a collection has nothing to follow.
	garbagePercent = 50
	// The start reads the whole cluster, and looks at all of it once, which takes minutes in a large one. What that took is given back while it goes
	// on, and when it is over.
	givingBack, givings = 10 * time.Second, 30
)

// addThrift makes the manager keep little memory beside what is alive. GOGC, if it is set, is obeyed.
func addThrift(mgr ctrl.Manager) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	err := mgr.Add(everyReplica(func(ctx context.Context) error {
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return nil
		}
		for range givings {
			select {
			case <-time.After(givingBack):
				debug.FreeOSMemory()
			case <-ctx.Done():
				return nil
			}
		}
		return nil
	}))
	if err != nil {
		return fmt.Errorf("adding what gives memory back: %w", err)
	}
	return nil
}

// everyReplica is a Runnable that needs not be the leader.
type everyReplica manager.RunnableFunc

// Start is manager.Runnable's.
func (r everyReplica) Start(ctx context.Context) error { return r(ctx) }

// NeedLeaderElection is manager.LeaderElectionRunnable's.
func (everyReplica) NeedLeaderElection() bool { return false }
