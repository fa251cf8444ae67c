// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/macpool/macpool/e2e/chaos/report"
)

// table is what all reports come to.
type table struct {
	harnesses map[string]*report.Report // by name, added up
	runs      map[string]int
	cells     map[string]map[string]int64 // fault -> moment -> count
	classes   map[string]int64
	mutants   map[string]report.Mutant
	faults    int64
}

// sum adds reports up. A mutant that one run has killed is killed.
func sum(all []*report.Report) *table {
	t := &table{
		harnesses: map[string]*report.Report{}, runs: map[string]int{}, cells: map[string]map[string]int64{},
		classes: map[string]int64{}, mutants: map[string]report.Mutant{},
	}
	for _, r := range all {
		s := t.harnesses[r.Harness]
		if s == nil {
			s = &report.Report{Harness: r.Harness, Figures: map[string]float64{}}
			t.harnesses[r.Harness] = s
		}
		t.runs[r.Harness]++
		s.Seconds += r.Seconds
		s.Scale = max(s.Scale, r.Scale)
		for to, from := range map[*int64]int64{
			&s.Steps: r.Steps, &s.Adds: r.Adds, &s.Dels: r.Dels, &s.Restores: r.Restores, &s.Histories: r.Histories,
			&s.Duplicates: r.Duplicates, &s.FalseReleases: r.FalseReleases, &s.LostLeases: r.LostLeases, &s.Orphans: r.Orphans,
		} {
			*to += from
		}
		s.Violations = append(s.Violations, r.Violations...)
		for key, v := range r.Figures {
			s.Figures[key] += v
		}
		for _, f := range r.Faults {
			if t.cells[f.ID] == nil {
				t.cells[f.ID] = map[string]int64{}
			}
			t.cells[f.ID][f.Moment] += f.Count
			t.classes[f.ID+" "+f.Class] += f.Count
			t.faults += f.Count
		}
		for _, m := range r.Mutants {
			if known, ok := t.mutants[m.ID]; !ok || m.Killed && !known.Killed {
				t.mutants[m.ID] = m
			}
		}
	}
	return t
}

// wrong is how many things were found that must not be.
func (t *table) wrong() int64 {
	var n int64
	for _, r := range t.harnesses {
		n += max(r.Duplicates+r.FalseReleases+r.LostLeases+r.Orphans, int64(len(r.Violations)))
	}
	for _, m := range t.mutants {
		if !m.Killed {
			n++
		}
	}
	return n
}

// missed are the cells that apply and were not touched.
func (t *table) missed() []string {
	var all []string
	for _, c := range report.Untouched(func(c report.Cell) int64 { return t.cells[c.ID][c.Moment] }) {
		all = append(all, c.ID+" "+c.Moment)
	}
	return all
}

func (t *table) write(w io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	names := slices.Sorted(maps.Keys(t.harnesses))
	p("| harness | runs | minutes | steps | ADD | DEL | restores | histories in order | duplicates | false releases | lost leases | orphans |")
	p("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	total := &report.Report{}
	row := func(name string, runs int, r *report.Report) {
		p("| %s | %d | %.0f | %s | %s | %s | %s | %s | %d | %d | %d | %d |", name, runs, r.Seconds/60, number(r.Steps), number(r.Adds), number(r.Dels),
			number(r.Restores), number(r.Histories), r.Duplicates, r.FalseReleases, r.LostLeases, r.Orphans)
	}
	runs := 0
	for _, name := range names {
		r := t.harnesses[name]
		row(name, t.runs[name], r)
		runs += t.runs[name]
		total.Seconds += r.Seconds
		for to, from := range map[*int64]int64{
			&total.Steps: r.Steps, &total.Adds: r.Adds, &total.Dels: r.Dels, &total.Restores: r.Restores, &total.Histories: r.Histories,
			&total.Duplicates: r.Duplicates, &total.FalseReleases: r.FalseReleases, &total.LostLeases: r.LostLeases, &total.Orphans: r.Orphans,
		} {
			*to += from
		}
	}
	row("**all**", runs, total)
	killed := 0
	for _, m := range t.mutants {
		if m.Killed {
			killed++
		}
	}
	p("\n%s faults of %d classes were injected. Mutants killed: %d of %d.", number(t.faults), len(t.classes), killed, len(t.mutants))
	for _, name := range names {
		if r := t.harnesses[name]; r.Scale > 1 {
			p("Times of the matrix that are minutes are divided by %.0f in %s.", r.Scale, name)
		}
	}

	p("\n| fault | | %s |", strings.Join(report.Moments, " | "))
	p("|---|---|%s", strings.Repeat("--:|", len(report.Moments)))
	for _, r := range report.Matrix {
		if r.Elsewhere != "" {
			p("| %s | %s | not here: %s%s |", r.ID, r.Name, r.Elsewhere, strings.Repeat(" |", len(report.Moments)-1))
			continue
		}
		p("| %s | %s | %s |", r.ID, r.Name, strings.Join(t.row(r), " | "))
	}
	for _, id := range t.others() {
		p("| %s | | %s |", id, strings.Join(t.row(anyRow(id)), " | "))
	}

	p("\n| class | times |\n|---|--:|")
	for _, class := range slices.SortedFunc(maps.Keys(t.classes), byID) {
		p("| %s | %s |", class, number(t.classes[class]))
	}
	if len(t.mutants) > 0 {
		p("\n| mutant | killed by | seconds |\n|---|---|--:|")
		for _, id := range slices.Sorted(maps.Keys(t.mutants)) {
			m := t.mutants[id]
			by := m.By
			if !m.Killed {
				by = "**nobody**"
			}
			p("| %s | %s | %.1f |", id, by, m.Seconds)
		}
	}
	for _, name := range names {
		r := t.harnesses[name]
		if len(r.Figures) > 0 {
			p("\n%s:", name)
		}
		for _, key := range slices.Sorted(maps.Keys(r.Figures)) {
			v := r.Figures[key]
			if strings.HasSuffix(key, "PerSecond") {
				v /= float64(t.runs[name])
			}
			p("- %s: %s", key, strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.1f", v), "0"), "."))
		}
		for _, v := range r.Violations {
			p("- **%s**", v)
		}
	}
}

func anyRow(id string) report.Row {
	return report.Row{ID: id, Moments: strings.Join(report.Moments, " ")}
}

// row are the counts of a fault, moment by moment; where it does not apply, a dot, unless it was tried all the same.
func (t *table) row(r report.Row) []string {
	var cells []string
	for _, m := range report.Moments {
		switch n := t.cells[r.ID][m]; {
		case n > 0:
			cells = append(cells, number(n))
		case r.Applies(m):
			cells = append(cells, "**0**")
		default:
			cells = append(cells, "·")
		}
	}
	return cells
}

// others are faults that the matrix does not have.
func (t *table) others() []string {
	var all []string
	for id := range t.cells {
		if !slices.ContainsFunc(report.Matrix, func(r report.Row) bool { return r.ID == id }) {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

// byID sorts F2 before F10.
func byID(a, b string) int {
	idA, _, _ := strings.Cut(a, " ")
	idB, _, _ := strings.Cut(b, " ")
	return cmp.Or(cmp.Compare(len(idA), len(idB)), cmp.Compare(a, b))
}

// number is n with its thousands apart.
func number(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}
