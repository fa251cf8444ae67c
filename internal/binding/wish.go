// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/problem"
)

// Wish is the address that a pod or a claim asks for. The zero value asks for none.
type Wish struct {
	IPs []netip.Addr
	MAC mac.Addr
}

// IsZero tells whether nothing is asked for.
func (w Wish) IsZero() bool { return len(w.IPs) == 0 && w.MAC.IsZero() }

// String is the wish for a message.
func (w Wish) String() string {
	var parts []string
	for _, ip := range w.IPs {
		parts = append(parts, ip.String())
	}
	if !w.MAC.IsZero() {
		parts = append(parts, w.MAC.String())
	}
	if len(parts) == 0 {
		return "any address"
	}
	return strings.Join(parts, " and ")
}

// Leased is what a claim has, for a message: its addresses, or its MAC if it has none.
func Leased(status *v1alpha1.MacClaimStatus) string {
	if len(status.IPs) == 0 {
		return status.MAC
	}
	return strings.Join(status.IPs, " and ")
}

// SatisfiedBy tells whether a bound claim has what the wish asks for.
func (w Wish) SatisfiedBy(status *v1alpha1.MacClaimStatus) bool {
	for _, ip := range w.IPs {
		if !slices.Contains(status.IPs, ip.String()) {
			return false
		}
	}
	return w.MAC.IsZero() || status.MAC == w.MAC.String()
}

// ParseWish reads what a person wrote: addresses with or without a prefix length, a MAC in any notation. It refuses, with
// a problem of the catalogue, what pool could never grant whoever asks.
func ParseWish(ips []string, macText string, pool *v1alpha1.MacPool) (Wish, error) {
	var w Wish
	if macText == "" && len(ips) == 0 {
		return w, nil
	}
	plan, err := PlanOf(pool)
	if err != nil {
		return Wish{}, problem.PoolNotReady.New(pool.Name, err)
	}
	for _, text := range ips {
		ip, err := parseIP(text, pool)
		if err != nil {
			return Wish{}, err
		}
		w.IPs = append(w.IPs, ip)
	}
	if macText != "" {
		if w.MAC, err = parseMAC(macText, pool); err != nil {
			return Wish{}, err
		}
	}
	_, _, err = slotOf(w, plan, pool.Name)
	if err != nil {
		return Wish{}, err
	}
	return w, nil
}

func parseIP(text string, pool *v1alpha1.MacPool) (netip.Addr, error) {
	bare, length, hasLength := strings.Cut(strings.TrimSpace(text), "/")
	ip, err := netip.ParseAddr(bare)
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}, problem.BadAddress.New(text)
	}
	ip = ip.Unmap()
	if !hasLength {
		return ip, nil
	}
	if _, err := netip.ParsePrefix(ip.String() + "/" + length); err != nil {
		return netip.Addr{}, problem.BadAddress.New(text)
	}
	for _, s := range pool.Spec.Subnets {
		cidr, err := netip.ParsePrefix(string(s.CIDR))
		if err == nil && cidr.Contains(ip) && !strings.HasSuffix(string(s.CIDR), "/"+length) {
			return netip.Addr{}, problem.WrongPrefixLength.New(text, s.CIDR, pool.Name)
		}
	}
	return ip, nil
}

func parseMAC(text string, pool *v1alpha1.MacPool) (mac.Addr, error) {
	m, err := mac.Parse(strings.TrimSpace(text))
	switch {
	case err != nil || m.IsZero():
		return mac.Addr{}, problem.ImpossibleMAC.New(text)
	case m.IsMulticast():
		made := "the last three octets of the address"
		if len(pool.Spec.Subnets) == 0 {
			made = "three more octets"
		}
		return mac.Addr{}, problem.MulticastMAC.New(text).
			WithFix("Drop the MAC: pool %s makes one (%s and %s). The nearest MAC that an interface could carry is %s.",
				pool.Name, PrefixOf(pool), made, m.Nearest())
	}
	return m, nil
}

// slotOf is the one slot that all parts of the wish name; asked is false for the zero wish.
func slotOf(w Wish, plan *allocator.Plan, pool string) (slot allocator.Slot, asked bool, err error) {
	var first string
	for _, ip := range w.IPs {
		if plan.MACsAlone() {
			return 0, false, problem.NoAddresses.New(pool, ip)
		}
		s, ok := plan.SlotOf(ip)
		if !ok {
			return 0, false, problem.AddressOutside.New(ip, pool, plan.Ranges())
		}
		if asked && s != slot {
			return 0, false, mismatch(first, ip.String(), pool, plan, s)
		}
		slot, asked, first = s, true, ip.String()
	}
	if !w.MAC.IsZero() {
		s, ok := plan.SlotOfMAC(w.MAC)
		if !ok {
			return 0, false, foreign(w.MAC, pool, plan, slot, asked)
		}
		if asked && s != slot {
			return 0, false, mismatch(first, w.MAC.String(), pool, plan, slot)
		}
		slot, asked = s, true
	}
	return slot, asked, nil
}

// foreign is what is said of a MAC that the pool does not make: with what to write instead, if that is known.
func foreign(m mac.Addr, pool string, plan *allocator.Plan, slot allocator.Slot, asked bool) error {
	refused := problem.ForeignMAC.New(m, pool, plan.Prefix())
	if plan.MACsAlone() {
		return refused.WithFix("Drop the MAC, or ask for one that begins with %s. If it must be this one, make a pool with its first three octets as mac.prefix.", plan.Prefix())
	}
	if !asked {
		return refused
	}
	address := plan.Address(slot)
	return refused.WithFix("Drop the MAC, or write the one that goes with %s: %s. If it must be this one, have the pool's owner reserve the address with it for the claim.",
		address.IPs[0], address.MAC)
}

func mismatch(a, b, pool string, plan *allocator.Plan, s allocator.Slot) error {
	address := plan.Address(s)
	texts := make([]string, 0, 2)
	for _, ip := range address.IPs {
		texts = append(texts, ip.String())
	}
	return problem.AddressMismatch.New(a, b, pool).
		WithFix("Ask for one of the two; the other follows from it: with %s goes %s.", strings.Join(texts, " and "), address.MAC)
}
