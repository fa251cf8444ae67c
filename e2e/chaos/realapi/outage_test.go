// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/macpool/macpool/e2e/chaos/oracle"
)

// outage is how long each part of macpool's surroundings is away, before it is divided by -scale.
const outage = 10 * time.Minute

// TestOutages is what an operator fears: the manager is dead for ten minutes, then all agents, then the API server, while 20 pods a
// second are attached. At the end every pod that ran all the time has what it had, and the pool's free count is what arithmetic says (I4, I5,
// R-K2, F3, F5).
func TestOutages(t *testing.T) {
	w := newWorld(t, *seedFlag, worldOptions{nodes: *nodesFlag, managers: 1})
	defer w.end()
	w.scale(*scaleFlag)
	w.populate()
	const steady = 40
	still := w.slots[:steady]
	for _, s := range still {
		for s.box == nil && w.ctx.Err() == nil {
			if s.pod == nil {
				s.create()
			}
			s.attach(&w.count.fresh)
		}
	}
	had := map[string]string{}
	for _, s := range still {
		had[s.name()] = s.lease.Name + " " + s.lease.MAC
	}
	go w.progress(10 * time.Second)
	all := w.slots
	w.slots = all[steady:]
	running := w.churn(20)
	w.slots = all
	w.pause(5 * time.Second)

	away := time.Duration(float64(outage) / *scaleFlag)
	for _, part := range []struct {
		name, row string
		units     []*unit
	}{
		{"manager", "R-K2", []*unit{w.managers[0].unit}},
		{"agent", "F3", w.agents()},
		{"kube-apiserver", "F5", []*unit{w.api}},
	} {
		w.logf("%s is away for %s", part.name, away)
		end := w.plan.during(part.row, fmt.Sprintf("%s away for %s", part.name, away), nil)
		for _, u := range part.units {
			if u == w.api {
				w.killPlane(u, away)
			} else if !w.kill(u, away, nil) {
				t.Errorf("%s was not running", u.name)
			}
		}
		w.pause(away)
		w.awaitPlane()
		end()
		w.pause(10 * time.Second)
	}
	w.settled(running)
	for _, s := range still {
		if s.lease == nil || s.box == nil || s.isDead() {
			w.violation(oracle.Violation{Kind: oracle.LostLease, Text: s.name() + " runs no more"})
		} else if now := s.lease.Name + " " + s.lease.MAC; now != had[s.name()] {
			w.violation(oracle.Violation{Kind: oracle.LostLease, Text: fmt.Sprintf("%s has %s, it had %s", s.name(), now, had[s.name()])})
		}
	}
	w.finish(fmt.Sprintf("outages-%d", w.seed), fmt.Sprintf("make soak-outages SEED=%d SCALE=%g", w.seed, *scaleFlag))
}

func (w *world) agents() []*unit {
	var all []*unit
	for _, n := range w.nodes {
		all = append(all, n.agent)
	}
	return all
}

// scale notes by what times are divided.
func (w *world) scale(by float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Scale = by
}

// TestRestores goes back in time again and again (F28, R-B1).
func TestRestores(t *testing.T) {
	w := newWorld(t, *seedFlag, worldOptions{nodes: 3, managers: 1})
	defer w.end()
	w.populate()
	w.slots = w.slots[:60]
	go w.progress(10 * time.Second)
	running := w.churn(min(*rateFlag, 30))
	w.pause(5 * time.Second)
	rng := w.rng("restores")
	for i := range *restoresFlag {
		goBack(w, rng)
		w.pause(w.between(rng, time.Second, 4*time.Second))
		w.logf("restore %d", i+1)
	}
	w.settled(running)
	w.finish(fmt.Sprintf("restores-%d", w.seed), fmt.Sprintf("make soak-restores SEED=%d RESTORES=%d", w.seed, *restoresFlag))
}
