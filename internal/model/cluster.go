// SPDX-License-Identifier: Apache-2.0

package model

// users are what people and the cluster do to pods and pools.
func (m *machine) users(s *state) {
	for p := range uint8(nPods) {
		switch s.pod[p].st {
		case unborn:
			// Two pods of one identity have one name: the second comes when the API has forgotten the first.
			if m.scope.Pods>>p&1 == 0 || p == 1 && s.pod[0].st != gone {
				continue
			}
			for n := range uint8(nNodes) {
				if nd := &s.node[n]; nd.net != netOK || nd.down != 0 {
					continue // no kubelet would hear of it
				}
				t := *s
				t.pod[p] = pod{st: alive, node: n}
				t.box[p][0] = sandbox{step: stepSent, netns: 1}
				m.emit(at(podCreated, p, n, 0), &t)
			}
		case alive:
			t := *s
			t.pod[p].st = gone
			m.emit(at(podDeleted, p, 0, 0), &t)
		}
	}
	if m.mayFault(s, faultShrink) {
		for a := range uint8(nAddrs) {
			if s.lease[a].out == 0 && s.lease[a^1].out == 0 {
				t := m.fault(s)
				t.lease[a].out = 1
				if !m.has(KeepOutside) && t.lease[a].st == leased {
					t.release(a)
				}
				m.emit(at(poolShrunk, a, 0, 0), t)
			}
		}
	}
	if m.mayFault(s, faultClaimDeleted) {
		for c := range uint8(nClaims) {
			if s.claim[c].exists == 0 || m.has(ClaimInUse) && s.claim[c].holder != 0 {
				continue
			}
			t := m.fault(s)
			t.deleteClaim(c)
			m.emit(at(claimDeleted, c, 0, 0), t)
		}
	}
}

// runtimes are what the container runtimes and their kubelets do.
func (m *machine) runtimes(s *state) {
	for p := range uint8(nPods) {
		for k := range uint8(nSandbox) {
			if s.box[p][k].step != stepNone {
				m.runtime(s, p, k)
			}
		}
	}
}

func (m *machine) runtime(s *state, p, k uint8) {
	b := &s.box[p][k]
	n := s.pod[p].node
	up := s.node[n].down == 0
	busy := b.step >= stepSent && b.step <= stepAnswer
	knows := s.pod[p].st == gone && s.node[n].net <= netHealing
	if b.del == delNone && up {
		switch {
		case b.step == stepEnded:
			m.stop(s, p, k, sandboxStopped, false)
		case knows && !busy:
			m.stop(s, p, k, sandboxStopped, false)
		case knows:
			m.stop(s, p, k, addKilled, false)
		case busy && m.mayFault(s, faultKill):
			m.stop(s, p, k, addKilled, true)
		case !busy && m.mayFault(s, faultSandbox):
			t := m.fault(s)
			t.box[p][k].netns, t.box[p][k].link, t.box[p][k].del = 0, 0, delSent
			m.emit(at(sandboxDied, p, k, 0), t)
		}
	}
	if b.del != delNone && b.netns != 0 {
		t := *s
		m.remove(&t, p, k)
	}
	if b.del == delSent && up {
		t := *s
		t.box[p][k].del = delDone
		t.detach(p, k)
		m.emit(at(delServed, p, k, 0), &t)
	}
	// A new sandbox, when the old one is not there any more. Its DEL may still be on its way.
	if k == 0 && b.del != delNone && b.netns == 0 && s.box[p][1].step == stepNone && s.pod[p].st == alive &&
		up && s.retries < m.scope.Retries {
		t := *s
		t.retries++
		t.box[p][1] = sandbox{step: stepSent, netns: 1}
		m.emit(at(sandboxMade, p, 1, 0), &t)
	}
}

// stop is the end of a sandbox. The DEL is first: the reference plugins call their IPAM before they delete the link. It may be late, or
// lost. An ADD that is being served goes on without its caller, or with one that has been forgotten and can still set up the
// interface.
func (m *machine) stop(s *state, p, k uint8, l action, faulty bool) {
	base := *s
	if faulty {
		base = *m.fault(s)
	}
	busy := l == addKilled
	b := &base.box[p][k]
	if busy {
		b.orphan = 1
	}
	if b.link == 0 {
		b.netns = 0
	}
	m.chain(at(l, p, k, 0), func() {
		t := base
		t.box[p][k].del = delDone
		t.detach(p, k)
		served := at(delServed, p, k, 0)
		if busy && m.mayFault(&base, faultZombie) {
			u := m.fault(&t)
			u.box[p][k].orphan, u.box[p][k].netns = 0, s.box[p][k].netns
			m.chain(served, func() { m.emit(at(addForsaken, p, k, 0), u) })
		}
		m.proceed(served, &t, func(t *state) { m.remove(t, p, k) })
		if m.mayFault(&base, faultDelLate) {
			u := m.fault(&base)
			u.box[p][k].del = delSent
			m.chain(at(delLate, p, k, 0), func() { m.remove(u, p, k) })
		}
		if m.mayFault(&base, faultDelLost) {
			u := m.fault(&base)
			u.box[p][k].del = delDone
			m.chain(at(delLost, p, k, 0), func() { m.remove(u, p, k) })
		}
	})
}

// remove is the end of a netns.
func (m *machine) remove(s *state, p, k uint8) {
	s.box[p][k].netns, s.box[p][k].link = 0, 0
	l := at(netnsRemoved, p, k, 0)
	if s.box[p][k].journal != detached || !s.reachesAPI(s.pod[p].node) {
		m.emit(l, s)
		return
	}
	m.proceed(l, s, func(t *state) {
		if !m.clear(t, p, k) {
			m.emit(l, t)
		}
	})
}

