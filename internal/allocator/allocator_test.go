// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
)

// one is a pool of the single address .8, so that what may be offered is never a matter of choice.
func one(t *testing.T) (*allocator.Allocator, mac.Name) {
	t.Helper()
	a := allocator.New()
	a.SetPool("iot", planOf(t, subnet{cidr: "192.168.50.0/24", ranges: []string{"192.168.50.8"}}))
	return a, nameOf("192.168.50.8")
}

func nameOf(ip string) mac.Name { return mac.Name{Segment: "vlan-50", Addr: netip.MustParseAddr(ip)} }

// lease is a report of .8.
func lease(uid string, version uint64, state allocator.State) allocator.Lease {
	return allocator.Lease{
		Name: nameOf("192.168.50.8"), UID: uid, Version: version, Pool: "iot", State: state,
		Claim: allocator.Identity{Namespace: "iot", Name: "db-0.iot.net1"}, ClaimUID: "claim-of-" + uid,
	}
}

// mustPick fails unless .8 is offered, as known or not.
func mustPick(t *testing.T, a *allocator.Allocator, now time.Time, known bool) {
	t.Helper()
	c, err := a.Pick("iot", identity(0), now)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != nameOf("192.168.50.8") || c.Known != known {
		t.Fatalf("picked %s, known %t, want known %t", c.Name, c.Known, known)
	}
}

func mustBeFull(t *testing.T, a *allocator.Allocator, now time.Time) {
	t.Helper()
	if c, err := a.Pick("iot", identity(0), now); !errors.Is(err, allocator.ErrFull) {
		t.Fatalf("picked %s, %v, want ErrFull", c.Name, err)
	}
}

func TestPickOfUnknownPool(t *testing.T) {
	a, _ := one(t)
	if _, err := a.Pick("other", identity(0), start); !errors.Is(err, allocator.ErrNoPool) {
		t.Errorf("error %v, want ErrNoPool", err)
	}
	a.RemovePool("iot")
	a.RemovePool("iot")
	if _, err := a.Pick("iot", identity(0), start); !errors.Is(err, allocator.ErrNoPool) {
		t.Errorf("error %v, want ErrNoPool", err)
	}
	if got := a.Count("iot"); got != (allocator.Counts{}) {
		t.Errorf("counts of no pool %+v", got)
	}
}

func TestPickOfAPoolThatLeasesNothing(t *testing.T) {
	a := allocator.New()
	a.SetPool("iot", planOf(t, subnet{cidr: "192.168.50.0/24", ranges: []string{"!192.168.50.8"}}))
	mustBeFull(t, a, start)
}

// What each state of a lease does to its address.
func TestStates(t *testing.T) {
	for state, free := range map[allocator.State]bool{
		allocator.Leased: false, allocator.Cooling: false, allocator.Conflicted: false, allocator.Reusable: true,
	} {
		for _, enter := range []func(*allocator.Allocator, allocator.Lease){(*allocator.Allocator).Observe, (*allocator.Allocator).Commit} {
			a, n := one(t)
			enter(a, lease("u", 1, state))
			if free {
				mustPick(t, a, start, true)
				a.Release(n)
			} else {
				mustBeFull(t, a, start)
			}
			if _, ok := a.ByClaim("claim-of-u"); ok != (state == allocator.Leased) {
				t.Errorf("state %d: found by its claim: %t", state, ok)
			}
			own := a.ByIdentity("vlan-50", identity(0))
			if want := state != allocator.Conflicted; (len(own) == 1) != want {
				t.Errorf("state %d: found by its identity: %v", state, own)
			}
			if got, ok := a.Get(n); !ok || got.State != state {
				t.Errorf("state %d: found as %+v, %t", state, got, ok)
			}
			a.Forget(n, "u")
			mustPick(t, a, start, false)
		}
	}
}

func TestInFlight(t *testing.T) {
	a, n := one(t)
	mustPick(t, a, start, false)
	mustBeFull(t, a, start)
	if a.Reserve(n, start) {
		t.Error("reserved what is in flight")
	}
	a.Release(n)
	if !a.Reserve(n, start) {
		t.Error("did not reserve what was released")
	}
	mustBeFull(t, a, start)
	a.Commit(lease("u", 1, allocator.Leased))
	mustBeFull(t, a, start)
	if !a.Reserve(n, start) {
		t.Error("did not reserve what is leased: that is for the API server to say")
	}
	a.Release(n)
	mustBeFull(t, a, start)
}

