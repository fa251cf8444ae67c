// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"math"
	"runtime"
	"strconv"
	"testing"

	"github.com/macpool/macpool/internal/allocator"
)

// The budgets of the core are of allocations and octets, which are the same on each machine; times are measured by make bench and fail nothing.

// spent is what an operation takes of the heap, on average.
type spent struct{ allocations, octets float64 }

// budgets are what the operations of the benchmarks may take, in whichever pool. Most of it is what the answer is made of, and in a sparse pool
// the page of the index in which the address is the only one.
var budgets = []struct {
	name    string
	budget  spent
	operate func(*allocator.Allocator, allocator.Identity) error
}{
	{"pick and release", spent{4, 160}, pickRelease},
	{"reserve and release", spent{3, 128}, reserveRelease},
	{"the life of a lease", spent{15, 1100}, lifeOfALease},
}

func TestBudget(t *testing.T) {
	ids := make([]allocator.Identity, 512)
	for i := range ids {
		ids[i] = allocator.Identity{Namespace: "budget", Name: "pod-" + strconv.Itoa(i) + ".iot.net1"}
	}
	empty := map[string]spent{} // operation -> what it takes in the first pool, which is empty
	for _, p := range benchPools {
		a := allocator.New()
		plan := cidrPool(t, p.cidrs...)
		a.SetPool("iot", plan)
		fill(t, a, p.leases(plan.Capacity()))
		for _, b := range budgets {
			got := average(len(ids), func(i int) {
				if err := b.operate(a, ids[i]); err != nil {
					t.Fatal(err)
				}
			})
			t.Logf("%s in %s: %.2f allocations, %.0f octets", b.name, p.name, got.allocations, got.octets)
			if got.allocations > b.budget.allocations || got.octets > b.budget.octets {
				t.Errorf("%s in %s takes %.2f allocations and %.0f octets, more than %v", b.name, p.name, got.allocations, got.octets, b.budget)
			}
			if _, ok := empty[b.name]; !ok {
				empty[b.name] = got
			}
			// Neither the leases of a pool nor its size make it dearer.
			const growth = 1.1
			if than := empty[b.name]; got.allocations > than.allocations*growth || got.octets > than.octets*growth {
				t.Errorf("%s in %s takes %v, in an empty /16 %v", b.name, p.name, got, than)
			}
		}
	}
}

// average is what one of n calls takes, in the best of some batches. Maps with deleted entries are rebuilt now and then, at places that depend on
// the seed of the process; over many batches that is little, and in one of them much.
func average(n int, operate func(i int)) spent {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // nobody else allocates meanwhile
	best := spent{math.Inf(1), math.Inf(1)}
	for batch := range 6 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range n {
			operate(i)
		}
		runtime.ReadMemStats(&after)
		if batch == 0 {
			continue // maps grow to their size
		}
		best.allocations = min(best.allocations, float64(after.Mallocs-before.Mallocs)/float64(n))
		best.octets = min(best.octets, float64(after.TotalAlloc-before.TotalAlloc)/float64(n))
	}
	return best
}
