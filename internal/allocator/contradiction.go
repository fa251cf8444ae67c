// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"fmt"
	"maps"
	"slices"

	"github.com/macpool/macpool/internal/mac"
)

// Contradicts tells whether two plans of one segment could make an address or a MAC twice, under two names, so that the API server
// would let both be created; why says what must hold, as the rest of a sentence. It looks at whole subnets and prefixes, which cannot
// be edited, and not at ranges: leases outlive an edit of the ranges that they came from. Reservations can be edited; what they leave
// behind is kept apart by the locks of their MACs.
//
//	1  a MAC: same prefix, and two different addresses that name leases have the same low 24 bits
//	   1a  networks apart (two families are always apart): their low 24 bits meet
//	   1b  one network inside the other, not at its beginning: an IPv6 network of more than 2^24 addresses
//	   1c  one plan leases MACs alone, and names leases by them: it has all MACs of its prefix
//	2  an IPv6 address: it lies in a network of both plans, and
//	   2a  one plan names leases by it, the other by an IPv4 address
//	   2b  both name leases by IPv4 addresses, and do not pair the very same networks
//
//	3  a reservation's MAC is one that the other plan makes of an address of its subnet
//	4  a reservation of each has one MAC, not for one address and claim: its lock would keep one of them waiting for ever
//
// An IPv4 address, and an IPv6 address of two plans without IPv4, names its lease in both plans: one name, one lease.
func (p *Plan) Contradicts(q *Plan) (why string, yes bool) {
	if p.segment != q.segment {
		return "", false
	}
	for _, contradicts := range []func(*Plan) (string, bool){p.sharesMACs, p.sharesForeign} {
		if why, yes := contradicts(q); yes {
			return why, true
		}
	}
	for i := range p.networks {
		for j := range q.networks {
			a, b := &p.networks[i], &q.networks[j]
			switch {
			case i == 0 && j == 0, !a.cidr.Overlaps(b.cidr):
			case i == 0 || j == 0:
				return fmt.Sprintf("subnets %s and %s must not overlap: one pool names leases by their IPv6 addresses, the other by IPv4 addresses",
					a.cidr, b.cidr), true
			case p.networks[0].cidr != q.networks[0].cidr || a.cidr != b.cidr:
				return fmt.Sprintf("subnets %s and %s must not overlap: with %s and %s they would pair an IPv6 address with two IPv4 addresses",
					a.cidr, b.cidr, p.networks[0].cidr, q.networks[0].cidr), true
			}
		}
	}
	return "", false
}

// sharesMACs is case 1.
func (p *Plan) sharesMACs(q *Plan) (why string, yes bool) {
	if p.prefix != q.prefix {
		return "", false
	}
	if p.MACsAlone() || q.MACsAlone() {
		if p.MACsAlone() == q.MACsAlone() {
			return "", false // one MAC is one name
		}
		return fmt.Sprintf("%s and %s must have different MAC prefixes: a pool without subnets leases every MAC that begins with its prefix, %s",
			p.Ranges(), q.Ranges(), p.prefix), true
	}
	a, b := &p.networks[0], &q.networks[0]
	if a.cidr.Overlaps(b.cidr) {
		if max(a.last, b.last) <= mask24 || a.cidr.Addr() == b.cidr.Addr() {
			return "", false // one MAC is one address, of those that can be leased
		}
		return fmt.Sprintf("subnets %s and %s must have different MAC prefixes: they overlap, do not begin at one address, and each could make a MAC with prefix %s of another one",
			a.cidr, b.cidr, p.prefix), true
	}
	x, y := a.low24(), b.low24()
	if x.first > y.last || y.first > x.last {
		return "", false
	}
	return fmt.Sprintf("subnets %s and %s must have different MAC prefixes: with %s for both, addresses that end in the same 24 bits have the same MAC",
		a.cidr, b.cidr, p.prefix), true
}

// sharesForeign is cases 3 and 4.
func (p *Plan) sharesForeign(q *Plan) (why string, yes bool) {
	for _, pair := range [][2]*Plan{{p, q}, {q, p}} {
		a, b := pair[0], pair[1]
		for _, m := range slices.SortedFunc(maps.Keys(a.foreignSlots), compareMACs) {
			if _, made := b.slotOfMade(m); made {
				if b.MACsAlone() {
					return fmt.Sprintf("mac %s of reservation %s must not have prefix %s, all MACs of which the pool without subnets leases",
						m, a.Address(a.foreignSlots[m]).IPs[0], b.prefix), true
				}
				return fmt.Sprintf("mac %s of reservation %s must not have prefix %s, by which MACs are made of the addresses of subnet %s",
					m, a.Address(a.foreignSlots[m]).IPs[0], b.prefix, b.networks[0].cidr), true
			}
		}
	}
	for _, m := range slices.SortedFunc(maps.Keys(p.foreignSlots), compareMACs) {
		s, other := p.foreignSlots[m], Slot(0)
		var both bool
		if other, both = q.foreignSlots[m]; !both {
			continue
		}
		x, y := p.Address(s), q.Address(other)
		if x.Name != y.Name || p.reserved[s] != q.reserved[other] {
			return fmt.Sprintf("reservations %s and %s must not both have mac %s", x.IPs[0], y.IPs[0], m), true
		}
	}
	return "", false
}

func compareMACs(a, b mac.Addr) int { return slices.Compare(a[:], b[:]) }
