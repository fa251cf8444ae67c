// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"math/bits"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/ledger"
	"github.com/macpool/macpool/internal/mac"
)

const (
	// mostCells is how many addresses a map shows one by one: 2^16. A larger section is shown by prefixes.
	mostCells = 16
	// prefixes is how many of them: 2^12.
	prefixes = 12
	// fewest is how small the section is at least that is shown first of a large pool: 2^8.
	fewest = 8
)

// section is an aligned part of a pool's slots: 2^bits of them.
type section struct {
	first allocator.Slot
	bits  int
}

// step is how many bits of addresses a cell of the section's map has.
func (s section) step() int {
	if s.bits <= mostCells {
		return 0
	}
	return s.bits - prefixes
}

func (s section) cells() int { return 1 << (s.bits - s.step()) }

// cell is the section that a cell of the map stands for.
func (s section) cell(i int) section {
	return section{s.first + allocator.Slot(i)<<s.step(), s.step()} //nolint:gosec // an index is not negative
}

func (s section) last() allocator.Slot { return s.first + (1<<s.bits - 1) }

// wholeOf is all of a pool: the slots that each of its networks has, for only these are leased.
func wholeOf(p *pool) section {
	if p.Plan.MACsAlone() {
		return section{bits: bits.Len64(uint64(p.Plan.Last()))}
	}
	whole := section{bits: 64}
	for _, subnet := range p.Spec.Subnets {
		if network, err := netip.ParsePrefix(string(subnet.CIDR)); err == nil { // or there would be no plan
			whole.bits = min(whole.bits, network.Addr().BitLen()-network.Bits())
		}
	}
	return whole
}

// startOf is what is shown first: all, or of a large pool the smallest section with all that is leased or can be.
func startOf(c *ledger.Chart) section {
	whole := wholeOf(c.Pool)
	if whole.bits <= mostCells {
		return whole
	}
	first, last := c.Span()
	n := max(fewest, bits.Len64(uint64(first^last)))
	if n >= whole.bits {
		return whole
	}
	return section{first >> n << n, n}
}

// textOf is the section as a prefix of addresses or of MACs.
func textOf(p *pool, s section) string {
	first := p.Plan.Address(s.first)
	if len(first.IPs) > 0 {
		return netip.PrefixFrom(first.IPs[0], first.IPs[0].BitLen()-s.bits).String()
	}
	return fmt.Sprintf("%s/%d", first.MAC, 8*len(first.MAC)-s.bits)
}

// parseSection reads what textOf writes.
func parseSection(p *pool, text string) (section, error) {
	wrong := &refusal{http.StatusNotFound, fmt.Sprintf("%s is not a part of pool %s", text, p.Name)}
	address, length, found := strings.Cut(text, "/")
	n, err := strconv.Atoi(length)
	slot, width, ok := slotOf(p, address)
	if !found || err != nil || !ok || n > width || width-n > wholeOf(p).bits {
		return section{}, wrong
	}
	s := section{slot, width - n}
	if s.first>>s.bits<<s.bits != s.first {
		return section{}, wrong
	}
	return s, nil
}

// slotOf is the slot of an address, or of a MAC in a pool of these alone, and how many bits such addresses have.
func slotOf(p *pool, text string) (slot allocator.Slot, width int, ok bool) {
	if p.Plan.MACsAlone() {
		m, err := mac.Parse(text)
		if err != nil {
			return 0, 0, false
		}
		slot, ok = p.Plan.SlotOfMAC(m)
		return slot, 8 * len(m), ok
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return 0, 0, false
	}
	slot, ok = p.Plan.SlotOf(ip)
	return slot, ip.BitLen(), ok
}

// sectionOf is the prefix in which a large pool shows an address by itself; empty if the pool is small enough to show it in any case.
func sectionOf(p *pool, address string) string {
	slot, _, ok := slotOf(p, address)
	if !ok || wholeOf(p).bits <= mostCells {
		return ""
	}
	return textOf(p, section{slot >> mostCells << mostCells, mostCells})
}
