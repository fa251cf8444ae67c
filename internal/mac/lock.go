// SPDX-License-Identifier: Apache-2.0

package mac

import "strings"

// A MAC that is not made of an address has a lock of its own, a lease object that is named after it: vlan-50.00-1b-21-a8-32-08. It cannot be
// taken for an address, which has dots or 39 characters. The lease of a MAC alone has such a name too: whichever of the two comes first
// keeps the other away. What tells them apart is that a lock has addresses.

// LockName is the name of the lease that locks a MAC in a segment.
func LockName(segment string, a Addr) string {
	return segment + "." + strings.ReplaceAll(a.String(), ":", "-")
}

// ParseMACName is the name of the lease of a MAC alone, or of a lock; false for all other names.
func ParseMACName(s string) (Name, bool) {
	segment, m, ok := ParseLockName(s)
	return Name{Segment: segment, MAC: m}, ok
}

// ParseLockName is the inverse of LockName; false for all other names.
func ParseLockName(s string) (segment string, a Addr, ok bool) {
	segment, text, found := strings.Cut(s, ".")
	if !found || !IsLabel(segment) {
		return "", Addr{}, false
	}
	a, err := Parse(strings.ReplaceAll(text, "-", ":"))
	if err != nil || LockName(segment, a) != s {
		return "", Addr{}, false
	}
	return segment, a, true
}
