// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/macpool/macpool/internal/agentapi"
)

// TestClaimLocks proves that one claim is one at a time, others are not held up, and nothing is left when all is done.
func TestClaimLocks(t *testing.T) {
	var locks claimLocks
	counters := make([]int, 4) // guarded by the claims' locks
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			n := i % len(counters)
			unlock, err := locks.lock(t.Context(), agentapi.ClaimRef{Name: fmt.Sprint(n)})
			if err != nil {
				t.Error(err)
				return
			}
			counters[n]++
			unlock()
			unlock() // a second time does nothing
		})
	}
	wg.Wait()
	for n, got := range counters {
		if got != 100 {
			t.Errorf("counter %d = %d, want 100", n, got)
		}
	}
	if len(locks.locks) != 0 {
		t.Errorf("%d locks are left", len(locks.locks))
	}
}

// TestClaimLockGivesUp proves that a waiter leaves with its context, and that the lock is not lost by it.
func TestClaimLockGivesUp(t *testing.T) {
	var locks claimLocks
	claim := agentapi.ClaimRef{Namespace: "home", Name: "db-0.iot.net1"}
	unlock, err := locks.lock(t.Context(), claim)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errHungUp)
	if _, err := locks.lock(ctx, claim); !errors.Is(err, errHungUp) {
		t.Errorf("the waiter got %v, want %v", err, errHungUp)
	}
	unlock()
	unlock, err = locks.lock(t.Context(), claim)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if len(locks.locks) != 0 {
		t.Errorf("%d locks are left", len(locks.locks))
	}
}
