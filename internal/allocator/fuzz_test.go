// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
)

// FuzzNewPlan : R-A7, I7, T18. Whatever a pool's owner writes, NewPlan refuses it or makes a plan that keeps its promises: MACs are
// locally administered unicast and lead back to their slots, what is leased is in a range and is nothing special, and the slots of each class are as many as the capacities
// say. It takes no longer for large networks: the fuzzer would notice.
func FuzzNewPlan(f *testing.F) {
	f.Add([]byte{2, 0x32, 0, 1, 24, 192, 168, 50, 0, 1, 2, 10, 20, 30, 40, 1, 12, 13, 1, 8, 1})
	f.Add([]byte{2, 0x32, 0, 3, 8, 10, 0, 0, 0, 1, 0, 0, 64, 0xfd, 0, 0, 50, 7, 1, 3, 200, 0, 0})
	f.Add([]byte{0xf1, 0xfd, 0x59, 2, 64, 0xfd, 0, 0, 50, 0, 2, 1, 9, 200, 255, 0, 1, 3, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c := fuzzConfig(&fuzzBytes{b})
		p, err := allocator.NewPlan(c)
		if err != nil {
			return
		}
		checkPlan(t, c, p)
	})
}

// fuzzBytes hands out bytes, and zeros when they are used up.
type fuzzBytes struct{ b []byte }

func (f *fuzzBytes) next() byte {
	if len(f.b) == 0 {
		return 0
	}
	x := f.b[0]
	f.b = f.b[1:]
	return x
}

// fuzzConfig makes mostly sensible configurations, so that the fuzzer spends its time behind the first checks.
func fuzzConfig(f *fuzzBytes) allocator.Config {
	c := allocator.Config{Segment: "vlan-50", Prefix: mac.Prefix{f.next(), f.next(), f.next()}}
	families := f.next()
	if families&1 != 0 {
		bits := int(f.next()) % 34
		cidr := netip.PrefixFrom(netip.AddrFrom4([4]byte{f.next(), f.next(), f.next(), f.next()}), bits).Masked()
		c.Subnets = append(c.Subnets, fuzzSubnet(f, cidr))
	}
	if families&2 != 0 {
		bits := 60 + int(f.next())%70
		cidr := netip.PrefixFrom(netip.AddrFrom16([16]byte{f.next(), f.next(), f.next(), f.next(), 15: f.next()}), bits).Masked()
		c.Subnets = append(c.Subnets, fuzzSubnet(f, cidr))
	}
	for range f.next() % 4 {
		if len(c.Subnets) == 0 {
			break
		}
		r := allocator.Reservation{IP: fuzzAddr(f, c.Subnets[int(f.next())%len(c.Subnets)].CIDR)}
		if who := f.next(); who&3 != 0 {
			r.Claim = allocator.Identity{Namespace: "iot", Name: fmt.Sprint("db-", who&3)}
		}
		c.Reservations = append(c.Reservations, r)
	}
	return c
}

func fuzzSubnet(f *fuzzBytes, cidr netip.Prefix) allocator.Subnet {
	s := allocator.Subnet{CIDR: cidr}
	if !cidr.IsValid() {
		return s
	}
	if f.next()&1 != 0 {
		s.Gateway = fuzzAddr(f, cidr)
	}
	for range f.next() % 5 {
		s.Ranges = append(s.Ranges, allocator.Range{Range: fuzzRange(f, cidr), ExplicitOnly: f.next()&1 != 0})
	}
	for range f.next() % 5 {
		s.Exclude = append(s.Exclude, fuzzRange(f, cidr))
	}
	return s
}

func fuzzRange(f *fuzzBytes, cidr netip.Prefix) mac.Range {
	r := mac.Range{From: fuzzAddr(f, cidr), To: fuzzAddr(f, cidr)}
	if r.To.Less(r.From) && f.next() != 0 {
		r.From, r.To = r.To, r.From
	}
	return r
}

