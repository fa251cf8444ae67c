// SPDX-License-Identifier: Apache-2.0

package model

// adds are the steps of the ADDs that agents serve.
func (m *machine) adds(s *state) {
	for p := range uint8(nPods) {
		for k := range uint8(nSandbox) {
			if step := s.box[p][k].step; step >= stepSent && step <= stepAnswer && s.node[s.pod[p].node].down == 0 {
				m.add(s, p, k)
			}
		}
	}
}

// add makes the next step of an ADD, and those after it unless it is interrupted.
func (m *machine) add(s *state, p, k uint8) {
	n, c := s.pod[p].node, claimOf[p]
	b := &s.box[p][k]
	online := s.reachesAPI(n)
	switch b.step {
	case stepSent:
		m.begin(s, p, k)
		return
	case stepRecord:
		if online {
			m.recordHolder(s, p, k)
		}
	case stepTake:
		if online {
			t := *s
			if b.fresh != 0 {
				t.loseHolder(c)
				t.hold(p)
				m.held(&t, p, k)
			} else {
				t.again(p, k)
			}
			m.goOn(at(addTook, p, k, b.fresh), &t, p, k)
		}
	case stepEnter:
		m.enter(s, p, k)
	case stepAnswer:
		t := *s
		tb := &t.box[p][k]
		switch {
		case b.orphan != 0 && m.has(HangUp):
			t.abandon(p, k)
		case b.orphan != 0:
			tb.step = stepDone
		default:
			tb.step, tb.link = stepDone, tb.netns
		}
		m.emit(at(addAnswered, p, k, b.orphan), &t)
	}
	// The caller's hang-up is noticed at any time, but need not be before the journal is written.
	if b.orphan != 0 && m.has(HangUp) && b.step < stepEnter {
		t := *s
		t.box[p][k].mine = 0
		t.abandon(p, k)
		m.emit(at(addHungUp, p, k, 0), &t)
	}
	if b.step < stepEnter && !online {
		t := *s
		t.end(p, k)
		m.emit(at(addGaveUp, p, k, 0), &t)
	}
	if b.step <= stepEnter && online && m.mayFault(s, faultAddError) {
		t := m.fault(s)
		t.end(p, k)
		m.emit(at(addFailed, p, k, 0), t)
	}
	if b.step < stepEnter && online {
		m.lateWrite(s, p, k, s.pending(p, k))
	}
}

// goOn has an ADD make its next step at once, unless it is interrupted.
func (m *machine) goOn(l label, s *state, p, k uint8) {
	if step := s.box[p][k].step; step == stepSent || step >= stepDone {
		m.emit(l, s)
		return
	}
	m.proceed(l, s, func(s *state) { m.add(s, p, k) })
}

// begin is what an ADD decides on: the caches, or live reads.
func (m *machine) begin(s *state, p, k uint8) {
	n, c := s.pod[p].node, claimOf[p]
	b := &s.box[p][k]
	if b.journal != unknown && m.has(Tombstone) {
		t := *s
		t.end(p, k)
		m.emit(at(addRefused, p, k, 0), &t)
		return
	}
	if m.has(ClaimLock) && s.isLocked(n, c) {
		return
	}
	nd := &s.node[n]
	believed := nd.net == netOK || nd.net >= netNoAPI && (nd.silent == 0 || !m.has(FencingWindow))
	if h := s.cache[n][c]; believed && h.holder == p+1 && (h.gen > s.doubtful(p) || !m.has(Renew)) && m.fastPath(s, n) {
		t := *s
		t.reachHolder(p, k, h.gen, h.addr)
		m.goOn(at(addFound, p, k, 0), &t, p, k)
	}
	if nd.net != netOK {
		return
	}
	t := *s
	if s.pod[p].st == gone {
		u := *s
		u.end(p, k)
		m.emit(at(addRefused, p, k, 2), &u)
		if !m.mayFault(s, faultStalePod) {
			return
		}
		t = *m.fault(s)
	}
	cl := &t.claim[c]
	if cl.exists == 0 {
		if cl.uid >= m.scope.Incarnations {
			t.end(p, k)
			m.emit(at(addRefused, p, k, 1), &t)
			return
		}
		*cl = claim{exists: 1, uid: cl.uid + 1}
	}
	tb := &t.box[p][k]
	tb.uid, tb.fresh, tb.made, tb.mine = cl.uid, 1, 0, 0
	switch {
	case cl.lease == 0:
		m.choose(&t, c, cl.uid, func(a uint8) {
			m.lateWrite(&t, p, k, message{kind: createLease, x: c, y: a, uid: cl.uid, fresh: 1})
			u := t
			made := m.give(&u, a, c, cl.uid)
			u.box[p][k].made = bit(made)
			u.box[p][k].step, u.box[p][k].addr = stepRecord, a+1
			m.goOn(at(addCreated, p, k, a), &u, p, k)
		}, func() {
			u := t
			u.end(p, k)
			m.emit(at(addExhausted, p, k, 0), &u)
		})
	case cl.holder == 0:
		m.lateWrite(&t, p, k, message{kind: setHolder, x: p, uid: cl.uid, fresh: 1})
		tb.mine = 1
		t.hold(p)
		m.held(&t, p, k)
		m.goOn(at(addHeld, p, k, 0), &t, p, k)
	case cl.holder == p+1:
		m.held(&t, p, k)
		m.goOn(at(addHeld, p, k, 1), &t, p, k)
	default:
		m.replace(&t, p, k)
	}
}

