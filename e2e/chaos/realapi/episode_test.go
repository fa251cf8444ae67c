// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/macpool/macpool/e2e/chaos/faultproxy"
	"github.com/macpool/macpool/e2e/chaos/report"
)

// episode is something that is done to the cluster for some seconds.
type episode struct {
	name string
	run  func(w *world, rng *rand.Rand)
	// alone: nothing else is done meanwhile.
	alone bool
	// rare: it brings everything to a stop for a while, and is done in every fourth pass.
	rare bool
	// rows are the rows of the fault matrix that it may touch, and moment the one at which it strikes, if it is known.
	rows, moment string
}

// mayTouch tells whether the episode is one that may touch the cell.
func (e episode) mayTouch(c report.Cell) bool {
	return slices.Contains(strings.Fields(e.rows), c.ID) && (e.moment == "" || e.moment == c.Moment)
}

// episodes are all of them. Crash points come on top.
func episodes() []episode {
	all := []episode{
		{name: "an agent is killed at some time", rows: "F3", run: killAgent},
		{name: "power goes while the journal is written", rows: "F4", moment: "m3-m4", run: tearJournal},
		{name: "a node loses its power", rows: "F4", run: powerLoss},
		{name: "all nodes lose their power", rows: "F39", run: rebootStorm, alone: true, rare: true},
		{name: "a node is cut off", rows: "F14", run: cutOff(faultproxy.Refused, time.Second, 6*time.Second)},
		{name: "a node hears nothing", rows: "F14", run: cutOff(faultproxy.Silent, time.Second, 8*time.Second)},
		{name: "a node is cut off for longer than its window", run: cutOff(faultproxy.Refused, 21*time.Second, 26*time.Second)},
		{name: "the manager is cut off", run: cutManager},
		{name: "an agent is stopped for longer than its window", run: stopLong},
		{name: "an agent's watches stall", rows: "F9", run: stallWatches((*world).someAgent)},
		{name: "the manager's watches stall", rows: "F9", run: stallWatches((*world).firstManager)},
		{name: "an agent's watches miss what was", rows: "F10", run: missEvents((*world).someAgent)},
		{name: "the manager's watches miss what was", rows: "F10", run: missEvents((*world).firstManager)},
		{name: "an agent begins with stale lists", rows: "F9", run: staleLists((*world).someAgent)},
		{name: "the manager begins with stale lists", rows: "F9", run: staleLists((*world).firstManager)},
		{name: "two managers, one of them paused", rows: "F11", run: twoManagers},
		{name: "an agent is upgraded", rows: "F40", run: upgradeAgent},
		{name: "a token is refused", rows: "F35", run: storm(100, 3*time.Second, oneAgent, faultproxy.Unauthorized401)},
		{name: "a token is refused to write", rows: "F35", run: storm(100, 3*time.Second, oneAgentWrites, faultproxy.Unauthorized401)},
		{name: "conflicts", rows: "F7", run: storm(50, 4*time.Second, writes, faultproxy.Conflict409)},
		{name: "too many requests", rows: "F8", run: storm(70, 4*time.Second, either, faultproxy.TooMany429)},
		{name: "errors", rows: "F5", run: storm(60, 4*time.Second, either, faultproxy.Error500, faultproxy.Unavailable503)},
		{name: "a slow API server", run: storm(90, 5*time.Second, either, faultproxy.Delay, faultproxy.DelayAnswer)},
		{name: "answers are lost", rows: "F6", run: storm(60, 4*time.Second, writes, faultproxy.DropAfter, faultproxy.Timeout504, faultproxy.Truncate, faultproxy.ResetAnswer)},
		{name: "requests are lost", run: storm(60, 4*time.Second, either, faultproxy.DropBefore, faultproxy.ResetRequest)},
		{name: "requests come twice", rows: "F6", run: storm(50, 4*time.Second, writes, faultproxy.Duplicate, faultproxy.LateDuplicate)},
		{name: "the spool is full while the agent is away", rows: "F37", run: fullSpool},
		{name: "the disk is full", rows: "F37", run: fullDisk},
		{name: "the spool has garbage", rows: "F37", moment: "m7", run: garbageSpool},
		{name: "the pool is edited", rows: "F24", run: editPool},
		{name: "answers are lost while the pool is edited", rows: "F24", run: editPoolInStorm},
		{name: "the definitions are upgraded", rows: "F26", run: upgradeDefinitions},
		{name: "a pool is exhausted", rows: "F25", run: exhaust},
		{name: "a namespace is deleted", rows: "F23", run: deleteNamespace},
		{name: "a quota refuses claims", rows: "F36", run: quota},
		{name: "leases are restored from a backup", rows: "F29", run: restoreBackup},
		{name: "etcd is restored to the past", rows: "F28", run: goBack, alone: true, rare: true},
		{name: "the definitions are deleted", rows: "F27", run: deleteDefinitions, alone: true, rare: true},
	}
	return all
}

