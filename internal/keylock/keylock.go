// SPDX-License-Identifier: Apache-2.0

// Package keylock serialises what is done for one key within a process.
package keylock

import (
	"context"
	"sync"
)

// Locks are a lock for each key. The zero value is ready; safe for concurrent use.
type Locks[K comparable] struct {
	mu    sync.Mutex
	locks map[K]*lock
}

type lock struct {
	held chan struct{} // capacity 1: full while the lock is held
	refs int           // holder and waiters; the last one removes the lock
}

// Lock waits for the key's lock; an error is the cause of the end of ctx. The function that it returns gives the lock back and may be
// called more than once.
func (l *Locks[K]) Lock(ctx context.Context, key K) (unlock func(), err error) {
	l.mu.Lock()
	if l.locks == nil {
		l.locks = map[K]*lock{}
	}
	one := l.locks[key]
	if one == nil {
		one = &lock{held: make(chan struct{}, 1)}
		l.locks[key] = one
	}
	one.refs++
	l.mu.Unlock()

	select {
	case one.held <- struct{}{}:
		return sync.OnceFunc(func() {
			<-one.held
			l.drop(key, one)
		}), nil
	case <-ctx.Done():
		l.drop(key, one)
		return nil, context.Cause(ctx)
	}
}

func (l *Locks[K]) drop(key K, one *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one.refs--; one.refs == 0 {
		delete(l.locks, key)
	}
}