// fuzzAddr is an address of the network, near its beginning, its end, or anywhere.
func fuzzAddr(f *fuzzBytes, cidr netip.Prefix) netip.Addr {
	b := cidr.Addr().AsSlice()
	how := f.next()
	for i, bit := len(b)-1, cidr.Addr().BitLen()-8; i >= 0 && bit+8 > cidr.Bits(); i, bit = i-1, bit-8 {
		x := byte(0)
		switch how & 3 {
		case 1:
			x = 0xff
		case 2:
			x = f.next()
		}
		if i == len(b)-1 {
			x = f.next()
		}
		if bit < cidr.Bits() {
			x &= 0xff >> (cidr.Bits() - bit)
		}
		b[i] |= x
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip
}

// checkPlan checks a plan against its configuration, at the slots where something may begin or end, and of a small network at all.
func checkPlan(t *testing.T, c allocator.Config, p *allocator.Plan) {
	t.Helper()
	slots, all := edges(c, p)
	var leasable, dynamic uint64
	macs := map[mac.Addr]allocator.Slot{}
	for _, s := range slots {
		v, want := p.Classify(s), naiveClassify(c, s)
		if v.Class != want.Class || v.Claim != want.Claim {
			t.Errorf("slot %d is %+v, want %+v", s, v, want)
		}
		if v.Class == allocator.Dynamic {
			dynamic++
		}
		if !naiveLeasable(want) {
			continue
		}
		leasable++
		a := p.Address(s)
		if len(a.IPs) != len(c.Subnets) {
			t.Errorf("slot %d has the addresses %v", s, a.IPs)
		}
		for _, ip := range a.IPs {
			if back, ok := p.SlotOf(ip); !ok || back != s {
				t.Errorf("slot %d has %s, which has slot %d, %t", s, ip, back, ok)
			}
		}
		if a.MAC.IsMulticast() || !a.MAC.IsLocal() || a.MAC.IsZero() { // R-A7
			t.Errorf("slot %d has the MAC %s", s, a.MAC)
		}
		if back, ok := p.SlotOfMAC(a.MAC); !ok || back != s {
			t.Errorf("slot %d has %s, which has slot %d, %t", s, a.MAC, back, ok)
		}
		if other, ok := macs[a.MAC]; ok && other != s { // R-A2
			t.Errorf("slots %d and %d have the MAC %s", s, other, a.MAC)
		}
		macs[a.MAC] = s
		name, err := mac.ParseName(a.Name.String())
		if p.MACsAlone() {
			name, _ = mac.ParseMACName(a.Name.String())
			err = nil
		}
		if err != nil || name != a.Name {
			t.Errorf("slot %d is named %s: %+v, %v", s, a.Name, name, err)
		}
	}
	if all && (leasable != p.Capacity() || dynamic != p.DynamicCapacity()) {
		t.Errorf("capacity %d, dynamic %d, counted %d, %d", p.Capacity(), p.DynamicCapacity(), leasable, dynamic)
	}
	if leasable > p.Capacity() || dynamic > p.DynamicCapacity() || p.Capacity() > 1<<24 {
		t.Errorf("capacity %d, dynamic %d, but %d and %d were met", p.Capacity(), p.DynamicCapacity(), leasable, dynamic)
	}
}

// edges are the slots at and beside all that the configuration names, or all slots of a small network.
func edges(c allocator.Config, p *allocator.Plan) (slots []allocator.Slot, all bool) {
	if len(c.Subnets) == 0 { // MACs alone
		return []allocator.Slot{0, 1, 1 << 12, 1<<24 - 1}, false
	}
	shortest := c.Subnets[0].CIDR
	for _, s := range c.Subnets {
		if s.CIDR.Addr().BitLen()-s.CIDR.Bits() > shortest.Addr().BitLen()-shortest.Bits() {
			shortest = s.CIDR
		}
	}
	if bits := shortest.Addr().BitLen() - shortest.Bits(); bits <= 10 {
		for s := range allocator.Slot(1) << bits {
			slots = append(slots, s)
		}
		return slots, true
	}
	seen := map[allocator.Slot]bool{}
	add := func(ip netip.Addr) {
		s, ok := p.SlotOf(ip)
		for _, s := range []allocator.Slot{s - 1, s, s + 1, s ^ 1<<23, s & (1<<24 - 1)} {
			if ok && !seen[s] {
				seen[s] = true
				slots = append(slots, s)
			}
		}
	}
	for _, s := range c.Subnets {
		add(s.CIDR.Addr())
		add(s.Gateway)
		for _, r := range s.Ranges {
			add(r.From)
			add(r.To)
		}
		for _, r := range s.Exclude {
			add(r.From)
			add(r.To)
		}
	}
	for _, r := range c.Reservations {
		add(r.IP)
	}
	return slots, false
}
