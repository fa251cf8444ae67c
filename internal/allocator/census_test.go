// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/mac"
)

// TestCensus compares the count with Classify, slot by slot, over every part of a small plan.
func TestCensus(t *testing.T) {
	t.Parallel()
	ip := netip.MustParseAddr
	configs := map[string]Config{
		"ranges": {Subnets: []Subnet{{
			CIDR: netip.MustParsePrefix("10.0.0.0/27"), Gateway: ip("10.0.0.1"),
			Ranges: []Range{
				{Range: mac.Range{From: ip("10.0.0.1"), To: ip("10.0.0.12")}},
				{Range: mac.Range{From: ip("10.0.0.20"), To: ip("10.0.0.23")}, ExplicitOnly: true},
			},
			Exclude: []mac.Range{{From: ip("10.0.0.5"), To: ip("10.0.0.7")}},
		}}, Reservations: []Reservation{
			{IP: ip("10.0.0.9"), Claim: Identity{Namespace: "home", Name: "nas"}},
			{IP: ip("10.0.0.6")},
			{IP: ip("10.0.0.29"), Claim: Identity{Namespace: "home", Name: "printer"}},
		}},
		"both families": {Subnets: []Subnet{
			{CIDR: netip.MustParsePrefix("10.0.0.0/28"), Exclude: []mac.Range{{From: ip("10.0.0.3"), To: ip("10.0.0.3")}}},
			{CIDR: netip.MustParsePrefix("fd00::/120"), Gateway: ip("fd00::2")},
		}},
	}
	for name, c := range configs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.Segment, c.Prefix = "vlan-50", mac.Prefix{2, 0x32, 0}
			p, err := NewPlan(c)
			if err != nil {
				t.Fatal(err)
			}
			low, high := p.last, Slot(0)
			for first := range p.last + 1 {
				if class := p.Classify(first).Class; class == Dynamic || class == Explicit || class == Reserved {
					low, high = min(low, first), max(high, first)
				}
				var want Census
				for last := first; last <= p.last; last++ {
					switch p.Classify(last).Class {
					case Dynamic:
						want.Dynamic++
					case Explicit:
						want.Explicit++
					case Reserved:
						want.Reserved++
					case Excluded:
						want.Excluded++
					case Outside:
						want.Outside++
					}
					if diff := cmp.Diff(want, p.Census(first, last)); diff != "" {
						t.Fatalf("slots %d to %d (-want +got):\n%s", first, last, diff)
					}
				}
			}
			if first, last, ok := p.Bounds(); !ok || first != low || last != high {
				t.Errorf("Bounds() = %d, %d, %t; want %d, %d", first, last, ok, low, high)
			}
		})
	}
}