// R-A3 : what is leased in one pool is busy in every pool of its segment that has the address, and in no other.
func TestOverlappingPools(t *testing.T) {
	a := allocator.New()
	only8 := subnet{cidr: "192.168.50.0/24", ranges: []string{"192.168.50.8"}}
	a.SetPool("iot", planOf(t, only8))
	a.SetPool("iot-dual", planOf(t, only8, subnet{cidr: "fd00:50::/64"}))
	elsewhere := config(t, only8)
	elsewhere.Segment = "vlan-51"
	a.SetPool("elsewhere", newPlan(t, elsewhere))

	mustPick(t, a, start, false)
	if c, err := a.Pick("iot-dual", identity(1), start); !errors.Is(err, allocator.ErrFull) {
		t.Errorf("picked %s while it is in flight for another pool", c.Name)
	}
	a.Commit(lease("u", 1, allocator.Leased))
	a.SetPool("late", planOf(t, only8)) // entered when the lease was there
	for pool, want := range map[string]allocator.Counts{
		"iot": {Capacity: 1, Leased: 1}, "iot-dual": {Capacity: 1, Leased: 1}, "late": {Capacity: 1, Leased: 1}, "elsewhere": {Capacity: 1, Available: 1},
	} {
		if got := a.Count(pool); got != want {
			t.Errorf("%s: %+v, want %+v", pool, got, want)
		}
		if _, err := a.Pick(pool, identity(2), start); errors.Is(err, allocator.ErrFull) != (want.Available == 0) {
			t.Errorf("%s: %v", pool, err)
		}
	}
	// The pool that made it goes; the lease stays, and is the segment's.
	a.RemovePool("iot")
	if got, want := a.Count("late"), (allocator.Counts{Capacity: 1, Leased: 1}); got != want {
		t.Errorf("late: %+v, want %+v", got, want)
	}
}

