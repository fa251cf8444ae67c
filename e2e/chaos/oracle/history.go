// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// History is what callers asked of addresses and were answered, to be checked for an order of events that explains it all: an
// address is a register that holds an owner. Claim sets it if it is free or the owner's own; Release frees it, at some time after the
// owner has ended; Lookup reads it. Safe for concurrent use; the zero value is ready.
type History struct {
	mu       sync.Mutex
	ops      map[string][]porcupine.Operation // address -> what was asked
	releases map[string]int                   // address and owner -> the place of its release that is not known to have happened
}

type verb int

const (
	claim verb = iota
	release
	lookup
)

type question struct {
	verb  verb
	owner string
}

// forever is when something ends that nobody saw end.
const forever = math.MaxInt64

// Claim : an ADD for the owner was answered with the address. It may have been given at any time since call, when the pod was
// made. What the owner may have lost before it has lost by now, or keeps.
func (h *History) Claim(address, owner string, call, answered time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releasedLocked(address, owner, answered)
	h.addLocked(address, question{claim, owner}, call.UnixNano(), answered.UnixNano())
}

// Lookup : the address was said to be the owner's.
func (h *History) Lookup(address, owner string, call, answered time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.addLocked(address, question{lookup, owner}, call.UnixNano(), answered.UnixNano())
}

// MayRelease : from now on the address may be given back, since its owner has ended, or may be thought to have.
func (h *History) MayRelease(address, owner string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mayReleaseLocked(address, owner, now)
}

func (h *History) mayReleaseLocked(address, owner string, now time.Time) {
	if _, ok := h.releases[address+" "+owner]; ok {
		return
	}
	h.addLocked(address, question{release, owner}, now.UnixNano(), forever)
	if h.releases == nil {
		h.releases = map[string]int{}
	}
	h.releases[address+" "+owner] = len(h.ops[address]) - 1
}

// Forgotten : the API server may have forgotten everything that is not kept, as when it goes back in time.
func (h *History) Forgotten(kept map[string]bool, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for address, ops := range h.ops {
		owners := map[string]bool{}
		for _, op := range ops {
			if q, ok := op.Input.(question); ok && q.verb == claim && !kept[q.owner] {
				owners[q.owner] = true
			}
		}
		for owner := range owners {
			h.mayReleaseLocked(address, owner, now)
		}
	}
}

// Released : it was given back, before now.
func (h *History) Released(address, owner string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releasedLocked(address, owner, now)
}

func (h *History) releasedLocked(address, owner string, now time.Time) {
	if i, ok := h.releases[address+" "+owner]; ok {
		op := &h.ops[address][i]
		op.Return = max(now.UnixNano(), op.Call)
		delete(h.releases, address+" "+owner)
	}
}

func (h *History) addLocked(address string, q question, call, answered int64) {
	if h.ops == nil {
		h.ops = map[string][]porcupine.Operation{}
	}
	h.ops[address] = append(h.ops[address], porcupine.Operation{Input: q, Call: call, Return: answered})
}

// register is the model of one address: who owns it.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		q, ok := input.(question)
		if !ok {
			return false, state
		}
		switch q.verb {
		case claim:
			return state == "" || state == q.owner, q.owner
		case release:
			if state == q.owner {
				return true, ""
			}
			return true, state // an owner that had it no more
		default:
			return state == q.owner, state
		}
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprint(input) },
}

// Check looks for the order, address by address, and forgets the history. It returns how many addresses it has checked, and
// for which there is none, or none was found in the time.
func (h *History) Check(each time.Duration) (checked int64, violations []Violation) {
	h.mu.Lock()
	all := h.ops
	h.ops, h.releases = nil, nil
	h.mu.Unlock()
	for address, ops := range all {
		checked++
		if result := porcupine.CheckOperationsTimeout(register, ops, each); result != porcupine.Ok {
			violations = append(violations, Violation{Broken, fmt.Sprintf("the %d operations on %s: %s:%s", len(ops), address, result, describe(ops))})
		}
	}
	return checked, violations
}

// describe is the end of a history.
func describe(ops []porcupine.Operation) string {
	var text strings.Builder
	for _, op := range ops[max(0, len(ops)-40):] {
		q, _ := op.Input.(question)
		end := "?"
		if op.Return != forever {
			end = clockTime(time.Unix(0, op.Return))
		}
		fmt.Fprintf(&text, "\n\t%s–%s %s %s", clockTime(time.Unix(0, op.Call)), end, [...]string{"Claim", "Release", "Lookup"}[q.verb], q.owner)
	}
	return text.String()
}
