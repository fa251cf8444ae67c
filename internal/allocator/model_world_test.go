// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
)

// world is the API server: the leases that there are, and the events that tell of them, in the order of each name.
type world struct {
	names    []mac.Name
	leases   map[mac.Name]allocator.Lease
	versions uint64

	pending map[mac.Name][]event // not delivered yet, oldest first
	waiting []mac.Name           // the names that have pending events
	past    []event              // a window of what was written lately
	written int
}

// event is a write: the lease after it, or as it was when it was deleted.
type event struct {
	lease   allocator.Lease
	deleted bool
}

func newWorld() *world {
	w := &world{leases: map[mac.Name]allocator.Lease{}, pending: map[mac.Name][]event{}, past: make([]event, 512)}
	for i := range byte(64) {
		four, six := netip.AddrFrom4([4]byte{10, 0, 0, i}), netip.AddrFrom16([16]byte{0xfd, 0, 0, 0x51, 15: i})
		w.names = append(w.names, mac.Name{Segment: "vlan-50", Addr: four}, mac.Name{Segment: "vlan-51", Addr: six})
		if i < 32 {
			w.names = append(w.names, mac.Name{Segment: "vlan-51", Addr: four})
		}
		if i%8 == 0 { // left by a pool of IPv6 alone that is gone, and of a segment without a pool
			w.names = append(w.names,
				mac.Name{Segment: "vlan-50", Addr: netip.AddrFrom16([16]byte{0xfd, 0, 0, 0x50, 15: i})}, mac.Name{Segment: "vlan-52", Addr: four})
		}
	}
	return w
}

// take is the write of an attempt: a create, or the update of a Reusable record. False: another lease is there.
func (w *world) take(at attempt) (allocator.Lease, bool) {
	l, exists := w.leases[at.name]
	switch {
	case !exists:
		l = allocator.Lease{Name: at.name, UID: fmt.Sprint("lease-", w.versions)}
	case l.State != allocator.Reusable:
		return allocator.Lease{}, false
	}
	l.Pool, l.Claim, l.State = at.pool, at.id, allocator.Leased
	l.ClaimUID = "uid-of-" + at.id.Name
	return w.write(l), true
}

func (w *world) write(l allocator.Lease) allocator.Lease {
	w.versions++
	l.Version = w.versions
	w.leases[l.Name] = l
	w.log(event{lease: l})
	return l
}

func (w *world) log(e event) {
	n := e.lease.Name
	if len(w.pending[n]) == 0 {
		w.waiting = append(w.waiting, n)
	}
	w.pending[n] = append(w.pending[n], e)
	w.past[w.written%len(w.past)] = e
	w.written++
}

// change brings the lease under a name one step on in its life, and says what happened.
func (w *world) change(n mac.Name, pool string, id allocator.Identity, r *rand.Rand) string {
	l, exists := w.leases[n]
	if !exists {
		if r.IntN(6) > 0 {
			return "nothing"
		}
		w.take(attempt{name: n, pool: pool, id: id})
		return "bound"
	}
	switch {
	case r.IntN(20) == 0:
		l.State = allocator.Conflicted
		w.write(l)
		return "conflicted"
	case l.State == allocator.Leased, l.State == allocator.Conflicted:
		l.State = allocator.Cooling
		w.write(l)
		return "released"
	case l.State == allocator.Cooling:
		l.State = allocator.Reusable
		w.write(l)
		return "cooled"
	case r.IntN(4) == 0:
		w.take(attempt{name: n, pool: pool, id: id})
		return "taken again"
	}
	delete(w.leases, n)
	w.versions++
	w.log(event{lease: l, deleted: true})
	return "deleted"
}

// nextEvent is the oldest event of some name that has one.
func (w *world) nextEvent(r *rand.Rand) (event, bool) {
	if len(w.waiting) == 0 {
		return event{}, false
	}
	i := r.IntN(len(w.waiting))
	n := w.waiting[i]
	e := w.pending[n][0]
	w.pending[n] = w.pending[n][1:]
	if len(w.pending[n]) == 0 {
		delete(w.pending, n)
		w.waiting[i] = w.waiting[len(w.waiting)-1]
		w.waiting = w.waiting[:len(w.waiting)-1]
	}
	return e, true
}

// oldReport is something that was true not long ago: of a lease that changed since, or is gone. Events that are still to come are not
// among them, for what comes later than its successors is what is meant.
func (w *world) oldReport(r *rand.Rand) (event, bool) {
	e := w.past[r.IntN(len(w.past))]
	return e, e.lease.UID != "" && !e.deleted && len(w.pending[e.lease.Name]) == 0
}
