// SPDX-License-Identifier: Apache-2.0

package model

// tidy forgets what no rule can look at any more, so that states that differ in it only are one.
func (s *state) tidy(m *machine) {
	if m.scope.Managers > 1 && s.mgr[0].less(&s.mgr[1]) {
		s.mgr[0], s.mgr[1] = s.mgr[1], s.mgr[0]
	}
	for p := range uint8(nPods) {
		s.tidyPod(m, p)
	}
	for c := range uint8(nClaims) {
		s.tidyClaim(m, c)
	}
	for a := range s.lease {
		if l := &s.lease[a]; l.st == free {
			*l = lease{out: l.out}
		}
	}
}

func (s *state) tidyPod(m *machine, p uint8) {
	o := &s.pod[p]
	if o.st == unborn {
		return
	}
	begins := m.mayRetry(s, p) || s.box[p][0].step == stepSent || s.box[p][1].step == stepSent
	mayRenew := begins
	for k := range s.box[p] {
		b := &s.box[p][k]
		if b.step > stepSent && b.step < stepEnter {
			mayRenew = true
		}
	}
	for k := range s.box[p] {
		s.box[p][k].tidy(mayRenew)
	}
	if o.reaped == deleted && !mayRenew {
		o.reaped, o.reapGen = unknown, 0
	}
	if !begins {
		s.cache[o.node][claimOf[p]] = s.cache[o.node][claimOf[p]].without(p)
	}
	if s.isSpent(p) {
		o.node = 0
	}
}

// mayRetry tells whether the pod may be given another sandbox.
func (m *machine) mayRetry(s *state, p uint8) bool {
	return s.pod[p].st == alive && s.box[p][1].step == stepNone && s.retries < m.scope.Retries
}

// isSpent tells whether nothing is left of a pod that is gone.
func (s *state) isSpent(p uint8) bool {
	o := &s.pod[p]
	if o.st != gone || o.reaped != unknown || o.reapMsg != msgNone || s.claim[claimOf[p]].holder == p+1 {
		return false
	}
	for k := range s.box[p] {
		if b := &s.box[p][k]; *b != (sandbox{}) && *b != spentSandbox {
			return false
		}
	}
	for i := range s.mgr {
		if w := &s.mgr[i]; w.kind == setHolder && w.x == p {
			return false
		}
	}
	return s.late.kind == writeNothing
}

// spentSandbox is one of which nothing is left.
var spentSandbox = sandbox{step: stepEnded, del: delDone}

func (h cached) without(p uint8) cached {
	if h.holder == p+1 {
		return cached{}
	}
	return h
}

func (s *state) tidyClaim(m *machine, c uint8) {
	cl := &s.claim[c]
	if cl.exists == 0 {
		*cl = claim{uid: cl.uid}
		return
	}
	named := false
	for p := range uint8(nPods) {
		if claimOf[p] != c {
			continue
		}
		if s.pod[p].st == gone {
			cl.held &^= 1 << p
		}
		if !s.box[p][0].mayBeFenced() && !s.box[p][1].mayBeFenced() && !m.mayRetry(s, p) {
			cl.lost &^= 1 << p
		}
		for k := range s.box[p] {
			named = named || s.box[p][k].gen != 0
		}
		named = named || s.pod[p].reapGen != 0
	}
	for n := range s.cache {
		named = named || s.cache[n][c].gen != 0
	}
	// Where no claim is made twice, a generation that nothing compares with is as good as any.
	if m.scope.Incarnations == 1 && !named {
		cl.gen = bit(cl.holder != 0)
	}
}

// mayBeFenced tells whether the journal calls the sandbox attached, or may yet.
func (b *sandbox) mayBeFenced() bool {
	return b.journal == attached || b.step >= stepSent && b.step <= stepAnswer
}

func (b *sandbox) tidy(mayRenew bool) {
	if b.step >= stepDone {
		b.fresh, b.made, b.mine, b.orphan, b.lapsed = 0, 0, 0, 0, 0
		if b.link == 0 && b.journal != attached {
			b.addr = 0
		}
		if b.journal != attached && b.journal != detached {
			b.uid = 0
		}
	}
	if b.journal != attached {
		b.newer, b.lost = 0, 0
	}
	if b.journal != detached {
		b.tried = 0
	}
	if b.journal == deleted && (b.cleared == 0 || !mayRenew) {
		b.cleared = 0
		if b.step >= stepDone {
			b.gen = 0
		}
	}
	if b.journal == unknown && b.step >= stepDone {
		b.gen = 0
	}
	if b.step == stepDone && b.link == 0 && b.journal != attached {
		b.step = stepEnded
	}
	if b.step == stepEnded && b.netns == 0 && b.del == delDone && (b.journal == unknown || b.journal == deleted && b.gen == 0) && b.msg == msgNone {
		*b = spentSandbox
	}
}

func (m *message) less(other *message) bool {
	a := [...]uint8{uint8(m.kind), m.x, m.y, m.uid, m.fresh, m.leaseFresh}
	b := [...]uint8{uint8(other.kind), other.x, other.y, other.uid, other.fresh, other.leaseFresh}
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}
