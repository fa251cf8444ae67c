// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
)

// naiveIndex is what the allocator should know: maps that are searched, and nothing that is derived.
type naiveIndex struct {
	leases  map[mac.Name]allocator.Lease
	flying  map[mac.Name]bool
	avoided map[mac.Name]time.Time
	// deaths are the UIDs that were forgotten, and the how-manieth each was.
	deaths map[string]int
	pools  map[string]*modelPool
}

func newNaiveIndex() *naiveIndex {
	return &naiveIndex{
		leases: map[mac.Name]allocator.Lease{}, flying: map[mac.Name]bool{}, avoided: map[mac.Name]time.Time{},
		deaths: map[string]int{}, pools: map[string]*modelPool{},
	}
}

// modelPool is a pool's configuration, the plan that is made of it, and its slots one by one, judged by naiveClassify.
type modelPool struct {
	config allocator.Config
	plan   *allocator.Plan
	slots  []modelSlot
	// dynamic are the dynamic ones of slots, in order.
	dynamic []modelSlot
}

// modelSlot is a slot, and the names under which its leases may be.
type modelSlot struct {
	verdict allocator.Verdict
	names   []mac.Name
}

// The pools overlap in every way: the same network, one in the other, of both families; and there are two segments.
var modelSubnets = map[string]struct {
	segment string
	cidrs   []string
}{
	"a-26": {"vlan-50", []string{"10.0.0.0/26"}},
	"b-27": {"vlan-50", []string{"10.0.0.32/27"}},
	"dual": {"vlan-50", []string{"10.0.0.0/26", "fd00:50::/64"}},
	"six":  {"vlan-51", []string{"fd00:51::/122"}},
	"four": {"vlan-51", []string{"10.0.0.0/27"}},
}

var modelPools = slices.Sorted(maps.Keys(modelSubnets))

// newModelPool makes up a pool in these networks.
func newModelPool(t *testing.T, r *rand.Rand, segment string, cidrs []string) *modelPool {
	t.Helper()
	for {
		c := allocator.Config{Segment: segment, Prefix: prefix}
		for _, text := range cidrs {
			cidr := netip.MustParsePrefix(text)
			s := allocator.Subnet{CIDR: cidr}
			if r.IntN(2) == 0 {
				s.Gateway = modelAddr(r, cidr)
			}
			for range r.IntN(4) {
				s.Ranges = append(s.Ranges, allocator.Range{Range: modelRange(r, cidr, 24), ExplicitOnly: r.IntN(4) == 0})
			}
			for range r.IntN(3) {
				s.Exclude = append(s.Exclude, modelRange(r, cidr, 6))
			}
			c.Subnets = append(c.Subnets, s)
		}
		for range r.IntN(4) {
			res := allocator.Reservation{IP: modelAddr(r, c.Subnets[r.IntN(len(c.Subnets))].CIDR)}
			if i := r.IntN(4); i > 0 {
				res.Claim = allocator.Identity{Namespace: "ns-0", Name: fmt.Sprint("reserved-", i)}
			}
			c.Reservations = append(c.Reservations, res)
		}
		plan, err := allocator.NewPlan(c)
		if err != nil {
			continue // ranges overlap, most likely: make up another
		}
		return enumerate(c, plan)
	}
}

func enumerate(c allocator.Config, plan *allocator.Plan) *modelPool {
	p := &modelPool{config: c, plan: plan}
	for s := range allocator.Slot(64) {
		slot := modelSlot{verdict: naiveClassify(c, s)}
		if slot.verdict.Class == allocator.Outside {
			// The smaller pools have no such slot at all; no lease there is theirs to count.
			if _, ok := naiveAddr(c.Subnets[0].CIDR, s); !ok {
				continue
			}
		}
		for _, sub := range c.Subnets {
			ip, _ := naiveAddr(sub.CIDR, s)
			slot.names = append(slot.names, mac.Name{Segment: c.Segment, Addr: ip})
		}
		p.slots = append(p.slots, slot)
		if slot.verdict.Class == allocator.Dynamic {
			p.dynamic = append(p.dynamic, slot)
		}
	}
	return p
}

// modelAddr is one of the first 64 addresses of a network: of both families the ones that are paired.
func modelAddr(r *rand.Rand, cidr netip.Prefix) netip.Addr {
	for {
		if ip, ok := naiveAddr(cidr, allocator.Slot(r.Uint64N(64))); ok {
			return ip
		}
	}
}

