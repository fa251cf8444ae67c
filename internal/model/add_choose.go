// SPDX-License-Identifier: Apache-2.0

package model

// choose calls with the addresses that a binder of the claim may try: what an earlier attempt made, what the identity had, else
// the first in the order of choice that is free. All identities have one order here, the worst for them. An index that is behind
// may propose another one.
func (m *machine) choose(s *state, c, uid uint8, try func(a uint8), none func()) {
	for a := range uint8(nAddrs) {
		if l := &s.lease[a]; m.has(Earlier) && l.st == leased && l.claim == c && l.uid == uid {
			try(a)
			return
		}
	}
	for a := range uint8(nAddrs) {
		if l := &s.lease[a]; l.out == 0 && l.st != free && l.claim == c && (l.st == cooling || l.uid != uid) {
			try(a)
			return
		}
	}
	for a := range uint8(nAddrs) {
		if s.lease[a].out == 0 && s.lease[a].st == free || !m.has(AtomicCreate) && m.isOthers(s, a, c) {
			try(a)
			if !m.scope.StaleIndex {
				return
			}
			none = func() {}
		}
	}
	none()
}

// isOthers tells whether the address is leased to another claim: a process that has not heard of it yet takes it for free.
func (m *machine) isOthers(s *state, a, c uint8) bool {
	l := &s.lease[a]
	return l.out == 0 && l.st == leased && l.claim != c
}

// mayTake tells whether the lease's object lets the claim have the address.
func (s *state) mayTake(a, c, uid uint8) bool {
	l := &s.lease[a]
	switch l.st {
	case free:
		return true
	case cooling:
		return l.claim == c
	default:
		if l.claim != c {
			return false
		}
		return l.uid == uid || s.claim[c].exists != 0 && s.claim[c].uid == uid
	}
}

// give makes the lease the claim's, and tells whether it was made by this. One that is the claim's already is written all the same:
// whoever has read it as an orphan, or has made it and is about to give it back, loses.
func (m *machine) give(s *state, a, c, uid uint8) (made bool) {
	l := &s.lease[a]
	if l.st != leased || l.claim != c || l.uid != uid || m.has(AdoptByWrite) {
		s.wroteLease(a)
	}
	made = l.st == free
	l.st, l.claim, l.uid = leased, c, uid
	return made
}
