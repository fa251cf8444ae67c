// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"slices"

	"github.com/macpool/macpool/internal/mac"
)

// pool is what the index keeps for a plan. All of it is derived from the plan, the leases and the marks, so that it can be made anew at
// any time, and costs memory for what is leased and not for what could be.
type pool struct {
	name string
	plan *Plan
	// blocked are the dynamic slots, by rank, that Pick must not offer. Invariant, as for sum: it is what tally says of each slot.
	blocked pages
	// sum is the sum of tally over all slots.
	sum tally
	// outOfRange is how many Leased and Conflicted leases name this pool and lie where it leases nothing now. It counts leases and not
	// slots: some may lie in no slot, when a pool was made again for another network.
	outOfRange uint64
}

func newPool(name string, p *Plan) *pool {
	return &pool{name: name, plan: p, blocked: newPages(p.DynamicCapacity())}
}

// tally is what one slot adds to the counts of its pool.
type tally struct {
	leased, cooling, conflicted uint64
	// dynamic and kept count those of them in dynamic slots, and in explicit and reserved ones.
	dynamic, kept uint64
}

// change takes one slot's old tally out of the sum and the new one in.
func (t *tally) change(from, to tally) {
	t.leased += to.leased - from.leased
	t.cooling += to.cooling - from.cooling
	t.conflicted += to.conflicted - from.conflicted
	t.dynamic += to.dynamic - from.dynamic
	t.kept += to.kept - from.kept
}

// Counts are the numbers of a pool. Capacity is the sum of Leased, Cooling, Conflicted, Kept and Available.
type Counts struct {
	// Capacity is how many addresses can be leased.
	Capacity uint64
	// Leased, Cooling and Conflicted are how many of them are, by this pool or by one that overlaps it.
	Leased, Cooling, Conflicted uint64
	// OutOfRange is how many leases of this pool lie outside what it leases since it was edited. They are in no other count.
	OutOfRange uint64
	// Kept is how many are kept for claims that ask for them, or that they are reserved for, and not leased, cooling or conflicted.
	Kept uint64
	// Available is how many a claim that asks for none in particular could get. Attempts under way are not subtracted: they have no
	// lease yet, and may never have one.
	Available uint64
}

func (p *pool) counts() Counts {
	kept := p.plan.keptCapacity()
	dynamic := p.plan.DynamicCapacity()
	return Counts{
		Capacity: dynamic + kept, Leased: p.sum.leased, Cooling: p.sum.cooling, Conflicted: p.sum.conflicted,
		OutOfRange: p.outOfRange, Kept: kept - p.sum.kept, Available: dynamic - p.sum.dynamic,
	}
}

// slotOf is the slot of a lease's address, false if the lease is of another segment or network. A pool of both families names its leases
// by IPv4 addresses; one that is named by an IPv6 address, left by a pool that is gone, keeps its slot from being leased all the same.
func (p *pool) slotOf(n mac.Name) (Slot, bool) {
	return p.plan.SlotOfName(n)
}

// rankOf is the number of a dynamic slot among the dynamic slots; false if it is not one.
func (p *Plan) rankOf(s Slot) (uint64, bool) {
	i, ok := p.dynamic.find(s)
	if !ok {
		return 0, false
	}
	return p.ranks[i] + uint64(s-p.dynamic[i].first), true
}

// slotAt is the dynamic slot with a number, which must be less than DynamicCapacity.
func (p *Plan) slotAt(rank uint64) Slot {
	i, found := slices.BinarySearch(p.ranks, rank)
	if !found {
		i--
	}
	return p.dynamic[i].first + Slot(rank-p.ranks[i])
}
