// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/macpool/macpool/internal/mac"
)

// Class says to whom a slot may be leased.
type Class int

const (
	// Outside : to nobody. It lies in no range, or the two families do not both have it.
	Outside Class = iota
	// Dynamic : to any claim.
	Dynamic
	// Explicit : to a claim that asks for it.
	Explicit
	// Reserved : to the one claim of the verdict, or to nobody if that is the zero Identity.
	Reserved
	// Excluded : to nobody. The verdict says why.
	Excluded
)

// Verdict is the class of a slot, and what goes with it.
type Verdict struct {
	Class Class
	// Claim is whom a Reserved slot is for.
	Claim Identity
	// Why says what an Excluded slot is, as the end of the sentence "it is ...".
	Why string
}

// leasable tells whether somebody may lease a slot of this verdict.
func (v Verdict) leasable() bool {
	return v.Class == Dynamic || v.Class == Explicit || v.Class == Reserved && v.Claim != Identity{}
}

// Classify says to whom a slot may be leased.
func (p *Plan) Classify(s Slot) Verdict {
	if s > p.last {
		return Verdict{Class: Outside}
	}
	if why := p.special(s); why != "" {
		return Verdict{Class: Excluded, Why: why}
	}
	if claim, ok := p.reserved[s]; ok {
		return Verdict{Class: Reserved, Claim: claim}
	}
	switch {
	case p.dynamic.contains(s):
		return Verdict{Class: Dynamic}
	case p.explicit.contains(s):
		return Verdict{Class: Explicit}
	case p.excluded.contains(s):
		return Verdict{Class: Excluded, Why: "excluded by the pool"}
	}
	return Verdict{Class: Outside}
}

// special says what a slot is that no lease can have, whatever the pool's owner wrote; "" if it is none.
func (p *Plan) special(s Slot) string {
	for _, n := range p.networks {
		switch is4 := n.cidr.Addr().Is4(); {
		case n.hasGateway && s == n.gateway:
			return "the gateway"
		case s == 0 && is4:
			return "the network address"
		case s == 0:
			return "the subnet-router anycast address"
		case s == n.last && is4:
			return "the broadcast address"
		}
	}
	return ""
}

// specials are the slots that special says something of.
func (p *Plan) specials() spans {
	if p.MACsAlone() {
		return nil
	}
	out := []span{{0, 0}}
	for _, n := range p.networks {
		if n.cidr.Addr().Is4() {
			out = append(out, span{n.last, n.last})
		}
		if n.hasGateway {
			out = append(out, span{n.gateway, n.gateway})
		}
	}
	return newSpans(out)
}

// SlotOf is the slot of an address, false if it lies in no subnet of the pool.
func (p *Plan) SlotOf(ip netip.Addr) (Slot, bool) {
	for i := range p.networks {
		if s, ok := p.networks[i].slotOf(ip); ok {
			return s, true
		}
	}
	return 0, false
}

// SlotOfName is the slot whose lease could have this name; false if it is of another segment or network.
func (p *Plan) SlotOfName(n mac.Name) (Slot, bool) {
	switch {
	case n.Segment != p.segment, n.IsMAC() != p.MACsAlone():
		return 0, false
	case n.IsMAC():
		return p.slotOfMade(n.MAC)
	default:
		return p.SlotOf(n.Addr)
	}
}

// SlotOfMAC is the slot whose MAC m is: false if the prefix is another's and no reservation has it, or if no address of the subnet ends in
// these 24 bits, or the one that does has another MAC by its reservation. Of an IPv6 network of more than 2^24 addresses, it is the one
// among the first 2^24.
func (p *Plan) SlotOfMAC(m mac.Addr) (Slot, bool) {
	if s, ok := p.foreignSlots[m]; ok {
		return s, true
	}
	s, ok := p.slotOfMade(m)
	if _, replaced := p.foreign[s]; !ok || replaced {
		return 0, false
	}
	return s, true
}

// slotOfMade is the slot whose MAC, as the pool makes it, m is.
func (p *Plan) slotOfMade(m mac.Addr) (Slot, bool) {
	if mac.Prefix(m[:3]) != p.prefix {
		return 0, false
	}
	low := Slot(m[3])<<16 | Slot(m[4])<<8 | Slot(m[5])
	where := p.low24()
	if low < where.first || low > where.last {
		return 0, false
	}
	return low - where.first, true
}

// ReservedFor is the slot that is reserved for a claim.
func (p *Plan) ReservedFor(id Identity) (Slot, bool) {
	s, ok := p.claims[id]
	return s, ok
}

// Address is all that a slot decides.
type Address struct {
	Slot Slot
	// Name is the name of the lease.
	Name mac.Name
	MAC  mac.Addr
	// Foreign : the MAC is a reservation's, and not made of the address, so it needs a lock of its own.
	Foreign bool
	// IPs are the addresses, IPv4 first; none of a MAC alone.
	IPs []netip.Addr
}

// macAt is the MAC of a slot of a plan of MACs alone.
func (p *Plan) macAt(s Slot) mac.Addr {
	return mac.Addr{p.prefix[0], p.prefix[1], p.prefix[2], byte(s >> 16), byte(s >> 8), byte(s)} //nolint:gosec // such a plan's slots have 24 bits
}

// Address is the address of a slot. A slot that one family does not have, which is never leased, has the address of the other, for
// messages; one that neither has, has no addresses.
func (p *Plan) Address(s Slot) Address {
	if p.MACsAlone() {
		m := p.macAt(s)
		return Address{Slot: s, Name: mac.Name{Segment: p.segment, MAC: m}, MAC: m}
	}
	a := Address{Slot: s, IPs: make([]netip.Addr, 0, len(p.networks))}
	for i := range p.networks {
		if n := &p.networks[i]; s <= n.last {
			a.IPs = append(a.IPs, n.at(s))
		}
	}
	if len(a.IPs) > 0 {
		a.Name = mac.Name{Segment: p.segment, Addr: a.IPs[0]}
		a.MAC = p.prefix.For(a.IPs[0])
		if foreign, ok := p.foreign[s]; ok {
			a.MAC, a.Foreign = foreign, true
		}
	}
	return a
}

// shownRanges is how many ranges a message names.
const shownRanges = 8

// Ranges says what the pool leases, for messages: its ranges, or its subnets if it has none, or its MACs if it has none of these either.
func (p *Plan) Ranges() string {
	if p.MACsAlone() {
		return fmt.Sprintf("%s to %s", p.macAt(0), p.macAt(mask24))
	}
	var texts []string
	for _, n := range p.networks {
		texts = append(texts, n.texts...)
	}
	if len(texts) == 0 {
		for _, n := range p.networks {
			texts = append(texts, n.cidr.String())
		}
	}
	if more := len(texts) - shownRanges; more > 0 {
		texts = append(slices.Clip(texts[:shownRanges]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, ", ")
}
