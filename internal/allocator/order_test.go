// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/macpool/macpool/internal/allocator"
)

// Golden: where identities begin to search. A cluster that is built again from its manifests must give its workloads the addresses that
// they had, so these may never change. They were computed by a second implementation, in another language, from the comment of
// firstChoice.
func TestOrderIsForEver(t *testing.T) {
	for _, c := range []struct {
		cidr, segment, namespace, name, want string
	}{
		{"192.168.50.0/24", "vlan-50", "iot", "db-0.iot.net1", "192.168.50.193"},
		{"192.168.50.0/24", "vlan-50", "iot", "db-1.iot.net1", "192.168.50.244"},
		{"192.168.50.0/24", "vlan-51", "iot", "db-0.iot.net1", "192.168.50.50"},
		{"192.168.50.0/24", "vlan-50", "io", "tdb-0.iot.net1", "192.168.50.22"}, // the same letters, another identity
		{"10.0.0.0/8", "vlan-50", "iot", "db-0.iot.net1", "10.163.144.113"},
		{"fd00:50::/64", "vlan-50", "iot", "db-0.iot.net1", "fd00:50::4:1c3"},
	} {
		a := allocator.New()
		pool := config(t, subnet{cidr: c.cidr})
		pool.Segment = c.segment
		a.SetPool("iot", newPlan(t, pool))
		got, err := a.Pick("iot", allocator.Identity{Namespace: c.namespace, Name: c.name}, start)
		if err != nil || got.Name.Addr.String() != c.want {
			t.Errorf("%+v: first choice %s, %v", c, got.Name.Addr, err)
		}
	}
}

// The order of choice is the first slot and then its successors, around the end, over gaps and exclusions.
func TestOrderOfChoiceWrapsAround(t *testing.T) {
	a := allocator.New()
	a.SetPool("iot", planOf(t, subnet{
		cidr: "192.168.50.0/24", ranges: []string{"192.168.50.10-192.168.50.13", "!192.168.50.14", "192.168.50.20-192.168.50.25"}, exclude: []string{"192.168.50.22"},
	}))
	dynamic := []string{"10", "11", "12", "13", "20", "21", "23", "24", "25"}
	first := -1
	for i := range dynamic {
		c, err := a.Pick("iot", identity(1), start)
		if err != nil {
			t.Fatal(err)
		}
		got := c.Name.Addr.String()
		if first < 0 {
			for j, host := range dynamic {
				if got == "192.168.50."+host {
					first = j
				}
			}
			if first < 0 {
				t.Fatalf("first choice %s is not dynamic", got)
			}
		}
		if want := "192.168.50." + dynamic[(first+i)%len(dynamic)]; got != want {
			t.Errorf("choice %d is %s, want %s", i, got, want)
		}
	}
	if c, err := a.Pick("iot", identity(1), start); err == nil {
		t.Errorf("choice %s of a full pool", c.Name)
	}
}

// R-A9 : choices are spread, never lowest-free-first. The names are alike, as those of workloads are. The bound on chi square is its mean
// plus five standard deviations; nothing is random here, so the test passes for ever or never.
func TestFirstChoicesAreSpread(t *testing.T) {
	const buckets, perBucket = 256, 200
	for name, id := range map[string]func(i int) allocator.Identity{
		"ordinals of one set": identity,
		"ordinals of many sets": func(i int) allocator.Identity {
			return allocator.Identity{Namespace: "iot", Name: fmt.Sprintf("set-%d-%d.iot.net1", i/8, i%8)}
		},
		"one name in many namespaces": func(i int) allocator.Identity {
			return allocator.Identity{Namespace: fmt.Sprintf("tenant-%d", i), Name: "db-0.iot.net1"}
		},
		"interfaces of many pods": func(i int) allocator.Identity {
			return allocator.Identity{Namespace: "iot", Name: fmt.Sprintf("camera-%d.iot.net%d", i/4, i%4)}
		},
	} {
		for _, cidr := range []string{"10.1.0.0/16", "10.0.0.0/8", "192.168.50.0/24"} {
			a := allocator.New()
			plan := cidrPool(t, cidr)
			a.SetPool("iot", plan)
			n := plan.DynamicCapacity()
			size := (n + buckets - 1) / buckets // the last bucket may be smaller; expect says by how much
			var got [buckets]float64
			for i := range buckets * perBucket {
				c, err := a.Pick("iot", id(i), start)
				if err != nil {
					t.Fatal(err)
				}
				a.Release(c.Name)
				got[(uint64(c.Slot)-1)/size]++
			}
			chi := 0.0
			used := 0
			for b := range uint64(buckets) {
				in := min(size, n-min(n, b*size))
				if in == 0 {
					continue
				}
				used++
				expect := float64(buckets*perBucket) * float64(in) / float64(n)
				chi += (got[b] - expect) * (got[b] - expect) / expect
			}
			freedom := float64(used - 1)
			if limit := freedom + 5*math.Sqrt(2*freedom); chi > limit {
				t.Errorf("%s in %s: chi square %.0f of %.0f degrees of freedom, want at most %.0f", name, cidr, chi, freedom, limit)
			}
		}
	}
}
