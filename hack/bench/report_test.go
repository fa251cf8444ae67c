// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/hack/bench/measure"
)

const wantReport = `- a machine

### Targets

| section | what | measured | target | met |
| --- | --- | --- | --- | --- |
| exec | CPU of ADD | 1.70× | ≤ 1.30× | **no** |
| exec | size | 3.8 MB | ≤ 4 MB | yes |
| core | growth | NaN× | ≤ 2.00× | **no** |

## exec

What one exec costs.

On a day.

### ADD

| plugin | ms |
| --- | --- |
| macpool | 2.36 |
| static | 1.62 |

![CPU time](exec-cpu.svg)

## core

The index.

On another.
`

// A report is read from its top to its end, and so is this.
func TestWholeReport(t *testing.T) {
	dir := t.TempDir()
	results := []*measure.Result{
		{Section: "core", About: "The index.", Conditions: "On another.", Targets: []measure.Target{{Name: "growth", Value: math.NaN(), Bound: 2}}},
		{
			Section: "exec", About: "What one exec costs.", Conditions: "On a day.",
			Tables:  []measure.Table{{Title: "ADD", Header: []string{"plugin", "ms"}, Rows: [][]string{{"macpool", "2.36"}, {"static", "1.62"}}}},
			Targets: []measure.Target{{Name: "CPU of ADD", Value: 1.7, Bound: 1.3}, {Name: "size", Value: 3.8, Bound: 4, Unit: "MB"}},
			Charts:  []measure.Chart{{Name: "exec-cpu", Title: "CPU time", YLabel: "ms", Labels: []string{"ADD"}, Lines: []measure.Line{{Name: "macpool", Y: []float64{2.36}}}}},
		},
	}
	for _, r := range results { // the report has the order of the program, whichever was measured first
		if err := writeJSON(filepath.Join(dir, r.Section+".json"), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := report(dir, []string{"a machine"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "of the section.\n\n")
	if diff := cmp.Diff(wantReport, rest); diff != "" {
		t.Error(diff)
	}
	picture, err := os.ReadFile(filepath.Join(dir, "exec-cpu.svg"))
	if err != nil || !strings.Contains(string(picture), "macpool, ADD: 2.36") {
		t.Errorf("the picture is %s, %v", picture, err)
	}
}

// Half a result is no result: the report does not pass over it.
func TestReportOfABrokenResult(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "exec.json"), []byte(`{"section":"exec"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := report(dir, []string{"a machine"}); err == nil || !strings.Contains(err.Error(), "exec") {
		t.Errorf("got %v", err)
	}
}

func TestReportOfNothing(t *testing.T) {
	dir := t.TempDir()
	if err := report(dir, []string{"a machine"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil || strings.Contains(string(text), "|") {
		t.Errorf("got %s, %v", text, err)
	}
}

// Names are the files of results and what -only takes.
func TestSections(t *testing.T) {
	seen := map[string]bool{}
	for _, one := range sections {
		if one.name == "" || one.name != filepath.Base(one.name) || strings.Contains(one.name, ",") || seen[one.name] || one.run == nil {
			t.Errorf("section %q cannot be called", one.name)
		}
		seen[one.name] = true
		if find(one.name) == nil {
			t.Errorf("section %s is not found", one.name)
		}
	}
}
