// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/ledger"
	"github.com/macpool/macpool/internal/mac"
)

// area is a part of a pool: 2^order slots from first on, which is a multiple of that. As the networks of pools are aligned so too, it is a
// prefix of addresses.
type area struct {
	first allocator.Slot
	order int
}

func (a area) size() allocator.Slot { return 1 << a.order }

func (a area) last() allocator.Slot { return a.first + a.size() - 1 }

// smallest is the order of the smallest area that is drawn if nobody asks for a smaller one.
const smallest = 5

// wholeOf is the smallest area with all that the pool leases.
func wholeOf(c *ledger.Chart) area {
	first, last := c.Span()
	order := max(bits.Len64(uint64(first^last)), min(smallest, bits.Len64(uint64(c.Pool.Plan.Last()))))
	return area{first >> order << order, order}
}

// prefixOf writes an area as people know it: a prefix of addresses, or of MACs.
func prefixOf(p *allocator.Plan, a area) string {
	at := p.Address(a.first)
	if p.MACsAlone() {
		if a.order == 0 {
			return at.MAC.String()
		}
		return fmt.Sprintf("%s/%d", at.MAC, 48-a.order)
	}
	if a.order == 0 {
		return at.IPs[0].String()
	}
	return netip.PrefixFrom(at.IPs[0], at.IPs[0].BitLen()-a.order).String()
}

// parseArea reads a prefix of the pool, of either family; one that is wider than the pool is all of it.
func parseArea(text string, pool *ledger.Pool) (area, error) {
	plan := pool.Plan
	refused := func(why string) error {
		return fmt.Errorf("%q %s: write a prefix of pool %s, such as %s", text, why, pool.Name, prefixOf(plan, area{plan.Last() >> 5 << 5, 4}))
	}
	var first allocator.Slot
	var order int
	var ok bool
	if plan.MACsAlone() {
		address, length, found := strings.Cut(text, "/")
		m, err := mac.Parse(address)
		n, numberErr := 48, error(nil)
		if found {
			n, numberErr = strconv.Atoi(length)
		}
		if err != nil || numberErr != nil || n < 24 || n > 48 {
			return area{}, refused("is no prefix of MACs")
		}
		first, ok = plan.SlotOfMAC(m)
		order = 48 - n
	} else {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			ip, err := netip.ParseAddr(text)
			if err != nil {
				return area{}, refused("is no prefix of addresses")
			}
			prefix = netip.PrefixFrom(ip, ip.BitLen())
		}
		order = prefix.Addr().BitLen() - prefix.Bits()
		if first, ok = plan.SlotOf(prefix.Addr()); !ok {
			for _, ip := range plan.Address(0).IPs {
				ok = ok || prefix.Contains(ip)
			}
			first = 0
		}
	}
	order = min(order, bits.Len64(uint64(plan.Last())))
	if !ok || first > plan.Last() {
		return area{}, refused("is not in the pool")
	}
	return area{first >> order << order, order}, nil
}
