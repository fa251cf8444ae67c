// SPDX-License-Identifier: Apache-2.0

package keylock

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// TestLocks proves that one key is one at a time, others are not held up, and nothing is left when all is done.
func TestLocks(t *testing.T) {
	var locks Locks[int]
	counters := make([]int, 4) // guarded by the keys' locks
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			n := i % len(counters)
			unlock, err := locks.Lock(t.Context(), n)
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

// TestLockGivesUp proves that a waiter leaves with its context, and that the lock is not lost by it.
func TestLockGivesUp(t *testing.T) {
	var locks Locks[string]
	const key = "db-0.iot.net1"
	errGone := errors.New("the caller is gone")
	unlock, err := locks.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errGone)
	if _, err := locks.Lock(ctx, key); !errors.Is(err, errGone) {
		t.Errorf("the waiter got %v, want %v", err, errGone)
	}
	unlock()
	unlock, err = locks.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if len(locks.locks) != 0 {
		t.Errorf("%d locks are left", len(locks.locks))
	}
}
