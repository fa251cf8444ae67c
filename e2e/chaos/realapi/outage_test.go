// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/macpool/macpool/e2e/chaos/oracle"
	"github.com/macpool/macpool/internal/agentapi"
)

// outage is how long each part of macpool's surroundings is away, before it is divided by -scale.
const outage = 10 * time.Minute

// TestOutages is the outages alone, in their whole length if the scale is 1.
func TestOutages(t *testing.T) {
	w := newWorld(t, *seedFlag, worldOptions{nodes: *nodesFlag, managers: 1})
	defer w.end()
	w.populate()
	go w.progress(10 * time.Second)
	running := w.outages(*scaleFlag)
	w.settled(running)
	w.finish(fmt.Sprintf("outages-%d", w.seed), fmt.Sprintf("make soak SEED=%d SCALE=%g", w.seed, *scaleFlag))
}

// steady is how many pods run all the time of the outages.
const steady = 40

// outages are what an operator fears: the manager is dead for ten minutes, then all agents, then the API server, while 20 pods a second
// are attached. At the end every pod that ran all the time has what it had, and the pool's free count is what arithmetic says (I4, I5,
// R-K2, F3, F5). What it returns waits for the churn.
func (w *world) outages(scale float64) *sync.WaitGroup {
	w.mu.Lock()
	w.report.Scale = scale
	w.mu.Unlock()
	still, rest := w.slots[:steady], w.slots[steady:]
	w.each(still, func(s *slot) {
		for s.box == nil && w.ctx.Err() == nil {
			if s.pod == nil {
				s.create()
			}
			s.attach(&w.count.fresh)
		}
	})
	had := map[string]string{}
	for _, s := range still {
		had[s.name()] = s.lease.Name + " " + s.lease.MAC
	}
	var running sync.WaitGroup
	stop := w.churn(&running, rest, 20)
	w.pause(5 * time.Second)
	away := time.Duration(float64(outage) / scale)
	for _, part := range []struct {
		name, row string
		units     []*unit
	}{
		{"manager", "R-K2", []*unit{w.managers[0].unit}},
		{"agents", "F3", w.agents()},
		{"kube-apiserver", "F5", []*unit{w.api}},
	} {
		w.logf("away for %s: %s", away, part.name)
		end := w.plan.during(part.row, fmt.Sprintf("%s away for %s", part.name, away), nil)
		w.inject(part.row, fmt.Sprintf("%s away for %s", part.name, away), "m5-m6")
		for _, u := range part.units {
			if u == w.api {
				w.killPlane(u, away)
			} else if !w.kill(u, away, nil) {
				w.t.Errorf("%s was not running", u.name)
			}
		}
		w.pause(away)
		w.awaitPlane()
		end()
		w.pause(3 * time.Second)
	}
	stop()
	running.Wait()
	asked := w.clock.Now()
	w.each(still, func(s *slot) {
		if s.isDead() {
			w.violation(oracle.Violation{Kind: oracle.LostLease, Text: s.name() + " runs no more"})
			return
		}
		var lease *agentapi.Lease
		var err error
		for deadline := asked.Add(30 * time.Second); w.clock.Now().Before(deadline); w.pause(500 * time.Millisecond) {
			if lease, err = answerOf(s.node.ask(s.box.request(agentapi.Check, s.pod, s.pool), agentapi.CheckTimeout, 0)); err == nil {
				break
			}
		}
		switch {
		case err != nil:
			w.violation(oracle.Violation{Kind: oracle.LostLease, Text: fmt.Sprintf("CHECK of %s after the outages: %v", s.name(), err)})
		case lease.Name+" "+lease.MAC != had[s.name()]:
			w.violation(oracle.Violation{Kind: oracle.LostLease, Text: fmt.Sprintf("%s has %s, it had %s", s.name(), lease.Name, had[s.name()])})
		}
	})
	w.logf("%d pods have after the outages what they had before", len(still))
	return &running
}

func (w *world) agents() []*unit {
	var all []*unit
	for _, n := range w.nodes {
		all = append(all, n.agent)
	}
	return all
}

// TestRestores goes back in time again and again (F28, R-B1).
func TestRestores(t *testing.T) {
	w := newWorld(t, *seedFlag, worldOptions{nodes: 3, managers: 1})
	defer w.end()
	w.populate()
	w.slots = w.slots[:min(60, len(w.slots))]
	go w.progress(10 * time.Second)
	var running sync.WaitGroup
	w.churn(&running, w.slots, min(*rateFlag, 30))
	w.pause(5 * time.Second)
	rng := w.rng("restores")
	for i := range *restoresFlag {
		goBack(w, rng)
		w.pause(w.between(rng, time.Second, 4*time.Second))
		w.logf("restore %d", i+1)
	}
	w.settled(&running)
	w.finish(fmt.Sprintf("restores-%d", w.seed), fmt.Sprintf("make soak-restores SEED=%d RESTORES=%d", w.seed, *restoresFlag))
}
