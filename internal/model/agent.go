// SPDX-License-Identifier: Apache-2.0

package model

// agents are what agents do besides serving.
func (m *machine) agents(s *state) {
	for n := range uint8(nNodes) {
		if !s.reachesAPI(n) {
			continue
		}
		switch s.node[n].net {
		case netHealing:
			if !m.isTakenFrom(s, n) && (!m.has(FenceOnHeal) || !m.anyDoomed(s, n)) {
				t := *s
				t.node[n].net = netOK
				t.watch(n)
				m.emit(at(agentCompared, n, 0, 0), &t)
			}
		case netOK:
			if s.node[n].lag != 0 {
				t := *s
				t.node[n].lag = 0
				m.emit(at(cacheFilled, n, 0, 0), &t)
			}
		}
	}
	for p := range uint8(nPods) {
		if s.pod[p].st == unborn || !s.reachesAPI(s.pod[p].node) {
			continue
		}
		for k := range uint8(nSandbox) {
			m.tend(s, p, k)
		}
		m.reap(s, p)
	}
	m.arrivals(s)
}

// tend is what becomes of a record in the journal.
func (m *machine) tend(s *state, p, k uint8) {
	b := &s.box[p][k]
	n := s.pod[p].node
	switch b.journal {
	case detached:
		m.clear(s, p, k)
	case attached:
		if b.netns == 0 && b.step >= stepDone && s.pod[p].st == gone && s.node[n].net == netOK && m.has(Reaper) {
			t := *s
			t.detach(p, k)
			m.emit(at(lostDelReaped, p, k, 0), &t)
		}
		if m.isDoomed(s, p, k) && m.has(FenceOnHeal) {
			t := *s
			t.box[p][k].journal, t.box[p][k].link, t.box[p][k].gen, t.box[p][k].cleared = deleted, 0, 0, 0
			m.emit(at(interfaceFenced, p, k, 0), &t)
		}
	}
}

// detach is what DEL does to the journal.
func (s *state) detach(p, k uint8) {
	switch b := &s.box[p][k]; b.journal {
	case unknown:
		b.journal, b.gen = deleted, 0
	case attached:
		b.journal, b.tried = detached, 0
	}
}

// clear carries out what a DEL has left to do, and tells whether it could.
func (m *machine) clear(s *state, p, k uint8) bool {
	b, other := &s.box[p][k], &s.box[p][1-k]
	c := claimOf[p]
	if m.has(ClaimLock) && s.isLocked(s.pod[p].node, c) {
		return false
	}
	t := *s
	tb := &t.box[p][k]
	if other.journal == attached && m.has(NewerAttempt) {
		switch {
		case other.newer != 0:
			tb.journal, tb.cleared, tb.tried, tb.gen = deleted, 0, 0, 0
			m.emit(at(clearSettled, p, k, 0), &t)
			return true
		case other.netns != 0:
			return false
		}
	}
	tb.journal, tb.cleared, tb.tried = deleted, 1, 0
	if !m.concerns(s, p, b.gen) {
		m.emit(at(clearSettled, p, k, 0), &t)
		return true
	}
	t.endHold(c)
	m.emit(at(holderCleared, p, k, 0), &t)
	if b.msg != msgFresh && m.mayFault(s, faultLateClear) {
		u := m.fault(s)
		u.box[p][k].tried, u.box[p][k].msg = 1, msgFresh
		m.emit(at(clearTimedOut, p, k, 0), u)
	}
	return true
}

// concerns tells whether a clear of the pod's hold up to a generation is about the holder that the claim has.
func (m *machine) concerns(s *state, p, gen uint8) bool {
	cl := &s.claim[claimOf[p]]
	switch {
	case cl.exists == 0 || cl.holder == 0:
		return false
	case cl.holder != p+1 && m.has(ClearUID):
		return false
	default:
		return cl.gen <= gen || !m.has(ClearGeneration)
	}
}

// endHold ends the hold of a claim's holder by the word of its node.
func (s *state) endHold(c uint8) {
	s.wroteClaim(c)
	s.claim[c].holder = 0
}

