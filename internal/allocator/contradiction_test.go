// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
)

// R-A2, R-A3 : the cases of Contradicts, by the numbers of its comment.
func TestContradicts(t *testing.T) {
	for name, c := range map[string]struct {
		p, q      string // subnets, separated by blanks
		otherMACs bool   // q has another prefix
		otherSeg  bool   // q is of another segment
		want      string // "" : none
	}{
		"1a networks apart, with the same end":       {p: "10.1.2.0/24", q: "11.1.2.0/24", want: "must have different MAC prefixes"},
		"1a one's end inside the other's":            {p: "10.1.0.0/16", q: "11.1.2.0/24", want: "must have different MAC prefixes"},
		"1a apart, other ends":                       {p: "10.1.2.0/24", q: "11.1.3.0/24"},
		"1a neighbours":                              {p: "192.168.50.0/25", q: "192.168.50.128/25"},
		"1a two whole class A networks":              {p: "10.0.0.0/8", q: "11.0.0.0/8", want: "must have different MAC prefixes"},
		"1a same end, other prefix":                  {p: "10.1.2.0/24", q: "11.1.2.0/24", otherMACs: true},
		"1a same end, other segment":                 {p: "10.1.2.0/24", q: "11.1.2.0/24", otherSeg: true},
		"1a two families, a large IPv6 network":      {p: "192.168.50.0/24", q: "fd00:50::/64", want: "must have different MAC prefixes"},
		"1a two families, a small one that meets":    {p: "10.0.0.0/24", q: "fd00:50::/120", want: "must have different MAC prefixes"},
		"1a two families, a small one elsewhere":     {p: "192.168.50.0/24", q: "fd00:50::/120"},
		"1a IPv6 networks apart, same end":           {p: "fd00:50::/64", q: "fd00:51::/64", want: "must have different MAC prefixes"},
		"1a small IPv6 networks apart, same end":     {p: "fd00:50::/120", q: "fd00:51::/120", want: "must have different MAC prefixes"},
		"1a small IPv6 networks apart, other ends":   {p: "fd00:50::/120", q: "fd00:51::100/120"},
		"1a with IPv4, the IPv6 networks do not say": {p: "10.1.2.0/24 fd00:50::/64", q: "11.1.3.0/24 fd00:51::/64"},

		"1b the same IPv4 network":               {p: "192.168.50.0/24", q: "192.168.50.0/24"},
		"1b one IPv4 network in the other":       {p: "10.0.0.0/8", q: "10.1.2.0/24"},
		"1b the same small IPv6 network":         {p: "fd00:50::/104", q: "fd00:50::/104"},
		"1b one small IPv6 network in the other": {p: "fd00:50::/104", q: "fd00:50::/120"},
		"1b the same large IPv6 network":         {p: "fd00:50::/64", q: "fd00:50::/64"},
		"1b the beginning of a large one":        {p: "fd00:50::/64", q: "fd00:50::/120"},
		"1b another part of a large one":         {p: "fd00:50::/64", q: "fd00:50::100:0/120", want: "do not begin at one address"},
		"1b the same part, other prefix":         {p: "fd00:50::/64", q: "fd00:50::100:0/120", otherMACs: true},

		"1c MACs alone, and a subnet":                {p: "", q: "192.168.50.0/24", want: "leases every MAC that begins with its prefix, 02:32:00"},
		"1c MACs alone, and a subnet of other MACs":  {p: "", q: "192.168.50.0/24 fd00:50::/64", otherMACs: true},
		"1c MACs alone, and another segment":         {p: "", q: "192.168.50.0/24", otherSeg: true},
		"1c MACs alone, both":                        {p: "", q: ""},
		"1c MACs alone, both, of different prefixes": {p: "", q: "", otherMACs: true},

		"2a IPv6 as second and as first family":    {p: "10.0.0.0/24 fd00:50::/64", q: "fd00:50::/64", otherMACs: true, want: "one pool names leases by their IPv6 addresses"},
		"2a in part":                               {p: "10.0.0.0/24 fd00:50::/64", q: "fd00:50::ff00/120", otherMACs: true, want: "one pool names leases by their IPv6 addresses"},
		"2a apart":                                 {p: "10.0.0.0/24 fd00:50::/64", q: "fd00:51::/64", otherMACs: true},
		"2b the same pair":                         {p: "10.0.0.0/24 fd00:50::/64", q: "fd00:50::/64 10.0.0.0/24"},
		"2b the same pair, other prefix":           {p: "10.0.0.0/24 fd00:50::/64", q: "10.0.0.0/24 fd00:50::/64", otherMACs: true},
		"2b IPv6 paired with another IPv4 network": {p: "10.0.0.0/24 fd00:50::/64", q: "10.0.1.0/24 fd00:50::/64", want: "pair an IPv6 address with two IPv4 addresses"},
		"2b one pair in the other":                 {p: "10.0.0.0/24 fd00:50::/64", q: "10.0.0.0/25 fd00:50::/64", want: "pair an IPv6 address with two IPv4 addresses"},
		"2b the same IPv4, IPv6 in part":           {p: "10.0.0.0/24 fd00:50::/64", q: "10.0.0.0/24 fd00:50::/80", want: "pair an IPv6 address with two IPv4 addresses"},
		"2b the same IPv4, IPv6 apart":             {p: "10.0.0.0/24 fd00:50::/64", q: "10.0.0.0/24 fd00:51::/64"},
		"2b IPv4 with and without IPv6":            {p: "10.0.0.0/24 fd00:50::/64", q: "10.0.0.0/24"},
	} {
		cp, cq := subnetsOf(t, c.p), subnetsOf(t, c.q)
		if c.otherMACs {
			cq.Prefix = mac.DefaultPrefix(51)
		}
		if c.otherSeg {
			cq.Segment = "vlan-51"
		}
		p, q := newPlan(t, cp), newPlan(t, cq)
		for range 2 {
			why, yes := p.Contradicts(q)
			if yes != (c.want != "") || yes != (why != "") || !strings.Contains(why, c.want) {
				t.Errorf("%s: %q, %t, want %q", name, why, yes, c.want)
			}
			p, q = q, p
		}
	}
}

