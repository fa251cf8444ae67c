// SPDX-License-Identifier: Apache-2.0

package growths

import (
	"fmt"

	"github.com/macpool/macpool/hack/bench/measure"
)

// result says what was found.
func (g *growth) result() *measure.Result {
	r := &measure.Result{
		About: fmt.Sprintf(`Two clusters run side by side, one with %d leases, one with %d; pods of both, and of pools of other sizes, take turns one by one. The leases are
stored in etcd behind the API server's back, with their claims, the pods that hold these, StatefulSets and nodes, as copies of what one pod's way through manager and
agent has left; the pool's count shows that all of them are served. Nodes that are idle are agents in one process, each with its own credentials, connection and caches.
An ADD goes through macvlan and both roles of macpool, by libcni; its address was bound and asked for on the VLAN before, or, unbound, its pod was created just before.
Binding is from the pod's creation to a claim with a lease.`, few, many),
	}
	for _, l := range append(append([]*lane{}, g.lanes...), g.quick...) {
		for _, s := range []*measure.Series{l.bind, l.add, l.unbound} {
			if len(s.Rounds) > 0 {
				r.Series = append(r.Series, s)
			}
		}
	}
	r.Tables = append(r.Tables, g.latencies(), g.managers(), g.costs.table(), g.idleness(), g.poolTable())
	r.Charts = append(r.Charts, g.chart())
	r.Targets = g.targets()
	return r
}

// ready and memory by number of leases: the median of the starts.
func (g *growth) median(leases int, of func(started) float64) float64 {
	var all []float64
	for _, s := range g.starts {
		if s.leases == leases {
			all = append(all, of(s))
		}
	}
	return measure.Median(all)
}

// slope is what one more lease adds, between some and many.
func (g *growth) slope(of func(started) float64) float64 {
	return (g.median(many, of) - g.median(some, of)) / (many - some)
}

func anonymous(s started) float64 { return s.memory.Anonymous }
func resident(s started) float64  { return s.memory.Resident }
func peak(s started) float64      { return s.memory.Peak }
func heap(s started) float64      { return s.heap }
func ready(s started) float64     { return s.ready }
func cpu(s started) float64       { return s.cpu }
func server(s started) float64    { return s.server }

func serverHeap(s started) float64 { return s.serverHeap }

func (g *growth) targets() []measure.Target {
	last := g.idle[len(g.idle)-1]
	return []measure.Target{
		{Name: fmt.Sprintf("ADD, bound ahead, p50, with %d leases to with %d", many, few), Value: measure.Ratio(g.lanes[1].add, g.lanes[0].add, 0.5), Bound: 1.1},
		{Name: fmt.Sprintf("the manager is ready on %d leases", many), Value: g.median(many, ready), Bound: 10, Unit: "s"},
		{Name: "anonymous memory of the manager for each claim with its lease and its pod", Value: g.slope(anonymous) / 1000, Bound: 3, Unit: "KB"},
		{Name: fmt.Sprintf("memory of an agent with %d pods, beside %d leases", podsOfNode, many), Value: g.node.Resident / (1 << 20), Bound: 25, Unit: "MiB"},
		{Name: "octets to an agent for each ADD that is none of its", Value: last.more, Bound: 0, Unit: "octets"},
	}
}

func (g *growth) latencies() measure.Table {
	t := measure.Table{Title: "Latency in turn, in ms", Header: []string{"", "p50", "p90", "max"}}
	for _, l := range append(append([]*lane{}, g.lanes...), g.quick...) {
		for _, s := range []*measure.Series{l.bind, l.add, l.unbound} {
			if len(s.Rounds) > 0 {
				t.Rows = append(t.Rows, []string{s.Name, fmt.Sprintf("%.1f", s.Quantile(0.5)), fmt.Sprintf("%.1f", s.Quantile(0.9)), fmt.Sprintf("%.1f", s.Quantile(1))})
			}
		}
	}
	ratio := func(name string, a, b *measure.Series) {
		t.Rows = append(t.Rows, []string{name, fmt.Sprintf("%.2f×", measure.Ratio(a, b, 0.5)), "", ""})
	}
	ratio(fmt.Sprintf("%d to %d leases: bind", many, few), g.lanes[1].bind, g.lanes[0].bind)
	ratio(fmt.Sprintf("%d to %d leases: ADD, bound ahead", many, few), g.lanes[1].add, g.lanes[0].add)
	ratio(fmt.Sprintf("%d to %d leases: ADD, unbound", many, few), g.quick[1].unbound, g.quick[0].unbound)
	return t
}

