// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/macpool/macpool/internal/mac"
)

var (
	// ErrFull : the pool has no dynamic slot that is free.
	ErrFull = errors.New("no free address")

	// ErrNoPool : the index does not know the pool.
	ErrNoPool = errors.New("no such pool")
)

// Allocator is the index of all pools and leases that a process knows. It is safe for concurrent use; make one with New.
type Allocator struct {
	mu sync.Mutex

	// leases are the leases as of the newest report of each, be it an event or the answer to an own write. Invariant: a report never
	// replaces a newer one. Both of these would, if the last to come won:
	//
	//	A: create .8 -> ok (UID new): Commit(new)
	//	                     informer, late: deleted old: Forget(old)      .8 would be free
	//
	//	A: update .8 -> ok (version 7): Commit(7, Leased)
	//	                     informer, late: updated: Observe(5, Reusable) .8 would be free, and A's claim without its lease
	//
	// Forget therefore compares UIDs, and Observe and Commit versions. The event of the own write itself changes nothing, and a later
	// one of the same object wins.
	leases leaseSet
	// marks are what keeps an address from being offered though no lease is known to block it.
	marks marks
	// gone are the last leases that were seen deleted.
	gone graveyard
	// pools by name, and segments by the name of the segment they lease in.
	pools    map[string]*pool
	segments map[string][]*pool
}

// New returns an Allocator that knows nothing.
func New() *Allocator {
	return &Allocator{
		leases: newLeaseSet(), marks: newMarks(), gone: newGraveyard(), pools: map[string]*pool{}, segments: map[string][]*pool{},
	}
}

// Candidate is an address that is free as far as the index knows.
type Candidate struct {
	Address

	// Known : there is a Reusable record of it, to be taken by an update. Otherwise the lease is to be created.
	Known bool
}

// Pick offers the first free address of a pool in the order of choice of an identity, and marks it in flight: the caller must end the
// attempt with Commit, Release or Taken. ErrFull: there is none. ErrNoPool: there is no such pool.
func (a *Allocator) Pick(poolName string, id Identity, now time.Time) (Candidate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.pools[poolName]
	if !ok {
		return Candidate{}, fmt.Errorf("picking an address of pool %q: %w", poolName, ErrNoPool)
	}
	a.expireLocked(now)
	if p.blocked.limit == 0 {
		return Candidate{}, fmt.Errorf("picking an address of pool %q: %w", poolName, ErrFull)
	}
	rank, ok := p.blocked.nextAbsent(firstChoice(p.plan.segment, id, p.blocked.limit))
	if !ok {
		return Candidate{}, fmt.Errorf("picking an address of pool %q: %w", poolName, ErrFull)
	}
	address := p.plan.Address(p.plan.slotAt(rank))
	a.markLocked(address.Name, func() { a.marks.fly(address.Name) })
	_, known := a.leases.byName[address.Name]
	return Candidate{Address: address, Known: known}, nil
}

// Reserve marks a given address in flight, so that Pick does not offer it meanwhile; false if it is in flight already. It asks nothing
// else: who wants an address in particular learns from the API server whether it is free.
func (a *Allocator) Reserve(n mac.Name, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expireLocked(now)
	if a.marks.flying(n) {
		return false
	}
	a.markLocked(n, func() { a.marks.fly(n) })
	return true
}

// Commit enters a lease that the caller has written, and ends the attempt. It need not wait for the event of its own write.
func (a *Allocator) Commit(l Lease) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changeLocked(l.Name, func() {
		a.marks.land(l.Name)
		a.enterLocked(l)
	})
}

// Release ends an attempt of which nothing was made.
func (a *Allocator) Release(n mac.Name) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.markLocked(n, func() { a.marks.land(n) })
}

// Taken ends an attempt that found another's lease, of which the index has not heard: the address is avoided until it does, or for
// avoidFor.
func (a *Allocator) Taken(n mac.Name, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expireLocked(now)
	a.markLocked(n, func() {
		a.marks.land(n)
		a.marks.avoid(n, now.Add(avoidFor))
	})
}

// Observe is an event: the lease is so in the API.
func (a *Allocator) Observe(l Lease) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changeLocked(l.Name, func() { a.enterLocked(l) })
}

// Forget is an event: the lease with this name and UID was deleted. Another one under the name stays.
func (a *Allocator) Forget(n mac.Name, uid string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone.bury(uid)
	a.changeLocked(n, func() {
		a.marks.heard(n)
		if known, ok := a.leases.get(n); ok && known.UID == uid {
			a.leases.remove(n)
		}
	})
}

// enterLocked enters a report of a lease, unless the index knows better.
func (a *Allocator) enterLocked(l Lease) {
	if a.gone.has(l.UID) {
		return
	}
	if known, ok := a.leases.get(l.Name); ok && l.Version != 0 && l.Version < known.Version {
		return
	}
	a.marks.heard(l.Name)
	a.leases.put(l)
}

// expireLocked ends the marks of Taken whose time is over.
func (a *Allocator) expireLocked(now time.Time) {
	for n, ok := a.marks.expired(now); ok; n, ok = a.marks.expired(now) {
		a.markLocked(n, func() { a.marks.heard(n) })
	}
}

// Get is what the index knows under a name.
func (a *Allocator) Get(n mac.Name) (Lease, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.leases.get(n)
}

// ByClaim is the lease of a claim: one that is Leased, to the claim with this UID.
func (a *Allocator) ByClaim(uid string) (Lease, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.leases.ofClaim(uid)
}

// ByIdentity are the leases of an identity in a segment, in a stable order: Leased, to whichever of its claims, Cooling, then
// Reusable.
func (a *Allocator) ByIdentity(segment string, id Identity) []Lease {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.leases.ofMember(member{segment, id})
}

// Count is the counts of a pool; all zero if the index does not know it.
func (a *Allocator) Count(poolName string) Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.pools[poolName]
	if !ok {
		return Counts{}
	}
	return p.counts()
}

// Own is how many Leased leases were made from a pool, wherever they lie, and whether the index knows the pool or not.
func (a *Allocator) Own(poolName string) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.leases.ofPool[poolName]
}

// SetPool enters a pool or its new plan. Leases do not change by it.
func (a *Allocator) SetPool(name string, p *Plan) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old, ok := a.pools[name]; ok {
		if old.plan.equal(p) {
			old.plan = p
			return
		}
		a.removePoolLocked(name)
	}
	a.addPoolLocked(name, p)
}

// RemovePool removes a pool. Its leases stay, and block their addresses in other pools of the segment: they are the segment's.
func (a *Allocator) RemovePool(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removePoolLocked(name)
}

func (a *Allocator) removePoolLocked(name string) {
	old, ok := a.pools[name]
	if !ok {
		return
	}
	delete(a.pools, name)
	segment := old.plan.segment
	a.segments[segment] = slices.DeleteFunc(a.segments[segment], func(p *pool) bool { return p == old })
	if len(a.segments[segment]) == 0 {
		delete(a.segments, segment)
	}
}
