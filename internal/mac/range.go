// SPDX-License-Identifier: Apache-2.0

package mac

import (
	"errors"
	"fmt"
	"net/netip"
)

var (
	// ErrInverted : the range's first address is greater than its last.
	ErrInverted = errors.New("start must not be greater than end")

	// ErrMixedFamilies : one end of the range is an IPv4 address, the other an IPv6 one.
	ErrMixedFamilies = errors.New("start and end must be of one family")

	// ErrBadAddress : an end of the range is missing, IPv4-mapped or carries a zone.
	ErrBadAddress = errors.New("must be an IPv4 or IPv6 address without a zone")
)

// Range is the addresses from From to To, both included, of one family. NewRange makes a valid one; the zero value contains
// nothing.
type Range struct {
	From, To netip.Addr
}

// NewRange is the range from one address to another. An invalid to, such as the zero netip.Addr, means from alone.
func NewRange(from, to netip.Addr) (Range, error) {
	if !to.IsValid() {
		to = from
	}
	r := Range{From: from, To: to}
	switch {
	case !isPlain(from) || !isPlain(to):
		return Range{}, fmt.Errorf("range %s: %w", r, ErrBadAddress)
	case from.Is4() != to.Is4():
		return Range{}, fmt.Errorf("range %s: %w", r, ErrMixedFamilies)
	case to.Less(from):
		return Range{}, fmt.Errorf("range %s: %w", r, ErrInverted)
	}
	return r, nil
}

// isPlain tells whether ip is the one form of its address: an IPv4-mapped address and its IPv4 address would be two, and locked
// under two names.
func isPlain(ip netip.Addr) bool { return ip.IsValid() && !ip.Is4In6() && ip.Zone() == "" }

// Contains tells whether ip is in the range.
func (r Range) Contains(ip netip.Addr) bool {
	return r.From.IsValid() && isPlain(ip) && !ip.Less(r.From) && !r.To.Less(ip)
}

// Overlaps tells whether the ranges share an address. Addresses of different families never compare as equal, and all of IPv4
// compares as less than all of IPv6, so ranges of different families do not overlap.
func (r Range) Overlaps(o Range) bool {
	return r.From.IsValid() && o.From.IsValid() && !r.To.Less(o.From) && !o.To.Less(r.From)
}

// String is first-last, or the one address.
func (r Range) String() string {
	if r.From == r.To {
		return r.From.String()
	}
	return r.From.String() + "-" + r.To.String()
}
