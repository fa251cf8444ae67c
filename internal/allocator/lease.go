// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"cmp"
	"hash/maphash"
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
	byName map[mac.Name]*record
	// byClaim are the Leased ones by the UID of their claim. A claim has one lease, or two for as long as a writer that
	// lost the race for it has not deleted its own.
	byClaim chains
	// byIdentity are all but the Conflicted ones by whose they are, or were.
	byIdentity chains
	// ofPool is how many Leased ones were made from each pool, which need not exist.
	ofPool map[string]uint64

	seed maphash.Seed
}

// record is a lease with its places in the chains.
type record struct {
	Lease

	ofClaim, ofIdentity *record // the next ones
}

// chains are records by the hash of a key, which they have themselves: a map with the keys would be half of what the index takes. Those in
// one chain need not have the same key.
type chains map[uint64]*record

// next is where a record has the next one of its chain.
type next func(*record) **record

func inClaim(r *record) **record    { return &r.ofClaim }
func inIdentity(r *record) **record { return &r.ofIdentity }

func (c chains) add(hash uint64, r *record, after next) {
	*after(r) = c[hash]
	c[hash] = r
}

func (c chains) remove(hash uint64, r *record, after next) {
	rest := *after(r)
	if c[hash] != r {
		before := c[hash]
		for *after(before) != r {
			before = *after(before)
		}
		*after(before) = rest
		return
	}
	if rest == nil {
		delete(c, hash)
		return
	}
	c[hash] = rest
}

// of are those in a chain for which is holds.
func (c chains) of(hash uint64, after next, is func(*record) bool) []Lease {
	var found []Lease
	for r := c[hash]; r != nil; r = *after(r) {
		if is(r) {
			found = append(found, r.Lease)
		}
	}
	return found
}

// member is an identity in a segment.
type member struct {
	segment string
	id      Identity
}

func newLeaseSet() leaseSet {
	return leaseSet{
		byName: map[mac.Name]*record{}, byClaim: chains{}, byIdentity: chains{}, ofPool: map[string]uint64{}, seed: maphash.MakeSeed(),
	}
}

func (s *leaseSet) claimHash(uid string) uint64 { return maphash.String(s.seed, uid) }
func (s *leaseSet) memberHash(m member) uint64  { return maphash.Comparable(s.seed, m) }

// get is what is known under a name.
func (s *leaseSet) get(n mac.Name) (Lease, bool) {
	if r, ok := s.byName[n]; ok {
		return r.Lease, true
	}
	return Lease{}, false
}

// put enters a lease in place of what is known under its name.
func (s *leaseSet) put(l Lease) {
	s.remove(l.Name)
	r := &record{Lease: l}
	s.byName[l.Name] = r
	if l.State == Conflicted {
		return
	}
	if l.State == Leased {
		s.byClaim.add(s.claimHash(l.ClaimUID), r, inClaim)
		s.ofPool[l.Pool]++
	}
	if l.Claim != (Identity{}) { // else only its name is known
		s.byIdentity.add(s.memberHash(member{l.Name.Segment, l.Claim}), r, inIdentity)
	}
}

// remove forgets what is known under a name.
func (s *leaseSet) remove(n mac.Name) {
	r, ok := s.byName[n]
	if !ok {
		return
	}
	delete(s.byName, n)
	if r.State == Conflicted {
		return
	}
	if r.State == Leased {
		s.byClaim.remove(s.claimHash(r.ClaimUID), r, inClaim)
		if s.ofPool[r.Pool]--; s.ofPool[r.Pool] == 0 {
			delete(s.ofPool, r.Pool)
		}
	}
	if r.Claim != (Identity{}) {
		s.byIdentity.remove(s.memberHash(member{n.Segment, r.Claim}), r, inIdentity)
	}
}

// ofClaim is the lease of a claim: of several the one with the lowest address, so that everybody who asks settles on the same one.
func (s *leaseSet) ofClaim(uid string) (Lease, bool) {
	if uid == "" {
		return Lease{}, false
	}
	all := s.byClaim.of(s.claimHash(uid), inClaim, func(r *record) bool { return r.ClaimUID == uid })
	if len(all) == 0 {
		return Lease{}, false
	}
	return slices.MinFunc(all, func(a, b Lease) int { return compareNames(a.Name, b.Name) }), true
}

// ofMember are the leases of an identity: first those that it has not released, then those that still cool, which are its last
// ones and nobody else's either.
func (s *leaseSet) ofMember(m member) []Lease {
	out := s.byIdentity.of(s.memberHash(m), inIdentity, func(r *record) bool { return r.Name.Segment == m.segment && r.Claim == m.id })
	slices.SortFunc(out, func(a, b Lease) int {
		return cmp.Or(cmp.Compare(a.State, b.State), compareNames(a.Name, b.Name))
	})
	return out
}

func compareNames(a, b mac.Name) int {
	return cmp.Or(cmp.Compare(a.Segment, b.Segment), a.Addr.Compare(b.Addr), compareMACs(a.MAC, b.MAC))
}
