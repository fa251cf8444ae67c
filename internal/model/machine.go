// SPDX-License-Identifier: Apache-2.0

package model

// Takeover is the pool's rule for an identity whose old pod is on a node that does not answer.
type Takeover uint8

// The rules of spec.takeover.
const (
	ProbeFirst Takeover = iota
	Strict
	Immediate
)

// Scope bounds what is explored.
type Scope struct {
	Name string
	// Pods are those of the three pods that there may be.
	Pods podSet
	// Faults is how many faults may happen, of Kinds; 0 kinds are all.
	Faults uint8
	Kinds  faultKind
	// Retries is how many pods may be given a second sandbox.
	Retries uint8
	// Incarnations is how often a claim may be made.
	Incarnations uint8
	// Managers is how many writes managers may be about to make at once.
	Managers int
	// Restores is how often the API may go back to a state that it was in.
	Restores uint8
	Takeover Takeover
	// StaleIndex lets binders propose any free address, rather than the first of their order.
	StaleIndex bool
}

// podSet is a set of pods: two of one identity, and one of another.
type podSet uint8

const (
	first podSet = 1 << iota
	second
	other
	allPods podSet = 1<<iota - 1
)

// faultKind is a set of faults.
type faultKind uint32

const (
	faultKill faultKind = 1 << iota
	faultZombie
	faultSandbox
	faultDelLate
	faultDelLost
	faultAgentCrash
	faultAddError
	faultLateWrite
	faultLateClear
	faultPower
	faultFence
	faultNoAPI
	faultCut
	faultManagerCrash
	faultClaimDeleted
	faultShrink
	faultSlow                // a manager that does not get on between two of its steps
	faultInterrupt           // an agent or a runtime that does not get on between two of its steps
	faultLag                 // a watch that is behind
	faultStalePod            // a cache that does not know yet that a pod is gone
	allFaults      faultKind = 1<<iota - 1
)

// machine generates the successors of states.
type machine struct {
	scope Scope
	off   Guards
	// raw states are not made fewer.
	raw bool
	out func([]label, *state)
	// path are the steps that were made at once before the one that is being made.
	path []label
	// slow is what the manager of a slot has read before the step that is being made.
	slow message
	slot int
}

func (m *machine) has(g Guard) bool { return m.off&(1<<g) == 0 }

// mayFault tells whether the scope has a fault of the kind left.
func (m *machine) mayFault(s *state, kind faultKind) bool {
	return s.faults < m.scope.Faults && (m.scope.Kinds == 0 || m.scope.Kinds&kind != 0)
}

// fault is a copy of the state with one fault more.
func (m *machine) fault(s *state) *state {
	t := *s
	t.faults++
	return &t
}

// next calls out with every successor of the state.
func (m *machine) next(s *state, out func([]label, *state)) {
	m.out, m.slow = out, message{}
	m.others(s)
	for i := range m.scope.Managers {
		if s.mgr[i].kind != writeNothing {
			m.write(s, i)
		} else if m.mayFault(s, faultSlow) {
			// A manager that reads now, and writes after something else has happened.
			m.readable(s, func(w message) { m.stall(s, i, w) })
			return
		}
	}
}

// stall has a manager do nothing between a read and the write that it leads to, while something else happens.
func (m *machine) stall(s *state, i int, w message) {
	t := m.fault(s)
	t.mgr[i] = w
	m.slow, m.slot = w, i
	m.others(t)
	m.slow = message{}
	if w.kind == createLease || w.kind == voidOrphan { // or between the two writes
		t := *s
		var then message
		if m.apply(&t, w, &then) && then.kind != writeNothing {
			m.stall(&t, i, then)
		}
	}
}

// others are the steps of all but the managers that have read something before.
func (m *machine) others(s *state) {
	m.users(s)
	m.runtimes(s)
	m.adds(s)
	m.agents(s)
	m.managers(s)
	m.breakages(s)
}

func (m *machine) emit(l label, s *state) {
	for n := range uint8(nNodes) {
		if s.node[n].net == netOK && s.node[n].down == 0 && s.node[n].lag == 0 {
			s.watch(n)
		}
	}
	if !m.raw {
		m.settle(s)
	}
	if m.slow.kind != writeNothing {
		if s.mgr[m.slot].kind == writeNothing {
			return // as if it had not read yet
		}
		l.read = m.slow
	}
	if !m.raw {
		s.tidy(m)
	}
	m.path = append(m.path, l)
	m.out(m.path, s)
	m.path = m.path[:len(m.path)-1]
}

// proceed has what follows a step happen at once, unless it is interrupted.
func (m *machine) proceed(l label, s *state, then func(*state)) {
	if m.mayFault(s, faultInterrupt) {
		m.emit(l, m.fault(s))
	}
	m.chain(l, func() { then(s) })
}

// chain makes a step the beginning of those that follow.
func (m *machine) chain(l label, then func()) {
	m.path = append(m.path, l)
	then()
	m.path = m.path[:len(m.path)-1]
}

// settle forgets what managers have read if they could read it again now, or if the write that it leads to must fail: both
// come to the same as not having read yet.
func (m *machine) settle(s *state) {
	for i := range m.scope.Managers {
		w := &s.mgr[i]
		if w.kind == writeNothing {
			continue
		}
		if m.mustFail(s, w) {
			*w = message{}
			continue
		}
		again := false
		m.readable(s, func(other message) { again = again || other == *w })
		if again {
			*w = message{}
		}
	}
	for p := range uint8(nPods) {
		for k := range uint8(nSandbox) {
			if b := &s.box[p][k]; b.step == stepSent && b.orphan != 0 && m.has(HangUp) {
				s.abandon(p, k)
			}
		}
	}
	if w := &s.late; w.fresh == 0 && w.kind != createLease && m.has(RecordPrecondition) {
		*w = message{}
	}
	if !m.has(ClearPrecondition) {
		return
	}
	for p := range s.box {
		for k := range s.box[p] {
			forgetStale(&s.box[p][k].msg)
		}
		forgetStale(&s.pod[p].reapMsg)
	}
}

func forgetStale(msg *uint8) {
	if *msg == msgStale {
		*msg = msgNone
	}
}

// mustFail tells whether a write has lost its precondition for good.
func (m *machine) mustFail(s *state, w *message) bool {
	switch w.kind {
	case recordLease:
		return w.fresh == 0 && w.leaseFresh == 0 && m.has(RecordPrecondition)
	case setHolder, clearOnFence:
		return w.fresh == 0
	case deleteClaim:
		return w.fresh == 0 && m.has(DeletePrecondition)
	case voidOrphan:
		return w.fresh == 0 || w.leaseFresh == 0
	case endCooldown, takeBack:
		return w.leaseFresh == 0
	case deleteRecord:
		return w.leaseFresh == 0 && m.has(ForgetPrecondition)
	case releaseOrphan, releaseEnded:
		l := &s.lease[w.x]
		if w.kind == releaseOrphan && w.leaseFresh == 0 && m.has(OrphanVersion) {
			return true
		}
		return m.has(ReleaseUID) && (l.st != leased || l.claim != w.y || l.uid != w.uid)
	default:
		return false
	}
}

// fastPath tells whether the agent may answer from its caches, as far as the API's age is concerned.
func (m *machine) fastPath(*state, uint8) bool { return true }

// mayRelease tells whether the manager may give and take.
func (m *machine) mayRelease(*state) bool { return true }

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