// replace is an ADD whose claim another pod holds.
func (m *machine) replace(t *state, p, k uint8) {
	n := t.pod[p].node
	other := t.claim[claimOf[p]].holder - 1
	on := t.pod[other].node
	tb := &t.box[p][k]
	tb.addr = t.claim[claimOf[p]].lease
	if on == n || t.pod[other].st == alive {
		return // it waits, for the clear or for the pod's end
	}
	switch {
	case t.node[on].fenced != 0:
		tb.step, tb.mine = stepTake, 1
	case t.node[on].silent == 0 && m.has(SilentFirst), m.scope.Takeover == Strict:
		return // that node's agent has the word
	case t.node[on].net <= netHealing && t.node[on].down == 0 && !m.has(SilentFirst):
		return // even without the guard: somebody must have reason to ask
	case m.scope.Takeover == Immediate:
		tb.step, tb.mine = stepTake, 1
	case m.has(Probe) && t.hears(n, tb.addr-1):
		t.end(p, k)
	default:
		tb.step, tb.mine = stepTake, 1
	}
	if tb.step == stepEnded {
		m.emit(at(addHeard, p, k, other), t)
		return
	}
	m.goOn(at(addProbed, p, k, other), t, p, k)
}

// hears tells whether an interface that is up answers for the address on the VLAN, asked from the node.
func (s *state) hears(n, a uint8) bool {
	for p := range s.box {
		for k := range s.box[p] {
			b := &s.box[p][k]
			if b.link == 0 || b.addr != a+1 {
				continue
			}
			if on := s.pod[p].node; on == n || s.node[on].net != netCut && s.node[n].net != netCut {
				return true
			}
		}
	}
	return false
}

// recordHolder writes lease and holder into the claim.
func (m *machine) recordHolder(s *state, p, k uint8) {
	c := claimOf[p]
	t := *s
	b := &t.box[p][k]
	a := b.addr - 1
	live := &t.claim[c]
	same := live.exists != 0 && live.uid == b.uid
	switch {
	case b.fresh != 0, same && !m.has(RecordPrecondition):
		live.lease = b.addr
		b.mine = 1
		t.hold(p)
		m.held(&t, p, k)
	case !m.has(ConfirmedWrite):
		// The error was overwritten: the address is answered all the same.
		b.gen, b.mine, b.step = 1, 1, stepEnter
	case same && (live.lease == 0 || live.lease == b.addr):
		t.again(p, k)
	default:
		if b.made != 0 { // given back
			t.wroteLease(a)
			t.lease[a].st = free
		}
		t.again(p, k)
	}
	m.goOn(at(addRecorded, p, k, s.box[p][k].fresh), &t, p, k)
}

