// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/macpool/macpool/internal/mac"
)

// addReservations enters the reserved slots. A reservation is for one lease, so it reserves the addresses of both families, and a claim,
// which has one lease, has at most one.
func (p *Plan) addReservations(reservations []Reservation) error {
	p.reserved = make(map[Slot]Identity, len(reservations))
	p.claims = make(map[Identity]Slot, len(reservations))
	first := make(map[Slot]netip.Addr, len(reservations)) // slot -> the reservation that entered it
	for _, r := range reservations {
		slot, ok := p.SlotOf(r.IP)
		if !ok {
			return fmt.Errorf("reservation %s must lie in a subnet of the pool", r.IP)
		}
		if err := p.checkReservation(r, slot); err != nil {
			return err
		}
		if claim, ok := p.reserved[slot]; ok {
			if claim != r.Claim {
				return fmt.Errorf("reservations %s and %s must be for the same claim: they are the addresses of one lease", first[slot], r.IP)
			}
			if err := p.addForeign(r, slot); err != nil {
				return err
			}
			continue
		}
		p.reserved[slot], first[slot] = r.Claim, r.IP
		if err := p.addForeign(r, slot); err != nil {
			return err
		}
		if r.Claim == (Identity{}) {
			continue
		}
		if other, ok := p.claims[r.Claim]; ok {
			return fmt.Errorf("reservations %s and %s must not both be for claim %s/%s: a claim has one lease", first[other], r.IP, r.Claim.Namespace, r.Claim.Name)
		}
		p.claims[r.Claim] = slot
	}
	return nil
}

var (
	errMulticast = errors.New("must be a unicast address: the second digit must be even, since an odd one sets the multicast bit and no interface can carry that")
	errOwnPrefix = errors.New("must not have the pool's own prefix: the pool makes such MACs of its addresses")
)

// addForeign enters the MAC of a reservation. One that the pool would make for the address anyway is none.
func (p *Plan) addForeign(r Reservation, slot Slot) error {
	if r.MAC.IsZero() || r.MAC == p.Address(slot).MAC {
		return nil
	}
	switch {
	case r.MAC.IsMulticast():
		return fmt.Errorf("mac %s of reservation %s %w", r.MAC, r.IP, errMulticast)
	case mac.Prefix(r.MAC[:3]) == p.prefix:
		return fmt.Errorf("mac %s of reservation %s %w", r.MAC, r.IP, errOwnPrefix)
	case r.Claim == (Identity{}):
		return fmt.Errorf("reservation %s with a mac must be for a claim", r.IP)
	}
	if p.foreign == nil {
		p.foreign, p.foreignSlots = map[Slot]mac.Addr{}, map[mac.Addr]Slot{}
	}
	if other, ok := p.foreign[slot]; ok {
		return fmt.Errorf("reservation %s must not have mac %s and %s: they are of one lease", r.IP, other, r.MAC)
	}
	if other, ok := p.foreignSlots[r.MAC]; ok {
		return fmt.Errorf("reservations %s and %s must not both have mac %s", p.Address(other).IPs[0], r.IP, r.MAC)
	}
	p.foreign[slot], p.foreignSlots[r.MAC] = r.MAC, slot
	return nil
}

// checkReservation refuses to reserve for a claim what nobody may have. Reserving it for nobody only repeats that.
func (p *Plan) checkReservation(r Reservation, slot Slot) error {
	if slot > mask24 {
		return fmt.Errorf("reservation %s %w", r.IP, errNoMAC)
	}
	if slot > p.last {
		for _, n := range p.networks {
			if slot > n.last {
				return fmt.Errorf("reservation %s must have an address of the same offset in subnet %s", r.IP, n.cidr)
			}
		}
	}
	if why := p.special(slot); why != "" {
		return fmt.Errorf("reservation %s must not be %s", r.IP, why)
	}
	if r.Claim == (Identity{}) {
		return nil
	}
	for _, n := range p.networks {
		if n.excluded.contains(slot) {
			return fmt.Errorf("reservation %s must not be excluded by the pool: what is excluded is never leased", r.IP)
		}
	}
	return nil
}

// reservedSpans are the reserved slots.
func (p *Plan) reservedSpans() spans {
	out := make([]span, 0, len(p.reserved))
	for slot := range p.reserved {
		out = append(out, span{slot, slot})
	}
	return newSpans(out)
}