// reap ends the hold of a pod that is gone and that no container of the journal belongs to.
func (m *machine) reap(s *state, p uint8) {
	c := claimOf[p]
	n := s.pod[p].node
	o := &s.pod[p]
	if o.reaped == detached {
		if m.has(ClaimLock) && s.isLocked(n, c) {
			return
		}
		t := *s
		t.pod[p].reaped = deleted
		if m.concerns(s, p, o.reapGen) {
			t.endHold(c)
		}
		m.emit(at(holderReaped, p, 0, 0), &t)
		return
	}
	if !m.has(Reaper) || s.node[n].net != netOK || o.st != gone || s.claim[c].holder != p+1 || s.isLocked(n, c) {
		return
	}
	for k := range s.box[p] {
		if j := s.box[p][k].journal; j == attached || j == detached {
			return
		}
	}
	gen := s.claim[c].gen
	t := *s
	t.endHold(c)
	t.pod[p].reaped, t.pod[p].reapGen = deleted, gen
	m.emit(at(holderReaped, p, 0, 0), &t)
	if o.reapMsg != msgFresh && m.mayFault(s, faultLateClear) {
		u := m.fault(s)
		u.pod[p].reaped, u.pod[p].reapGen, u.pod[p].reapMsg = detached, gen, msgFresh
		m.emit(at(reapTimedOut, p, 0, 0), u)
	}
}

// arrivals are writes that arrive after their senders gave them up. One that was made on an old read fails.
func (m *machine) arrivals(s *state) {
	for p := range uint8(nPods) {
		for k := range uint8(nSandbox) {
			if s.box[p][k].msg != msgNone {
				t := *s
				m.arrive(&t, p, &t.box[p][k].msg)
			}
		}
		if s.pod[p].reapMsg != msgNone {
			t := *s
			m.arrive(&t, p, &t.pod[p].reapMsg)
		}
	}
	if s.late.kind == writeNothing {
		return
	}
	t := *s
	w := t.late
	t.late = message{}
	done := false
	switch w.kind {
	case createLease:
		if done = t.lease[w.y].st == free || !m.has(AtomicCreate); done {
			m.give(&t, w.y, w.x, w.uid)
		}
	case recordHolder, setHolder, takeOver:
		c := claimOf[w.x]
		if done = w.fresh != 0; done {
			if w.kind == takeOver {
				t.loseHolder(c)
			}
			if w.kind == recordHolder {
				t.claim[c].lease = w.y + 1
			}
			t.hold(w.x)
		}
	default:
	}
	m.emit(writing(writeArrived, w, done), &t)
}

// arrive is the arrival of a clear.
func (m *machine) arrive(t *state, p uint8, msg *uint8) {
	c := claimOf[p]
	fresh := *msg == msgFresh
	*msg = msgNone
	if fresh || !m.has(ClearPrecondition) && t.claim[c].exists != 0 {
		t.endHold(c)
	}
	m.emit(at(clearArrived, p, bit(fresh), 0), t)
}

// watch fills the cache of a node's agent.
func (s *state) watch(n uint8) {
	for c := range s.cache[n] {
		s.cache[n][c] = cached{}
		if h := s.claim[c].holder; h != 0 && s.pod[h-1].node == n {
			s.cache[n][c] = cached{holder: h, gen: s.claim[c].gen, addr: s.claim[c].lease}
		}
	}
}

// isDoomed tells whether an interface has lost its address, by the claim of its name and by the lease that it was given.
func (m *machine) isDoomed(s *state, p, k uint8) bool {
	b := &s.box[p][k]
	cl := &s.claim[claimOf[p]]
	if b.journal != attached {
		return false
	}
	otherLease := cl.lease != b.addr
	lost := cl.lost&(1<<p) != 0
	switch {
	case cl.exists == 0:
	case cl.holder == p+1:
		if !otherLease {
			return false
		}
	case cl.uid != b.uid:
	case cl.holder != 0:
		return cl.gen > b.gen
	case lost:
		return true
	case !otherLease:
		return false
	}
	l := &s.lease[b.addr-1]
	switch {
	case l.st != leased:
		// Released, or gone, and it was not before: the API is no older than the journal.
		return cl.exists == 0 && m.has(FenceReleased)
	case l.claim != claimOf[p]:
		return true
	case l.uid == b.uid, cl.exists == 0, cl.uid != l.uid:
		return false
	default:
		return cl.holder != 0 && cl.holder != p+1 || cl.holder == 0 && lost
	}
}

// isTakenFrom tells whether the last write of a takeover from the node is under way. Assumption: it is made before an agent that
// is back has compared.
func (m *machine) isTakenFrom(s *state, n uint8) bool {
	if !m.has(TakeOverFast) {
		return false
	}
	if w := &s.late; w.kind == takeOver && s.pod[w.x].node != n {
		return true
	}
	for p := range uint8(nPods) {
		for k := range s.box[p] {
			if s.box[p][k].step == stepTake && s.pod[p].node != n {
				return true
			}
		}
	}
	return false
}

// anyDoomed tells whether the node has an interface that has lost its address.
func (m *machine) anyDoomed(s *state, n uint8) bool {
	for p := range uint8(nPods) {
		if s.pod[p].st == unborn || s.pod[p].node != n {
			continue
		}
		for k := range uint8(nSandbox) {
			if m.isDoomed(s, p, k) {
				return true
			}
		}
	}
	return false
}
