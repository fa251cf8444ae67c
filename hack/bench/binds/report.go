// SPDX-License-Identifier: Apache-2.0

package binds

import (
	"fmt"

	"github.com/macpool/macpool/hack/bench/measure"
)

// pairs are who is compared with what.
var pairs = []struct{ name, bare string }{{byManager, asManager}, {byAgents, asAgents}}

// conclude makes tables, targets and a chart of what was measured.
func (s *section) conclude() {
	rates := measure.Table{Title: "Binds per second", Header: []string{"who", "in flight", "binds/s", "of the bare writes", "p50 ms", "p99 ms"}}
	cpu := measure.Table{Title: "CPU milliseconds per bind, 50 in flight", Header: append([]string{"who"}, programs...)}
	chart := measure.Chart{Name: "binds", Title: "Binds per second", YLabel: "binds/s"}
	for _, level := range levels {
		chart.Labels = append(chart.Labels, fmt.Sprintf("%d in flight", level.width))
	}
	for _, pair := range pairs {
		for _, name := range []string{pair.bare, pair.name} {
			line := measure.Line{Name: name}
			for _, level := range levels {
				rate, took := s.result.Find(rateOf(name, level.width)), s.result.Find(timeOf(name, level.width))
				ratio := measure.Ratio(rate, s.result.Find(rateOf(pair.bare, level.width)), 0.5)
				rates.Rows = append(rates.Rows, []string{
					name, fmt.Sprint(level.width), fmt.Sprintf("%.0f", rate.Quantile(0.5)), fmt.Sprintf("%.2f×", ratio),
					fmt.Sprintf("%.1f", took.Quantile(0.5)), fmt.Sprintf("%.1f", took.Quantile(0.99)),
				})
				line.Y = append(line.Y, rate.Quantile(0.5))
				if name == byAgents {
					s.result.Targets = append(s.result.Targets, measure.Target{
						Name:  fmt.Sprintf("unbound ADDs per bare writes, %d in flight", level.width),
						Value: ratio, Bound: 0.7, AtLeast: true,
					})
				}
			}
			chart.Lines = append(chart.Lines, line)
			row := []string{name}
			for _, program := range programs {
				text := "-"
				if one := s.result.Find(cpuOf(name, 50, program)); one != nil {
					text = fmt.Sprintf("%.1f", one.Quantile(0.5))
				}
				row = append(row, text)
			}
			cpu.Rows = append(cpu.Rows, row)
		}
	}
	s.result.Tables = append(s.result.Tables, rates, cpu)
	s.result.Charts = append(s.result.Charts, chart)
}
