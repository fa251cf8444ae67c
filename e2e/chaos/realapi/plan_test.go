// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/macpool/macpool/e2e/chaos/faultproxy"
)

// plan decides what happens to requests: a little to all, much of one kind for some time, and traps that strike at one request at
// one of its phases. It is the faultproxy.Plan of all proxies.
type plan struct {
	w *world

	// perMille is how many of a thousand requests something happens to by chance.
	perMille atomic.Int64
	armed    atomic.Int64 // traps that wait
	ruled    atomic.Int64

	mu    sync.Mutex
	rng   *rand.Rand
	rules map[*rule]bool
	traps map[*trap]bool
	conds map[*condition]bool
}

// condition is something that lasts, and strikes whatever is done meanwhile. It counts once at each moment at which something was.
type condition struct {
	row, class string
	match      func(*faultproxy.Request) bool
	touched    map[string]bool
}

// rule lets something happen to many requests.
type rule struct {
	match   func(*faultproxy.Request) bool
	percent int
	fault   func(rng *rand.Rand) *faultproxy.Fault
}

// trap strikes once: when the k-th request of a class has come to a phase.
type trap struct {
	match  func(*faultproxy.Request) bool
	phase  faultproxy.Phase
	k      int
	strike func(r *faultproxy.Request)
	sprung chan struct{}
	// through: the request goes on afterwards.
	through bool
}

func newPlan(w *world, rng *rand.Rand) *plan {
	return &plan{w: w, rng: rng, rules: map[*rule]bool{}, traps: map[*trap]bool{}, conds: map[*condition]bool{}}
}

// during begins a condition for the requests that match, or all; the returned function ends it.
func (p *plan) during(row, class string, match func(*faultproxy.Request) bool) (end func()) {
	c := &condition{row: row, class: class, match: match, touched: map[string]bool{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conds[c] = true
	p.armed.Add(1)
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conds, c)
		p.armed.Add(-1)
	})
}

// touchLocked counts the conditions in force for a request.
func (p *plan) touchLocked(r *faultproxy.Request, phase faultproxy.Phase) {
	for c := range p.conds {
		if c.match != nil && !c.match(r) {
			continue
		}
		at := moment(r, phase != faultproxy.Arrived)
		if phase == faultproxy.Answered && at == "m2" {
			at = "m3-m4"
		}
		if !c.touched[at] {
			c.touched[at] = true
			p.w.inject(c.row, c.class, at)
		}
	}
}

// Reached springs the traps. What a trap was set for is broken off: its process is dead, or holds its breath.
func (p *plan) Reached(r *faultproxy.Request, phase faultproxy.Phase) bool {
	if p.armed.Load() == 0 {
		return true
	}
	p.mu.Lock()
	if len(p.conds) > 0 && r.Verb != "other" {
		p.touchLocked(r, phase)
	}
	var sprung *trap
	for t := range p.traps {
		if t.phase == phase && t.match(r) {
			if t.k--; t.k <= 0 {
				sprung = t
				delete(p.traps, t)
				p.armed.Add(-1)
				break
			}
		}
	}
	p.mu.Unlock()
	if sprung == nil {
		return true
	}
	sprung.strike(r)
	close(sprung.sprung)
	return sprung.through || phase == faultproxy.Answered
}