// enter writes the journal.
func (m *machine) enter(s *state, p, k uint8) {
	t := *s
	b := &t.box[p][k]
	switch {
	case b.journal != unknown && m.has(Tombstone), b.orphan != 0 && m.has(HangUp), b.lapsed != 0 && m.has(WindowAgain):
		t.abandon(p, k)
	default:
		b.journal, b.step, b.cleared, b.tried, b.msg = attached, stepAnswer, 0, 0, msgNone
		b.lost = t.claim[claimOf[p]].lost >> p & 1
		other := &t.box[p][1-k]
		b.newer, other.newer = 1, 0
	}
	m.goOn(at(addEntered, p, k, bit(b.step == stepAnswer)), &t, p, k)
}

// hold makes the pod the holder of its claim, if it is not.
func (s *state) hold(p uint8) {
	c := claimOf[p]
	s.wroteClaim(c)
	if s.claim[c].holder == p+1 {
		return
	}
	s.claim[c].holder = p + 1
	s.claim[c].gen++
	s.claim[c].held |= 1 << p
	s.claim[c].lost &^= 1 << p
}

// loseHolder ends the hold of the claim's holder without its node's word.
func (s *state) loseHolder(c uint8) {
	if h := s.claim[c].holder; h != 0 {
		s.wroteClaim(c)
		s.claim[c].holder = 0
		s.claim[c].lost |= 1 << (h - 1)
		for k := range s.box[h-1] {
			s.box[h-1][k].lost = bit(s.box[h-1][k].journal == attached)
		}
	}
}

// held takes an ADD on whose claim is held by its pod. A generation that its node has cleared, or may have, is renewed.
func (m *machine) held(s *state, p, k uint8) {
	c := claimOf[p]
	if d := s.doubtful(p); s.claim[c].gen <= d && m.has(Renew) {
		s.wroteClaim(c)
		s.claim[c].gen = d + 1
	}
	s.reachHolder(p, k, s.claim[c].gen, s.claim[c].lease)
}

func (s *state) reachHolder(p, k, gen, addr uint8) {
	b := &s.box[p][k]
	b.step, b.gen, b.addr, b.fresh = stepEnter, gen, addr, 0
	b.uid = s.claim[claimOf[p]].uid
}

// again has an ADD read the claim anew.
func (s *state) again(p, k uint8) {
	b := &s.box[p][k]
	b.step, b.addr, b.uid, b.fresh, b.mine = stepSent, 0, 0, 0, 0
	b.made, b.lapsed = 0, 0
}

// end ends an ADD with an error.
func (s *state) end(p, k uint8) {
	s.again(p, k)
	s.box[p][k].step = stepEnded
}

// abandon leaves a tombstone for an ADD that is not answered, and has the holder cleared that it made.
func (s *state) abandon(p, k uint8) {
	b := &s.box[p][k]
	gen, mine, uid := b.gen, b.mine, b.uid
	s.end(p, k)
	if b.journal == detached && b.gen >= gen {
		return
	}
	b.journal, b.gen, b.cleared, b.tried = deleted, 0, 0, 0
	if mine != 0 && gen > 0 {
		b.journal, b.gen, b.uid = detached, gen, uid
	}
}

// doubtful is the highest generation of the pod as holder that its node has cleared, or may have.
func (s *state) doubtful(p uint8) uint8 {
	var highest uint8
	for k := range s.box[p] {
		b := &s.box[p][k]
		if b.journal == detached && b.tried != 0 || b.journal == deleted && b.cleared != 0 {
			highest = max(highest, b.gen)
		}
	}
	if s.pod[p].reaped != unknown {
		highest = max(highest, s.pod[p].reapGen)
	}
	return highest
}

// pending is the write that an ADD is about to make.
func (s *state) pending(p, k uint8) message {
	b := &s.box[p][k]
	w := message{x: p, fresh: b.fresh, uid: b.uid}
	switch b.step {
	case stepRecord:
		w.kind, w.y = recordHolder, b.addr-1
	default:
		w.kind = takeOver
	}
	return w
}

// lateWrite has an ADD give up on a write that is on its way.
func (m *machine) lateWrite(s *state, p, k uint8, w message) {
	if s.late.kind == writeNothing && m.mayFault(s, faultLateWrite) {
		t := m.fault(s)
		t.late = w
		t.end(p, k)
		m.emit(at(addTimedOut, p, k, 0), t)
	}
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
