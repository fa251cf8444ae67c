// SPDX-License-Identifier: Apache-2.0

package core

import (
	"fmt"

	"github.com/macpool/macpool/hack/bench/measure"
)

// result is what follows from the costs.
func result(costs map[operation]map[pool]*cost, rounds int) *measure.Result {
	r := &measure.Result{
		About: fmt.Sprintf("What the index of leases costs, without any API: the benchmarks of internal/allocator, each in a process of its own, %d rounds in turn. "+
			"A pick is that of an identity that has no lease, and comes to nothing; the life of a lease is picked, committed, seen, released, cooled down and deleted. "+
			"The sparse pools have 10,000 leases.", rounds),
	}
	chart := measure.Chart{Name: "core-time", Title: "Operations of the index, median", YLabel: "ns"}
	growth := measure.Table{Title: "Growth, within one run", Header: []string{"operation", nearlyAll + " against empty", large + " against /16, empty"}}
	lines := map[pool]*measure.Line{}
	for _, p := range pools {
		lines[p] = &measure.Line{Name: p.name}
	}
	for _, o := range operations {
		table := measure.Table{Title: o.name, Header: []string{"pool", "ns p50", "allocations", "octets"}}
		chart.Labels = append(chart.Labels, o.name)
		byName := map[string]*cost{}
		for _, p := range pools {
			c := costs[o][p]
			byName[p.name] = c
			r.Series = append(r.Series, c.time, c.octets, c.allocations)
			median := c.time.Quantile(0.5)
			lines[p].Y = append(lines[p].Y, median)
			table.Rows = append(table.Rows, []string{
				p.name, fmt.Sprintf("%.0f", median), fmt.Sprintf("%.0f", c.allocations.Quantile(0.5)), fmt.Sprintf("%.0f", c.octets.Quantile(0.5)),
			})
		}
		r.Tables = append(r.Tables, table)
		ratio := func(name string) string {
			return fmt.Sprintf("%.2f×", measure.Ratio(byName[name].time, byName[empty].time, 0.5))
		}
		growth.Rows = append(growth.Rows, []string{o.name, ratio(nearlyAll), ratio(large)})
	}
	r.Tables = append(r.Tables, growth)
	for _, p := range pools {
		chart.Lines = append(chart.Lines, *lines[p])
	}
	r.Charts = []measure.Chart{chart}
	return r
}
