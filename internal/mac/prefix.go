// SPDX-License-Identifier: Apache-2.0

package mac

import (
	"errors"
	"fmt"
	"net/netip"
)

// Prefix is the first three octets of the MACs that a pool makes. A valid one is locally administered and unicast, and so is
// every MAC made of it (R-A7).
type Prefix [3]byte

// ErrPrefix is wrapped by the errors of ParsePrefix and Validate; the text says which rule is broken.
var ErrPrefix = errors.New("invalid MAC prefix")

// ParsePrefix reads a prefix in its canonical form, such as 02:32:00. It is stricter than Parse: a prefix is configuration, and
// configuration that is compared must have one spelling.
func ParsePrefix(s string) (Prefix, error) {
	var p Prefix
	if len(s) != len("02:32:00") {
		return Prefix{}, notCanonical(s)
	}
	for i := range p {
		high, okHigh := nibble(s[3*i])
		low, okLow := nibble(s[3*i+1])
		if !okHigh || !okLow || i > 0 && s[3*i-1] != ':' {
			return Prefix{}, notCanonical(s)
		}
		p[i] = high<<4 | low
	}
	return p, p.Validate()
}

func notCanonical(s string) error {
	return fmt.Errorf("%w: %q must be three octets in lower case, separated by colons, such as 02:32:00", ErrPrefix, s)
}

func nibble(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// Validate tells why MACs must not be made of the prefix, nil if they may.
func (p Prefix) Validate() error {
	switch {
	case p[0]&multicastBit != 0:
		return fmt.Errorf("%w: %s must be a unicast prefix: the second digit must be even, since an odd one sets the multicast bit and no interface can carry that", ErrPrefix, p)
	case p[0]&localBit == 0:
		return fmt.Errorf("%w: %s must be a locally administered prefix: the second digit must be 2, 6, a or e, since others belong to manufacturers", ErrPrefix, p)
	}
	return nil
}

// DefaultPrefix is the prefix of a pool that names none: (h2):(ll):00, where h and ll are the high nibble and the low octet of
// the VLAN id. Two VLANs that a switch bridges by mistake still make different MACs; and since the third octet is zero, where Docker
// and load balancers put the first octet of a routable address, no VLAN's prefix meets theirs.
func DefaultPrefix(vlan int) Prefix {
	return Prefix{byte(vlan>>8&0x0f)<<4 | localBit, byte(vlan & 0xff), 0}
}

// String is the canonical form.
func (p Prefix) String() string { return fmt.Sprintf("%02x:%02x:%02x", p[0], p[1], p[2]) }

// For is the MAC that goes with ip: the prefix and the low 24 bits of ip. An address decides its MAC, so a neighbour's ARP entry
// stays right when the address is used again (R-A2).
func (p Prefix) For(ip netip.Addr) Addr {
	b := ip.As16()
	return Addr{p[0], p[1], p[2], b[13], b[14], b[15]}
}
