// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"time"

	"github.com/macpool/macpool/internal/mac"
)

// avoidFor is how long an address is avoided after a create found it taken, if no event says more. It must end by itself: when the
// lease that the create met, and its deletion, were both heard of before the create's answer came back, no event is left to end it.
const avoidFor = 30 * time.Second

// marks are addresses that are not to be offered, although no lease is known to block them.
type marks struct {
	// inFlight are the addresses that a write is under way for. Without it two goroutines of this process would be offered one address,
	// and worse, one that asks in the time between a write and its event:
	//
	//	A: Pick -> .8        B:                     informer:
	//	A: create .8 -> ok
	//	                     Pick -> .8 again       (the event of .8 is still on its way)
	//	                     create .8 -> already exists
	//
	// The API server keeps B from harm, but every address would be paid for twice under load. An entry ends with Commit, which enters
	// the lease under the same lock, so that there is no moment between the two at which the address is free.
	inFlight map[mac.Name]struct{}
	// avoided are the addresses that were found taken by a lease that the index has not heard of, and until when. Without it the next
	// Pick would offer the same address again, and again, for the index still believes that it is free:
	//
	//	another process: create .8 -> ok            our informer is behind
	//	A: Pick -> .8, create -> already exists
	//	A: Pick -> .8, ...
	//
	// An event about the name ends it: from then on the lease itself blocks the address, or does not.
	avoided map[mac.Name]time.Time
	// queue are the ends of avoided in the order in which they were set, which is the order of time. An entry is stale if avoided does
	// not have it, or has another time.
	queue []deadline
}

// deadline is the end of an avoided address.
type deadline struct {
	name mac.Name
	at   time.Time
}

func newMarks() marks {
	return marks{inFlight: map[mac.Name]struct{}{}, avoided: map[mac.Name]time.Time{}}
}

// any tells whether the address has a mark.
func (m *marks) any(n mac.Name) bool {
	if m.flying(n) {
		return true
	}
	_, ok := m.avoided[n]
	return ok
}

func (m *marks) flying(n mac.Name) bool {
	_, ok := m.inFlight[n]
	return ok
}

func (m *marks) fly(n mac.Name)  { m.inFlight[n] = struct{}{} }
func (m *marks) land(n mac.Name) { delete(m.inFlight, n) }

// heard ends what Taken began.
func (m *marks) heard(n mac.Name) { delete(m.avoided, n) }

func (m *marks) avoid(n mac.Name, until time.Time) {
	m.avoided[n] = until
	m.queue = append(m.queue, deadline{n, until})
}

// expired is an avoided address whose time is over; false if there is none.
func (m *marks) expired(now time.Time) (mac.Name, bool) {
	for len(m.queue) > 0 && !now.Before(m.queue[0].at) {
		d := m.queue[0]
		m.queue = m.queue[1:]
		if until, ok := m.avoided[d.name]; ok && until.Equal(d.at) {
			return d.name, true
		}
	}
	return mac.Name{}, false
}
