// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
)

// A pool without subnets leases all MACs of its prefix, each under its own name, and nothing else (R-A2, R-A7).
func TestMACsAlone(t *testing.T) {
	p := newPlan(t, config(t))
	if !p.MACsAlone() || p.Capacity() != 1<<24 || p.DynamicCapacity() != 1<<24 {
		t.Fatalf("MACs alone %t, capacity %d, %d of them dynamic", p.MACsAlone(), p.Capacity(), p.DynamicCapacity())
	}
	for slot, want := range map[allocator.Slot]string{0: "02:32:00:00:00:00", 0xa83208: "02:32:00:a8:32:08", 1<<24 - 1: "02:32:00:ff:ff:ff"} {
		m := mustMAC(want)
		if diff := cmp.Diff(allocator.Address{Slot: slot, Name: mac.Name{Segment: "vlan-50", MAC: m}, MAC: m}, p.Address(slot),
			cmp.Comparer(func(a, b mac.Name) bool { return a == b })); diff != "" {
			t.Errorf("slot %#x (-want +got):\n%s", slot, diff)
		}
		if back, ok := p.SlotOfMAC(m); !ok || back != slot {
			t.Errorf("%s picks slot %#x, %t", want, back, ok)
		}
		if back, ok := p.SlotOfName(mac.Name{Segment: "vlan-50", MAC: m}); !ok || back != slot {
			t.Errorf("the name of %s has slot %#x, %t", want, back, ok)
		}
		if class := p.Classify(slot).Class; class != allocator.Dynamic {
			t.Errorf("slot %#x is of class %d", slot, class)
		}
	}
	if p.Classify(1<<24).Class != allocator.Outside {
		t.Error("there is a slot beyond the last MAC")
	}
	if _, ok := p.SlotOfMAC(mustMAC("02:33:00:a8:32:08")); ok {
		t.Error("a MAC of another prefix has a slot")
	}
	if _, ok := p.SlotOf(nameOf("192.168.50.8").Addr); ok {
		t.Error("an address has a slot")
	}
	for _, n := range []mac.Name{nameOf("192.168.50.8"), {Segment: "vlan-51", MAC: mustMAC("02:32:00:a8:32:08")}} {
		if _, ok := p.SlotOfName(n); ok {
			t.Errorf("%s has a slot", n)
		}
	}
	// Nor has the name of a MAC in a pool with subnets: the lease of its address says whose it is.
	if _, ok := cidrPool(t, "192.168.50.0/24").SlotOfName(mac.Name{Segment: "vlan-50", MAC: mustMAC("02:32:00:a8:32:08")}); ok {
		t.Error("a MAC's name has a slot in a pool of addresses")
	}
}

// The index counts and blocks MACs as it does addresses, and two pools of one prefix share them.
func TestIndexOfMACsAlone(t *testing.T) {
	a := allocator.New()
	a.SetPool("iot", newPlan(t, config(t)))
	a.SetPool("iot-2", newPlan(t, config(t)))
	first, err := a.Pick("iot", identity(0), start)
	if err != nil || first.Known || first.Name.MAC != first.MAC || len(first.IPs) != 0 {
		t.Fatalf("picked %+v, %v", first, err)
	}
	a.Commit(allocator.Lease{Name: first.Name, UID: "1", Version: 1, Pool: "iot", Claim: identity(0), ClaimUID: "c"})
	for _, pool := range []string{"iot", "iot-2"} {
		if c := a.Count(pool); c.Leased != 1 || c.Available != 1<<24-1 || c.OutOfRange != 0 {
			t.Errorf("counts of %s: %+v", pool, c)
		}
		next, err := a.Pick(pool, identity(0), start)
		if err != nil || next.Name == first.Name {
			t.Errorf("%s offers %s, %v, which is leased", pool, next.Name, err)
		}
		a.Release(next.Name)
	}
	if l, ok := a.ByClaim("c"); !ok || l.Name != first.Name {
		t.Errorf("the claim's lease is %+v, %t", l, ok)
	}
	a.Observe(allocator.Lease{Name: first.Name, UID: "1", Version: 2, Pool: "iot", Claim: identity(0), ClaimUID: "c", State: allocator.Reusable})
	if again, err := a.Pick("iot", identity(0), start); err != nil || again.Name != first.Name || !again.Known {
		t.Errorf("picked %+v, %v, want the reusable record", again, err)
	}
	a.RemovePool("iot")
	if _, err := a.Pick("iot", identity(0), start); !errors.Is(err, allocator.ErrNoPool) {
		t.Errorf("error %v, want ErrNoPool", err)
	}
}

// A pool that had subnets before it was made again under its name counts its old leases as out of range, and the other way round.
func TestLeasesOfTheOtherKindAreOutOfRange(t *testing.T) {
	m := mac.Name{Segment: "vlan-50", MAC: mustMAC("02:32:00:a8:32:08")}
	for name, c := range map[string]struct {
		plan  *allocator.Plan
		lease mac.Name
	}{
		"an address": {newPlan(t, config(t)), nameOf("192.168.50.8")},
		"a MAC":      {cidrPool(t, "192.168.50.0/24"), m},
	} {
		a := allocator.New()
		a.SetPool("iot", c.plan)
		a.Observe(allocator.Lease{Name: c.lease, UID: "1", Version: 1, Pool: "iot", Claim: identity(0), ClaimUID: "c"})
		if got := a.Count("iot"); got.OutOfRange != 1 || got.Leased != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
