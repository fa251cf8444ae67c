// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// action is something that may happen. can tells whether it may now; it draws nothing.
type action struct {
	name string
	// weight is how often it is drawn, compared with others.
	weight int
	can    func(*world) bool
	do     func(*world, *rapid.T)
}

func always(*world) bool { return true }

// actions are all that can happen, in five files: workloads, containers, machines, processes and their views, pools and the API.
func actions() []action {
	var all []action
	for _, some := range [][]action{workloadActions, containerActions, machineActions, processActions, poolActions, timeActions} {
		all = append(all, some...)
	}
	return all
}

// machine turns the actions into rapid's one: a step, which draws one of those that can happen, and a seed, by which all is decided that the
// action does not draw itself.
func (w *world) machine() map[string]func(*rapid.T) {
	all := actions()
	return map[string]func(*rapid.T){
		"step": func(t *rapid.T) {
			w.t = t
			var able []action
			var names []string
			for _, a := range all {
				if a.can(w) {
					able = append(able, a)
					names = append(names, slices.Repeat([]string{a.name}, a.weight)...)
				}
			}
			name := evenly(names).Draw(t, "do")
			seed := rapid.Uint64Range(0, 1<<16).Draw(t, "seed")
			w.rng = rand.New(rand.NewPCG(seed, 1))
			w.stats.step(name)
			able[slices.IndexFunc(able, func(a action) bool { return a.name == name })].do(w, t)
			w.settle()
			w.truth.check()
			w.raise()
			w.sweep()
		},
	}
}

// evenly draws one of many, each as often as the others; rapid itself prefers the first ones.
func evenly(names []string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		const bits = 10
		v := 0
		for range bits {
			v <<= 1
			if rapid.Bool().Draw(t, "bit") {
				v |= 1
			}
		}
		return names[v*len(names)>>bits]
	})
}

var timeActions = []action{
	{"pass a moment", 12, always, func(w *world, t *rapid.T) {
		w.pass(time.Duration(rapid.IntRange(1, 50).Draw(t, "tenths")) * 100 * time.Millisecond)
	}},
	{"pass a minute", 3, always, func(w *world, t *rapid.T) {
		w.pass(time.Duration(rapid.IntRange(10, 90).Draw(t, "seconds")) * time.Second)
	}},
	{"pass many minutes", 1, always, func(w *world, t *rapid.T) {
		w.pass(time.Duration(rapid.IntRange(3, 15).Draw(t, "minutes")) * time.Minute)
	}},
}

var background = context.Background()
