// SPDX-License-Identifier: Apache-2.0

package model

// managers is what managers do that are fast: they write what they have read.
func (m *machine) managers(s *state) {
	if !m.mayRelease(s) {
		return
	}
	for c := range uint8(nClaims) {
		if cl := &s.claim[c]; cl.exists == 0 && cl.uid < m.scope.Incarnations && s.anyAlive(c) {
			t := *s
			t.claim[c] = claim{exists: 1, uid: cl.uid + 1}
			m.emit(at(claimMade, c, 0, 0), &t)
		}
	}
	m.readable(s, func(w message) {
		t, first := *s, w
		for next := (message{}); ; w, next = next, (message{}) {
			if !m.apply(&t, w, &next) {
				return
			}
			if next.kind == writeNothing {
				break
			}
			if m.mayFault(&t, faultManagerCrash) {
				m.chain(writing(managerWrote, w, true), func() { m.emit(writing(managerCrashed, next, false), m.fault(&t)) })
			}
		}
		m.emit(writing(managerWrote, first, true), &t)
	})
}

// readable calls with all that a manager may read now and act upon.
func (m *machine) readable(s *state, call func(message)) {
	begin := func(w message) {
		w.leaseFresh = 1
		call(w)
	}
	for c := range uint8(nClaims) {
		cl := &s.claim[c]
		live := s.anyAlive(c)
		if live && cl.exists != 0 && cl.lease == 0 {
			m.choose(s, c, cl.uid, func(a uint8) {
				begin(message{kind: createLease, x: c, y: a, uid: cl.uid, fresh: 1})
			}, func() {})
		}
		if cl.exists != 0 && cl.holder == 0 && !live {
			begin(message{kind: deleteClaim, x: c, fresh: 1})
		}
		if h := cl.holder; h != 0 && s.pod[h-1].st == gone {
			if n := s.pod[h-1].node; s.node[n].fenced != 0 || !m.has(NodeEvidence) {
				begin(message{kind: clearOnFence, x: c, fresh: 1})
			}
		}
	}
	for p := range uint8(nPods) {
		cl := &s.claim[claimOf[p]]
		if s.pod[p].st == alive && cl.lease != 0 && cl.holder == 0 && cl.held&(1<<p) == 0 {
			begin(message{kind: setHolder, x: p, fresh: 1})
		}
	}
	for a := range uint8(nAddrs) {
		l := &s.lease[a]
		cl := &s.claim[l.claim]
		switch {
		case l.st == leased && (cl.exists == 0 || cl.uid != l.uid):
			if !m.has(ClaimInUse) && s.anyAlive(l.claim) {
				break
			}
			begin(message{kind: releaseEnded, x: a, y: l.claim, uid: l.uid})
		case l.st == leased && cl.lease != a+1 && m.has(OrphanRepair):
			kind := voidOrphan
			if cl.lease != 0 {
				kind = releaseOrphan
			}
			begin(message{kind: kind, x: a, y: l.claim, uid: l.uid, fresh: 1})
		case l.st == cooling && (!m.isLeaving(s, a) || !m.has(Cooldown)):
			kind := endCooldown
			if cl.exists != 0 && cl.uid == l.uid && cl.lease == a+1 {
				kind = takeBack
			}
			begin(message{kind: kind, x: a, y: l.claim, uid: l.uid})
		case l.st == free && !m.has(ForgetPrecondition):
			begin(message{kind: deleteRecord, x: a})
		}
	}
	if !m.has(EvidenceOrder) {
		// Claims are listed first, and leases some time after: whatever lease then has none of these claims is taken for dead.
		for a := range uint8(nAddrs) {
			for c := range uint8(nClaims) {
				if s.claim[c].exists == 0 && s.claim[c].uid < m.scope.Incarnations {
					begin(message{kind: releaseEnded, x: a, y: c, uid: s.claim[c].uid + 1})
				}
			}
		}
	}
}

// write makes the write of a slow manager.
func (m *machine) write(s *state, i int) {
	w := s.mgr[i]
	t := *s
	t.mgr[i] = message{}
	done := m.mayRelease(s) && m.apply(&t, w, &t.mgr[i])
	m.emit(writing(managerWroteLate, w, done), &t)
}

// apply makes the write of a message, if its preconditions hold. next is what the same hand is to write then.
func (m *machine) apply(t *state, w message, next *message) bool {
	switch w.kind {
	case createLease:
		if !t.mayTake(w.y, w.x, w.uid) && m.has(AtomicCreate) {
			return false
		}
		w.leaseFresh = bit(m.give(t, w.y, w.x, w.uid))
		w.kind = recordLease
		*next = w
		return true
	case recordLease:
		cl := &t.claim[w.x]
		if w.fresh == 0 && (m.has(RecordPrecondition) || cl.exists == 0) {
			if w.leaseFresh != 0 && cl.lease != w.y+1 { // given back
				t.wroteLease(w.y)
				t.lease[w.y].st = free
			}
			return false
		}
		t.wroteClaim(w.x)
		cl.lease = w.y + 1
		return true
	case setHolder:
		if w.fresh == 0 {
			return false
		}
		t.hold(w.x)
		return true
	case deleteClaim:
		cl := &t.claim[w.x]
		if w.fresh == 0 && m.has(DeletePrecondition) || cl.exists == 0 || m.has(ClaimInUse) && cl.holder != 0 {
			return false
		}
		t.deleteClaim(w.x)
		return true
	case clearOnFence:
		if w.fresh == 0 {
			return false
		}
		t.loseHolder(w.x)
		return true
	case voidOrphan:
		if w.fresh == 0 || w.leaseFresh == 0 {
			return false
		}
		if m.has(VoidBind) {
			t.wroteClaim(w.y)
		}
		w.kind = releaseOrphan
		*next = w
		return true
	case releaseOrphan, releaseEnded:
		l := &t.lease[w.x]
		if w.kind == releaseOrphan && w.leaseFresh == 0 && m.has(OrphanVersion) {
			return false
		}
		if l.st != leased || m.has(ReleaseUID) && (l.claim != w.y || l.uid != w.uid) {
			return false
		}
		t.release(w.x)
		return true
	case endCooldown:
		if w.leaseFresh == 0 {
			return false
		}
		t.wroteLease(w.x)
		t.lease[w.x].st = free
		return true
	case takeBack:
		if w.leaseFresh == 0 {
			return false
		}
		t.wroteLease(w.x)
		t.lease[w.x].st = leased
		return true
	case deleteRecord:
		if w.leaseFresh == 0 && m.has(ForgetPrecondition) || t.lease[w.x].st == free {
			return false
		}
		t.wroteLease(w.x)
		t.lease[w.x].st = free
		return true
	default:
		return false
	}
}