// million is what the projection is for.
const million = 1_000_000

func (g *growth) managers() measure.Table {
	t := measure.Table{
		Title:  "The manager, after a start",
		Header: []string{"leases", "ready, s", "CPU until at rest, s", "anonymous, MB", "resident, MB", "at most, MB", "heap, MB", "API server, MB", "its heap, MB"},
	}
	of := []func(started) float64{ready, cpu, anonymous, resident, peak, heap, server, serverHeap}
	unit := []float64{1, 1, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6}
	row := func(name string, value func(func(started) float64) float64) {
		cells := []string{name}
		for i, f := range of {
			cells = append(cells, fmt.Sprintf("%.1f", value(f)/unit[i]))
		}
		t.Rows = append(t.Rows, cells)
	}
	for _, leases := range []int{few, some, many} {
		row(fmt.Sprint(leases), func(f func(started) float64) float64 { return g.median(leases, f) })
	}
	row(fmt.Sprintf("%d, by the slope from %d to %d", million, some, many), func(f func(started) float64) float64 {
		return g.median(many, f) + (million-many)*g.slope(f)
	})
	t.Rows = append(t.Rows, []string{
		"for each lease, KB", "", "", fmt.Sprintf("%.2f", g.slope(anonymous)/1000), fmt.Sprintf("%.2f", g.slope(resident)/1000),
		fmt.Sprintf("%.2f", g.slope(peak)/1000), fmt.Sprintf("%.2f", g.slope(heap)/1000),
		fmt.Sprintf("%.2f", g.slope(server)/1000), fmt.Sprintf("%.2f", g.slope(serverHeap)/1000),
	})
	t.Rows = append(t.Rows, []string{"in etcd, with its pod, KB", fmt.Sprintf("%.2f", g.etcd/1000), "", "", "", "", "", "", ""})
	return t
}

func (g *growth) idleness() measure.Table {
	t := measure.Table{Title: "What idle agents are sent, octets", Header: []string{"agents", "each, a second", "each, more for an ADD elsewhere", "ADDs", "writes of the pool"}}
	for _, m := range g.idle {
		t.Rows = append(t.Rows, []string{fmt.Sprint(m.agents), fmt.Sprintf("%.0f", m.quiet), fmt.Sprintf("%.0f", m.more), fmt.Sprint(m.adds), fmt.Sprintf("%.0f", m.poolWrites)})
	}
	t.Rows = append(t.Rows, []string{
		fmt.Sprintf("memory of an agent with %d pods", podsOfNode), fmt.Sprintf("%.1f MB anonymous", g.node.Anonymous/1e6), fmt.Sprintf("%.1f MB resident", g.node.Resident/1e6), "", "",
	})
	return t
}

func (g *growth) poolTable() measure.Table {
	t := measure.Table{Title: "Pools, ms", Header: []string{"pools", "bind, p50", "ADD, p50", "ADD to that of a cluster that stays as it is"}}
	for _, p := range g.pools {
		t.Rows = append(t.Rows, []string{
			fmt.Sprint(p.pools), fmt.Sprintf("%.1f", p.small.bind.Quantile(0.5)), fmt.Sprintf("%.1f", p.small.add.Quantile(0.5)),
			fmt.Sprintf("%.2f×", measure.Ratio(p.small.add, p.control.add, 0.5)),
		})
	}
	return t
}

func (g *growth) chart() measure.Chart {
	c := measure.Chart{Name: "growth-manager", Title: "The manager's memory by leases", XLabel: "leases", YLabel: "MB", LogX: true, LogY: true}
	for _, line := range []struct {
		name string
		of   func(started) float64
	}{{"anonymous", anonymous}, {"at most, at the start", peak}, {"heap", heap}} {
		l := measure.Line{Name: line.name}
		for _, leases := range []int{few, some, many} {
			l.X, l.Y = append(l.X, float64(leases)), append(l.Y, g.median(leases, line.of)/1e6)
		}
		c.Lines = append(c.Lines, l)
	}
	return c
}
