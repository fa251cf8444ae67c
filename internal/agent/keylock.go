// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"sync"

	"github.com/macpool/macpool/internal/agentapi"
)

// claimLocks serialises what is done for one claim on this node. The zero value is ready; safe for concurrent use.
type claimLocks struct {
	mu    sync.Mutex
	locks map[agentapi.ClaimRef]*claimLock
}

type claimLock struct {
	held chan struct{} // capacity 1: full while the lock is held
	refs int           // holder and waiters; the last one removes the lock
}

// lock waits for the claim's lock. The function that it returns gives it back and may be called more than once.
func (l *claimLocks) lock(ctx context.Context, claim agentapi.ClaimRef) (unlock func(), err error) {
	l.mu.Lock()
	if l.locks == nil {
		l.locks = map[agentapi.ClaimRef]*claimLock{}
	}
	lock := l.locks[claim]
	if lock == nil {
		lock = &claimLock{held: make(chan struct{}, 1)}
		l.locks[claim] = lock
	}
	lock.refs++
	l.mu.Unlock()

	select {
	case lock.held <- struct{}{}:
		return sync.OnceFunc(func() {
			<-lock.held
			l.drop(claim, lock)
		}), nil
	case <-ctx.Done():
		l.drop(claim, lock)
		return nil, context.Cause(ctx)
	}
}

func (l *claimLocks) drop(claim agentapi.ClaimRef, lock *claimLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lock.refs--; lock.refs == 0 {
		delete(l.locks, claim)
	}
}
