// SPDX-License-Identifier: Apache-2.0

package mac

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Name identifies an address in its segment, and names the lease object that locks it: vlan-50.192.168.50.8, or of a lease that is a MAC
// alone, vlan-50.02-32-00-a8-32-08. One address must have one name, or the API server would let it be created twice.
type Name struct {
	// Segment is a DNS label. It has no dot, so the first dot of the name ends it.
	Segment string
	// Addr is plain: without a zone, and not IPv4-mapped. The zero Addr: the lease is of MAC.
	Addr netip.Addr
	// MAC is zero if there is an Addr, which decides it.
	MAC Addr
}

// ErrName is wrapped by the errors of ParseName.
var ErrName = errors.New("not the name of a lease")

// maxLabel is the longest DNS label (RFC 1123).
const maxLabel = 63

// explodedLength is the length of an IPv6 address of eight groups of four digits.
const explodedLength = 8*4 + 7

// String is the object's name. IPv6 addresses are written in full, with hyphens: an object's name cannot have colons, and the short
// form of ::1 would begin with a hyphen.
func (n Name) String() string {
	if n.IsMAC() {
		return LockName(n.Segment, n.MAC)
	}
	text := n.Addr.Unmap().WithZone("").StringExpanded()
	return n.Segment + "." + strings.ReplaceAll(text, ":", "-")
}

// IsMAC tells whether the lease is of a MAC alone.
func (n Name) IsMAC() bool { return !n.Addr.IsValid() }

// Leased is what is leased, for messages: the address, or the MAC.
func (n Name) Leased() string {
	if n.IsMAC() {
		return n.MAC.String()
	}
	return n.Addr.String()
}

// ParseName is the inverse of String for addresses, and accepts nothing that String does not make: a second spelling of an address would be a
// second lock for it.
func ParseName(s string) (Name, error) {
	segment, text, found := strings.Cut(s, ".")
	if !found || !IsLabel(segment) {
		return Name{}, fmt.Errorf("%w: %q must begin with a segment and a dot", ErrName, s)
	}
	if len(text) == explodedLength && !strings.Contains(text, ":") {
		text = strings.ReplaceAll(text, "-", ":")
	}
	ip, err := netip.ParseAddr(text)
	n := Name{Segment: segment, Addr: ip}
	if err != nil || n.String() != s {
		return Name{}, fmt.Errorf("%w: %q must end in an address such as 192.168.50.8 or fd00-0050-0000-0000-0000-0000-0000-0008", ErrName, s)
	}
	return n, nil
}

// IsLabel tells whether s is a DNS label: at most 63 lower case letters, digits and hyphens, no hyphen at either end.
func IsLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
