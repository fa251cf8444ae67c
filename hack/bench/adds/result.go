// SPDX-License-Identifier: Apache-2.0

package adds

import (
	"fmt"
	"math"

	"github.com/macpool/macpool/hack/bench/measure"
)

const about = "ADD and DEL as a runtime makes them, by libcni, each candidate as its users write it: macvlan with `ipam: macpool` and the chained entry, " +
	"with its claims bound before and its question to the VLAN answered (pre-bound), or bound by the agent while the manager stands still (unbound); macvlan with " +
	"`host-local`, whose files are on the same disk as the agent's journal; the same with a chained plugin that does nothing, which is the price of one more exec; and macvlan " +
	"with `static`. All interfaces are in network namespaces that were made before and have one parent. p50, p90 and p99 are medians over the rounds of the quantile of each round, ratios those of the rounds' ratios. " +
	"CPU is that of the plugins with their children, and of the agent, without what the kernel does for nobody. In the agent is the mean time until it had answered all that the plugin asked for one call."

func (f *findings) result(full fullNode) *measure.Result {
	r := &measure.Result{About: about, Series: f.all()}
	for _, verb := range []string{verbADD, verbDEL} {
		for _, l := range levels {
			r.Tables = append(r.Tables, f.table(verb, l))
		}
		r.Charts = append(r.Charts, f.chart(verb))
	}
	r.Tables = append(r.Tables, measure.Table{
		Title:  fmt.Sprintf("The agent of a node with %d pods attached", most),
		Header: []string{"", "resident, MiB", "of it anonymous, MiB"},
		Rows: [][]string{
			{"after all ADDs above", mib(full.worn.Resident), mib(full.worn.Anonymous)},
			{"started anew", mib(full.fresh.Resident), mib(full.fresh.Anonymous)},
		},
	})
	for _, l := range levels {
		for _, goal := range []struct {
			quantile float64
			name     string
			bound    float64
		}{{0.5, "p50", 1.1}, {0.99, "p99", 1.5}} {
			r.Targets = append(r.Targets, measure.Target{
				Name:  fmt.Sprintf("ADD, pre-bound, %s of host-local's, %s", goal.name, callers(l)),
				Value: measure.Ratio(f.of(prebound, l.callers, verbADD, took), f.of(hostLocal, l.callers, verbADD, took), goal.quantile), Bound: goal.bound,
			})
		}
	}
	for _, l := range levels {
		r.Targets = append(r.Targets, measure.Target{
			Name:  "ADD, pre-bound, p50 with the probe of that without, " + callers(l),
			Value: measure.Ratio(f.of(prebound, l.callers, verbADD, took), f.of(preboundOff, l.callers, verbADD, took), 0.5), Bound: 1.1,
		})
	}
	most := levels[len(levels)-1]
	r.Targets = append(r.Targets,
		measure.Target{Name: "fsyncs per pre-bound ADD, " + callers(levels[0]), Value: f.of(prebound, levels[0].callers, verbADD, syncs).Quantile(0.5), Bound: 1, Unit: "fsyncs"},
		measure.Target{Name: "fsyncs per pre-bound ADD, " + callers(most), Value: f.of(prebound, most.callers, verbADD, syncs).Quantile(0.5), Bound: 1, Unit: "fsyncs"},
		measure.Target{Name: "agent resident with 110 pods", Value: full.worn.Resident / (1 << 20), Bound: 25, Unit: "MiB"},
	)
	return r
}

func callers(l level) string {
	if l.callers == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", l.callers)
}

func (f *findings) table(verb string, l level) measure.Table {
	t := measure.Table{
		Title:  fmt.Sprintf("%s, %s (times in ms)", verb, callers(l)),
		Header: []string{"", "p50", "p90", "p99", "max", "p50 / host-local", "p99 / host-local", "per s", "CPU plugins", "CPU agent", "in the agent", "journal records", "fsyncs"},
	}
	floor := f.of(hostLocal, l.callers, verb, took)
	for _, k := range f.kinds {
		times := f.of(k.name, l.callers, verb, took)
		if times == nil {
			continue
		}
		row := []string{k.name}
		for _, q := range []float64{0.5, 0.9, 0.99} {
			row = append(row, fmt.Sprintf("%.1f", times.Quantile(q)))
		}
		greatest := 0.0
		for _, round := range times.Rounds {
			for _, v := range round {
				greatest = math.Max(greatest, v)
			}
		}
		row = append(row, fmt.Sprintf("%.1f", greatest))
		for _, q := range []float64{0.5, 0.99} {
			row = append(row, fmt.Sprintf("%.2f", measure.Ratio(times, floor, q)))
		}
		for _, of := range []figure{rate, plugins, agent, answers, records, syncs} {
			row = append(row, fmt.Sprintf("%.2f", f.of(k.name, l.callers, verb, of).Quantile(0.5)))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (f *findings) chart(verb string) measure.Chart {
	c := measure.Chart{Name: "add-" + verb, Title: verb + " through macvlan, median", YLabel: "ms", LogY: true}
	for _, l := range levels {
		c.Labels = append(c.Labels, callers(l))
	}
	for _, name := range []string{prebound, hostLocal, hostLocalTwo, static, unboundOff} {
		line := measure.Line{Name: name}
		for _, l := range levels {
			line.Y = append(line.Y, f.of(name, l.callers, verb, took).Quantile(0.5))
		}
		c.Lines = append(c.Lines, line)
	}
	return c
}

func mib(octets float64) string { return fmt.Sprintf("%.1f", octets/(1<<20)) }