// Whole subnets count, and not ranges: a lease outlives an edit of the range that it came from.
func TestContradictsWhateverTheRanges(t *testing.T) {
	p := planOf(t, subnet{cidr: "10.1.2.0/24", ranges: []string{"10.1.2.10-10.1.2.20"}})
	q := planOf(t, subnet{cidr: "11.1.2.0/24", ranges: []string{"11.1.2.30-11.1.2.40"}})
	if _, yes := p.Contradicts(q); !yes {
		t.Error("no contradiction")
	}
}

// R-A2 by brute force: over small networks whose addresses can be counted, a MAC or an address that two names could make is always a
// contradiction, and a contradiction is always such a pair; but for case 2b, which also refuses pairs of networks that happen to agree.
func TestContradictsAgainstEnumeration(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	found := map[bool]int{}
	for range 4000 {
		p, q := newPlan(t, randomSubnets(t, r)), newPlan(t, randomSubnets(t, r))
		_, yes := p.Contradicts(q)
		twice, what := madeTwice(p, q)
		found[yes]++
		if twice && !yes {
			t.Fatalf("%s and %s do not contradict, but make %s twice", p.Ranges(), q.Ranges(), what)
		}
		if yes && !twice && strings.Count(p.Ranges()+q.Ranges(), ", ") == 0 {
			t.Fatalf("%s and %s contradict, but nothing is made twice", p.Ranges(), q.Ranges())
		}
	}
	if found[true] < 500 || found[false] < 500 {
		t.Errorf("the networks are too much alike to tell: %v", found)
	}
}

// madeTwice enumerates all addresses of both plans, by whole networks as Contradicts does.
func madeTwice(p, q *allocator.Plan) (twice bool, what string) {
	names := map[string]mac.Name{} // MAC or address -> the name of the lease that it comes with
	for _, plan := range []*allocator.Plan{p, q} {
		for s := allocator.Slot(0); len(plan.Address(s).IPs) > 0; s++ {
			a := plan.Address(s)
			keys := []string{a.MAC.String()}
			for _, ip := range a.IPs {
				keys = append(keys, ip.String())
			}
			for _, key := range keys {
				if other, ok := names[key]; ok && other != a.Name {
					return true, fmt.Sprintf("%s as %s and %s", key, other, a.Name)
				}
				names[key] = a.Name
			}
		}
	}
	return false, ""
}

// randomSubnets are small networks that meet in every way: the same, nested, apart with the same low 24 bits, of one family or both.
func randomSubnets(tb testing.TB, r *rand.Rand) allocator.Config {
	tb.Helper()
	v4 := fmt.Sprintf("%d.0.0.%d/%d", 10+r.IntN(2), 8*r.IntN(4), 28+r.IntN(3))
	v6 := fmt.Sprintf("fd00:%d::%x/%d", r.IntN(2), 8*r.IntN(4), 124+r.IntN(3))
	switch r.IntN(3) {
	case 0:
		return subnetsOf(tb, v4)
	case 1:
		return subnetsOf(tb, v6)
	}
	// Of the same size: what only one family has is never leased, and must not count here.
	bits := 28 + r.IntN(3)
	v4, _, _ = strings.Cut(v4, "/")
	v6, _, _ = strings.Cut(v6, "/")
	return subnetsOf(tb, fmt.Sprintf("%s/%d %s/%d", v4, bits, v6, bits+96))
}

func subnetsOf(tb testing.TB, text string) allocator.Config {
	tb.Helper()
	var subnets []subnet
	for s := range strings.FieldsSeq(text) {
		subnets = append(subnets, subnet{cidr: netip.MustParsePrefix(s).Masked().String()})
	}
	return config(tb, subnets...)
}

