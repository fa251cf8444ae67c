// SPDX-License-Identifier: Apache-2.0

package execs

import (
	"fmt"
	"strconv"

	"github.com/macpool/macpool/hack/bench/measure"
)

// result is what follows from the costs.
func result(all []*candidate, rounds int) *measure.Result {
	r := &measure.Result{
		About: fmt.Sprintf("What one exec of a plugin costs, called as the IPAM plugin of a macvlan: %d rounds in turn of %d pods, each with a VERSION, an ADD and a DEL. "+
			"CPU is user and system time of the process. macpool's agent is a double that answers at once. macpool's ADD sets the MAC of an interface and has it announced, "+
			"its DEL sets the interface down, static and skelonly touch none, and host-local writes files, without an fsync. "+
			"Each plugin runs from a copy that was written like the others'. Memory is what /proc says when the process ends, in a call apart.", rounds, perRound),
		Tables: []measure.Table{programs(all)},
	}
	var base *candidate
	for _, c := range all {
		if c.name == baseline {
			base = c
		}
	}
	for _, verb := range verbs {
		r.Tables = append(r.Tables, table(all, base, verb))
	}
	macpool := all[0]
	r.Targets = append(r.Targets, measure.Target{Name: "size of the plugin", Value: float64(macpool.size) / 1e6, Bound: 4, Unit: "MB"})
	for _, verb := range verbs {
		r.Targets = append(r.Targets, measure.Target{
			Name: "CPU of " + verb + ", against a plugin that does nothing", Value: measure.Ratio(macpool.costs[verb].cpu, base.costs[verb].cpu, 0.5), Bound: 1.3,
		})
	}
	chart := measure.Chart{Name: "exec-cpu", Title: "CPU time of one exec, median", YLabel: "ms", Labels: verbs}
	for _, c := range all {
		line := measure.Line{Name: c.name}
		for _, verb := range verbs {
			of := c.costs[verb]
			line.Y = append(line.Y, of.cpu.Quantile(0.5))
			r.Series = append(r.Series, of.cpu, of.wall, of.faults, of.yields)
		}
		chart.Lines = append(chart.Lines, line)
	}
	r.Charts = []measure.Chart{chart}
	return r
}

func programs(all []*candidate) measure.Table {
	t := measure.Table{Title: "The programs", Header: []string{"plugin", "size, MB", "packages", "stripped"}}
	for _, c := range all {
		stripped := "yes"
		if c.symbols {
			stripped = "no"
		}
		t.Rows = append(t.Rows, []string{c.name, fmt.Sprintf("%.2f", float64(c.size)/1e6), strconv.Itoa(c.packages), stripped})
	}
	return t
}

func table(all []*candidate, base *candidate, verb string) measure.Table {
	t := measure.Table{Title: verb, Header: []string{
		"plugin", "CPU p50, ms", "p90", "against " + baseline, "time p50, ms", "p90", "p99", "page faults", "context switches", "peak RSS, MB", "of it anonymous",
	}}
	for _, c := range all {
		of, m := c.costs[verb], c.peaks[verb]
		t.Rows = append(t.Rows, []string{
			c.name, number(of.cpu.Quantile(0.5)), number(of.cpu.Quantile(0.9)), fmt.Sprintf("%.2f×", measure.Ratio(of.cpu, base.costs[verb].cpu, 0.5)),
			number(of.wall.Quantile(0.5)), number(of.wall.Quantile(0.9)), number(of.wall.Quantile(0.99)),
			fmt.Sprintf("%.0f", of.faults.Quantile(0.5)), fmt.Sprintf("%.0f", of.yields.Quantile(0.5)),
			megabytes(m.Peak), megabytes(m.Anonymous),
		})
	}
	return t
}

func number(v float64) string { return fmt.Sprintf("%.2f", v) }

func megabytes(octets float64) string { return fmt.Sprintf("%.1f", octets/1e6) }
