// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/macpool/macpool/internal/mac"
)

// ipv4Mapped are the IPv6 addresses that stand for IPv4 ones. A subnet that contains them would have two spellings of an address.
var ipv4Mapped = netip.MustParsePrefix("::ffff:0:0/96")

// network is a subnet of a plan: the arithmetic between addresses and slots, and what its owner wrote as sets of slots.
type network struct {
	cidr netip.Prefix
	// first is the network's first address, and low its lower half, in which all addresses of the network differ from it.
	first [16]byte
	low   uint64
	// last is the slot of the last address. The host part has at most 64 bits.
	last Slot
	// ranged is false if the subnet has no ranges and leases all of its addresses.
	ranged bool
	// ranges are the slots that may be leased, explicit those of them that must be asked for.
	ranges, explicit spans
	// excluded are the slots that the owner excludes.
	excluded spans
	// gateway is the slot of the router, if hasGateway.
	gateway    Slot
	hasGateway bool
	// texts are the ranges as the owner wrote them.
	texts []string
}

// newNetwork checks a subnet by itself.
func newNetwork(s Subnet) (network, error) {
	if err := checkCIDR(s.CIDR); err != nil {
		return network{}, err
	}
	n := network{cidr: s.CIDR, first: s.CIDR.Addr().As16(), low: lowHalf(s.CIDR.Addr()), ranged: len(s.Ranges) > 0}
	n.last = Slot(1)<<(s.CIDR.Addr().BitLen()-s.CIDR.Bits()) - 1
	if s.Gateway != (netip.Addr{}) {
		if n.gateway, n.hasGateway = n.slotOf(s.Gateway); !n.hasGateway {
			return network{}, fmt.Errorf("gateway %s must lie in its subnet %s", s.Gateway, s.CIDR)
		}
	}
	if err := n.addRanges(s.Ranges); err != nil {
		return network{}, err
	}
	excluded := make([]span, 0, len(s.Exclude))
	for _, r := range s.Exclude {
		e, _, err := n.span("exclude", r)
		if err != nil {
			return network{}, err
		}
		excluded = append(excluded, e)
	}
	n.excluded = newSpans(excluded)
	return n, nil
}

func checkCIDR(cidr netip.Prefix) error {
	switch {
	case !cidr.IsValid():
		return errors.New("each subnet must have a cidr, such as 192.168.50.0/24 or fd00:50::/64")
	case cidr != cidr.Masked():
		return fmt.Errorf("subnet %s must not have host bits set: write the network's first address, %s", cidr, cidr.Masked())
	case cidr.Addr().Is4() && (cidr.Bits() < 8 || cidr.Bits() > 30):
		return fmt.Errorf("subnet %s must be between /8 and /30: a MAC holds the low 24 bits of its address", cidr)
	case cidr.Addr().Is6() && (cidr.Bits() < 64 || cidr.Bits() > 126):
		return fmt.Errorf("subnet %s must be between /64 and /126", cidr)
	case cidr.Overlaps(ipv4Mapped):
		return fmt.Errorf("subnet %s must not contain IPv4-mapped addresses: write it as an IPv4 subnet", cidr)
	}
	return nil
}

func (n *network) addRanges(ranges []Range) error {
	all := make([]span, 0, len(ranges))
	var explicit []span
	for _, r := range ranges {
		s, text, err := n.span("range", r.Range)
		if err != nil {
			return err
		}
		if s.last > mask24 {
			return fmt.Errorf("range %s %w", text, errNoMAC)
		}
		for i, earlier := range all {
			if earlier.first <= s.last && s.first <= earlier.last {
				return fmt.Errorf("ranges %s and %s must not overlap", n.texts[i], text)
			}
		}
		all, n.texts = append(all, s), append(n.texts, text)
		if r.ExplicitOnly {
			explicit = append(explicit, s)
		}
	}
	n.ranges, n.explicit = newSpans(all), newSpans(explicit)
	return nil
}

// span is the slots of a range, which messages call what, and the range's text.
func (n *network) span(what string, r mac.Range) (span, string, error) {
	valid, err := mac.NewRange(r.From, r.To)
	switch {
	case errors.Is(err, mac.ErrInverted):
		return span{}, "", fmt.Errorf("%s %s of subnet %s is inverted: %w", what, r, n.cidr, mac.ErrInverted)
	case errors.Is(err, mac.ErrMixedFamilies):
		return span{}, "", fmt.Errorf("%s %s of subnet %s is mixed: %w", what, r, n.cidr, mac.ErrMixedFamilies)
	case err != nil:
		return span{}, "", fmt.Errorf("each end of %s %s of subnet %s %w", what, r, n.cidr, mac.ErrBadAddress)
	}
	first, okFirst := n.slotOf(valid.From)
	last, okLast := n.slotOf(valid.To)
	if !okFirst || !okLast {
		return span{}, "", fmt.Errorf("%s %s must lie in its subnet %s", what, valid, n.cidr)
	}
	return span{first, last}, valid.String(), nil
}

// slotOf is the slot of an address, false if it is not in the network.
func (n *network) slotOf(ip netip.Addr) (Slot, bool) {
	if !n.cidr.Contains(ip) {
		return 0, false
	}
	return Slot(lowHalf(ip) - n.low), true
}

// at is the address of a slot, which must not be greater than last.
func (n *network) at(s Slot) netip.Addr {
	b := n.first
	binary.BigEndian.PutUint64(b[8:], n.low+uint64(s))
	if n.cidr.Addr().Is4() {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}

func lowHalf(ip netip.Addr) uint64 {
	b := ip.As16()
	return binary.BigEndian.Uint64(b[8:])
}

// mask24 is what a MAC holds of an address.
const mask24 = 1<<24 - 1

// errNoMAC is the rest of a sentence about addresses beyond the first 2^24 of a network.
var errNoMAC = errors.New("must lie in the first 2^24 addresses of its subnet: a MAC holds the low 24 bits of its address")

// low24 is where the low 24 bits of the plan's MACs lie.
func (p *Plan) low24() span {
	if p.MACsAlone() {
		return span{0, mask24}
	}
	return p.networks[0].low24()
}

// low24 is where the low 24 bits of the network's addresses lie: all of them for a network of 2^24 addresses or more, else one span,
// which does not wrap since a network begins at a multiple of its size.
func (n *network) low24() span {
	if n.last >= mask24 {
		return span{0, mask24}
	}
	first := Slot(n.low & mask24)
	return span{first, first + n.last}
}
