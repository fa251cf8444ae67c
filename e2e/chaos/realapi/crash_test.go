// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/macpool/macpool/e2e/chaos/faultproxy"
)

// crashPoint is a moment at which a process can be struck: a request of a class at a phase of it.
type crashPoint struct {
	name   string
	client string // agent or manager
	match  func(*faultproxy.Request) bool
	phase  faultproxy.Phase
	moment string
}

// crashPoints are all that are tried: before the read that an ADD begins with, before and after each write by which an address or a holder
// is given, cleared or given back, and after the answer to it.
var crashPoints = []crashPoint{
	{"before a read", "agent", reads, faultproxy.Arrived, "m0-m1"},
	{"before a hold", "agent", gives, faultproxy.Arrived, "m0-m1"},
	{"after a hold", "agent", gives, faultproxy.Committed, "m2"},
	{"after the answer to a hold", "agent", gives, faultproxy.Answered, "m3-m4"},
	{"before a clear", "agent", clears, faultproxy.Arrived, "m7"},
	{"after a clear", "agent", clears, faultproxy.Committed, "m7"},
	{"after the answer to a clear", "agent", clears, faultproxy.Answered, "m7"},
	{"before a lease", "manager", gives, faultproxy.Arrived, "m0-m1"},
	{"after a lease", "manager", gives, faultproxy.Committed, "m2"},
	{"after the answer to a lease", "manager", gives, faultproxy.Answered, "m3-m4"},
	{"before a release", "manager", ends, faultproxy.Arrived, "m8-m9"},
	{"after a release", "manager", ends, faultproxy.Committed, "m8-m9"},
	{"after the look before a release", "manager", reads, faultproxy.Committed, "m8-m9"},
}

func reads(r *faultproxy.Request) bool { return r.Verb == "get" && r.Resource != "macpools" }

// victims are what is struck at a crash point, the process that has sent the request or one at the other end, and how that counts.
var victims = map[string]func(client string) (row, class string){
	"kill": func(client string) (string, string) {
		if client == "manager" {
			return "R-K2", "manager SIGKILL"
		}
		return "F3", "agent SIGKILL"
	},
	"stop":      func(client string) (string, string) { return "F12", client + " SIGSTOP" },
	"kill api":  func(string) (string, string) { return "F5", "kube-apiserver SIGKILL" },
	"stop api":  func(string) (string, string) { return "F12", "kube-apiserver SIGSTOP" },
	"kill etcd": func(string) (string, string) { return "F5", "etcd SIGKILL" },
	"stop etcd": func(string) (string, string) { return "F12", "etcd SIGSTOP" },

	"power off":     func(string) (string, string) { return "F4", "node power loss" },
	"hang up at":    func(string) (string, string) { return "F1", "plugin SIGKILL" },
	"send DEL at":   func(string) (string, string) { return "F18", "ADD that ends after its DEL" },
	"delete pod at": func(string) (string, string) { return "F16", "pod deleted by force during its ADD" },
	"exclude at":    func(string) (string, string) { return "F24", "address excluded while it is leased" },
}

// inADD tells whether the point is one of an agent's ADD.
func (c crashPoint) inADD() bool { return c.client == "agent" && c.moment != "m7" }

// crash strikes at a crash point, when it comes up within the limit.
func (w *world) crash(rng *rand.Rand, at crashPoint, how string) {
	hold := w.between(rng, 50*time.Millisecond, 2*time.Second)
	stop := w.between(rng, 200*time.Millisecond, 4*time.Second)
	row, class := victims[how](at.client)
	t := &trap{
		// The far nodes have an episode of their own, in which one must remember for how long the other has been silent.
		match: func(r *faultproxy.Request) bool {
			return kindOf(r) == at.client && !strings.HasPrefix(r.Client, farPrefix) && at.match(r)
		},
		phase: at.phase, k: 1 + rng.IntN(4),
		// One that is stopped has its request done meanwhile; one that is killed has not heard of it.
		through: how != "kill" && how != "kill api" && how != "kill etcd" && how != "power off",
	}
	var struck atomic.Bool
	t.strike = func(r *faultproxy.Request) {
		var done bool
		switch how {
		case "kill":
			done = w.kill(w.unitOf(r.Client), hold, nil)
		case "stop":
			done = w.stop(w.unitOf(r.Client), stop)
		case "kill api":
			done = w.killPlane(w.api, hold)
		case "stop api":
			done = w.stop(w.api, stop)
		case "kill etcd":
			done = w.killPlane(w.etcd, hold)
		case "stop etcd":
			done = w.stop(w.etcd, stop)
		case "power off":
			done = w.nodeOf(r.Client).powerLoss(hold)
		case "hang up at":
			done = w.withCall(r, func(c *call) { c.hangUp() })
		case "send DEL at":
			if done = w.withCall(r, func(c *call) { c.overtake() }); done {
				w.inject("F2", "caller gone, its DEL beside the ADD", at.moment)
			}
		case "delete pod at":
			done = w.withCall(r, func(c *call) { c.deletePod() })
		case "exclude at":
			done = w.excludeOf(r)
		}
		if done {
			struck.Store(true)
			w.inject(row, class, at.moment)
		}
	}
	if strings.HasSuffix(how, " at") {
		// Only requests of an ADD that is known: a manager's own, or those of a reaper, have no caller.
		match := t.match
		t.match = func(r *faultproxy.Request) bool { return match(r) && (how == "exclude at" || w.callOf(r) != nil) }
	}
	// What comes too late, or is down already, is tried again.
	for until := w.clock.Now().Add(6 * time.Second); !struck.Load() && w.plan.set(t, until.Sub(w.clock.Now())); {
		t.k = 1 + rng.IntN(2)
	}
	if struck.Load() && (how == "kill api" || how == "kill etcd") {
		w.awaitPlane()
	}
}

// unitOf is the process behind a proxy.
func (w *world) unitOf(client string) *unit {
	for _, n := range w.allNodes() {
		if n.name == client {
			return n.agent
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.managers {
		if m.name == client {
			return m.unit
		}
	}
	panic(fmt.Sprintf("no process %q", client))
}

// nodeOf is the node of an agent's proxy.
func (w *world) nodeOf(client string) *node {
	for _, n := range w.allNodes() {
		if n.name == client {
			return n
		}
	}
	panic(fmt.Sprintf("no node %q", client))
}

// killPlane kills etcd or the API server.
func (w *world) killPlane(u *unit, hold time.Duration) bool {
	if !w.kill(u, hold, nil) {
		return false
	}
	end := w.plan.during("F5", "API away", nil)
	w.background.Go(func() {
		w.awaitPlane()
		end()
	})
	w.planes.Add(1)
	w.upstream.CloseIdle()
	return true
}

// awaitPlane waits until the API server serves again.
func (w *world) awaitPlane() {
	for w.pause(100 * time.Millisecond) {
		if w.api.up() && w.etcd.up() && w.plane.awaitAPI(w.ctx) == nil {
			return
		}
	}
}