// A lease that is named by the second family, from a pool that is gone, keeps its slot too; under both names it is one slot.
func TestLeaseOfTheSecondFamily(t *testing.T) {
	a := allocator.New()
	v6 := lease("six", 1, allocator.Leased)
	v6.Name = nameOf("fd00:50::8")
	a.Observe(v6)
	a.SetPool("iot", planOf(t, subnet{cidr: "192.168.50.0/24", ranges: []string{"192.168.50.8"}}, subnet{cidr: "fd00:50::/64"}))
	mustBeFull(t, a, start)
	a.Observe(lease("four", 2, allocator.Cooling))
	full := allocator.Counts{Capacity: 1, Leased: 1}
	if got := a.Count("iot"); got != full {
		t.Errorf("%+v, want %+v", got, full)
	}
	a.Forget(v6.Name, "six")
	if got, want := a.Count("iot"), (allocator.Counts{Capacity: 1, Cooling: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	a.Forget(nameOf("192.168.50.8"), "four")
	mustPick(t, a, start, false)
}

// R-P1 : an edit drops nothing. What it leaves outside is counted, and leased to nobody else.
func TestEditedRanges(t *testing.T) {
	a := allocator.New()
	wide := subnet{cidr: "192.168.50.0/24", ranges: []string{"192.168.50.8-192.168.50.9", "!192.168.50.10-192.168.50.12"}}
	a.SetPool("iot", planOf(t, wide))
	enter := func(ip, uid, pool string, state allocator.State) {
		l := lease(uid, 1, state)
		l.Name, l.Pool = nameOf(ip), pool
		a.Observe(l)
	}
	enter("192.168.50.8", "a", "iot", allocator.Leased)
	enter("192.168.50.10", "b", "iot", allocator.Leased)
	enter("192.168.50.11", "c", "iot", allocator.Cooling)
	enter("192.168.50.200", "d", "other", allocator.Leased) // not this pool's, and not in its ranges
	count := func(want allocator.Counts) {
		t.Helper()
		if diff := cmp.Diff(want, a.Count("iot")); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	}
	count(allocator.Counts{Capacity: 5, Leased: 2, Cooling: 1, Kept: 1, Available: 1})

	narrow := subnet{cidr: "192.168.50.0/24", ranges: []string{"192.168.50.9"}}
	a.SetPool("iot", planOf(t, narrow))
	count(allocator.Counts{Capacity: 1, OutOfRange: 2, Available: 1})

	a.SetPool("iot", newPlan(t, reserve(config(t, narrow), "192.168.50.8 for iot/db-9", "192.168.50.10", "192.168.50.77 for iot/db-7")))
	count(allocator.Counts{Capacity: 3, Leased: 1, OutOfRange: 1, Kept: 1, Available: 1})

	// The same slots, reserved for others: who it is does not matter to the counts, whether it is anybody does.
	a.SetPool("iot", newPlan(t, reserve(config(t, narrow), "192.168.50.8", "192.168.50.10 for iot/db-8", "192.168.50.77 for iot/db-9")))
	count(allocator.Counts{Capacity: 3, Leased: 1, OutOfRange: 1, Kept: 1, Available: 1})
	a.SetPool("iot", newPlan(t, reserve(config(t, narrow), "192.168.50.8", "192.168.50.10 for iot/db-8", "192.168.50.77")))
	count(allocator.Counts{Capacity: 2, Leased: 1, OutOfRange: 1, Available: 1})

	a.SetPool("iot", planOf(t, subnet{cidr: "10.0.0.0/30"})) // made again for another network
	count(allocator.Counts{Capacity: 2, OutOfRange: 2, Available: 2})
	enter("192.168.50.8", "a", "iot", allocator.Conflicted)
	count(allocator.Counts{Capacity: 2, OutOfRange: 2, Available: 2})
	enter("192.168.50.8", "a", "iot", allocator.Cooling)
	count(allocator.Counts{Capacity: 2, OutOfRange: 1, Available: 2})

	a.SetPool("iot", planOf(t, wide))
	count(allocator.Counts{Capacity: 5, Leased: 1, Cooling: 2, Kept: 1, Available: 1})
}

// Of two writers that made different leases for one claim, everybody finds the same one, until the other is deleted.
func TestByClaimOfTwoLeases(t *testing.T) {
	for _, order := range [][]string{{"192.168.50.9", "192.168.50.8"}, {"192.168.50.8", "192.168.50.9"}} {
		a, n := one(t)
		for _, ip := range order {
			l := lease(ip, 1, allocator.Leased)
			l.Name, l.ClaimUID = nameOf(ip), "claim"
			a.Observe(l)
		}
		if got, ok := a.ByClaim("claim"); !ok || got.Name != n {
			t.Errorf("found %s, %t, want %s", got.Name, ok, n)
		}
		a.Forget(n, "192.168.50.8")
		if got, ok := a.ByClaim("claim"); !ok || got.Name != nameOf("192.168.50.9") {
			t.Errorf("found %s, %t, want the other", got.Name, ok)
		}
	}
	a, _ := one(t)
	l := lease("u", 1, allocator.Leased)
	l.ClaimUID = ""
	a.Observe(l)
	if l, ok := a.ByClaim(""); ok {
		t.Errorf("no claim has %s", l.Name)
	}
}

func TestByIdentity(t *testing.T) {
	a, _ := one(t)
	for ip, state := range map[string]allocator.State{
		"192.168.50.20": allocator.Cooling, "192.168.50.9": allocator.Reusable, "192.168.50.10": allocator.Cooling, "192.168.50.8": allocator.Leased,
	} {
		l := lease(ip, 1, state)
		l.Name = nameOf(ip)
		a.Observe(l)
	}
	other := lease("other", 1, allocator.Cooling)
	other.Name.Segment = "vlan-51"
	a.Observe(other)
	var got []string
	for _, l := range a.ByIdentity("vlan-50", identity(0)) {
		got = append(got, l.Name.Addr.String())
	}
	want := []string{"192.168.50.8", "192.168.50.10", "192.168.50.20", "192.168.50.9"} // those that still cool are nobody else's
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leases of the identity (-want +got):\n%s", diff)
	}
	if got := a.ByIdentity("vlan-50", identity(1)); len(got) != 0 {
		t.Errorf("another identity has %v", got)
	}
}

// I1, within a process: goroutines that bind at once are never offered one address, and use the pool up to the last one.
func TestConcurrentPicks(t *testing.T) {
	const addresses, workers = 1000, 8
	a := allocator.New()
	a.SetPool("iot", planOf(t, subnet{cidr: "10.0.0.0/16", ranges: []string{"10.0.1.0-10.0.4.231"}}))
	a.SetPool("overlap", planOf(t, subnet{cidr: "10.0.0.0/16", ranges: []string{"10.0.1.0-10.0.4.231"}, gateway: "10.0.0.1"}))
	pools := [2]string{"iot", "overlap"}
	var mu sync.Mutex
	holders := map[mac.Name]int{}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; ; i += workers {
				c, err := a.Pick(pools[i%2], identity(i), start)
				if err != nil {
					if !errors.Is(err, allocator.ErrFull) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				if other, ok := holders[c.Name]; ok {
					t.Errorf("%s was offered to %d and %d", c.Name, other, i)
				}
				holders[c.Name] = i
				mu.Unlock()
				l := leaseOf(c, pools[i%2], i)
				a.Commit(l)
				a.Observe(l)
			}
		})
	}
	wg.Wait()
	if len(holders) != addresses {
		t.Errorf("%d addresses were offered, want %d", len(holders), addresses)
	}
	for _, pool := range pools {
		if got, want := a.Count(pool), (allocator.Counts{Capacity: addresses, Leased: addresses}); got != want {
			t.Errorf("%s: %+v, want %+v", pool, got, want)
		}
	}
}
