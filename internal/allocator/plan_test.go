// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
)

// R-A2, golden: what a slot decides. These mappings are in people's leases, and must never change.
func TestAddressIsForEver(t *testing.T) {
	for ip, want := range map[string]struct {
		subnets []subnet
		slot    allocator.Slot
		name    string
		mac     string
		ips     string
	}{
		"192.168.50.8": {
			subnets: []subnet{{cidr: "192.168.50.0/24"}},
			slot:    8, name: "vlan-50.192.168.50.8", mac: "02:32:00:a8:32:08", ips: "[192.168.50.8]",
		},
		"10.1.2.3": {
			subnets: []subnet{{cidr: "fd00:50::/64"}, {cidr: "10.0.0.0/8"}}, // IPv4 decides, wherever it is written
			slot:    0x010203, name: "vlan-50.10.1.2.3", mac: "02:32:00:01:02:03", ips: "[10.1.2.3 fd00:50::1:203]",
		},
		"fd00:50::1:203": {
			subnets: []subnet{{cidr: "10.0.0.0/8"}, {cidr: "fd00:50::/64"}},
			slot:    0x010203, name: "vlan-50.10.1.2.3", mac: "02:32:00:01:02:03", ips: "[10.1.2.3 fd00:50::1:203]",
		},
		"fd00:50::12:3456": {
			subnets: []subnet{{cidr: "fd00:50::/64"}},
			slot:    0x123456, name: "vlan-50.fd00-0050-0000-0000-0000-0000-0012-3456", mac: "02:32:00:12:34:56", ips: "[fd00:50::12:3456]",
		},
		"fd00:50::ab:cd09": {
			subnets: []subnet{{cidr: "fd00:50::ab:cd00/120"}},
			slot:    9, name: "vlan-50.fd00-0050-0000-0000-0000-0000-00ab-cd09", mac: "02:32:00:ab:cd:09", ips: "[fd00:50::ab:cd09]",
		},
	} {
		p := planOf(t, want.subnets...)
		got := p.Address(slot(t, p, ip))
		if got.Slot != want.slot || got.Name.String() != want.name || got.MAC.String() != want.mac || fmt.Sprint(got.IPs) != want.ips {
			t.Errorf("%s: slot %d, %s, %s, %s, want %+v", ip, got.Slot, got.Name, got.MAC, got.IPs, want)
		}
		if s, ok := p.SlotOfMAC(got.MAC); !ok || s != want.slot {
			t.Errorf("%s: slot of %s is %d, %t, want %d", ip, got.MAC, s, ok, want.slot)
		}
	}
}

