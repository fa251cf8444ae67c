// SPDX-License-Identifier: Apache-2.0

package allocator

import "github.com/macpool/macpool/internal/mac"

// What pools know is derived from leases and marks in this file alone. changeLocked and markLocked do it for one name, addPoolLocked for
// all; they use the same functions of a slot, so that a pool never depends on the way by which it came to be.

// markLocked lets edit change the marks of one name, and brings the pools that this concerns up to date. The caller holds the lock.
func (a *Allocator) markLocked(n mac.Name, edit func()) {
	edit()
	for _, p := range a.segments[n.Segment] {
		if s, ok := p.slotOf(n); ok {
			a.blockLocked(p, s)
		}
	}
}

// changeLocked is markLocked for an edit of the lease too. Only leases are counted. The caller holds the lock.
func (a *Allocator) changeLocked(n mac.Name, edit func()) {
	pools := a.segments[n.Segment]
	for _, p := range pools {
		if s, ok := p.slotOf(n); ok {
			p.sum.change(a.tallyLocked(p, s), tally{})
		}
	}
	if p := a.strayLocked(n); p != nil {
		p.outOfRange--
	}
	a.markLocked(n, edit)
	for _, p := range pools {
		if s, ok := p.slotOf(n); ok {
			p.sum.change(tally{}, a.tallyLocked(p, s))
		}
	}
	if p := a.strayLocked(n); p != nil {
		p.outOfRange++
	}
}

// addPoolLocked enters a pool that is not there. It walks over what is leased, not over what could be. The caller holds the lock.
func (a *Allocator) addPoolLocked(name string, plan *Plan) {
	p := newPool(name, plan)
	a.pools[name] = p
	a.segments[plan.segment] = append(a.segments[plan.segment], p)
	seen := map[Slot]struct{}{} // a slot of both families may have a lease under each address, but has one tally
	enter := func(n mac.Name) {
		s, ok := p.slotOf(n)
		if _, done := seen[s]; !ok || done {
			return
		}
		seen[s] = struct{}{}
		p.sum.change(tally{}, a.tallyLocked(p, s))
		a.blockLocked(p, s)
	}
	for n := range a.leases.byName {
		enter(n)
		if a.strayLocked(n) == p {
			p.outOfRange++
		}
	}
	for n := range a.marks.inFlight {
		enter(n)
	}
	for n := range a.marks.avoided {
		enter(n)
	}
}

// tallyLocked is what a slot adds to the counts of its pool. Slots that the pool leases to nobody add nothing: a lease there is another
// pool's, or out of range. The caller holds the lock.
func (a *Allocator) tallyLocked(p *pool, s Slot) tally {
	v := p.plan.Classify(s)
	if !v.leasable() {
		return tally{}
	}
	state, ok := a.stateLocked(p, s)
	if !ok {
		return tally{}
	}
	var t tally
	switch state {
	case Leased:
		t.leased = 1
	case Conflicted:
		t.conflicted = 1
	case Cooling:
		t.cooling = 1
	case Reusable:
		return t
	}
	if v.Class == Dynamic {
		t.dynamic = 1
	} else {
		t.kept = 1
	}
	return t
}

// stateLocked is the state of a slot: of its lease, or if there is one under each of its addresses, of the one that weighs more. The
// caller holds the lock.
func (a *Allocator) stateLocked(p *pool, s Slot) (State, bool) {
	weight := [...]int{Leased: 4, Conflicted: 3, Cooling: 2, Reusable: 1}
	var best State
	found := false
	for i := range p.plan.nameCount() {
		l, ok := a.leases.get(p.plan.nameIn(i, s))
		if ok && (!found || weight[l.State] > weight[best]) {
			best, found = l.State, true
		}
	}
	return best, found
}

// blockLocked enters into the pool whether Pick may offer a slot. The caller holds the lock.
func (a *Allocator) blockLocked(p *pool, s Slot) {
	rank, ok := p.plan.rankOf(s)
	if !ok {
		return
	}
	blocked := false
	for i := range p.plan.nameCount() {
		n := p.plan.nameIn(i, s)
		l, ok := a.leases.get(n)
		blocked = blocked || ok && l.blocks() || a.marks.any(n)
	}
	p.blocked.set(rank, blocked)
}

// strayLocked is the pool that made the lease under a name and does not lease its address any more; nil if there is none. The caller
// holds the lock.
func (a *Allocator) strayLocked(n mac.Name) *pool {
	l, ok := a.leases.get(n)
	if !ok || l.State != Leased && l.State != Conflicted {
		return nil
	}
	p := a.pools[l.Pool]
	if p == nil {
		return nil
	}
	if s, ok := p.slotOf(n); ok && p.plan.Classify(s).leasable() {
		return nil
	}
	return p
}

// nameCount is how many names a slot's lease could be known by: an address of each network, or the MAC.
func (p *Plan) nameCount() int { return max(1, len(p.networks)) }

// nameIn is the name by which a lease of a slot could be known in the i-th network. The slot must lie in every network.
func (p *Plan) nameIn(i int, s Slot) mac.Name {
	if p.MACsAlone() {
		return mac.Name{Segment: p.segment, MAC: p.macAt(s)}
	}
	return mac.Name{Segment: p.segment, Addr: p.networks[i].at(s)}
}
