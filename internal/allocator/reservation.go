// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"fmt"
	"net/netip"
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
			continue
		}
		p.reserved[slot], first[slot] = r.Claim, r.IP
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
