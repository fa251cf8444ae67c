// SPDX-License-Identifier: Apache-2.0

package mac

import "strings"

// A MAC that is not made of an address has a lock of its own, a lease object that is named after it: vlan-50.00-1b-21-a8-32-08. It cannot be
// taken for an address, which has dots or 39 characters.

// LockName is the name of the lease that locks a MAC in a segment.
func LockName(segment string, a Addr) string {
	return segment + "." + strings.ReplaceAll(a.String(), ":", "-")
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
