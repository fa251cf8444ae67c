// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"math/big"
	"net/netip"
	"slices"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
)

// What a plan should say, address by address from the configuration as it is written, with no spans, ranks or numbers of a machine's
// size: slow, and hard to get wrong. Tests compare the real thing with it.

// naiveAddr is the address with this slot in a subnet; false if there is none.
func naiveAddr(cidr netip.Prefix, s allocator.Slot) (netip.Addr, bool) {
	n := new(big.Int).SetBytes(cidr.Addr().AsSlice())
	n.Add(n, new(big.Int).SetUint64(uint64(s)))
	b := make([]byte, len(cidr.Addr().AsSlice()))
	if n.BitLen() > 8*len(b) {
		return netip.Addr{}, false
	}
	ip, _ := netip.AddrFromSlice(n.FillBytes(b))
	return ip, cidr.Contains(ip)
}

// naiveClassify is the verdict for a slot, but for its Why.
func naiveClassify(c allocator.Config, s allocator.Slot) allocator.Verdict {
	outside, excluded := allocator.Verdict{Class: allocator.Outside}, allocator.Verdict{Class: allocator.Excluded}
	if s >= 1<<24 { // no MAC has room for it
		return outside
	}
	ips := make([]netip.Addr, 0, 2)
	for _, sub := range c.Subnets {
		ip, ok := naiveAddr(sub.CIDR, s)
		if !ok {
			return outside
		}
		ips = append(ips, ip)
	}
	for i, sub := range c.Subnets {
		next, inside := naiveAddr(sub.CIDR, s+1)
		isLast := !inside || !next.IsValid()
		if ips[i] == sub.Gateway || s == 0 || sub.CIDR.Addr().Is4() && isLast {
			return excluded
		}
	}
	for _, r := range c.Reservations {
		if slices.Contains(ips, r.IP) {
			return allocator.Verdict{Class: allocator.Reserved, Claim: r.Claim}
		}
	}
	class := allocator.Dynamic
	for i, sub := range c.Subnets {
		for _, r := range sub.Exclude {
			if naiveContains(r, ips[i]) {
				return excluded
			}
		}
		allowed := len(sub.Ranges) == 0
		for _, r := range sub.Ranges {
			if naiveContains(r.Range, ips[i]) {
				allowed = true
				if r.ExplicitOnly && class == allocator.Dynamic {
					class = allocator.Explicit
				}
			}
		}
		if !allowed {
			class = allocator.Outside
		}
	}
	return allocator.Verdict{Class: class}
}

func naiveContains(r mac.Range, ip netip.Addr) bool {
	return r.From.Compare(ip) <= 0 && ip.Compare(r.To) <= 0
}

func naiveLeasable(v allocator.Verdict) bool {
	return v.Class == allocator.Dynamic || v.Class == allocator.Explicit || v.Class == allocator.Reserved && v.Claim != allocator.Identity{}
}