func modelRange(r *rand.Rand, cidr netip.Prefix, width uint64) mac.Range {
	for {
		s := allocator.Slot(r.Uint64N(64))
		from, ok1 := naiveAddr(cidr, s)
		to, ok2 := naiveAddr(cidr, s+allocator.Slot(r.Uint64N(width)))
		if ok1 && ok2 {
			return mac.Range{From: from, To: to}
		}
	}
}

func (x *naiveIndex) pick(pool string, id allocator.Identity, now time.Time) (n mac.Name, known bool, err error) {
	p, ok := x.pools[pool]
	if !ok {
		return mac.Name{}, false, allocator.ErrNoPool
	}
	size := uint64(len(p.dynamic))
	for i := range size {
		slot := p.dynamic[(naiveHash(p.config.Segment, id)%size+i)%size]
		if !x.blocked(slot, now) {
			x.flying[slot.names[0]] = true
			_, known := x.leases[slot.names[0]]
			return slot.names[0], known, nil
		}
	}
	return mac.Name{}, false, allocator.ErrFull
}

// naiveHash is the order of choice as its comment specifies it.
func naiveHash(segment string, id allocator.Identity) uint64 {
	f := fnv.New64a()
	_, _ = f.Write([]byte(segment + "\x00" + id.Namespace + "\x00" + id.Name)) // a hash takes everything
	h := f.Sum64()
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (x *naiveIndex) blocked(slot modelSlot, now time.Time) bool {
	for _, n := range slot.names {
		if l, ok := x.leases[n]; x.flying[n] || ok && l.State != allocator.Reusable || x.avoided[n].After(now) {
			return true
		}
	}
	return false
}

func (x *naiveIndex) reserve(n mac.Name) bool {
	was := x.flying[n]
	x.flying[n] = true
	return !was
}

func (x *naiveIndex) land(n mac.Name) { delete(x.flying, n) }

func (x *naiveIndex) taken(n mac.Name, now time.Time) {
	x.land(n)
	x.avoided[n] = now.Add(30 * time.Second)
}

func (x *naiveIndex) report(l allocator.Lease) {
	if death, ok := x.deaths[l.UID]; ok && len(x.deaths)-death < 4096 {
		return
	}
	if l.Version < x.leases[l.Name].Version {
		return
	}
	delete(x.avoided, l.Name)
	x.leases[l.Name] = l
}

func (x *naiveIndex) forget(n mac.Name, uid string) {
	if _, ok := x.deaths[uid]; !ok {
		x.deaths[uid] = len(x.deaths)
	}
	delete(x.avoided, n)
	if x.leases[n].UID == uid {
		delete(x.leases, n)
	}
}

func (x *naiveIndex) byClaim(uid string) (allocator.Lease, bool) {
	var best allocator.Lease
	found := false
	for n, l := range x.leases {
		if l.State != allocator.Leased || l.ClaimUID != uid {
			continue
		}
		if !found || n.Segment < best.Name.Segment || n.Segment == best.Name.Segment && n.Addr.Less(best.Name.Addr) {
			best, found = l, true
		}
	}
	return best, found
}

func (x *naiveIndex) byIdentity(segment string, id allocator.Identity) map[mac.Name]allocator.Lease {
	out := map[mac.Name]allocator.Lease{}
	for n, l := range x.leases {
		if n.Segment == segment && l.Claim == id && l.State != allocator.Conflicted {
			out[n] = l
		}
	}
	return out
}

// count counts anew.
func (x *naiveIndex) count(pool string) allocator.Counts {
	p, ok := x.pools[pool]
	if !ok {
		return allocator.Counts{}
	}
	var c allocator.Counts
	leasable := map[mac.Name]bool{}
	for _, slot := range p.slots {
		if !naiveLeasable(slot.verdict) {
			continue
		}
		c.Capacity++
		states := map[allocator.State]bool{}
		for _, n := range slot.names {
			leasable[n] = true
			if l, ok := x.leases[n]; ok {
				states[l.State] = true
			}
		}
		switch {
		case states[allocator.Leased]:
			c.Leased++
		case states[allocator.Conflicted]:
			c.Conflicted++
		case states[allocator.Cooling]:
			c.Cooling++
		case slot.verdict.Class == allocator.Dynamic:
			c.Available++
		default:
			c.Kept++
		}
	}
	for n, l := range x.leases {
		if l.Pool == pool && !leasable[n] && (l.State == allocator.Leased || l.State == allocator.Conflicted) {
			c.OutOfRange++
		}
	}
	return c
}

// own counts the leases that were made from a pool.
func (x *naiveIndex) own(pool string) uint64 {
	var n uint64
	for _, l := range x.leases {
		if l.Pool == pool && l.State == allocator.Leased {
			n++
		}
	}
	return n
}
