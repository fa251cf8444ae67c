// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"math/rand/v2"
	"time"

	"github.com/macpool/macpool/e2e/chaos/faultproxy"
)

// whose is who it is done to.
type whose func(*world, *rand.Rand) *faultproxy.Proxy

func (w *world) someAgent(rng *rand.Rand) *faultproxy.Proxy { return w.someNode(rng).proxy }

func (w *world) firstManager(*rand.Rand) *faultproxy.Proxy { return w.managers[0].proxy }

func stallWatches(of whose) func(*world, *rand.Rand) {
	return func(w *world, rng *rand.Rand) { w.stallWatches(rng, of(w, rng)) }
}

func (w *world) stallWatches(rng *rand.Rand, p *faultproxy.Proxy) {
	var resume []func()
	for _, watch := range p.Watches() {
		if rng.IntN(4) > 0 {
			resume = append(resume, watch.Stall())
			w.inject("F9", kindOf(watch.Request)+": stalled watch", "m5-m6")
		}
	}
	end := w.plan.during("F9", "frozen cache", func(r *faultproxy.Request) bool { return r.Client == p.Name })
	defer end()
	w.pause(w.between(rng, 2*time.Second, 8*time.Second))
	for _, f := range resume {
		f()
	}
}

// missEvents lets watches stall, and then begin anew with what is there: whatever came and went between is never seen.
func missEvents(of whose) func(*world, *rand.Rand) {
	return func(w *world, rng *rand.Rand) { w.missEvents(rng, of(w, rng)) }
}

func (w *world) missEvents(rng *rand.Rand, p *faultproxy.Proxy) {
	watches := p.Watches()
	for _, watch := range watches {
		watch.Stall()
		w.inject("F10", kindOf(watch.Request)+": watch gap", "m5-m6")
	}
	w.pause(w.between(rng, 2*time.Second, 6*time.Second))
	end := w.plan.during("F10", "events that nobody saw", func(r *faultproxy.Request) bool { return r.Client == p.Name })
	defer end()
	gone := map[string]bool{}
	match := func(r *faultproxy.Request) bool {
		if r.Client != p.Name || r.Verb != "watch" || r.Version == "" || gone[r.Resource] {
			return false
		}
		gone[r.Resource] = true
		return true
	}
	rule := &rule{match: match, percent: 100, fault: func(*rand.Rand) *faultproxy.Fault { return &faultproxy.Fault{Kind: faultproxy.Gone410} }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.plan.rule(rule, 3*time.Second)
	}()
	w.pause(50 * time.Millisecond)
	for _, watch := range watches {
		watch.Cut()
	}
	<-done
}

// staleLists lets a process begin with what was some seconds ago, as by an API server that lags: a list that asks for any version
// may be answered so.
func staleLists(of whose) func(*world, *rand.Rand) {
	return func(w *world, rng *rand.Rand) { w.staleLists(rng, of(w, rng)) }
}

func (w *world) staleLists(rng *rand.Rand, p *faultproxy.Proxy) {
	p.Snapshot(w.ctx)
	w.pause(w.between(rng, 2*time.Second, 5*time.Second))
	rule := &rule{
		percent: 100,
		match: func(r *faultproxy.Request) bool {
			return r.Client == p.Name && (r.Verb == "watch" && r.InitialEvents || r.Verb == "list" && r.Version == "0")
		},
	}
	rule.fault = func(*rand.Rand) *faultproxy.Fault { return &faultproxy.Fault{Kind: faultproxy.StaleList} }
	initial := *rule
	initial.match = func(r *faultproxy.Request) bool { return r.Client == p.Name && r.Verb == "watch" && r.InitialEvents }
	initial.fault = func(*rand.Rand) *faultproxy.Fault { return &faultproxy.Fault{Kind: faultproxy.NoInitialEvents} }
	rule.match = func(r *faultproxy.Request) bool { return r.Client == p.Name && r.Verb == "list" && r.Version == "0" }
	w.kill(w.unitOf(p.Name), 0, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.plan.rule(&initial, 4*time.Second)
	}()
	w.plan.rule(rule, 4*time.Second)
	<-done
	p.Forget()
}
