// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"math/rand/v2"
	"testing"
)

// The paged set against a slice of booleans, at sizes on both sides of a page's, over filling up, full, and emptying again.
func TestPagesAgainstBooleans(t *testing.T) {
	for _, limit := range []uint64{1, 2, 63, 64, 65, pageSize - 1, pageSize, pageSize + 1, 3*pageSize + 7, 5 * pageSize} {
		r := rand.New(rand.NewPCG(limit, 1))
		p, want := newPages(limit), make([]bool, limit)
		var count uint64
		steps := len(want) * 12
		for step := range steps {
			// Likely to set in the first half, and to clear in the second; all of it is set in the middle.
			present := r.IntN(10) < 9
			if step > steps/2 {
				present = r.IntN(10) < 1
			}
			if step == steps/2 {
				for i := range want {
					p.set(uint64(i), true)
					want[i] = true
				}
				count = limit
				if got, ok := p.nextAbsent(0); ok {
					t.Fatalf("limit %d: %d is absent from a full set", limit, got)
				}
			}
			i := r.Uint64N(limit)
			if want[i] != present {
				want[i] = present
				if present {
					count++
				} else {
					count--
				}
			}
			p.set(i, present)
			if p.count != count {
				t.Fatalf("limit %d, step %d: count %d, want %d", limit, step, p.count, count)
			}
			from := r.Uint64N(limit)
			got, ok := p.nextAbsent(from)
			if expect, exists := naiveNextAbsent(want, from); got != expect || ok != exists {
				t.Fatalf("limit %d, step %d: next absent from %d is %d, %t, want %d, %t", limit, step, from, got, ok, expect, exists)
			}
		}
		for i := range want {
			p.set(uint64(i), false)
		}
		if p.count != 0 || len(p.some) != 0 || p.full.Any() {
			t.Errorf("limit %d: an empty set has count %d, %d pages, full ones: %s", limit, p.count, len(p.some), p.full.String())
		}
	}
}

func naiveNextAbsent(set []bool, from uint64) (uint64, bool) {
	n := uint64(len(set))
	for i := range n {
		if at := (from + i) % n; !set[at] {
			return at, true
		}
	}
	return 0, false
}
