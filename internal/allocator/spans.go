// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"cmp"
	"slices"
)

// span is the slots from first to last, both included: a span that ends at the last slot of a /64 has an end, but no slot behind it.
type span struct {
	first, last Slot
}

// spans is a set of slots. Invariant: sorted, and between two spans lies at least one slot that is in neither. All that a plan
// computes from ranges it computes on spans, so that the cost is that of the configuration and not of the addresses (T18).
type spans []span

// newSpans is the union of what is given, in any order and overlapping as it may be. It reorders its argument.
func newSpans(in []span) spans {
	slices.SortFunc(in, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	var out spans
	for _, s := range in {
		if n := len(out); n > 0 && (s.first <= out[n-1].last || s.first-1 == out[n-1].last) {
			out[n-1].last = max(out[n-1].last, s.last)
			continue
		}
		out = append(out, s)
	}
	return out
}

// intersect is what is in both sets.
func (a spans) intersect(b spans) spans {
	var out spans
	for i, j := 0, 0; i < len(a) && j < len(b); {
		first, last := max(a[i].first, b[j].first), min(a[i].last, b[j].last)
		if first <= last {
			out = append(out, span{first, last})
		}
		if a[i].last < b[j].last {
			i++
		} else {
			j++
		}
	}
	return out
}

// minus is what is in a and not in b.
func (a spans) minus(b spans) spans {
	var out spans
	j := 0
	for _, s := range a {
		for j < len(b) && b[j].last < s.first {
			j++
		}
		// From here on s is what is left of the span; k walks over what cuts it. j stays: it may cut the next span too.
		rest := true
		for k := j; k < len(b) && b[k].first <= s.last; k++ {
			if b[k].first > s.first {
				out = append(out, span{s.first, b[k].first - 1})
			}
			if b[k].last >= s.last {
				rest = false
				break
			}
			s.first = b[k].last + 1
		}
		if rest {
			out = append(out, s)
		}
	}
	return out
}

// find is the index of the span that contains s.
func (a spans) find(s Slot) (int, bool) {
	return slices.BinarySearchFunc(a, s, func(e span, s Slot) int {
		switch {
		case e.last < s:
			return -1
		case e.first > s:
			return 1
		}
		return 0
	})
}

// contains tells whether s is in the set.
func (a spans) contains(s Slot) bool {
	_, ok := a.find(s)
	return ok
}

// size is how many slots are in the set. The whole of a /64 would overflow it; a plan is refused before it leases so many.
func (a spans) size() uint64 {
	var n uint64
	for _, s := range a {
		n += uint64(s.last-s.first) + 1
	}
	return n
}
