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
