// SPDX-License-Identifier: Apache-2.0

package view

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// Cause is why a listener is called.
type Cause int

const (
	// PoolChanged : the pool, or another one of its segment, was made, changed or deleted.
	PoolChanged Cause = iota
	// LeaseChanged : a lease of the pool's segment was.
	LeaseChanged
)

// Listener is told of a pool about which the index has learned something. It must not block.
type Listener func(pool string, cause Cause)

// Feed keeps an index in step with the pools and leases in the API, and tells listeners what has changed after the index
// knows it: what they read there is at least as new as what they were told. It runs in every replica, so that one that becomes leader
// need not read everything first. Make one with NewFeed.
type Feed struct {
	// Index is what is fed.
	Index *binding.Index

	synced []toolscache.DoneChecker

	mu        sync.Mutex
	segments  map[string]string   // pool -> its segment
	pools     map[string][]string // segment -> its pools, sorted: who hears of a lease of a thousand pools' one looks for it among few
	listeners map[*Listener]struct{}
}

// NewFeed returns a feed of a new index.
func NewFeed() *Feed {
	return &Feed{Index: binding.NewIndex(), segments: map[string]string{}, pools: map[string][]string{}, listeners: map[*Listener]struct{}{}}
}

// SetupWithManager makes the feed follow the manager's cache. It must be called before the manager starts.
func (f *Feed) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	for _, follow := range []struct {
		object  client.Object
		handler toolscache.ResourceEventHandler
	}{
		{&v1alpha1.MacPool{}, toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { f.poolSeen(object) },
			UpdateFunc: func(_, object any) { f.poolSeen(object) },
			DeleteFunc: func(object any) { f.poolGone(object) },
		}},
		{&v1alpha1.MacLease{}, toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { f.leaseSeen(object) },
			UpdateFunc: func(_, object any) { f.leaseSeen(object) },
			DeleteFunc: func(object any) { f.leaseGone(object) },
		}},
	} {
		informer, err := mgr.GetCache().GetInformer(ctx, follow.object)
		if err != nil {
			return fmt.Errorf("watching %T: %w", follow.object, err)
		}
		registration, err := informer.AddEventHandler(follow.handler)
		if err != nil {
			return fmt.Errorf("watching %T: %w", follow.object, err)
		}
		f.synced = append(f.synced, registration.HasSyncedChecker())
	}
	return nil
}

var errNotSynced = errors.New("the index does not know all pools and leases yet")

// WaitForSync waits until the index knows all pools and leases that existed when the manager started. Who allocates before
// that proposes addresses that are taken (M10).
func (f *Feed) WaitForSync(ctx context.Context) error {
	if !toolscache.WaitFor(ctx, "", f.synced...) {
		return fmt.Errorf("%w: %w", errNotSynced, context.Cause(ctx))
	}
	return nil
}

// Synced tells whether WaitForSync would return at once.
func (f *Feed) Synced() error {
	for _, s := range f.synced {
		select {
		case <-s.Done():
		default:
			return errNotSynced
		}
	}
	return nil
}

// Listen calls listener for each pool that is known now, and for each one about which something changes until ctx ends.
func (f *Feed) Listen(ctx context.Context, listener Listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners[&listener] = struct{}{}
	for _, pool := range slices.Sorted(maps.Keys(f.segments)) {
		listener(pool, PoolChanged)
	}
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listeners, &listener)
	})
}

// Pools are the names of all pools.
func (f *Feed) Pools() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.segments))
}

func (f *Feed) poolSeen(object any) {
	pool, ok := object.(*v1alpha1.MacPool)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// What is wrong with a pool is said in its status; here it only leases nothing.
	_ = f.Index.SetPool(pool)
	f.leaveLocked(pool.Name)
	f.joinLocked(pool.Name, binding.SegmentOf(pool))
	f.tellLocked(f.segments[pool.Name], PoolChanged)
}

func (f *Feed) poolGone(object any) {
	pool, ok := last(object).(*v1alpha1.MacPool)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Index.DeletePool(pool.Name)
	f.tellLocked(f.segments[pool.Name], PoolChanged)
	f.leaveLocked(pool.Name)
}

// joinLocked enters a pool that is in no segment.
func (f *Feed) joinLocked(pool, segment string) {
	f.segments[pool] = segment
	at, _ := slices.BinarySearch(f.pools[segment], pool)
	f.pools[segment] = slices.Insert(f.pools[segment], at, pool)
}

// leaveLocked removes a pool, if it is known.
func (f *Feed) leaveLocked(pool string) {
	segment, ok := f.segments[pool]
	if !ok {
		return
	}
	delete(f.segments, pool)
	f.pools[segment] = slices.DeleteFunc(f.pools[segment], func(other string) bool { return other == pool })
	if len(f.pools[segment]) == 0 {
		delete(f.pools, segment)
	}
}

func (f *Feed) leaseSeen(object any) {
	if lease, ok := object.(*v1alpha1.MacLease); ok {
		f.Index.SetLease(lease)
		f.leaseChanged(lease)
	}
}

func (f *Feed) leaseGone(object any) {
	if lease, ok := last(object).(*v1alpha1.MacLease); ok {
		f.Index.DeleteLease(lease)
		f.leaseChanged(lease)
	}
}

func (f *Feed) leaseChanged(lease *v1alpha1.MacLease) {
	name, err := binding.NameOf(lease)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tellLocked(name.Segment, LeaseChanged)
}

// tellLocked tells the listeners of all pools of a segment: pools share its addresses.
func (f *Feed) tellLocked(segment string, cause Cause) {
	for _, pool := range f.pools[segment] {
		for listener := range f.listeners {
			(*listener)(pool, cause)
		}
	}
}

// last is the object of a deletion, also of one that the watch missed.
func last(object any) any {
	if tombstone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		return tombstone.Obj
	}
	return object
}
