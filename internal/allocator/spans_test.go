// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The set algebra against sets of booleans, near both ends of the slots: what is off by one is off there.
func TestSpansAgainstBooleans(t *testing.T) {
	const width = 24
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 20_000 {
		base := Slot(0)
		if round%2 == 1 {
			base = math.MaxUint64 - width + 1
		}
		a, inA := randomSpans(r, base, width)
		b, inB := randomSpans(r, base, width)
		var both, only [width]bool
		for i := range width {
			both[i], only[i] = inA[i] && inB[i], inA[i] && !inB[i]
		}
		checkSpans(t, "union", a, base, inA[:])
		checkSpans(t, "intersection", a.intersect(b), base, both[:])
		checkSpans(t, "difference", a.minus(b), base, only[:])
		if t.Failed() {
			t.Fatalf("round %d: %v and %v", round, a, b)
		}
	}
}

func randomSpans(r *rand.Rand, base Slot, width uint64) (spans, [24]bool) {
	var in []span
	var want [24]bool
	for range r.IntN(5) {
		first := r.Uint64N(width)
		last := first + r.Uint64N(min(width-first, 8))
		in = append(in, span{base + Slot(first), base + Slot(last)})
		for i := first; i <= last; i++ {
			want[i] = true
		}
	}
	return newSpans(in), want
}

func checkSpans(t *testing.T, what string, got spans, base Slot, want []bool) {
	t.Helper()
	var size uint64
	for i, in := range want {
		if got.contains(base+Slot(i)) != in {
			t.Errorf("%s %v contains %d: %t, want %t", what, got, base+Slot(i), !in, in)
		}
		if in {
			size++
		}
	}
	if got.size() != size {
		t.Errorf("%s %v has size %d, want %d", what, got, got.size(), size)
	}
	for i := 1; i < len(got); i++ {
		if got[i].first <= got[i-1].last || got[i].first-1 == got[i-1].last {
			t.Errorf("%s %v: spans %d and %d touch", what, got, i-1, i)
		}
	}
}
