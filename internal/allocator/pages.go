// SPDX-License-Identifier: Apache-2.0

package allocator

import "github.com/bits-and-blooms/bitset"

// pageSize is how many numbers a page holds. Choices are spread by a hash, so in a large pool nearly every lease has a page to itself:
// a page of 4096 would cost each of them half a kilobyte, one of 512 costs less than the lease's own record.
const pageSize = 512

// pages is a set of numbers below limit, of which the next one that is absent is found fast, and which takes memory only for what is
// in it.
type pages struct {
	limit uint64
	// count is how many numbers are in the set.
	count uint64
	// some are the pages that are not empty.
	some map[uint64]*page
	// full are the pages in which nothing is absent. It is as long as the last of them, and so no larger than what is in the set.
	full bitset.BitSet
}

// page is pageSize numbers, or fewer at the limit.
type page struct {
	present *bitset.BitSet
	count   uint64
}

func newPages(limit uint64) pages {
	return pages{limit: limit, some: map[uint64]*page{}}
}

// set enters or removes i, which must be below limit.
func (p *pages) set(i uint64, present bool) {
	number, bit := i/pageSize, uint(i%pageSize)
	pg := p.some[number]
	if pg == nil {
		if !present {
			return
		}
		pg = &page{present: bitset.MustNew(pageSize)}
		p.some[number] = pg
	}
	if pg.present.Test(bit) == present {
		return
	}
	pg.present.SetTo(bit, present)
	size := min(pageSize, p.limit-number*pageSize)
	if present {
		p.count++
		pg.count++
		if pg.count == size {
			p.full.Set(uint(number))
		}
		return
	}
	if pg.count == size {
		p.full.Clear(uint(number))
	}
	p.count--
	pg.count--
	if pg.count == 0 {
		delete(p.some, number)
	}
}

// nextAbsent is the first number from i on, and around at the limit, that is not in the set; false if there is none. i must be below
// limit.
func (p *pages) nextAbsent(i uint64) (uint64, bool) {
	if p.count == p.limit {
		return 0, false
	}
	number := i / pageSize
	pg := p.some[number]
	if pg == nil {
		return i, true
	}
	if next, ok := p.absentIn(pg, number, i%pageSize); ok {
		return next, true
	}
	// Around at most once: with something absent, some page is not full.
	for number = p.notFull(number + 1); number*pageSize >= p.limit; {
		number = p.notFull(0)
	}
	pg = p.some[number]
	if pg == nil {
		return number * pageSize, true
	}
	return p.absentIn(pg, number, 0)
}

// absentIn is the first absent number of a page from its bit from on.
func (p *pages) absentIn(pg *page, number, from uint64) (uint64, bool) {
	bit, ok := pg.present.NextClear(uint(from))
	next := number*pageSize + uint64(bit)
	return next, ok && next < p.limit
}

// notFull is the first page from number on that is not full, be there such a page or not.
func (p *pages) notFull(number uint64) uint64 {
	if number >= uint64(p.full.Len()) {
		return number
	}
	if next, ok := p.full.NextClear(uint(number)); ok {
		return uint64(next)
	}
	return uint64(p.full.Len())
}
