// SPDX-License-Identifier: Apache-2.0

package model

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/macpool/macpool/e2e/chaos/report"
)

var (
	update = flag.Bool("update", false, "write docs/design/model.md anew")
	long   = flag.Bool("long", os.Getenv("MACPOOL_MODEL_LONG") != "", "explore the scopes that take minutes as well")
)

const document = "../../docs/design/model.md"

// TestModel is H0: I1 to I6 hold in every state of every scope, and each guard that is left out leads to a violation; so do the
// assumptions, where the pool's takeover is not Strict. What it comes to is docs/design/model.md.
func TestModel(t *testing.T) {
	skipWithRaceDetector(t)
	d := &documentation{}
	sum := report.Report{Harness: "model", Replay: "CGO_ENABLED=0 go test -run TestModel ./internal/model", Figures: map[string]float64{}}
	began := time.Now()
	explore := func(t *testing.T, scope Scope, off ...Guard) Result {
		t.Helper()
		start := time.Now()
		r := Explore(scope, Off(off...))
		t.Logf("%d states, %d transitions, depth %d, %.1f s: %s %s", r.States, r.Transitions, r.Depth, time.Since(start).Seconds(), r.Invariant, r.What)
		sum.Steps += int64(r.Transitions)
		sum.Figures["states"] += float64(r.States)
		return r
	}
	holds := func(t *testing.T, scope Scope, off ...Guard) Result {
		t.Helper()
		r := explore(t, scope, off...)
		if r.Invariant != "" {
			t.Errorf("%s is violated: %s\n%s", r.Invariant, r.What, strings.Join(r.Trace, "\n"))
			sum.Violations = append(sum.Violations, scope.Name+": "+r.Invariant+": "+r.What)
		}
		return r
	}
	for _, scope := range Quick() {
		t.Run(scope.Name, func(t *testing.T) {
			d.scopes = append(d.scopes, explored{scope, holds(t, scope)})
		})
	}
	for _, c := range Cases() {
		t.Run("without "+names(c.Off), func(t *testing.T) {
			r := explore(t, c.Scope, c.Off...)
			if r.Invariant != c.Invariant {
				t.Errorf("%q is violated, want %s", r.Invariant, c.Invariant)
			}
			for _, g := range c.Off {
				if len(c.Off) == 1 || hasOwnCase(g) {
					continue
				}
				if r := Explore(c.Scope, Off(g)); r.Invariant != "" {
					t.Errorf("%s alone leads to a violation of %s already", g, r.Invariant)
				}
			}
			d.cases = append(d.cases, tried{c, r})
			sum.Figures["guards"]++
		})
	}
	for _, c := range Assumptions() {
		t.Run("not assuming "+names(c.Off), func(t *testing.T) {
			r := explore(t, c.Scope, c.Off...)
			if r.Invariant != c.Invariant {
				t.Errorf("%q is violated, want %s", r.Invariant, c.Invariant)
			}
			d.assumptions = append(d.assumptions, tried{c, r})
		})
	}
	scope, off := WithoutAssumptions()
	t.Run(scope.Name, func(t *testing.T) {
		d.scopes = append(d.scopes, explored{scope, holds(t, scope, off...)})
	})
	if *long {
		for _, scope := range Long() {
			t.Run(scope.Name, func(t *testing.T) { holds(t, scope) })
		}
	}
	sum.Seconds = time.Since(began).Seconds()
	if err := sum.Write(os.Getenv(report.DirEnv), "model"); err != nil {
		t.Error(err)
	}
	compare(t, d.markdown())
}

// skipWithRaceDetector skips what is one goroutine that computes for a minute. make test runs it without.
func skipWithRaceDetector(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("nothing runs beside it, and the race detector makes it ten times as long")
	}
}

// compare compares the document with what it should be, or writes it.
func compare(t *testing.T, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the model says: go test ./internal/model -update", document)
	}
}

// TestReductions shows that what makes fewer states of many hides nothing: without it the same invariants are violated, by
// traces of the same length, and nothing else.
func TestReductions(t *testing.T) {
	skipWithRaceDetector(t)
	const most = 100_000
	for _, c := range Cases() {
		with := Explore(c.Scope, Off(c.Off...))
		if with.States*10 > most {
			continue
		}
		if without := exploreRaw(c.Scope, Off(c.Off...)); without.Invariant != with.Invariant || without.Steps != with.Steps {
			t.Errorf("without %s: %s after %d steps, reduced %s after %d", names(c.Off), without.Invariant, without.Steps, with.Invariant, with.Steps)
		}
	}
	for _, scope := range []Scope{
		{Pods: first, Faults: 1, Incarnations: 1, Managers: 1},
		{Pods: first, Faults: 1, Retries: 1, Incarnations: 2, Managers: 1},
		{Pods: first | second, Incarnations: 1, Managers: 1},
		{Pods: first | other, Incarnations: 1, Managers: 1},
	} {
		with, without := Explore(scope, 0), exploreRaw(scope, 0)
		t.Logf("%d states of %d", with.States, without.States)
		if without.Invariant != "" || with.Invariant != "" {
			t.Errorf("%+v: %s, reduced %s", scope, without.Invariant, with.Invariant)
		}
	}
}

// TestPack packs and unpacks states of every kind.
func TestPack(t *testing.T) {
	scope := Scope{Pods: allPods, Faults: 2, Retries: 1, Incarnations: 2, Managers: 2, StaleIndex: true}
	m := &machine{scope: scope}
	level, seen := []state{{}}, map[key]bool{}
	for len(seen) < 50_000 && len(level) > 0 {
		var next []state
		for i := range level {
			m.next(&level[i], func(path []label, s *state) {
				s.canonical()
				k := s.pack(false)
				if seen[k] {
					return
				}
				seen[k] = true
				if got := k.unpack(false); got != *s {
					t.Fatalf("after %v:\ngot  %+v\nwant %+v", path, got, *s)
				}
				next = append(next, *s)
			})
		}
		level = next
	}
}

// hasOwnCase tells whether the guard alone is in the table already.
func hasOwnCase(g Guard) bool {
	for _, c := range Cases() {
		if len(c.Off) == 1 && c.Off[0] == g {
			return true
		}
	}
	return false
}

func names(guards []Guard) string {
	var all []string
	for _, g := range guards {
		all = append(all, g.String())
	}
	return strings.Join(all, " and ")
}
