// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/macpool/macpool/internal/mac"
)

// Plan is what a pool leases: its configuration, checked, as sets of slots. It is immutable and may be shared. NewPlan makes one.
type Plan struct {
	segment string
	prefix  mac.Prefix
	// networks are one or two; the first, IPv4 if there is one, names the leases and makes the MACs. None: the plan leases MACs alone,
	// and a slot is the low 24 bits of one.
	networks []network
	// last is the last slot that lies in every network and among the first 2^24. Slots beyond it are Outside: they have an address in one
	// family only, or one whose low 24 bits, and so its MAC, are those of another address of the network. That bound is the network's, not that
	// of the ranges, so no edit of these can make one MAC a second time while a lease from before the edit still has it (I1).
	last Slot

	// dynamic and explicit are what may be leased, to anybody and on request. Neither contains a special, excluded or reserved slot,
	// and they have no slot in common (I7).
	dynamic, explicit spans
	// ranks[i] is how many dynamic slots lie before dynamic[i], so that the n-th dynamic slot is found by binary search.
	ranks []uint64
	// reserved are the reserved slots and their claims; claims is its inverse, without those that are for nobody.
	reserved map[Slot]Identity
	claims   map[Identity]Slot
	// foreign are the MACs of reserved slots that are not those that the pool would make; foreignSlots is its inverse.
	foreign      map[Slot]mac.Addr
	foreignSlots map[mac.Addr]Slot
	// excluded are the slots that the owner excludes, in either family.
	excluded spans
}

// NewPlan checks a configuration. The error is one sentence for the pool's owner: what must hold, and which of the things that they
// wrote break it.
func NewPlan(c Config) (*Plan, error) {
	if !mac.IsLabel(c.Segment) {
		return nil, fmt.Errorf("segment %q must be a DNS label (lower case letters, digits and hyphens): the names of leases begin with it", c.Segment)
	}
	if err := c.Prefix.Validate(); err != nil {
		return nil, err
	}
	p := &Plan{segment: c.Segment, prefix: c.Prefix}
	if err := p.addNetworks(c.Subnets); err != nil {
		return nil, err
	}
	if len(c.Subnets) == 0 && len(c.Reservations) > 0 {
		return nil, errors.New("reservations must not be set without subnets: a pool of MACs alone has no addresses to reserve")
	}
	if err := p.addReservations(c.Reservations); err != nil {
		return nil, err
	}
	if err := p.partition(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Plan) addNetworks(subnets []Subnet) error {
	switch {
	case len(subnets) == 0:
		p.last = mask24
		return nil
	case len(subnets) > 2, len(subnets) == 2 && subnets[0].CIDR.Addr().Is4() == subnets[1].CIDR.Addr().Is4():
		return errors.New("at most one subnet of each family: use a second pool for a second network")
	}
	for _, s := range subnets {
		n, err := newNetwork(s)
		if err != nil {
			return err
		}
		p.networks = append(p.networks, n)
	}
	if p.networks[0].cidr.Addr().Is6() {
		slices.Reverse(p.networks)
	}
	p.last = mask24
	for _, n := range p.networks {
		p.last = min(p.last, n.last)
	}
	return nil
}

// partition divides the slots into dynamic, explicit and excluded ones. A slot is leased only if both families allow it, for a lease
// has an address of each (R-A5); a family without ranges allows all of its slots.
func (p *Plan) partition() error {
	allowed := spans{{0, p.last}}
	var explicit, excluded []span
	for i := range p.networks {
		n := &p.networks[i]
		if n.ranged {
			allowed = allowed.intersect(n.ranges)
		}
		explicit = append(explicit, n.explicit...)
		excluded = append(excluded, n.excluded...)
	}
	if len(allowed) == 0 {
		return fmt.Errorf("ranges of subnets %s and %s must have offsets in common: the addresses of a lease have the same offset in both",
			p.networks[0].cidr, p.networks[1].cidr)
	}
	p.excluded = newSpans(excluded)

	leasable := allowed.minus(p.excluded).minus(p.specials()).minus(p.reservedSpans())
	p.explicit = leasable.intersect(newSpans(explicit))
	p.dynamic = leasable.minus(p.explicit)
	var rank uint64
	for _, s := range p.dynamic {
		p.ranks = append(p.ranks, rank)
		rank += uint64(s.last-s.first) + 1
	}
	return nil
}

// MACsAlone tells whether the plan's leases have no addresses.
func (p *Plan) MACsAlone() bool { return len(p.networks) == 0 }

// Segment is the segment in which the plan's addresses are unique.
func (p *Plan) Segment() string { return p.segment }

// Prefix is what the plan's MACs begin with.
func (p *Plan) Prefix() mac.Prefix { return p.prefix }

// Capacity is how many slots can be leased to somebody: dynamic, explicit, and reserved for some claim.
func (p *Plan) Capacity() uint64 { return p.DynamicCapacity() + p.keptCapacity() }

// DynamicCapacity is how many slots can be leased to a claim that asks for none in particular.
func (p *Plan) DynamicCapacity() uint64 { return p.dynamic.size() }

// keptCapacity is how many slots are kept for claims that ask for them or that they are reserved for.
func (p *Plan) keptCapacity() uint64 { return p.explicit.size() + uint64(len(p.claims)) }

// equal tells whether both plans lease the same slots to the same claims, of the same networks. What messages show may differ.
func (p *Plan) equal(q *Plan) bool {
	return p.segment == q.segment && p.prefix == q.prefix &&
		slices.EqualFunc(p.networks, q.networks, func(a, b network) bool { return a.cidr == b.cidr }) &&
		slices.Equal(p.dynamic, q.dynamic) && slices.Equal(p.explicit, q.explicit) && maps.Equal(p.reserved, q.reserved) &&
		maps.Equal(p.foreign, q.foreign)
}
