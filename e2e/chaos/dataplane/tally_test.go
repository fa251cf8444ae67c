// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"math/rand/v2"
	"sync"
)

// tally is how often each strike was tried at each of its moments, by all strikers, and whether it came off.
type tally struct {
	mu    sync.Mutex
	tried map[aim]int
	done  map[aim]bool
	// completing: what has come off is not tried any more.
	completing bool
}

// aim is a strike at a moment.
type aim struct {
	*strike

	moment string
}

func newTally() *tally { return &tally{tried: map[aim]int{}, done: map[aim]bool{}} }

// next is what was tried least, among some strikes; ties at random.
func (t *tally) next(rng *rand.Rand, among []*strike) (*strike, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	least, ties := -1, 0
	var which aim
	for _, a := range t.aims(among) {
		n := t.tried[a]
		switch {
		case least < 0 || n < least:
			least, ties, which = n, 1, a
		case n == least:
			if ties++; rng.IntN(ties) == 0 {
				which = a
			}
		}
	}
	t.tried[which]++ // whether it comes off or not: what does not is not tried for ever
	return which.strike, which.moment
}

// aims are what may be tried.
func (t *tally) aims(among []*strike) []aim {
	var all, missing []aim
	for _, k := range among {
		for _, m := range k.moments {
			a := aim{k, m}
			all = append(all, a)
			if !t.done[a] {
				missing = append(missing, a)
			}
		}
	}
	if t.completing && len(missing) > 0 {
		return missing
	}
	return all
}

func (t *tally) cameOff(k *strike, moment string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done[aim{k, moment}] = true
}

// complete has only what has not come off yet tried from now on, and tells whether there is such.
func (t *tally) complete(among []*strike) (missing bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.completing = true
	for _, a := range t.aims(among) {
		if !t.done[a] {
			return true
		}
	}
	return false
}