// R-A2 for the MACs of reservations, cases 3 and 4.
func TestContradictsByReservation(t *testing.T) {
	pool := func(cidr, prefix string, reservations ...string) *allocator.Plan {
		c := reserve(subnetsOf(t, cidr), reservations...)
		p, err := mac.ParsePrefix(prefix)
		if err != nil {
			t.Fatal(err)
		}
		c.Prefix = p
		return newPlan(t, c)
	}
	for name, c := range map[string]struct {
		p, q *allocator.Plan
		want string
	}{
		"3 a MAC that the other makes": {
			p: pool("10.1.0.0/24", "02:32:00", "10.1.0.8 for a/b with 02:33:00:02:00:07"), q: pool("10.2.0.0/16", "02:33:00"),
			want: "mac 02:33:00:02:00:07 of reservation 10.1.0.8 must not have prefix 02:33:00",
		},
		"3 its prefix, but of no address": {
			p: pool("10.1.0.0/24", "02:32:00", "10.1.0.8 for a/b with 02:33:00:ff:00:07"), q: pool("10.2.0.0/16", "02:33:00"),
		},
		"3 another prefix": {
			p: pool("10.1.0.0/24", "02:32:00", "10.1.0.8 for a/b with 00:1b:21:02:00:07"), q: pool("10.2.0.0/16", "02:33:00"),
		},
		"3 a MAC of a pool that leases MACs alone": {
			p: pool("10.1.0.0/24", "02:32:00", "10.1.0.8 for a/b with 02:33:00:02:00:07"), q: pool("", "02:33:00"),
			want: "must not have prefix 02:33:00, all MACs of which the pool without subnets leases",
		},
		"3 beside a pool that leases other MACs alone": {
			p: pool("10.1.0.0/24", "02:32:00", "10.1.0.8 for a/b with 00:1b:21:02:00:07"), q: pool("", "02:33:00"),
		},
		"4 one MAC, two addresses": {
			p:    pool("10.1.0.0/24", "02:32:00", "10.1.0.8 for a/b with 00:1b:21:00:00:01"),
			q:    pool("10.2.0.0/24", "02:33:00", "10.2.0.8 for a/b with 00:1b:21:00:00:01"),
			want: "must not both have mac 00:1b:21:00:00:01",
		},
		"4 one MAC, two claims": {
			p:    pool("10.1.0.0/24", "02:32:00", "10.1.0.8 for a/b with 00:1b:21:00:00:01"),
			q:    pool("10.1.0.0/24", "02:33:00", "10.1.0.8 for a/c with 00:1b:21:00:00:01"),
			want: "must not both have mac 00:1b:21:00:00:01",
		},
		"4 the same in pools that overlap": {
			p: pool("10.1.0.0/24", "02:32:00", "10.1.0.8 for a/b with 00:1b:21:00:00:01"),
			q: pool("10.1.0.0/24", "02:33:00", "10.1.0.8 for a/b with 00:1b:21:00:00:01"),
		},
	} {
		for _, pair := range [][2]*allocator.Plan{{c.p, c.q}, {c.q, c.p}} {
			why, yes := pair[0].Contradicts(pair[1])
			if yes != (c.want != "") || !strings.Contains(why, c.want) {
				t.Errorf("%s: %q, %t, want %q", name, why, yes, c.want)
			}
		}
	}
}

// A reservation's MAC takes the place of the one that the pool would make: each MAC picks one slot, and the one that is made for nobody
// picks none.
func TestMACOfReservation(t *testing.T) {
	p := newPlan(t, reserve(subnetsOf(t, "192.168.50.0/24 fd00:50::/64"),
		"192.168.50.8 for a/b with 00:1b:21:00:00:01", "192.168.50.9 for a/c with 02:32:00:a8:32:09"))
	address := p.Address(8)
	if !address.Foreign || address.MAC != mustMAC("00:1b:21:00:00:01") || address.IPs[0].String() != "192.168.50.8" || len(address.IPs) != 2 {
		t.Errorf("it is %+v", address)
	}
	if own := p.Address(9); own.Foreign || own.MAC != mustMAC("02:32:00:a8:32:09") {
		t.Errorf("what the pool makes anyway is %+v", own)
	}
	for m, want := range map[string]int{"00:1b:21:00:00:01": 8, "02:32:00:a8:32:09": 9, "02:32:00:a8:32:0a": 10, "02:32:00:a8:32:08": -1, "00:1b:21:00:00:02": -1} {
		slot, ok := p.SlotOfMAC(mustMAC(m))
		if ok != (want >= 0) || ok && slot != allocator.Slot(want) { //nolint:gosec // small
			t.Errorf("%s picks %d, %t, want %d", m, slot, ok, want)
		}
	}
}
