// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"testing"
	"time"

	"github.com/macpool/macpool/internal/allocator"
)

// The interleavings that the fields of the index close, by the field. Each step is a call; the question is whether .8 is offered at the end.
func TestInterleavings(t *testing.T) {
	n := nameOf("192.168.50.8")
	type step = func(*testing.T, *allocator.Allocator)
	pick := func(t *testing.T, a *allocator.Allocator) { t.Helper(); mustPick(t, a, start, false) }
	pickKnown := func(t *testing.T, a *allocator.Allocator) { t.Helper(); mustPick(t, a, start, true) }
	full := func(t *testing.T, a *allocator.Allocator) { t.Helper(); mustBeFull(t, a, start) }
	fullAt := func(d time.Duration) step {
		return func(t *testing.T, a *allocator.Allocator) { t.Helper(); mustBeFull(t, a, start.Add(d)) }
	}
	pickAt := func(d time.Duration) step {
		return func(t *testing.T, a *allocator.Allocator) { t.Helper(); mustPick(t, a, start.Add(d), false) }
	}
	observe := func(uid string, v uint64, s allocator.State) step {
		return func(_ *testing.T, a *allocator.Allocator) { a.Observe(lease(uid, v, s)) }
	}
	commit := func(uid string, v uint64, s allocator.State) step {
		return func(_ *testing.T, a *allocator.Allocator) { a.Commit(lease(uid, v, s)) }
	}
	forget := func(uid string) step { return func(_ *testing.T, a *allocator.Allocator) { a.Forget(n, uid) } }
	takenAt := func(d time.Duration) step {
		return func(_ *testing.T, a *allocator.Allocator) { a.Taken(n, start.Add(d)) }
	}
	release := func(_ *testing.T, a *allocator.Allocator) { a.Release(n) }
	const leased, cooling, reusable = allocator.Leased, allocator.Cooling, allocator.Reusable

	for name, steps := range map[string][]step{
		"marks.inFlight: asked again before the event":          {pick, full, commit("u", 2, leased), full, observe("u", 2, leased), full},
		"marks.inFlight: the event comes before the answer":     {pick, observe("u", 2, leased), full, commit("u", 2, leased), full},
		"marks.inFlight: an event does not end an attempt":      {pick, observe("u", 2, reusable), full, release, pickKnown},
		"marks.inFlight: a deletion does not end an attempt":    {observe("u", 2, reusable), pickKnown, forget("u"), full, release, pick},
		"marks.avoided: the event comes later":                  {pick, takenAt(0), full, observe("u", 2, leased), full, forget("u"), pick},
		"marks.avoided: the event came meanwhile":               {pick, observe("u", 2, leased), takenAt(0), full, observe("u", 3, reusable), pickKnown},
		"marks.avoided: the event says that it is free":         {pick, takenAt(0), observe("u", 2, reusable), pickKnown},
		"marks.avoided: all events came meanwhile":              {pick, observe("u", 2, leased), forget("u"), takenAt(0), full, fullAt(30*time.Second - 1), pickAt(30 * time.Second)},
		"marks.avoided: its record is known as free, and stale": {observe("u", 2, reusable), pickKnown, takenAt(0), full, observe("u", 3, leased), full},
		"marks.avoided: found taken twice, the last counts": {
			pick, takenAt(0), func(_ *testing.T, a *allocator.Allocator) { a.Reserve(n, start.Add(20*time.Second)) },
			takenAt(20 * time.Second), fullAt(30 * time.Second), fullAt(50*time.Second - 1), pickAt(50 * time.Second),
		},
		"marks.avoided: reserved and released meanwhile": {
			pick, takenAt(0), func(t *testing.T, a *allocator.Allocator) {
				t.Helper()
				if !a.Reserve(n, start) {
					t.Error("avoided is not in flight")
				}
			}, release, full, pickAt(30 * time.Second),
		},
		"leases: the predecessor's deletion is late":   {observe("old", 2, reusable), pickKnown, commit("new", 4, leased), forget("old"), full},
		"leases: the predecessor's events are late":    {pick, commit("new", 4, leased), observe("old", 2, leased), observe("old", 3, reusable), full, forget("old"), full, forget("new"), pick},
		"leases: the record's old event is late":       {observe("u", 3, cooling), observe("u", 5, reusable), pickKnown, commit("u", 7, leased), observe("u", 5, reusable), full},
		"leases: the own write's event is late too":    {pick, commit("u", 2, leased), observe("u", 3, cooling), observe("u", 2, leased), observe("u", 4, reusable), observe("u", 3, cooling), pickKnown},
		"leases: a later event wins over the answer":   {pick, observe("u", 2, leased), observe("u", 3, cooling), observe("u", 4, reusable), commit("u", 2, leased), pickKnown},
		"leases: of unknown age, the last report wins": {commit("u", 0, leased), observe("u", 0, reusable), pickKnown, commit("u", 5, leased), observe("u", 0, reusable), pickKnown},
		"leases: of unknown age, UIDs still tell":      {observe("old", 0, reusable), pickKnown, commit("new", 0, leased), forget("old"), full},
		"graveyard: the answer comes after the end":    {pick, observe("u", 2, leased), forget("u"), commit("u", 2, leased), pick},
		"graveyard: another write's answer does, too":  {observe("u", 2, leased), forget("u"), observe("u", 3, cooling), pick},
		"graveyard: a successor is another":            {observe("u", 2, leased), forget("u"), observe("v", 3, leased), full},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := one(t)
			for i, s := range steps {
				s(t, a)
				if t.Failed() {
					t.Fatalf("at step %d", i)
				}
				// A pick in the middle is an attempt that goes on; at the end nothing depends on it.
				if c := a.Count("iot"); c.Capacity != c.Leased+c.Cooling+c.Conflicted+c.Kept+c.Available {
					t.Fatalf("at step %d: %+v does not add up", i, c)
				}
			}
		})
	}
}

// The graveyard is finite, and forgets the oldest.
func TestGraveyardForgetsTheOldest(t *testing.T) {
	a, n := one(t)
	a.Forget(n, "first")
	for i := range 4095 {
		a.Forget(n, string(rune('a'+i%26))+time.Duration(i).String())
	}
	a.Observe(lease("first", 1, allocator.Leased))
	if l, ok := a.Get(n); ok {
		t.Errorf("4095 deletions later, %+v came back", l)
	}
	a.Forget(n, "last")
	a.Observe(lease("first", 1, allocator.Leased))
	if _, ok := a.Get(n); !ok {
		t.Error("4096 deletions later, the UID is still remembered")
	}
}
