// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
)

// The tests write configurations as people do: ranges as "first-last", reservations as "address for namespace/name".

var prefix = mac.DefaultPrefix(50)

// subnet is a subnet in text. A range that begins with ! is explicitOnly.
type subnet struct {
	cidr, gateway   string
	ranges, exclude []string
}

func (s subnet) config(tb testing.TB) allocator.Subnet {
	tb.Helper()
	out := allocator.Subnet{}
	if s.cidr != "" {
		cidr, err := netip.ParsePrefix(s.cidr)
		if err != nil {
			tb.Fatal(err)
		}
		out.CIDR = cidr
	}
	if s.gateway != "" {
		out.Gateway = netip.MustParseAddr(s.gateway)
	}
	for _, text := range s.ranges {
		bare, explicit := strings.CutPrefix(text, "!")
		out.Ranges = append(out.Ranges, allocator.Range{Range: rangeOf(bare), ExplicitOnly: explicit})
	}
	for _, text := range s.exclude {
		out.Exclude = append(out.Exclude, rangeOf(text))
	}
	return out
}

// rangeOf does not check the order of the ends: that is for NewPlan to do.
func rangeOf(text string) mac.Range {
	from, to, found := strings.Cut(text, "-")
	if !found {
		to = from
	}
	return mac.Range{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to)}
}

func config(tb testing.TB, subnets ...subnet) allocator.Config {
	tb.Helper()
	c := allocator.Config{Segment: "vlan-50", Prefix: prefix}
	for _, s := range subnets {
		c.Subnets = append(c.Subnets, s.config(tb))
	}
	return c
}

// reserve adds reservations such as "192.168.50.8 for iot/db-0" or "192.168.50.8", which is for nobody.
func reserve(c allocator.Config, reservations ...string) allocator.Config {
	for _, text := range reservations {
		text, address, foreign := strings.Cut(text, " with ")
		ip, claim, _ := strings.Cut(text, " for ")
		r := allocator.Reservation{IP: netip.MustParseAddr(ip)}
		if foreign {
			r.MAC = mustMAC(address)
		}
		r.Claim.Namespace, r.Claim.Name, _ = strings.Cut(claim, "/")
		c.Reservations = append(c.Reservations, r)
	}
	return c
}

func newPlan(tb testing.TB, c allocator.Config) *allocator.Plan {
	tb.Helper()
	p, err := allocator.NewPlan(c)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func planOf(tb testing.TB, subnets ...subnet) *allocator.Plan {
	tb.Helper()
	return newPlan(tb, config(tb, subnets...))
}

func cidrPool(tb testing.TB, cidrs ...string) *allocator.Plan {
	tb.Helper()
	subnets := make([]subnet, 0, len(cidrs))
	for _, s := range cidrs {
		subnets = append(subnets, subnet{cidr: s})
	}
	return planOf(tb, subnets...)
}

func slot(tb testing.TB, p *allocator.Plan, ip string) allocator.Slot {
	tb.Helper()
	s, ok := p.SlotOf(netip.MustParseAddr(ip))
	if !ok {
		tb.Fatalf("%s lies in no subnet of the pool", ip)
	}
	return s
}

func mustMAC(text string) mac.Addr {
	m, err := mac.Parse(text)
	if err != nil {
		panic(err)
	}
	return m
}
