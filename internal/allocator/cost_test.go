// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"runtime"
	"testing"

	"github.com/macpool/macpool/internal/allocator"
)

// T18 : what a pool costs is what is leased, not what could be. All costs are counted in bytes and allocations and compared with those of a
// small pool, so that the machine's speed does not matter.

// The pools that are compared with the first one of each list. A pool whose subnet is large spreads its leases, at most one to a page
// of the index; that is the whole difference, and costs less than the lease's own record.
var costPools = []struct {
	leases uint64
	cidrs  [][]string
}{
	{250, [][]string{{"192.168.50.0/24"}, {"10.1.0.0/16"}, {"10.0.0.0/8"}, {"fd00:50::/64"}}},
	{20_000, [][]string{{"10.0.0.0/17"}, {"10.1.0.0/16"}, {"10.0.0.0/8"}, {"fd00:50::/64"}}},
	{250, [][]string{{"192.168.50.0/24", "fd00:50::/120"}, {"10.0.0.0/8", "fd00:50::/64"}}},
}

func TestT18MemoryIsThatOfTheLeases(t *testing.T) {
	for _, c := range costPools {
		small := heldBy(t, c.leases, c.cidrs[0])
		for _, cidrs := range c.cidrs[1:] {
			got := heldBy(t, c.leases, cidrs)
			t.Logf("%d leases in %v hold %d bytes each, in %v %d", c.leases, cidrs, got/c.leases, c.cidrs[0], small/c.leases)
			if got > small*3/2 {
				t.Errorf("%d leases in %v hold %d bytes, in %v %d", c.leases, cidrs, got, c.cidrs[0], small)
			}
		}
	}
}

// heldBy is how many bytes an index with so many leases in a pool of these networks keeps alive.
func heldBy(t *testing.T, leases uint64, cidrs []string) uint64 {
	t.Helper()
	indexes := make([]*allocator.Allocator, 1+20_000/leases) // many small ones, to see them among the noise of the runtime
	plan := cidrPool(t, cidrs...)
	before := live()
	for i := range indexes {
		indexes[i] = allocator.New()
		indexes[i].SetPool("iot", plan)
		fill(t, indexes[i], leases)
	}
	after := live()
	if got := indexes[len(indexes)-1].Count("iot").Leased; got != leases {
		t.Fatalf("%d leases, want %d", got, leases)
	}
	runtime.KeepAlive(indexes)
	return (after - before) / uint64(len(indexes))
}

func live() uint64 {
	var m runtime.MemStats
	for range 2 { // what the first cycle only marks as unused, the second one sweeps
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// T18: plans, edits, removals and picks do not walk over what could be leased: in a pool of 2^64 addresses they allocate as often as in a small one.
func TestT18AllocationsDoNotDependOnTheSubnet(t *testing.T) {
	cost := func(leases uint64, cidrs ...string) (plan, edit, pick float64) {
		a := allocator.New()
		a.SetPool("iot", cidrPool(t, cidrs...))
		fill(t, a, leases)
		plan = testing.AllocsPerRun(20, func() { cidrPool(t, cidrs...) })
		whole := cidrPool(t, cidrs...)
		edit = testing.AllocsPerRun(20, func() {
			a.RemovePool("iot")
			a.SetPool("iot", whole)
		})
		pick = testing.AllocsPerRun(20, func() {
			c, err := a.Pick("iot", identity(int(leases)), start) //nolint:gosec // G115: some hundred
			if err != nil {
				t.Fatal(err)
			}
			a.Release(c.Name)
		})
		return plan, edit, pick
	}
	const leases = 100
	smallPlan, smallEdit, smallPick := cost(leases, "192.168.50.0/24")
	for _, cidr := range []string{"10.1.0.0/16", "10.0.0.0/8", "fd00:50::/64"} {
		plan, edit, pick := cost(leases, cidr)
		if plan > smallPlan+2 {
			t.Errorf("a plan of %s takes %.0f allocations, of a /24 %.0f", cidr, plan, smallPlan)
		}
		// A page, its bitset and the bits of it, for each lease.
		if edit > smallEdit+3*leases+20 {
			t.Errorf("an edit of %s takes %.0f allocations, of a /24 %.0f", cidr, edit, smallEdit)
		}
		if pick > smallPick+5 {
			t.Errorf("a pick of %s takes %.0f allocations, of a /24 %.0f", cidr, pick, smallPick)
		}
	}
}

// Attempts that come to nothing leave nothing behind.
func TestAttemptsLeaveNothingBehind(t *testing.T) {
	a := allocator.New()
	a.SetPool("iot", cidrPool(t, "10.0.0.0/8"))
	attempts := func(from, to int) {
		for i := from; i < to; i++ {
			c, err := a.Pick("iot", identity(i), start)
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				a.Release(c.Name)
				continue
			}
			l := leaseOf(c, "iot", i)
			a.Commit(l)
			a.Forget(l.Name, l.UID)
		}
	}
	attempts(0, 20_000) // maps grow to their size, the graveyard fills
	before := live()
	attempts(20_000, 100_000)
	after := live()
	if after > before+64<<10 {
		t.Errorf("80000 attempts left %d bytes behind", after-before)
	}
	if got := a.Count("iot"); got.Available != got.Capacity {
		t.Errorf("counts %+v", got)
	}
	runtime.KeepAlive(a)
}
