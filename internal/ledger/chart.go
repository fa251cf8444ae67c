// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"slices"
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
)

// Chart is a pool's addresses at a time. It costs what the leases of the pool's segment cost, and not the addresses, of which there may be
// 2^24. It is immutable.
type Chart struct {
	Pool *Pool
	Time time.Time

	// slots are those of which there is a record, in order, and marks what they say.
	slots []allocator.Slot
	marks map[allocator.Slot]mark
	// strays are the leases of the pool in no slot of it: it was made again for another network.
	strays []*v1alpha1.MacLease
	// reach is as far as the record goes back of an address without a lease.
	reach time.Time
}

// mark is what is known of a slot that has a record.
type mark struct {
	lease *v1alpha1.MacLease
	state State
}

// Chart is the pool at a time, which is not later than the snapshot's; false if there is no such pool, or its spec contradicts itself, so that
// it has no addresses. What the pool leases is taken from its present spec.
func (s *Snapshot) Chart(pool string, at time.Time) (*Chart, bool) {
	p := s.pools[pool]
	if p == nil || p.Plan == nil {
		return nil, false
	}
	c := &Chart{Pool: p, Time: at, marks: map[allocator.Slot]mark{}, reach: s.reach(nil, p)}
	for _, name := range s.segments[p.Plan.Segment()] {
		lease := s.leases[name]
		own := lease.Spec.PoolName == p.Name
		recorded, _, _ := s.recorded(lease, s.pools[lease.Spec.PoolName], at)
		slot, ok := p.Plan.SlotOfName(name)
		if !ok {
			if own && (recorded == Leased || recorded == Conflicted) {
				c.strays = append(c.strays, lease)
			}
			continue
		}
		state := judge(p.Plan.Classify(slot), recorded)
		if state == OutOfRange && !own {
			continue // another pool's, with the same network
		}
		if old, ok := c.marks[slot]; !ok || weight[old.state] < weight[state] {
			c.marks[slot] = mark{lease, state}
		}
	}
	c.slots = make([]allocator.Slot, 0, len(c.marks))
	for slot := range c.marks {
		c.slots = append(c.slots, slot)
	}
	slices.Sort(c.slots)
	return c, true
}

// weight decides between two leases of a slot, one under each of its addresses, as the allocator does. What has none gives way.
var weight = map[State]int{Leased: 5, OutOfRange: 4, Conflicted: 3, Cooling: 2, Reusable: 1}

// State is that of a slot, and the lease that it has a record in; nil if there is none.
func (c *Chart) State(slot allocator.Slot) (State, *v1alpha1.MacLease) {
	if m, ok := c.marks[slot]; ok {
		return m.state, m.lease
	}
	return judge(c.Pool.Plan.Classify(slot), c.unmarked()), nil
}

// unmarked is what is recorded of an address without a lease.
func (c *Chart) unmarked() State {
	if c.Time.Before(c.reach) {
		return Unknown
	}
	return Free
}

// Counts are how many addresses are in each state. States with none are left out.
type Counts map[State]uint64

// Count counts the slots from first to last, both included. It looks at those alone that have a record.
func (c *Chart) Count(first, last allocator.Slot) Counts {
	census := c.Pool.Plan.Census(first, last)
	counts := Counts{
		c.unmarked(): census.Dynamic, OnRequest: census.Explicit, Reserved: census.Reserved, Excluded: census.Excluded, Outside: census.Outside,
	}
	i, _ := slices.BinarySearch(c.slots, first)
	for ; i < len(c.slots) && c.slots[i] <= last; i++ {
		counts[judge(c.Pool.Plan.Classify(c.slots[i]), c.unmarked())]--
		counts[c.marks[c.slots[i]].state]++
	}
	maps.DeleteFunc(counts, func(_ State, n uint64) bool { return n == 0 })
	return counts
}

// Total counts all of the pool's addresses, and its leases that are in no slot.
func (c *Chart) Total() Counts {
	counts := c.Count(0, c.Pool.Plan.Last())
	if n := len(c.strays); n > 0 {
		counts[OutOfRange] += uint64(n)
	}
	return counts
}

// Span is from the first to the last slot that the pool leases or has leased; what is outside of it is Outside or Excluded.
func (c *Chart) Span() (first, last allocator.Slot) {
	first, last, ok := c.Pool.Plan.Bounds()
	if n := len(c.slots); n > 0 {
		if !ok {
			return c.slots[0], c.slots[n-1]
		}
		first, last = min(first, c.slots[0]), max(last, c.slots[n-1])
	}
	if first > last {
		return 0, 0
	}
	return first, last
}

// Leases are those that claims have at the chart's time, wherever they lie.
func (c *Chart) Leases() []*v1alpha1.MacLease {
	leases := slices.Clone(c.strays)
	for _, slot := range c.slots {
		if m := c.marks[slot]; m.state == Leased || m.state == OutOfRange {
			leases = append(leases, m.lease)
		}
	}
	return leases
}
