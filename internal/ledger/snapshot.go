// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/mac"
)

// Snapshot is what the cluster knew at one time. It is immutable and may be shared; make one with New. It keeps the objects, which must not be
// changed any more.
type Snapshot struct {
	// Time is when the objects were read: "now", for all that is asked.
	Time time.Time
	// Pools are in the order of their names.
	Pools []*Pool

	pools  map[string]*Pool
	claims map[types.NamespacedName]*v1alpha1.MacClaim
	nodes  map[string]*v1alpha1.MacNode
	// leases are those of addresses and of MACs alone, without the locks of foreign MACs, which are in locks.
	leases map[mac.Name]*v1alpha1.MacLease
	locks  []*v1alpha1.MacLease
	// segments are the names in leases, by segment.
	segments map[string][]mac.Name
}

// Pool is a pool and what it leases.
type Pool struct {
	*v1alpha1.MacPool

	// Plan is nil if the spec contradicts itself; Err says how.
	Plan *allocator.Plan
	Err  error
}

// New is the snapshot of objects that were read at a time.
func New(o Objects, now time.Time) *Snapshot {
	s := &Snapshot{
		Time:  now,
		pools: make(map[string]*Pool, len(o.Pools)), nodes: make(map[string]*v1alpha1.MacNode, len(o.Nodes)),
		claims: make(map[types.NamespacedName]*v1alpha1.MacClaim, len(o.Claims)),
		leases: make(map[mac.Name]*v1alpha1.MacLease, len(o.Leases)), segments: map[string][]mac.Name{},
	}
	for i := range o.Pools {
		p := &Pool{MacPool: &o.Pools[i]}
		p.Plan, p.Err = binding.PlanOf(p.MacPool)
		s.pools[p.Name] = p
		s.Pools = append(s.Pools, p)
	}
	slices.SortFunc(s.Pools, func(a, b *Pool) int { return cmp.Compare(a.Name, b.Name) })
	for i := range o.Claims {
		c := &o.Claims[i]
		s.claims[types.NamespacedName{Namespace: c.Namespace, Name: c.Name}] = c
	}
	for i := range o.Nodes {
		s.nodes[o.Nodes[i].Name] = &o.Nodes[i]
	}
	for i := range o.Leases {
		l := &o.Leases[i]
		if binding.IsLock(l) {
			s.locks = append(s.locks, l)
		} else if name, err := binding.NameOf(l); err == nil { // else macpool has not made it
			s.leases[name] = l
			s.segments[name.Segment] = append(s.segments[name.Segment], name)
		}
	}
	return s
}

// Pool is the pool of a name; nil if there is none.
func (s *Snapshot) Pool(name string) *Pool { return s.pools[name] }

// Claim is a claim; nil if there is none.
func (s *Snapshot) Claim(namespace, name string) *v1alpha1.MacClaim {
	return s.claims[types.NamespacedName{Namespace: namespace, Name: name}]
}

// Node is what the agent of a node reports; nil if it does not.
func (s *Snapshot) Node(name string) *v1alpha1.MacNode { return s.nodes[name] }

// object is the pool as the API has it; nil if there is none.
func (p *Pool) object() *v1alpha1.MacPool {
	if p == nil {
		return nil
	}
	return p.MacPool
}

// ClaimsIn are the claims of a namespace, in the order of their names.
func (s *Snapshot) ClaimsIn(namespace string) []*v1alpha1.MacClaim {
	var claims []*v1alpha1.MacClaim
	for key, c := range s.claims {
		if key.Namespace == namespace {
			claims = append(claims, c)
		}
	}
	slices.SortFunc(claims, func(a, b *v1alpha1.MacClaim) int { return cmp.Compare(a.Name, b.Name) })
	return claims
}
