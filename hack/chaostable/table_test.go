// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/macpool/macpool/e2e/chaos/report"
)

func TestTable(t *testing.T) {
	a := &report.Report{Harness: "realapi", Adds: 1000, Dels: 999, Seconds: 60, Scale: 20, Figures: map[string]float64{"addsPerSecond": 10}}
	a.AddFault("F3", "agent SIGKILL", "m2", 7)
	a.AddFault("R-K4", "agent: delay", "m0-m1", 2)
	b := &report.Report{Harness: "realapi", Adds: 234, Seconds: 60, Figures: map[string]float64{"addsPerSecond": 30}}
	b.AddFault("F3", "agent SIGKILL", "m2", 5)
	c := &report.Report{Harness: "mutants", Mutants: []report.Mutant{{ID: "M09", Killed: true, By: "TestX", Seconds: 1.5}, {ID: "M10"}}}
	d := &report.Report{Harness: "mutants", Mutants: []report.Mutant{{ID: "M10", Killed: true, By: "TestY"}}}
	table := sum([]*report.Report{a, b, c, d})
	var text strings.Builder
	table.write(&text)
	for _, want := range []string{
		"| realapi | 2 | 2 | 0 | 1 234 | 999 |",
		"| F3 | agent killed | **0** | 12 | **0** | **0** | **0** | · |",
		"14 faults of 2 classes were injected. Mutants killed: 2 of 2.",
		"divided by 20 in realapi",
		"| R-K4 | | 2 |",
		"| M09 | TestX | 1.5 |",
		"- addsPerSecond: 20\n",
		"| F30 | foreign device present | not here: ",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if n := table.wrong(); n != 0 {
		t.Errorf("%d wrong", n)
	}
	if missed := table.missed(); len(missed) < 100 || missed[0] != "F1 m0-m1" {
		t.Errorf("missed %v", missed)
	}
	bad := &report.Report{Harness: "dataplane", Duplicates: 1, Violations: []string{"duplicate: x"}}
	if n := sum([]*report.Report{a, bad, c}).wrong(); n != 2 {
		t.Errorf("%d wrong, want the duplicate and the mutant that lives", n)
	}
}
