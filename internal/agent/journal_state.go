// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"slices"
	"time"

	"github.com/macpool/macpool/internal/agentapi"
)

// tombstoneLife is how long a deleted container is remembered. A runtime gives an ADD up after minutes; R-C9 asks for 15.
const tombstoneLife = time.Hour

// journalState is what the records of a journal come to. Not safe for concurrent use; the zero value is not usable.
type journalState struct {
	attempts map[attemptKey]*attempt
	byClaim  map[agentapi.ClaimRef]map[attemptKey]bool // claim -> its attempts, in any state
	byLease  map[string]map[attemptKey]bool            // lease -> the attempts that are attached with it
}

func newJournalState() *journalState {
	return &journalState{
		attempts: map[attemptKey]*attempt{},
		byClaim:  map[agentapi.ClaimRef]map[attemptKey]bool{},
		byLease:  map[string]map[attemptKey]bool{},
	}
}

// put enters a record, in the place of an earlier one of its attempt. Records are values: nobody changes one that was put.
func (s *journalState) put(a *attempt) {
	s.remove(a.key())
	if a.State == withdrawn {
		return
	}
	s.attempts[a.key()] = a
	list(s.byClaim, a.Claim, a.key())
	if lease, ok := a.attachedWith(); ok {
		list(s.byLease, lease, a.key())
	}
}

func (s *journalState) remove(k attemptKey) {
	before := s.attempts[k]
	if before == nil {
		return
	}
	delete(s.attempts, k)
	unlist(s.byClaim, before.Claim, k)
	if lease, ok := before.attachedWith(); ok {
		unlist(s.byLease, lease, k)
	}
}

func list[K comparable](index map[K]map[attemptKey]bool, by K, k attemptKey) {
	if index[by] == nil {
		index[by] = map[attemptKey]bool{}
	}
	index[by][k] = true
}

func unlist[K comparable](index map[K]map[attemptKey]bool, by K, k attemptKey) {
	delete(index[by], k)
	if len(index[by]) == 0 {
		delete(index, by)
	}
}

// attachedWith is the lease with which the attempt is attached.
func (a *attempt) attachedWith() (lease string, ok bool) {
	if a.State != attached || a.Lease == nil {
		return "", false
	}
	return a.Lease.Name, true
}

// clone is another state with the same records.
func (s *journalState) clone() *journalState {
	c := newJournalState()
	for _, a := range s.attempts {
		c.put(a)
	}
	return c
}

// ofClaim are the attempts of a claim, in order. A tombstone of an unknown container has no claim, so the zero claim has none.
func (s *journalState) ofClaim(claim agentapi.ClaimRef) []*attempt {
	if claim == (agentapi.ClaimRef{}) {
		return nil
	}
	return s.sorted(s.byClaim[claim])
}

// ofLease are the attempts that are attached with a lease, in order.
func (s *journalState) ofLease(lease string) []*attempt { return s.sorted(s.byLease[lease]) }

func (s *journalState) sorted(keys map[attemptKey]bool) []*attempt {
	all := make([]*attempt, 0, len(keys))
	for k := range keys {
		all = append(all, s.attempts[k])
	}
	slices.SortFunc(all, func(a, b *attempt) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ContainerID, b.ContainerID), cmp.Compare(a.Interface, b.Interface))
	})
	return all
}

// in are the attempts in a state, in the order in which they came to it.
func (s *journalState) in(state attemptState) []attempt {
	var all []attempt
	for _, a := range s.attempts {
		if a.State == state {
			all = append(all, *a)
		}
	}
	slices.SortFunc(all, func(a, b attempt) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ContainerID, b.ContainerID), cmp.Compare(a.Interface, b.Interface))
	})
	return all
}

// expire drops old tombstones. What is attached or waits for its clear never expires. Times are compared with the
// monotonic clock where both were taken by this process, else as the wall clock has them.
func (s *journalState) expire(now time.Time) {
	for k, a := range s.attempts {
		if a.State == deleted && now.Sub(a.At) > tombstoneLife {
			s.remove(k)
		}
	}
}

// nextNumber is the number of a pod's next attempt for a claim.
func (s *journalState) nextNumber(claim agentapi.ClaimRef, podUID string) int {
	highest := 0
	for _, a := range s.ofClaim(claim) {
		if a.ofHolder(claim, podUID) {
			highest = max(highest, a.Number)
		}
	}
	return highest + 1
}
