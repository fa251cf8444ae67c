// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Brake holds releases back that rest on what the API does not show, if there are too many at once (R-G9): an API server that answers with
// fewer pods or claims than there are looks like a cluster that was emptied. What a node has said, or an event, does not come
// by here. A nil Brake holds nothing back. Safe for concurrent use.
type Brake struct {
	// Clock must be monotonic, as time.Now is.
	Clock clock.PassiveClock
	// Leased is how many addresses of a pool are leased.
	Leased func(pool string) uint64
	// Gather is for how long each release waits for others that are due at the same time; 5 s if zero.
	Gather time.Duration
	// Round is the time in which no more than the limit are let go; 1 min if zero.
	Round time.Duration

	mu       sync.Mutex
	pools    map[string]*braked
	poolOf   map[string]string // candidate -> its pool
	listener func(pool string)
}

// braked are the releases of a pool that only the brake keeps.
type braked struct {
	due     map[string]time.Time // candidate -> since when
	let     map[string]time.Time // candidate -> when it was let go, in the last round
	engaged bool
}

// minBrake is how many releases are never too many.
const minBrake = 10

// ask tells for how long a release must wait, 0 if it may go. The caller asks again then, if it is still due.
func (b *Brake) ask(ctx context.Context, cache client.Reader, pool, candidate string) (time.Duration, error) {
	if b == nil {
		return 0, nil
	}
	resumed, err := isResumed(ctx, cache, pool)
	if err != nil {
		return 0, err
	}
	now, limit := b.Clock.Now(), b.limit(pool)
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.poolLocked(pool, now)
	since, known := p.due[candidate]
	if !known {
		since = now
		p.due[candidate] = now
		b.poolOf[candidate] = pool
	}
	if left := b.gather() - now.Sub(since); left > 0 && !resumed {
		return left, nil
	}
	if len(p.due)+len(p.let) > limit && !resumed {
		b.engageLocked(pool, true)
		return b.round() / 2, nil
	}
	b.engageLocked(pool, false)
	b.dropLocked(candidate)
	p.let[candidate] = now
	return 0, nil
}

// settled tells that a release is not due any more, whether it was made or not.
func (b *Brake) settled(candidate string) {
	if b == nil {
		return
	}
	now := b.Clock.Now()
	b.mu.Lock()
	pool, known := b.poolOf[candidate]
	b.mu.Unlock()
	if !known {
		return
	}
	limit := b.limit(pool)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropLocked(candidate)
	if p := b.poolLocked(pool, now); len(p.due)+len(p.let) <= limit {
		b.engageLocked(pool, false)
	}
}

// state is how many releases of a pool are due at once, and how many may be. held tells whether they are held back.
func (b *Brake) state(pool string) (due, limit int, held bool) {
	if b == nil {
		return 0, 0, false
	}
	limit = b.limit(pool)
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pools[pool]
	if p == nil {
		return 0, limit, false
	}
	return len(p.due) + len(p.let), limit, p.engaged
}

// limit is how many releases of a pool at once are not too many: max(10, 10 %).
func (b *Brake) limit(pool string) int {
	return max(minBrake, int(min(b.Leased(pool)/10, 1<<24))) //nolint:gosec // G115: bounded
}

// poolLocked is what is kept of a pool, without what was let go before the last round. The caller holds the lock.
func (b *Brake) poolLocked(pool string, now time.Time) *braked {
	if b.pools == nil {
		b.pools, b.poolOf = map[string]*braked{}, map[string]string{}
	}
	p := b.pools[pool]
	if p == nil {
		p = &braked{due: map[string]time.Time{}, let: map[string]time.Time{}}
		b.pools[pool] = p
	}
	for candidate, at := range p.let {
		if now.Sub(at) >= b.round() {
			delete(p.let, candidate)
		}
	}
	return p
}

// dropLocked forgets that a candidate is due. The caller holds the lock.
func (b *Brake) dropLocked(candidate string) {
	if p := b.pools[b.poolOf[candidate]]; p != nil {
		delete(p.due, candidate)
	}
	delete(b.poolOf, candidate)
}

// engageLocked sets or lifts the brake of a pool, and tells of it. The caller holds the lock.
func (b *Brake) engageLocked(pool string, engaged bool) {
	if p := b.pools[pool]; p.engaged != engaged {
		p.engaged = engaged
		if b.listener != nil {
			b.listener(pool)
		}
	}
}

func (b *Brake) gather() time.Duration {
	if b.Gather == 0 {
		return 5 * time.Second
	}
	return b.Gather
}

func (b *Brake) round() time.Duration {
	if b.Round == 0 {
		return time.Minute
	}
	return b.Round
}

// isResumed tells whether the pool's administrator has seen that what is due is right.
func isResumed(ctx context.Context, cache client.Reader, name string) (bool, error) {
	pool := &v1alpha1.MacPool{}
	if err := cache.Get(ctx, client.ObjectKey{Name: name}, pool); apierrors.IsNotFound(err) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("reading pool %s: %w", name, err)
	}
	return pool.Annotations[v1alpha1.AnnotationReleases] == v1alpha1.ReleasesResumed, nil
}

// brakeSource is the pools of which the brake was set or lifted.
type brakeSource struct{ brake *Brake }

// Start implements source.Source.
func (s brakeSource) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	if s.brake == nil {
		return nil
	}
	s.brake.mu.Lock()
	defer s.brake.mu.Unlock()
	s.brake.listener = func(pool string) { queue.Add(reconcile.Request{NamespacedName: client.ObjectKey{Name: pool}}) }
	return nil
}
