// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"io"
	"slices"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/invariants"
)

// answer is what check has to say.
type answer struct {
	Compared   compared               `json:"compared"`
	Violations []invariants.Violation `json:"violations"`
	// NotCompared is what could not be, and why.
	NotCompared []string `json:"notCompared"`
	// Passed is how many differences were gone when they were looked at again.
	Passed int `json:"passed"`

	palette cli.Palette
}

// compared is how much was.
type compared struct {
	Pools      int `json:"pools"`
	Claims     int `json:"claims"`
	Leases     int `json:"leases"`
	Agents     int `json:"agents"`
	Interfaces int `json:"interfaces"`
}

func answerOf(r *result) *answer {
	a := &answer{
		Compared:   compared{Pools: len(r.Pools), Claims: len(r.Claims), Leases: len(r.Leases), Agents: len(r.Agents)},
		Violations: append([]invariants.Violation{}, r.violations...), NotCompared: []string{}, Passed: r.passed,
	}
	for _, all := range r.Agents {
		a.Compared.Interfaces += len(all)
	}
	for _, err := range r.unasked {
		a.NotCompared = append(a.NotCompared, "agent of "+err.Error())
	}
	a.NotCompared = append(a.NotCompared, r.remarks...)
	slices.SortStableFunc(a.Violations, func(x, y invariants.Violation) int {
		return slices.Compare([]string{x.Invariant, x.Sentence}, []string{y.Invariant, y.Sentence})
	})
	return a
}

// Print implements cli.Answer.
func (a *answer) Print(w io.Writer, wide bool) error {
	p := cli.NewPage(w)
	c := &a.Compared
	p.Line("Compared %s, %s, %s, and %s with %s.", count(c.Pools, "pool"), count(c.Claims, "claim"), count(c.Leases, "lease"),
		count(c.Agents, "agent"), count(c.Interfaces, "interface"))
	if a.Passed > 0 {
		p.Line("Differences that were gone, or written anew, at the second look: %d.", a.Passed)
	}
	if len(a.NotCompared) > 0 {
		p.Line("\n%s", a.palette.Odd("Not compared:"))
		for _, what := range a.NotCompared {
			p.Line("  %s", what)
		}
	}
	for _, v := range a.Violations {
		p.Line("\n%s  %s", a.palette.Bad(v.Invariant), a.palette.Bold(v.Sentence))
		p.Line("    %s", v.Fix)
		if wide {
			for _, o := range v.Objects {
				p.Line("    %s", a.palette.Faint(o.Kind+" "+namespaced(o)))
			}
		}
	}
	if len(a.Violations) == 0 {
		p.Line("\n%s", a.palette.Good("No violation of I1 to I8."))
	} else {
		p.Line("\n%s", a.palette.Bad(fmt.Sprintf("Violations: %d.", len(a.Violations))))
	}
	return p.Err()
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func namespaced(o invariants.Object) string {
	if o.Namespace == "" {
		return o.Name
	}
	return o.Namespace + "/" + o.Name
}

// Names implements cli.Answer.
func (a *answer) Names() []string {
	var names []string
	for _, v := range a.Violations {
		for _, o := range v.Objects {
			name := "pod/" + o.Name
			if o.Kind != "Pod" {
				name = lower[o.Kind] + "." + v1alpha1.GroupVersion.Group + "/" + o.Name
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

var lower = map[string]string{"MacPool": "macpool", "MacClaim": "macclaim", "MacLease": "maclease", "MacNode": "macnode"}
