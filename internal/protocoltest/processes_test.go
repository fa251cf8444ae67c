// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/macpool/macpool/internal/memapi"
)

var processActions = []action{
	{"crash manager", 2, hasManager, func(w *world, t *rapid.T) {
		m := pick(t, "manager", w.managers)
		w.logf("crash %s", m.name)
		w.stats.fault("manager", "manager SIGKILL", w.momentOfManager(m))
		w.crashManager(m)
		if rapid.IntRange(0, 2).Draw(t, "again") < 2 {
			w.startManager(0)
		}
	}},
	{"start manager", 2, func(w *world) bool { return len(w.managers) == 1 }, (*world).addManager},
	{"start the only manager", 16, func(w *world) bool { return len(w.managers) == 0 }, (*world).addManager},
	{"cut a manager off", 1, hasManagerThat(isReached), func(w *world, t *rapid.T) {
		m := pick(t, "manager", w.managersThat(isReached))
		w.logf("cut %s off", m.name)
		w.stats.fault("F12", "manager paused", w.momentOfManager(m))
		m.cut, m.view.version = true, -1
	}},
	{"let a manager reach the API", 8, hasManagerThat(isCutOff), func(w *world, t *rapid.T) {
		m := pick(t, "manager", w.managersThat(isCutOff))
		w.logf("let %s reach the API", m.name)
		m.cut, m.view.version = false, -1
	}},
	{"freeze a view", 2, always, func(w *world, t *rapid.T) {
		v := pick(t, "view", w.views())
		kind := pick(t, "kind", v.kinds())
		w.stats.fault("F9", "view frozen", "m0-m1")
		w.logf("%s sees no changes of %s for %s", v.of.name, kind, v.lags(kind, frozen, t))
	}},
	{"let a view lag", 2, always, func(w *world, t *rapid.T) {
		v := pick(t, "view", w.views())
		kind, lag := pick(t, "kind", v.kinds()), rapid.IntRange(1, 5).Draw(t, "changes")
		w.stats.fault("F9", "view lags", "m0-m1")
		w.logf("%s lags by %d changes of %s for %s", v.of.name, lag, kind, v.lags(kind, lag, t))
	}},
	{"let views catch up", 8, always, func(w *world, t *rapid.T) {
		relist := rapid.Bool().Draw(t, "relist")
		v := pick(t, "view", w.views())
		w.logf("%s catches up, relist: %t", v.of.name, relist)
		if relist {
			w.stats.fault("F10", "watch broken, relist", "m0-m1")
		}
		v.catchUp(relist)
	}},
	{"lose answers", 2, always, func(w *world, t *rapid.T) { w.inject(t, lostAnswer) }},
	{"break connections", 1, always, func(w *world, t *rapid.T) { w.inject(t, reset) }},
	{"refuse connections", 1, always, func(w *world, t *rapid.T) { w.inject(t, refused) }},
	{"throttle", 1, always, func(w *world, t *rapid.T) { w.inject(t, throttled) }},
	{"answer 503", 1, always, func(w *world, t *rapid.T) { w.inject(t, unavailable) }},
	{"answer 500", 1, always, func(w *world, t *rapid.T) { w.inject(t, failed) }},
	{"answer 409", 1, always, func(w *world, t *rapid.T) { w.inject(t, conflicted) }},
	{"do writes twice", 1, always, func(w *world, t *rapid.T) { w.inject(t, doubled) }},
	{"hold requests", 2, always, func(w *world, t *rapid.T) {
		who := pick(t, "who", w.processes())
		r := &rule{hold: true, odds: 100, left: rapid.IntRange(1, 4).Draw(t, "requests"), match: func(m *message) bool {
			return m.from.name == who && m.Verb.Writes() && m.Kind != "MacNode"
		}}
		w.logf("hold %d writes of %s", r.left, who)
		w.rules = append(w.rules, r)
	}},
	{"let held requests go", 6, holdsRequests, func(w *world, t *rapid.T) {
		if rapid.IntRange(0, 3).Draw(t, "lose") == 0 {
			for _, m := range w.net.all() {
				if m.held && m.givenUp {
					w.net.remove(m)
				}
			}
		}
		w.logf("let held requests go")
		w.net.letGo()
	}},
	{"end faults", 6, func(w *world) bool { return len(w.rules) > 0 || w.shuffled }, func(w *world, _ *rapid.T) {
		w.logf("end faults")
		w.rules, w.shuffled = nil, false
	}},
	{"let requests overtake each other", 1, always, func(w *world, _ *rapid.T) { w.shuffled = !w.shuffled }},
}