// faults are what breaks, and what mends it.
func (m *machine) breakages(s *state) {
	for n := range uint8(nNodes) {
		nd := &s.node[n]
		if nd.down == 0 && m.mayFault(s, faultAgentCrash) {
			t := m.fault(s)
			t.crashAgent(n)
			m.emit(at(agentCrashed, n, 0, 0), t)
		}
		if nd.down == 0 && m.mayFault(s, faultPower) {
			t := m.fault(s)
			t.powerOff(n)
			m.emit(at(powerCut, n, 0, 0), t)
		}
		if nd.down == 0 && nd.net == netOK && !m.isSettling(s, n) {
			if m.mayFault(s, faultNoAPI) {
				t := m.fault(s)
				t.node[n].net = netNoAPI
				m.emit(at(apiLost, n, 0, 0), t)
			}
			if m.mayFault(s, faultCut) {
				t := m.fault(s)
				t.node[n].net = netCut
				m.emit(at(nodeCut, n, 0, 0), t)
			}
		}
		if nd.down == 0 && nd.net == netOK && nd.lag == 0 && m.mayFault(s, faultLag) {
			t := m.fault(s)
			t.node[n].lag = 1
			m.emit(at(cacheLags, n, 0, 0), t)
		}
		if nd.silent == 0 && (nd.down != 0 || nd.net >= netNoAPI && (!s.isServing(n) || !m.has(AddsEnd))) {
			t := *s
			t.node[n].silent = 1
			for p := range t.box {
				for k := range t.box[p] {
					if b := &t.box[p][k]; t.pod[p].node == n && b.step > stepSent && b.step < stepAnswer {
						b.lapsed = 1
					}
				}
			}
			m.emit(at(nodeSilent, n, 0, 0), &t)
		}
		if nd.down != 0 && nd.fenced == 0 && m.mayFault(s, faultFence) {
			t := m.fault(s)
			t.node[n].fenced = 1
			m.emit(at(nodeFenced, n, 0, 0), t)
		}
		if nd.down != 0 {
			t := *s
			t.node[n] = node{timeline: nd.timeline, ahead: nd.ahead, reported: nd.reported, renewed: nd.renewed}
			t.cache[n] = [nClaims]cached{}
			m.emit(at(nodeBooted, n, 0, 0), &t)
		}
		if nd.down == 0 && nd.net == netCut && !m.has(HealTogether) {
			t := *s
			t.node[n].net = netNoAPI
			m.emit(at(vlanHealed, n, 0, 0), &t)
		}
		if nd.down == 0 && nd.net >= netNoAPI {
			t := *s
			t.node[n].net, t.node[n].silent = netOK, 0
			if nd.silent != 0 {
				t.node[n].net = netHealing
			}
			m.emit(at(nodeHealed, n, 0, 0), &t)
		}
	}
}

// isSettling tells whether a takeover, or what follows on one, is a matter of seconds. Assumption: the node is not cut off a
// second time meanwhile.
func (m *machine) isSettling(s *state, n uint8) bool {
	if !m.has(StayConnected) {
		return false
	}
	if s.late.kind == takeOver {
		return true
	}
	for p := range uint8(nPods) {
		for k := range uint8(nSandbox) {
			b := &s.box[p][k]
			if b.step == stepTake || s.pod[p].node == n && b.journal == attached && (b.lost != 0 || m.isDoomed(s, p, k)) {
				return true
			}
		}
	}
	return false
}

// isServing tells whether an ADD is about to be answered on the node.
func (s *state) isServing(n uint8) bool {
	for p := range s.box {
		for k := range s.box[p] {
			if b := &s.box[p][k]; s.pod[p].node == n && b.step == stepAnswer {
				return true
			}
		}
	}
	return false
}

// isLeaving tells whether an interface with the address is on its way out: its DEL has come, or its agent is about to fence it.
// Assumption: it takes less than a cooldown.
func (m *machine) isLeaving(s *state, a uint8) bool {
	for p := range s.box {
		for k := range s.box[p] {
			b := &s.box[p][k]
			if b.link == 0 || b.addr != a+1 {
				continue
			}
			p, k := uint8(p), uint8(k)
			if b.journal != attached || s.reachesAPI(s.pod[p].node) && m.isDoomed(s, p, k) {
				return true
			}
		}
	}
	return false
}

// crashAgent ends what an agent has in memory. The callers of ADDs get an error.
func (s *state) crashAgent(n uint8) {
	for p := range s.box {
		if s.pod[p].node != n || s.pod[p].st == unborn {
			continue
		}
		for k := range s.box[p] {
			b := &s.box[p][k]
			if b.step >= stepSent && b.step <= stepAnswer {
				b.step = stepEnded
			}
			if b.journal == detached {
				b.tried = 1 // the record does not say, so it is taken to be
			}
		}
	}
	s.cache[n] = [nClaims]cached{}
}

// powerOff ends all that runs on a node. The DELs come when it is back.
func (s *state) powerOff(n uint8) {
	s.crashAgent(n)
	s.node[n].down = 1
	for p := range s.box {
		if s.pod[p].node != n || s.pod[p].st == unborn {
			continue
		}
		for k := range s.box[p] {
			b := &s.box[p][k]
			if b.step == stepNone {
				continue
			}
			b.netns, b.link, b.step = 0, 0, stepEnded
			if b.del == delNone {
				b.del = delSent
			}
		}
	}
}

func (s *state) deleteClaim(c uint8) {
	s.wroteClaim(c)
	s.claim[c] = claim{uid: s.claim[c].uid}
}

func (s *state) release(a uint8) {
	s.wroteLease(a)
	s.lease[a].st = cooling
}
