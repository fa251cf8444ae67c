// SPDX-License-Identifier: Apache-2.0

package allocator

// Census is how many slots are of each class.
type Census struct {
	Dynamic, Explicit, Reserved, Excluded, Outside uint64
}

// Last is the last slot that a plan has.
func (p *Plan) Last() Slot { return p.last }

// Census counts the slots from first to last, both included, by what Classify says of them. It costs what the configuration costs, not the
// addresses.
func (p *Plan) Census(first, last Slot) Census {
	where := spans{{first, min(last, p.last)}}
	if first > p.last || first > last {
		return Census{}
	}
	specials := p.specials()
	var c Census
	var reserved []span
	for s := range p.reserved {
		if where.contains(s) && !specials.contains(s) {
			reserved = append(reserved, span{s, s})
		}
	}
	never := newSpans(append(append([]span(nil), p.excluded...), specials...))
	c.Dynamic = where.intersect(p.dynamic).size()
	c.Explicit = where.intersect(p.explicit).size()
	c.Reserved = uint64(len(reserved))
	c.Excluded = where.intersect(never).minus(newSpans(reserved)).size()
	c.Outside = where.size() - c.Dynamic - c.Explicit - c.Reserved - c.Excluded
	return c
}

// Bounds are the first and the last slot that somebody may lease, or that is reserved; false if there is none.
func (p *Plan) Bounds() (first, last Slot, ok bool) {
	first, last = p.last, 0
	for _, set := range []spans{p.dynamic, p.explicit, p.reservedSpans()} {
		if n := len(set); n > 0 {
			first, last, ok = min(first, set[0].first), max(last, set[n-1].last), true
		}
	}
	return first, last, ok
}