// strike does everything once, in an order that the seed gives, and again until the time is over. Several things go on at a time.
func (w *world) strike(rng *rand.Rand, until time.Time, crashes int) {
	for pass := 0; pass == 0 || w.clock.Now().Before(until); pass++ {
		list := episodes()
		for _, at := range crashPoints {
			hows := []string{"kill", "stop"}
			if at.client == "agent" {
				hows = append(hows, "power off")
			}
			if at.inADD() {
				hows = append(hows, "hang up at", "send DEL at", "delete pod at")
			}
			if at.moment == "m0-m1" || at.moment == "m2" {
				hows = append(hows, "exclude at")
			}
			for _, how := range hows {
				list = append(list, crashing(at, how))
			}
		}
		var plane []episode
		for _, at := range crashPoints {
			for _, how := range []string{"kill api", "stop api", "kill etcd", "stop etcd"} {
				plane = append(plane, crashing(at, how))
			}
		}
		rng.Shuffle(len(plane), func(i, j int) { plane[i], plane[j] = plane[j], plane[i] })
		list = append(list, plane[:min(crashes, len(plane))]...)
		list = slices.DeleteFunc(list, func(e episode) bool { return e.rare && pass%4 != 0 })
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		begin := w.clock.Now()
		w.passEpisodes(rng, list, until, pass == 0)
		if pass == 0 {
			w.complete(rng, append(list, plane...), *completeFlag)
		}
		w.logf("pass %d: %d episodes in %s", pass+1, len(list), w.clock.Since(begin).Round(time.Second))
	}
}

// complete does again what may touch cells of the matrix that chance has left out, for so long.
func (w *world) complete(rng *rand.Rand, list []episode, limit time.Duration) {
	for until := w.clock.Now().Add(limit); w.clock.Now().Before(until); {
		w.mu.Lock()
		missing := report.Untouched(w.report.Count)
		w.mu.Unlock()
		var again []episode
		for _, e := range list {
			if slices.ContainsFunc(missing, e.mayTouch) {
				again = append(again, e)
			}
		}
		if len(again) == 0 {
			return
		}
		rng.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		w.logf("once more, for what was not touched: %d episodes for some of %v", len(again), missing)
		w.passEpisodes(rng, again, until, false)
	}
}

func crashing(at crashPoint, how string) episode {
	row, _ := victims[how](at.client)
	return episode{rows: row, moment: at.moment, name: how + " " + at.name + " of the " + at.client, run: func(w *world, rng *rand.Rand) { w.crash(rng, at, how) }}
}

// passEpisodes runs a list, several at a time.
func (w *world) passEpisodes(rng *rand.Rand, list []episode, until time.Time, all bool) {
	lanes := make(chan struct{}, *lanesFlag)
	for i := 0; i < len(list); i++ {
		e := list[i]
		if w.ctx.Err() != nil || !all && w.clock.Now().After(until) {
			break
		}
		if e.rare && w.away.Load() && i < len(list)-1 {
			// A node that is cut off when the API goes back in time comes back with the news: a second time for all.
			list = append(list, e)
			continue
		}
		for e.rare && w.away.Load() && w.pause(100*time.Millisecond) {
		}
		need := 1
		if e.alone {
			need = cap(lanes)
		}
		for range need {
			lanes <- struct{}{}
		}
		own := w.rng(fmt.Sprint(i, rng.Uint64()))
		go func() {
			defer func() {
				for range need {
					<-lanes
				}
			}()
			if *verboseFlag {
				w.logf("episode: %s", e.name)
			}
			e.run(w, own)
			w.pause(w.between(own, 0, 2**gapFlag))
		}()
	}
	for range cap(lanes) {
		lanes <- struct{}{}
	}
}

func (w *world) someNode(rng *rand.Rand) *node { return w.nodes[rng.IntN(len(w.nodes))] }

func killAgent(w *world, rng *rand.Rand) {
	if w.kill(w.someNode(rng).agent, w.between(rng, 0, 3*time.Second), nil) {
		w.inject("F3", "agent SIGKILL", "m5-m6")
	}
	w.pause(time.Second)
}

func tearJournal(w *world, rng *rand.Rand) { w.nodes[0].tearAtWrite(rng, 5*time.Second) }

func powerLoss(w *world, rng *rand.Rand) {
	dark := w.between(rng, time.Second, 5*time.Second)
	if w.someNode(rng).powerLoss(dark) {
		w.inject("F4", "node power loss", "m5-m6")
		w.lasting(dark, "F4", "node power loss", fromManager)
	}
	w.pause(dark)
}