// addManager starts one on a machine whose clock may be wrong.
func (w *world) addManager(t *rapid.T) {
	wrong := pick(t, "clock", wrongClocks)
	if len(w.managers) > 0 {
		w.stats.fault("F11", "two managers", "m8-m9")
	}
	if wrong != 0 {
		w.stats.fault("F13", "clock set", "m8-m9")
	}
	w.logf("start %s with its clock wrong by %s", w.startManager(wrong).name, wrong)
}

func isReached(m *manager) bool { return !m.cut }
func isCutOff(m *manager) bool  { return m.cut }

func (w *world) managersThat(that func(*manager) bool) []*manager {
	return slices.DeleteFunc(slices.Clone(w.managers), func(m *manager) bool { return !that(m) })
}

func hasManagerThat(that func(*manager) bool) func(*world) bool {
	return func(w *world) bool { return len(w.managersThat(that)) > 0 }
}

func hasManager(w *world) bool { return len(w.managers) > 0 }

func holdsRequests(w *world) bool {
	return slices.ContainsFunc(w.net.all(), func(m *message) bool { return m.held })
}

func (w *world) crashManager(m *manager) {
	m.kill()
	if w.rng.IntN(2) == 0 {
		w.net.drop(m.process) // else what it has sent arrives
	}
	w.managers = slices.DeleteFunc(w.managers, func(other *manager) bool { return other == m })
}

// momentOfManager is the column in which something is done to a manager.
func (w *world) momentOfManager(m *manager) string {
	for _, sent := range w.net.all() {
		if sent.from == m.process && sent.Verb.Writes() {
			return w.momentOf(sent, false)
		}
	}
	return "m8-m9"
}

func (w *world) views() []*viewOf {
	var all []*viewOf
	for _, m := range w.managers {
		all = append(all, m.view)
	}
	for _, n := range w.nodes {
		if n.running() && n.agent.view != nil {
			all = append(all, n.agent.view)
		}
	}
	if len(all) == 0 { // nobody sees anything: one that nobody uses stands for them
		all = append(all, newView(&process{name: "nobody"}, w.server, w.server.Cache(w.noOptions())))
	}
	return all
}

// kinds are what it watches.
func (v *viewOf) kinds() []string {
	kinds := []string{"MacClaim"}
	for _, i := range v.Informers() {
		if i.Name() != "MacClaim" {
			kinds = append(kinds, i.Name())
		}
	}
	return kinds
}

// processes are the names of those that run.
func (w *world) processes() []string {
	var names []string
	for _, m := range w.managers {
		names = append(names, m.name)
	}
	for _, n := range w.nodes {
		if n.running() {
			names = append(names, n.agent.name)
		}
	}
	if len(names) == 0 {
		names = append(names, "nobody")
	}
	return names
}

// inject has some of the next messages of somebody meet a fault.
func (w *world) inject(t *rapid.T, how fate) {
	who := pick(t, "who", []string{"", "manager-", "agent-of-"})
	writes := rapid.IntRange(0, 3).Draw(t, "writes") > 0
	r := &rule{
		fate: how, odds: pick(t, "odds", []int{100, 50, 20}), left: rapid.IntRange(1, 12).Draw(t, "requests"),
		match: func(m *message) bool {
			return strings.HasPrefix(m.from.name, who) && (m.Verb.Writes() || !writes && m.Verb != memapi.List) && (m.Kind != "MacNode" || !writes)
		},
	}
	w.logf("%s: %d requests of %q, writes only: %t", how, r.left, who, writes)
	w.rules = append(w.rules, r)
}
