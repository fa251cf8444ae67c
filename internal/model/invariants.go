// SPDX-License-Identifier: Apache-2.0

package model

import "fmt"

// check is the invariant that the state violates, and how; "" if none.
func (m *machine) check(s *state) (invariant, what string) {
	for p := range uint8(nPods) {
		for k := range uint8(nSandbox) {
			if s.box[p][k].link == 0 {
				continue
			}
			if inv, what := m.checkLink(s, p, k); inv != "" {
				return inv, what
			}
		}
	}
	return "", ""
}

// checkLink looks at an interface that is up.
func (m *machine) checkLink(s *state, p, k uint8) (invariant, what string) {
	b := &s.box[p][k]
	n := &s.node[s.pod[p].node]
	doomed := m.isDoomed(s, p, k)
	// An interface that was cut off when its identity went on is removed within seconds of the heal (R-G7).
	outOfReach := (doomed || b.lost != 0) && (n.net == netCut || n.net == netHealing)
	for q := range uint8(nPods) {
		for j := range uint8(nSandbox) {
			o := &s.box[q][j]
			if o.link == 0 || o.addr != b.addr || q == p && j == k || outOfReach {
				continue
			}
			on := &s.node[s.pod[q].node]
			otherDoomed := m.isDoomed(s, q, j) || o.lost != 0
			if n.net == netCut || on.net == netCut || otherDoomed && on.net == netHealing {
				continue
			}
			if claimOf[p] == claimOf[q] {
				leaving := b.journal != attached || o.journal != attached
				// The agent that is in contact removes it within seconds.
				fencing := m.has(FenceOnHeal) && (doomed && n.net == netOK || otherDoomed && on.net == netOK)
				if leaving || fencing {
					continue
				}
			}
			return "I1", fmt.Sprintf("%s is on the VLAN twice: in %s and in %s", name(addrNames, b.addr-1), boxName(p, k), boxName(q, j))
		}
	}
	l := &s.lease[b.addr-1]
	cl := &s.claim[claimOf[p]]
	if b.journal != attached {
		if l.st == leased && l.claim != claimOf[p] {
			return "I6", fmt.Sprintf("%s is leased to claim %s before the interface of %s is gone", name(addrNames, b.addr-1), name(claimNames, l.claim), boxName(p, k))
		}
		return "", ""
	}
	if outOfReach {
		return "", ""
	}
	if doomed {
		if n.net == netNoAPI || !m.has(FenceOnHeal) {
			return "I2", fmt.Sprintf("the address of %s was taken while it was on the VLAN", boxName(p, k))
		}
		return "", ""
	}
	switch {
	case b.lost != 0 && l.st != free && l.claim == claimOf[p]:
		// It is fenced when its lease is released, which comes long before anybody else may have the address.
	case cl.exists != 0 && cl.lease != 0 && cl.lease != b.addr:
		return "I4", fmt.Sprintf("%s sends with %s, and its claim names another address", boxName(p, k), name(addrNames, b.addr-1))
	case cl.exists == 0 || cl.lease == 0:
		return "I2", fmt.Sprintf("%s sends with %s, which its claim does not name", boxName(p, k), name(addrNames, b.addr-1))
	case cl.holder != p+1:
		return "I2", fmt.Sprintf("%s sends with %s, and its pod is not the holder", boxName(p, k), name(addrNames, b.addr-1))
	case l.st != leased || l.claim != claimOf[p] || l.uid != cl.uid:
		return "I2", fmt.Sprintf("%s sends with %s, whose lease is not its claim's", boxName(p, k), name(addrNames, b.addr-1))
	case b.step == stepDone && b.del == delNone && s.box[p][1-k].journal == attached && s.box[p][1-k].newer != 0:
		return "I3", fmt.Sprintf("CHECK of %s fails: %s counts as newer", boxName(p, k), boxName(p, 1-k))
	}
	return "", ""
}

// orphan is what is left over in the state; "" if nothing is. I5: from every state one without is reached by what mends alone, without
// luck, new pods or new faults.
func (m *machine) orphan(s *state) string {
	for a := range s.lease {
		l := &s.lease[a]
		cl := &s.claim[l.claim]
		switch {
		case l.st == cooling:
			return "a cooling lease"
		case l.st == leased && (cl.exists == 0 || cl.uid != l.uid || cl.lease != uint8(a)+1):
			return "a lease without claim"
		}
	}
	for c := range uint8(nClaims) {
		cl := &s.claim[c]
		switch {
		case cl.exists == 0:
		case cl.holder != 0 && s.pod[cl.holder-1].st == gone:
			return "a holder whose pod is gone"
		case !s.anyAlive(c):
			return "a claim without pod"
		}
	}
	for p := range uint8(nPods) {
		if s.pod[p].reaped == detached {
			return "a clear that is pending"
		}
		for k := range uint8(nSandbox) {
			b := &s.box[p][k]
			switch {
			case b.step >= stepSent && b.step < stepDone:
				return "an ADD that does not end"
			case b.journal == detached:
				return "a clear that is pending"
			case m.isDoomed(s, p, k):
				return "an interface that has lost its address"
			case b.journal == attached && s.pod[p].st == gone:
				return "an interface whose pod is gone"
			}
		}
	}
	return ""
}