// set arms a trap, for a limited time. It tells whether it was sprung.
func (p *plan) set(t *trap, limit time.Duration) bool {
	t.sprung = make(chan struct{})
	p.mu.Lock()
	p.traps[t] = true
	p.armed.Add(1)
	p.mu.Unlock()
	select {
	case <-t.sprung:
		return true
	case <-p.w.clock.After(limit):
	case <-p.w.ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.traps[t] {
		delete(p.traps, t)
		p.armed.Add(-1)
	}
	return false
}

// rule lets something happen for a while.
func (p *plan) rule(r *rule, d time.Duration) {
	p.mu.Lock()
	p.rules[r] = true
	p.ruled.Add(1)
	p.mu.Unlock()
	p.w.pause(d)
	p.mu.Lock()
	delete(p.rules, r)
	p.ruled.Add(-1)
	p.mu.Unlock()
}

// Decide is faultproxy.Plan's.
func (p *plan) Decide(r *faultproxy.Request) *faultproxy.Fault {
	if r.Verb == "other" || strings.HasPrefix(r.Resource, "leases") || strings.HasPrefix(r.Resource, "events") {
		return nil
	}
	background := p.perMille.Load()
	if background == 0 && p.ruled.Load() == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for rule := range p.rules {
		if rule.match(r) && p.rng.IntN(100) < rule.percent {
			return rule.fault(p.rng)
		}
	}
	if p.rng.Int64N(1000) >= background {
		return nil
	}
	if r.Verb == "watch" {
		return &faultproxy.Fault{Kind: pick(p.rng, faultproxy.Gone410, faultproxy.Error500, faultproxy.TooMany429, faultproxy.DropBefore)}
	}
	kinds := []faultproxy.Kind{
		faultproxy.Delay, faultproxy.DelayAnswer, faultproxy.DropBefore, faultproxy.TooMany429, faultproxy.Error500, faultproxy.Unavailable503,
	}
	kinds = append(kinds, faultproxy.Truncate, faultproxy.ResetAnswer, faultproxy.DropAfter, faultproxy.Timeout504)
	if r.Writes() {
		// What hurts more comes more often.
		kinds = append(kinds, faultproxy.DropAfter, faultproxy.Timeout504, faultproxy.DropAfter, faultproxy.Conflict409, faultproxy.Duplicate,
			faultproxy.LateDuplicate, faultproxy.ResetRequest, faultproxy.Conflict409)
	}
	return someFault(p.rng, pick(p.rng, kinds...))
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// someFault is a fault of a kind, with its measures by chance.
func someFault(rng *rand.Rand, kind faultproxy.Kind) *faultproxy.Fault {
	f := &faultproxy.Fault{Kind: kind, Bytes: rng.IntN(600)}
	switch kind { //nolint:exhaustive // the others need nothing here
	case faultproxy.Delay, faultproxy.DelayAnswer:
		f.For = time.Duration(rng.IntN(400)) * time.Millisecond
		if rng.IntN(20) == 0 {
			f.For += 5 * time.Second
		}
	case faultproxy.LateDuplicate:
		f.For = time.Duration(rng.IntN(3000)) * time.Millisecond
	case faultproxy.ResetRequest:
		f.Bytes = rng.IntN(400)
	}
	return f
}

// rows are the rows of the fault matrix that the kinds belong to.
var rows = map[faultproxy.Kind]string{
	faultproxy.Delay: "R-K4", faultproxy.DelayAnswer: "R-K4", faultproxy.DropBefore: "R-K4", faultproxy.ResetRequest: "R-K4",
	faultproxy.DropAfter: "F6", faultproxy.Timeout504: "F6", faultproxy.Truncate: "F6", faultproxy.ResetAnswer: "F6",
	faultproxy.Duplicate: "F6", faultproxy.LateDuplicate: "F6",
	faultproxy.Conflict409: "F7", faultproxy.TooMany429: "F8", faultproxy.Error500: "F5", faultproxy.Unavailable503: "F5",
	faultproxy.Unauthorized401: "F35", faultproxy.Gone410: "F10", faultproxy.StaleList: "F9", faultproxy.NoInitialEvents: "F9",
}

// Injected is faultproxy.Plan's.
func (p *plan) Injected(r *faultproxy.Request, f *faultproxy.Fault) {
	p.w.inject(rows[f.Kind], kindOf(r)+": "+string(f.Kind), p.momentOf(r, f.Kind))
}

func kindOf(r *faultproxy.Request) string {
	if strings.HasPrefix(r.Client, "manager") {
		return "manager"
	}
	return "agent"
}

var (
	holds    = []byte(`"holder":{`)
	releases = []byte(`"releasedAt":"`)
)

// clears tells whether the request takes the holder from a claim.
func clears(r *faultproxy.Request) bool {
	return r.Verb == "update" && r.Resource == "macclaims/status" && !bytes.Contains(r.Body, holds)
}

// ends tells whether the request is one by which the manager gives back, or ends a wait.
func ends(r *faultproxy.Request) bool {
	return r.Verb == "delete" && strings.HasPrefix(r.Resource, "mac") || r.Resource == "macleases" && r.Verb == "update" && bytes.Contains(r.Body, releases)
}

// gives tells whether the request gives an address, or the claim a holder.
func gives(r *faultproxy.Request) bool {
	switch r.Resource {
	case "macclaims":
		return r.Verb == "create"
	case "macleases":
		return r.Verb == "create" || r.Verb == "update" && !bytes.Contains(r.Body, releases)
	case "macclaims/status":
		return r.Verb == "update" && bytes.Contains(r.Body, holds)
	default:
		return false
	}
}

// momentOf is the moment at which a fault of a kind strikes the request.
func (p *plan) momentOf(r *faultproxy.Request, kind faultproxy.Kind) string {
	after := false
	switch kind { //nolint:exhaustive // the others need nothing here
	case faultproxy.DropAfter, faultproxy.Timeout504, faultproxy.Truncate, faultproxy.ResetAnswer, faultproxy.Duplicate, faultproxy.LateDuplicate,
		faultproxy.DelayAnswer:
		after = true
	}
	if p.w.editing.Load() > 0 && gives(r) {
		return "m8-m9"
	}
	return moment(r, after)
}

// moment is the moment of a request: that before its write, or that after.
func moment(r *faultproxy.Request, after bool) string {
	manager := kindOf(r) == "manager"
	switch {
	case r.Verb == "watch", r.Resource == "macnodes/status", r.Resource == "macnodes":
		return "m5-m6"
	case gives(r) && after:
		return "m2"
	case gives(r):
		return "m0-m1"
	case manager && (ends(r) || strings.HasPrefix(r.Resource, "macpools") || r.Verb == "get"):
		return "m8-m9"
	case clears(r) && !manager:
		return "m7"
	case manager:
		return "m8-m9"
	case r.Writes():
		return "m5-m6"
	default:
		return "m0-m1"
	}
}