// rebootStorm is F39: all pods come back at once.
func rebootStorm(w *world, rng *rand.Rand) {
	for _, n := range w.nodes {
		if n.powerLoss(time.Second) {
			w.inject("F39", "all nodes reboot", "m5-m6")
		}
	}
	w.lasting(6*time.Second, "F39", "all nodes reboot", nil)
	w.pause(w.between(rng, 4*time.Second, 6*time.Second))
}

func fromManager(r *faultproxy.Request) bool { return kindOf(r) == "manager" }

func cutOff(how faultproxy.Outage, from, to time.Duration) func(*world, *rand.Rand) {
	return func(w *world, rng *rand.Rand) {
		n := w.someNode(rng)
		n.proxy.Partition(how)
		class := "node cut off from the API"
		if how == faultproxy.Silent {
			class = "node hears nothing of the API"
		}
		w.inject("F14", class, "m5-m6")
		// What it asks is lost; the manager decides about its pods meanwhile.
		end := w.plan.during("F14", class, func(r *faultproxy.Request) bool { return r.Client == n.name || fromManager(r) })
		w.pause(w.between(rng, from, to))
		end()
		n.proxy.Heal()
	}
}

func cutManager(w *world, rng *rand.Rand) {
	m := w.managers[0]
	m.proxy.Partition(pick(rng, faultproxy.Refused, faultproxy.Silent))
	end := w.plan.during("R-K2", "manager cut off", nil)
	w.pause(w.between(rng, 2*time.Second, 8*time.Second))
	end()
	m.proxy.Heal()
}

func stopLong(w *world, rng *rand.Rand) {
	d := w.between(rng, 21*time.Second, 26*time.Second)
	if w.stop(w.someNode(rng).agent, d) {
		w.inject("F12", "agent SIGSTOP beyond the window", "m5-m6")
		w.pause(d)
	}
}

// twoManagers is F11: a second replica works beside the first, which is paused and goes on with what it has read.
func twoManagers(w *world, rng *rand.Rand) {
	second, err := w.addManager(rng.IntN(2) == 0)
	if err != nil {
		w.logf("a second manager did not start: %v", err)
		return
	}
	end := w.plan.during("F11", "two managers at once", fromManager)
	defer end()
	w.pause(w.between(rng, 2*time.Second, 4*time.Second))
	d := w.between(rng, 3*time.Second, 6*time.Second)
	if w.stop(w.managers[0].unit, d) {
		w.inject("F11", "paused leader", "m8-m9")
	}
	w.pause(d + 2*time.Second)
	w.retire(second.unit)
}

func upgradeAgent(w *world, rng *rand.Rand) {
	n := w.someNode(rng)
	if w.renew(n.agent) {
		w.inject("F40", "agent upgrade", "m5-m6")
		w.lasting(2*time.Second, "F40", "agent upgrade", func(r *faultproxy.Request) bool { return r.Client == n.name })
	}
	w.pause(2 * time.Second)
}

// matches for storms.
func either(*rand.Rand, *world) func(*faultproxy.Request) bool {
	return func(r *faultproxy.Request) bool { return r.Verb != "watch" }
}

func writes(*rand.Rand, *world) func(*faultproxy.Request) bool {
	return func(r *faultproxy.Request) bool { return r.Writes() }
}

func oneAgent(rng *rand.Rand, w *world) func(*faultproxy.Request) bool {
	name := w.someNode(rng).name
	return func(r *faultproxy.Request) bool { return r.Client == name }
}

func oneAgentWrites(rng *rand.Rand, w *world) func(*faultproxy.Request) bool {
	name := w.someNode(rng).name
	return func(r *faultproxy.Request) bool { return r.Client == name && r.Writes() }
}

// storm lets one kind of fault happen to many requests.
func storm(percent int, d time.Duration, of func(*rand.Rand, *world) func(*faultproxy.Request) bool, kinds ...faultproxy.Kind) func(*world, *rand.Rand) {
	return func(w *world, rng *rand.Rand) {
		w.plan.rule(&rule{
			match: of(rng, w), percent: percent,
			fault: func(rng *rand.Rand) *faultproxy.Fault { return someFault(rng, pick(rng, kinds...)) },
		}, d)
	}
}

// upgradeDefinitions is F26: the definitions are applied anew, with another text.
func upgradeDefinitions(w *world, rng *rand.Rand) {
	for _, kind := range []string{"macclaims", "macleases", "macpools"} {
		text := fmt.Sprintf("%s, edition %d", strings.TrimPrefix(kind, "mac"), rng.IntN(1000))
		w.must("patching a definition", func() error {
			return w.plane.kubectl(w.ctx, "patch", "crd", kind+".macpool.dev", "--type=json",
				"-p", `[{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/description", "value": "`+text+`"}]`)
		})
		w.lasting(time.Second, "F26", "CRD upgrade", nil)
		w.pause(w.between(rng, 200*time.Millisecond, time.Second))
	}
}