// A slot that one family does not have has an address for messages, and is never leased.
func TestAddressOutsideOfOneFamily(t *testing.T) {
	p := planOf(t, subnet{cidr: "192.168.50.0/24"}, subnet{cidr: "fd00:50::/64"})
	got := p.Address(slot(t, p, "fd00:50::1:0"))
	want := []netip.Addr{netip.MustParseAddr("fd00:50::1:0")}
	if diff := cmp.Diff(want, got.IPs, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if got.Name.Addr != want[0] {
		t.Errorf("named by %s, want %s", got.Name.Addr, want[0])
	}
	if class := p.Classify(got.Slot).Class; class != allocator.Outside {
		t.Errorf("class %d, want Outside", class)
	}
	if none := p.Address(math.MaxUint64); none.Slot != math.MaxUint64 {
		t.Errorf("the last slot has the address %+v", none)
	}
	small := planOf(t, subnet{cidr: "192.168.50.0/24"})
	if none := small.Address(256); len(none.IPs) != 0 || !none.MAC.IsZero() || none.Name != (mac.Name{}) {
		t.Errorf("a slot beyond the subnet has the address %+v", none)
	}
}

func TestSlotOfForeignAddresses(t *testing.T) {
	p := planOf(t, subnet{cidr: "192.168.50.0/24"}, subnet{cidr: "fd00:50::/120"})
	for _, ip := range []string{"192.168.51.8", "fd00:51::8", "fd00:50::108", "::ffff:192.168.50.8", "fd00:50::8%eth0"} {
		if s, ok := p.SlotOf(netip.MustParseAddr(ip)); ok {
			t.Errorf("%s has slot %d", ip, s)
		}
	}
	if s, ok := p.SlotOf(netip.Addr{}); ok {
		t.Errorf("no address has slot %d", s)
	}
	for _, m := range []string{"02:32:01:a8:32:08", "02:32:00:a8:33:08", "02:32:00:00:32:08", "06:32:00:a8:32:08"} {
		a, err := mac.Parse(m)
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := p.SlotOfMAC(a); ok {
			t.Errorf("%s has slot %d", m, s)
		}
	}
}

// I7, R-A5 : who may have which slot. A slot is leased only if both families allow it.
func TestClassify(t *testing.T) {
	v4 := subnet{cidr: "192.168.50.0/24", gateway: "192.168.50.1"}
	v6 := subnet{cidr: "fd00:50::/64", gateway: "fd00:50::fe"}
	ranged := v4
	ranged.ranges = []string{"192.168.50.10-192.168.50.19", "!192.168.50.20-192.168.50.29"}
	ranged.exclude = []string{"192.168.50.12-192.168.50.13", "192.168.50.28-192.168.50.40", "192.168.50.13-192.168.50.14"}
	ranged6 := v6
	ranged6.ranges = []string{"!fd00:50::f-fd00:50::11", "fd00:50::12-fd00:50::18"}
	ranged6.exclude = []string{"fd00:50::13"}

	dynamic, explicit := allocator.Verdict{Class: allocator.Dynamic}, allocator.Verdict{Class: allocator.Explicit}
	outside := allocator.Verdict{Class: allocator.Outside}
	excluded := func(why string) allocator.Verdict { return allocator.Verdict{Class: allocator.Excluded, Why: why} }
	reserved := func(name string) allocator.Verdict {
		return allocator.Verdict{Class: allocator.Reserved, Claim: allocator.Identity{Namespace: "iot", Name: name}}
	}
	const byPool = "excluded by the pool"

	for name, c := range map[string]struct {
		config            allocator.Config
		capacity, dynamic uint64
		want              map[string]allocator.Verdict
	}{
		"a whole IPv4 subnet": {
			config: config(t, v4), capacity: 253, dynamic: 253,
			want: map[string]allocator.Verdict{
				"192.168.50.0": excluded("the network address"), "192.168.50.1": excluded("the gateway"), "192.168.50.2": dynamic,
				"192.168.50.254": dynamic, "192.168.50.255": excluded("the broadcast address"),
			},
		},
		"the smallest": {config: config(t, subnet{cidr: "10.0.0.4/30"}), capacity: 2, dynamic: 2},
		"the smallest IPv6": {
			config: config(t, subnet{cidr: "fd00::4/126"}), capacity: 3, dynamic: 3,
			want: map[string]allocator.Verdict{"fd00::4": excluded("the subnet-router anycast address"), "fd00::7": dynamic},
		},
		"the largest": {config: config(t, subnet{cidr: "10.0.0.0/8"}), capacity: 1<<24 - 2, dynamic: 1<<24 - 2},
		"the largest IPv6": {
			config: config(t, subnet{cidr: "fd00:50::/64"}), capacity: 1<<24 - 1, dynamic: 1<<24 - 1,
			want: map[string]allocator.Verdict{
				"fd00:50::": excluded("the subnet-router anycast address"), "fd00:50::1": dynamic, "fd00:50::ff:ffff": dynamic,
				"fd00:50::100:0": outside, "fd00:50::ffff:ffff:ffff:ffff": outside,
			},
		},
		"a range of everything": {
			config:   config(t, subnet{cidr: "192.168.50.0/24", gateway: "192.168.50.1", ranges: []string{"192.168.50.0-192.168.50.255"}}),
			capacity: 253, dynamic: 253,
			want: map[string]allocator.Verdict{
				"192.168.50.0": excluded("the network address"), "192.168.50.1": excluded("the gateway"), "192.168.50.255": excluded("the broadcast address"),
			},
		},
		"ranges and exclusions": {
			config: config(t, ranged), capacity: 15, dynamic: 7,
			want: map[string]allocator.Verdict{
				"192.168.50.9": outside, "192.168.50.10": dynamic, "192.168.50.11": dynamic, "192.168.50.12": excluded(byPool), "192.168.50.14": excluded(byPool),
				"192.168.50.15": dynamic, "192.168.50.19": dynamic, "192.168.50.20": explicit, "192.168.50.27": explicit, "192.168.50.28": excluded(byPool),
				"192.168.50.40": excluded(byPool), "192.168.50.41": outside,
			},
		},
		"both families": {
			config: config(t, v4, v6), capacity: 252, dynamic: 252,
			want: map[string]allocator.Verdict{
				"192.168.50.254": excluded("the gateway"), "fd00:50::1": excluded("the gateway"), "fd00:50::": excluded("the network address"),
				"fd00:50::ff": excluded("the broadcast address"), "fd00:50::100": outside, "fd00:50::fd": dynamic,
			},
		},
		"a smaller IPv6 subnet": {
			config: config(t, v4, subnet{cidr: "fd00:50::/124"}), capacity: 14, dynamic: 14,
			want: map[string]allocator.Verdict{"192.168.50.15": dynamic, "fd00:50::f": dynamic, "192.168.50.16": outside, "192.168.50.255": outside},
		},
		"ranges of IPv4 restrict IPv6": {
			config: config(t, ranged, v6), capacity: 15, dynamic: 7,
			want: map[string]allocator.Verdict{"fd00:50::9": outside, "fd00:50::a": dynamic, "fd00:50::14": explicit, "fd00:50::c": excluded(byPool)},
		},
		"ranges of IPv6 restrict IPv4": {
			config: config(t, v4, ranged6), capacity: 9, dynamic: 6,
			want: map[string]allocator.Verdict{"192.168.50.14": outside, "192.168.50.15": explicit, "192.168.50.18": dynamic, "192.168.50.19": excluded(byPool)},
		},
		"ranges of both": { // 15 to 24 are in both; explicit in IPv6 up to 17, in IPv4 from 20; 19 is excluded by IPv6
			config: config(t, ranged, ranged6), capacity: 9, dynamic: 1,
			want: map[string]allocator.Verdict{
				"192.168.50.14": excluded(byPool), "192.168.50.15": explicit, "192.168.50.17": explicit, "192.168.50.18": dynamic,
				"192.168.50.19": excluded(byPool), "192.168.50.20": explicit, "192.168.50.24": explicit, "192.168.50.25": outside,
			},
		},
		"reservations": {
			config:   reserve(config(t, ranged), "192.168.50.10 for iot/dynamic", "192.168.50.20 for iot/explicit", "192.168.50.200 for iot/outside", "192.168.50.11", "192.168.50.12"),
			capacity: 15, dynamic: 5,
			want: map[string]allocator.Verdict{
				"192.168.50.10": reserved("dynamic"), "192.168.50.20": reserved("explicit"), "192.168.50.200": reserved("outside"),
				"192.168.50.11": {Class: allocator.Reserved}, "192.168.50.12": {Class: allocator.Reserved},
			},
		},
		"a reservation reserves both families": {
			config: reserve(config(t, v4, v6), "fd00:50::8 for iot/db-0", "192.168.50.8 for iot/db-0"), capacity: 252, dynamic: 251,
			want: map[string]allocator.Verdict{"192.168.50.8": reserved("db-0"), "fd00:50::8": reserved("db-0")},
		},
		"everything excluded": {
			config: config(t, subnet{cidr: "10.0.0.0/24", exclude: []string{"10.0.0.0-10.0.0.255"}}),
			want:   map[string]allocator.Verdict{"10.0.0.9": excluded(byPool), "10.0.0.0": excluded("the network address")},
		},
		"gateway at the network address": {
			config: config(t, subnet{cidr: "fd00::/120", gateway: "fd00::"}), capacity: 255, dynamic: 255,
			want: map[string]allocator.Verdict{"fd00::": excluded("the gateway")},
		},
	} {
		p := newPlan(t, c.config)
		if p.Capacity() != c.capacity || p.DynamicCapacity() != c.dynamic {
			t.Errorf("%s: capacity %d, dynamic %d, want %d, %d", name, p.Capacity(), p.DynamicCapacity(), c.capacity, c.dynamic)
		}
		for ip, want := range c.want {
			if got := p.Classify(slot(t, p, ip)); got != want {
				t.Errorf("%s: %s is %+v, want %+v", name, ip, got, want)
			}
		}
		for _, r := range c.config.Reservations {
			if s, ok := p.ReservedFor(r.Claim); r.Claim != (allocator.Identity{}) && (!ok || s != slot(t, p, r.IP.String())) {
				t.Errorf("%s: reserved for %v is %d, %t", name, r.Claim, s, ok)
			}
		}
		if s, ok := p.ReservedFor(allocator.Identity{}); ok {
			t.Errorf("%s: slot %d is reserved for nobody, and can be asked for", name, s)
		}
	}
}

// What an owner is told. The sentences are those of the CRD's own rules where it has them.
func TestNewPlanErrors(t *testing.T) {
	v4 := subnet{cidr: "192.168.50.0/24", gateway: "192.168.50.1"}
	v6 := subnet{cidr: "fd00:50::/64"}
	with := func(edit func(*subnet)) allocator.Config {
		s := v4
		edit(&s)
		return config(t, s)
	}
	for want, c := range map[string]allocator.Config{
		`segment "VLAN50" must be a DNS label (lower case letters, digits and hyphens): the names of leases begin with it`: {
			Segment: "VLAN50", Prefix: prefix, Subnets: config(t, v4).Subnets,
		},
		"must be a unicast prefix":              {Segment: "a", Prefix: mac.Prefix{0xf1}, Subnets: config(t, v4).Subnets}, // R-A7
		"must be a locally administered prefix": {Segment: "a", Prefix: mac.Prefix{0x00, 0x1b, 0x21}, Subnets: config(t, v4).Subnets},

		"reservations must not be set without subnets": {
			Segment: "a", Prefix: prefix, Reservations: []allocator.Reservation{{IP: netip.MustParseAddr("192.168.50.8")}},
		},
		"at most one subnet of each family: use a second pool for a second network":                              config(t, v4, subnet{cidr: "10.0.0.0/24"}),
		"each subnet must have a cidr":                                                                           config(t, subnet{}),
		"subnet 192.168.50.7/24 must not have host bits set: write the network's first address, 192.168.50.0/24": config(t, subnet{cidr: "192.168.50.7/24"}),
		"subnet 0.0.0.0/0 must be between /8 and /30: a MAC holds the low 24 bits of its address":                config(t, subnet{cidr: "0.0.0.0/0"}), // T18
		"subnet 10.0.0.0/7 must":                                                                                        config(t, subnet{cidr: "10.0.0.0/7"}),
		"subnet 10.0.0.0/31 must be between /8 and /30":                                                                 config(t, subnet{cidr: "10.0.0.0/31"}),
		"subnet ::/0 must be between /64 and /126":                                                                      config(t, subnet{cidr: "::/0"}), // T18
		"subnet fd00::/63 must be between /64 and /126":                                                                 config(t, subnet{cidr: "fd00::/63"}),
		"subnet fd00::/127 must be between /64 and /126":                                                                config(t, subnet{cidr: "fd00::/127"}),
		"subnet ::ffff:10.0.0.0/120 must not contain IPv4-mapped addresses":                                             config(t, subnet{cidr: "::ffff:10.0.0.0/120"}),
		"subnet ::/64 must not contain IPv4-mapped addresses":                                                           config(t, subnet{cidr: "::/64"}),
		"gateway 192.168.51.1 must lie in its subnet 192.168.50.0/24":                                                   with(func(s *subnet) { s.gateway = "192.168.51.1" }),
		"gateway fd00:50::1 must lie in its subnet 192.168.50.0/24":                                                     with(func(s *subnet) { s.gateway = "fd00:50::1" }),
		"range 192.168.50.9-192.168.50.3 of subnet 192.168.50.0/24 is inverted: start must not be greater than end":     with(func(s *subnet) { s.ranges = []string{"192.168.50.9-192.168.50.3"} }),
		"exclude 192.168.50.100-192.168.50.99 of subnet 192.168.50.0/24 is inverted: start must not be greater than":    with(func(s *subnet) { s.exclude = []string{"192.168.50.100-192.168.50.99"} }),
		"range 192.168.50.9-fd00::1 of subnet 192.168.50.0/24 is mixed: start and end must be of one family":            with(func(s *subnet) { s.ranges = []string{"192.168.50.9-fd00::1"} }),
		"range 192.168.50.9-192.168.51.9 must lie in its subnet 192.168.50.0/24":                                        with(func(s *subnet) { s.ranges = []string{"192.168.50.9-192.168.51.9"} }),
		"exclude 192.168.49.255 must lie in its subnet 192.168.50.0/24":                                                 with(func(s *subnet) { s.exclude = []string{"192.168.49.255"} }),
		"each end of range ::ffff:192.168.50.9 of subnet 192.168.50.0/24 must be an IPv4 or IPv6 address without a zon": with(func(s *subnet) { s.ranges = []string{"::ffff:192.168.50.9"} }),
		"ranges 192.168.50.10-192.168.50.20 and 192.168.50.15-192.168.50.30 must not overlap": with(func(s *subnet) {
			s.ranges = []string{"192.168.50.40-192.168.50.50", "192.168.50.10-192.168.50.20", "!192.168.50.15-192.168.50.30"}
		}),
		"ranges 192.168.50.10 and 192.168.50.10 must not overlap": with(func(s *subnet) { s.ranges = []string{"192.168.50.10", "192.168.50.10"} }),
		"ranges of subnets 192.168.50.0/24 and fd00:50::/64 must have offsets in common: the addresses of a lease have the same offset in both": config(
			t, subnet{cidr: "192.168.50.0/24", ranges: []string{"192.168.50.10-192.168.50.20"}}, subnet{cidr: "fd00:50::/64", ranges: []string{"fd00:50::100-fd00:50::200"}},
		),

		"reservation 192.168.51.8 must lie in a subnet of the pool":                                                           reserve(config(t, v4), "192.168.51.8 for iot/db-0"),
		"mac f1:fd:59:0b:bd:2b of reservation 192.168.50.8 must be a unicast address: the second digit must be even":          reserve(config(t, v4), "192.168.50.8 for iot/db-0 with f1:fd:59:0b:bd:2b"),
		"mac 02:32:00:a8:32:09 of reservation 192.168.50.8 must not have the pool's own prefix":                               reserve(config(t, v4), "192.168.50.8 for iot/db-0 with 02:32:00:a8:32:09"),
		"reservation 192.168.50.8 with a mac must be for a claim":                                                             reserve(config(t, v4), "192.168.50.8 with 00:1b:21:00:00:01"),
		"reservations 192.168.50.8 and 192.168.50.9 must not both have mac 00:1b:21:00:00:01":                                 reserve(config(t, v4), "192.168.50.8 for iot/a with 00:1b:21:00:00:01", "192.168.50.9 for iot/b with 00:1b:21:00:00:01"),
		"reservation fd00:50::8 must not have mac 00:1b:21:00:00:01 and 00:1b:21:00:00:02: they are of one lease":             reserve(config(t, v4, v6), "192.168.50.8 for iot/a with 00:1b:21:00:00:01", "fd00:50::8 for iot/a with 00:1b:21:00:00:02"),
		"reservation 192.168.50.1 must not be the gateway":                                                                    reserve(config(t, v4), "192.168.50.1 for iot/db-0"),
		"reservation 192.168.50.0 must not be the network address":                                                            reserve(config(t, v4), "192.168.50.0"),
		"reservation 192.168.50.255 must not be the broadcast address":                                                        reserve(config(t, v4), "192.168.50.255 for iot/db-0"),
		"reservation fd00:50:: must not be the subnet-router anycast address":                                                 reserve(config(t, v6), "fd00:50:: for iot/db-0"),
		"reservation fd00:50::1 must not be the gateway":                                                                      reserve(config(t, v4, v6), "fd00:50::1 for iot/db-0"),
		"reservation fd00:50::100 must have an address of the same offset in subnet 192.168.50.0/24":                          reserve(config(t, v4, v6), "fd00:50::100 for iot/db-0"),
		"reservations 192.168.50.8 and fd00:50::8 must be for the same claim: they are the addresses of one lease":            reserve(config(t, v4, v6), "192.168.50.8 for iot/db-0", "fd00:50::8 for iot/db-1"),
		"reservations 192.168.50.8 and 192.168.50.9 must not both be for claim iot/db-0: a claim has one lease":               reserve(config(t, v4), "192.168.50.8 for iot/db-0", "192.168.50.9 for iot/db-0"),
		"reservation 192.168.50.12 must not be excluded by the pool: what is excluded is never leased":                        reserve(with(func(s *subnet) { s.exclude = []string{"192.168.50.10-192.168.50.20"} }), "192.168.50.12 for iot/db-0"),
		"reservation 192.168.50.18 must not be excluded by the pool":                                                          reserve(config(t, v4, subnet{cidr: "fd00:50::/64", exclude: []string{"fd00:50::12"}}), "192.168.50.18 for iot/db-0"),
		"range fd00:50::100:5-fd00:50::100:9 must lie in the first 2^24 addresses of its subnet: a MAC holds the low 24 bits": config(t, subnet{cidr: "fd00:50::/64", ranges: []string{"fd00:50::1-fd00:50::5", "fd00:50::100:5-fd00:50::100:9"}}),
		"range fd00:50::1-fd00:50::ffff:ffff:ffff:ffff must lie in the first 2^24":                                            config(t, subnet{cidr: "fd00:50::/64", ranges: []string{"fd00:50::1-fd00:50::ffff:ffff:ffff:ffff"}}), // T18
		"range fd00:50::ff:fff0-fd00:50::100:0 must lie in the first 2^24":                                                    config(t, subnet{cidr: "fd00:50::/64", ranges: []string{"fd00:50::ff:fff0-fd00:50::100:0"}}),
		"reservation fd00:50::700:7 must lie in the first 2^24":                                                               reserve(config(t, subnet{cidr: "fd00:50::/64"}), "fd00:50::700:7 for iot/db-0"),
	} {
		p, err := allocator.NewPlan(c)
		if err == nil {
			t.Errorf("no error, want %q; leases %s", want, p.Ranges())
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q\n  want %q", err, want)
		}
		if text := err.Error(); strings.HasSuffix(text, ".") || strings.Contains(text, "\n") {
			t.Errorf("error %q is not one sentence without a final period", text)
		}
	}
}

func TestRanges(t *testing.T) {
	many := subnet{cidr: "192.168.50.0/24"}
	for i := range 10 {
		many.ranges = append(many.ranges, fmt.Sprintf("192.168.50.%d", 10+2*i))
	}
	for want, p := range map[string]*allocator.Plan{
		"192.168.50.0/24":               planOf(t, subnet{cidr: "192.168.50.0/24"}),
		"192.168.50.0/24, fd00:50::/64": planOf(t, subnet{cidr: "fd00:50::/64"}, subnet{cidr: "192.168.50.0/24"}),
		"192.168.50.200-192.168.50.250, 192.168.50.8, fd00:50::8-fd00:50::ff": planOf(t,
			subnet{cidr: "192.168.50.0/24", ranges: []string{"192.168.50.200-192.168.50.250", "!192.168.50.8"}},
			subnet{cidr: "fd00:50::/64", ranges: []string{"fd00:50::8-fd00:50::ff"}}),
		"fd00:50::8-fd00:50::ff": planOf(t, subnet{cidr: "192.168.50.0/24"}, subnet{cidr: "fd00:50::/64", ranges: []string{"fd00:50::8-fd00:50::ff"}}),
		"192.168.50.10, 192.168.50.12, 192.168.50.14, 192.168.50.16, 192.168.50.18, 192.168.50.20, 192.168.50.22, 192.168.50.24, and 2 more": planOf(t, many),
	} {
		for range 2 { // asking does not change the plan
			if got := p.Ranges(); got != want {
				t.Errorf("ranges %q, want %q", got, want)
			}
		}
	}
}
