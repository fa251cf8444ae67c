// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"fmt"
	"strconv"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
)

// Index is what a process believes about pools and leases. It translates API objects for the allocator; nothing else writes
// there. Events of one object must come in their order, as an informer delivers them. Safe for concurrent use; make one with
// NewIndex.
type Index struct {
	*allocator.Allocator
}

// NewIndex returns an empty index.
func NewIndex() *Index { return &Index{Allocator: allocator.New()} }

// SetPool enters a pool or its new spec. An error says what is wrong with the spec, in a sentence for its owner; the pool
// is not in the index then.
func (x *Index) SetPool(pool *v1alpha1.MacPool) error {
	plan, err := PlanOf(pool)
	if err != nil {
		x.RemovePool(pool.Name)
		return err
	}
	x.Allocator.SetPool(pool.Name, plan)
	return nil
}

// DeletePool removes a pool. Its leases stay: they are the segment's.
func (x *Index) DeletePool(name string) { x.RemovePool(name) }

// SetLease enters what was seen of a lease.
func (x *Index) SetLease(l *v1alpha1.MacLease) {
	if known, err := leaseOf(l); err == nil {
		x.Observe(known)
	}
}

// DeleteLease removes a lease that was seen to be gone.
func (x *Index) DeleteLease(l *v1alpha1.MacLease) {
	if name, err := NameOf(l); err == nil {
		x.Forget(name, string(l.UID))
	}
}

// NameOf is the name of a lease. Of a lease without addresses it is its MAC's. A lock has an error: no index knows of it.
func NameOf(l *v1alpha1.MacLease) (mac.Name, error) { return nameOf(l.Name, l.Spec.IPs) }

func nameOf(text string, ips []v1alpha1.IPAddress) (mac.Name, error) {
	if len(ips) == 0 {
		if name, ok := mac.ParseMACName(text); ok {
			return name, nil
		}
	}
	return mac.ParseName(text)
}

// leaseOf translates a lease. One whose name is no address was not made by macpool and locks nothing.
func leaseOf(l *v1alpha1.MacLease) (allocator.Lease, error) {
	name, err := NameOf(l)
	if err != nil {
		return allocator.Lease{}, fmt.Errorf("reading the name of a lease: %w", err)
	}
	// A version that is no number is 0, of unknown age: then only UIDs tell late reports from new ones.
	version, _ := strconv.ParseUint(l.ResourceVersion, 10, 64)
	return allocator.Lease{
		Name:     name,
		UID:      string(l.UID),
		Version:  version,
		Pool:     l.Spec.PoolName,
		Claim:    allocator.Identity{Namespace: l.Spec.ClaimRef.Namespace, Name: l.Spec.ClaimRef.Name},
		ClaimUID: string(l.Spec.ClaimRef.UID),
		State:    StateOf(l),
	}, nil
}

// StateOf is the state of a lease. A conflict outweighs the rest: what a stranger uses is given to nobody.
func StateOf(l *v1alpha1.MacLease) allocator.State {
	switch {
	case l.Spec.Conflict != nil:
		return allocator.Conflicted
	case l.Spec.ReleasedAt == nil:
		return allocator.Leased
	case l.Spec.ReusableAt == nil:
		return allocator.Cooling
	default:
		return allocator.Reusable
	}
}
