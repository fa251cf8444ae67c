// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"cmp"
	"slices"

	"github.com/macpool/macpool/internal/mac"
)

// State is where a lease is in its life.
type State int

const (
	// Leased : a claim has it.
	Leased State = iota
	// Cooling : released, and nobody's but its identity's until the cooldown has passed.
	Cooling
	// Reusable : released and cooled. The record may be taken by any claim, by one update of it.
	Reusable
	// Conflicted : a stranger uses the address; it is given to nobody.
	Conflicted
)

// Lease is what the index knows of a lease object.
type Lease struct {
	Name mac.Name
	// UID is that of the lease object. Objects that follow one another under a name have different ones.
	UID string
	// Version orders the reports of a name: the object's resourceVersion as a number. A report with a lower one than what is known is
	// late, and ignored; the API server counts versions over all leases, so this holds for successors under one name too. 0 is a
	// report of unknown age, which is believed.
	Version uint64
	// Pool is the pool that the address was leased from.
	Pool string
	// Claim and ClaimUID are whose it is, or was last.
	Claim    Identity
	ClaimUID string
	State    State
}

// blocks tells whether nobody may be offered the address.
func (l Lease) blocks() bool { return l.State != Reusable }

// leaseSet is the leases that the index knows, by name, claim and identity. The zero value is not ready; make one with newLeaseSet.
type leaseSet struct {
	byName map[mac.Name]Lease
	// byClaim are the names of the Leased ones by the UID of their claim. A claim has one lease, or two for as long as a writer that
	// lost the race for it has not deleted its own.
	byClaim map[string][]mac.Name
	// byIdentity are the names of all but the Conflicted ones by whose they are, or were.
	byIdentity map[member][]mac.Name
	// ofPool is how many Leased ones were made from each pool, which need not exist.
	ofPool map[string]uint64
}

// member is an identity in a segment.
type member struct {
	segment string
	id      Identity
}

func newLeaseSet() leaseSet {
	return leaseSet{
		byName: map[mac.Name]Lease{}, byClaim: map[string][]mac.Name{}, byIdentity: map[member][]mac.Name{}, ofPool: map[string]uint64{},
	}
}

// put enters a lease in place of what is known under its name.
func (s *leaseSet) put(l Lease) {
	s.remove(l.Name)
	s.byName[l.Name] = l
	if l.State == Conflicted {
		return
	}
	if l.State == Leased {
		s.byClaim[l.ClaimUID] = append(s.byClaim[l.ClaimUID], l.Name)
		s.ofPool[l.Pool]++
	}
	if l.Claim != (Identity{}) { // else only its name is known
		m := member{l.Name.Segment, l.Claim}
		s.byIdentity[m] = append(s.byIdentity[m], l.Name)
	}
}

// remove forgets what is known under a name.
func (s *leaseSet) remove(n mac.Name) {
	l, ok := s.byName[n]
	if !ok {
		return
	}
	delete(s.byName, n)
	if l.State == Conflicted {
		return
	}
	if l.State == Leased {
		without(s.byClaim, l.ClaimUID, n)
		if s.ofPool[l.Pool]--; s.ofPool[l.Pool] == 0 {
			delete(s.ofPool, l.Pool)
		}
	}
	without(s.byIdentity, member{n.Segment, l.Claim}, n)
}

// without removes a name from the list under a key.
func without[K comparable](lists map[K][]mac.Name, key K, n mac.Name) {
	list := slices.DeleteFunc(lists[key], func(other mac.Name) bool { return other == n })
	if len(list) == 0 {
		delete(lists, key)
		return
	}
	lists[key] = list
}

// ofClaim is the lease of a claim: of several the one with the lowest address, so that everybody who asks settles on the same one.
func (s *leaseSet) ofClaim(uid string) (Lease, bool) {
	names := s.byClaim[uid]
	if uid == "" || len(names) == 0 {
		return Lease{}, false
	}
	return s.byName[slices.MinFunc(names, compareNames)], true
}

// ofMember are the leases of an identity: first those that it has not released, then those that still cool, which are its last
// ones and nobody else's either.
func (s *leaseSet) ofMember(m member) []Lease {
	names := s.byIdentity[m]
	out := make([]Lease, 0, len(names))
	for _, n := range names {
		out = append(out, s.byName[n])
	}
	slices.SortFunc(out, func(a, b Lease) int {
		return cmp.Or(cmp.Compare(a.State, b.State), compareNames(a.Name, b.Name))
	})
	return out
}

func compareNames(a, b mac.Name) int {
	return cmp.Or(cmp.Compare(a.Segment, b.Segment), a.Addr.Compare(b.Addr), compareMACs(a.MAC, b.MAC))
}
