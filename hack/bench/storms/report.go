// SPDX-License-Identifier: Apache-2.0

package storms

import (
	"fmt"
	"slices"
	"time"

	"github.com/macpool/macpool/hack/bench/farm"
	"github.com/macpool/macpool/hack/bench/measure"
)

// curve keeps how many were done when, of the first round.
func (s *section) curve(round int, name string, w *farm.Wave) {
	if round > 0 {
		return
	}
	line := measure.Line{Name: name, X: []float64{0}, Y: []float64{0}}
	const step = 10
	for i, at := range slices.Sorted(slices.Values(w.Ended)) {
		if (i+1)%step == 0 {
			line.X = append(line.X, float64(at)/float64(time.Second))
			line.Y = append(line.Y, float64(i+1))
		}
	}
	s.curves = append(s.curves, line)
}

// all is how many sandboxes were made again in all rounds.
func (s *section) all(names ...string) float64 {
	total := 0.0
	for _, name := range names {
		for _, round := range s.result.Get(name+": sandboxes made again", "sandboxes").Rounds {
			for _, n := range round {
				total += n
			}
		}
	}
	return total
}

// conclude makes tables, targets and the chart.
func (s *section) conclude() {
	table := measure.Table{Title: "Storms", Header: []string{"what", "s", "of static's", "p50 of each, ms", "p99 of each, ms"}}
	for _, row := range []struct{ name, floor string }{
		{staticStorm, staticStorm},
		{storm, staticStorm},
		{again, staticStorm},
		{powerCycle, staticStorm},
		{unboundStorm, staticStorm},
		{staticWide, staticWide},
		{wide, staticWide},
	} {
		whole, each := s.result.Get(row.name, "s"), s.result.Get(row.name+": each", "ms")
		table.Rows = append(table.Rows, []string{
			row.name, fmt.Sprintf("%.2f", whole.Quantile(0.5)), fmt.Sprintf("%.2f×", measure.Ratio(whole, s.result.Get(row.floor, "s"), 0.5)),
			fmt.Sprintf("%.0f", each.Quantile(0.5)), fmt.Sprintf("%.0f", each.Quantile(0.99)),
		})
	}
	around := measure.Table{Title: "Around them", Header: []string{"what", "s"}}
	for _, name := range []string{podsMade, boundAfter, podsAgain, againAfter, detached, agentsReady, podsMadeWide, boundWide} {
		around.Rows = append(around.Rows, []string{name, fmt.Sprintf("%.2f", s.result.Get(name, "s").Quantile(0.5))})
	}
	for _, name := range []string{storm, again, powerCycle, unboundStorm} {
		around.Rows = append(around.Rows, []string{
			name + ": sandboxes made again, of 1,000, because an ADD had said that it may work later",
			fmt.Sprintf("%.0f (number)", s.result.Get(name+": sandboxes made again", "sandboxes").Quantile(0.5)),
		})
	}
	s.result.Tables = append(s.result.Tables, table, around)
	costs := measure.Table{
		Title: "What a storm costs: CPU seconds, and requests to macpool's resources", Header: append(append([]string{"what"}, programs...), "requests"),
	}
	for _, name := range []string{staticStorm, storm, again, powerCycle, unboundStorm, staticWide, wide} {
		row := []string{name}
		for _, program := range programs {
			row = append(row, fmt.Sprintf("%.2f", s.result.Get(name+": CPU of "+program, "s").Quantile(0.5)))
		}
		costs.Rows = append(costs.Rows, append(row, fmt.Sprintf("%.0f", s.result.Get(name+": requests", "requests").Quantile(0.5))))
	}
	s.result.Tables = append(s.result.Tables, costs)
	ratio := func(a, b string) float64 { return measure.Ratio(s.result.Get(a, "s"), s.result.Get(b, "s"), 0.5) }
	s.result.Targets = append(s.result.Targets,
		measure.Target{Name: "storm of 1,000 ADDs, of the static storm", Value: ratio(storm, staticStorm), Bound: 1.5},
		measure.Target{Name: "storm of the same identities, of the first", Value: ratio(again, storm), Bound: 1.1},
		measure.Target{Name: "sandboxes of the first two storms that were made again", Value: s.all(storm, again), Bound: 0, Unit: "sandboxes"},
		measure.Target{Name: "addresses that two have", Value: float64(s.duplicates), Bound: 0, Unit: "duplicates"},
	)
	s.result.Charts = append(s.result.Charts, measure.Chart{
		Name: "storm", Title: "1,000 ADDs at once on 50 nodes", XLabel: "seconds", YLabel: "ADDs done", Lines: s.curves,
	})
}
