// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/macpool/macpool/hack/bench/measure"
)

// number is a figure as people read it; a dash where there is none.
func number(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case math.Abs(v) < 0.005:
		return "0"
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}

func sum(s *measure.Series) float64 {
	total := 0.0
	for _, round := range s.Rounds {
		for _, v := range round {
			total += v
		}
	}
	return total
}

func timesTable(all []*contender) measure.Table {
	t := measure.Table{
		Title: "IPAM calls, ms and calls a second",
		Header: []string{
			"callers", "plugin", "ADD p50", "p90", "p99", "max", "ADD/s", "DEL p50", "p90", "p99", "max", "DEL/s", "failed", "given twice",
		},
	}
	for i, l := range levels {
		for _, c := range all {
			m := c.marks[i]
			row := []string{strconv.Itoa(l.callers), c.name}
			for _, one := range []struct{ took, rate *measure.Series }{{m.add, m.addRate}, {m.del, m.delRate}} {
				for _, q := range []float64{0.5, 0.9, 0.99, 1} {
					row = append(row, number(one.took.Quantile(q)))
				}
				row = append(row, number(one.rate.Quantile(0.5)))
			}
			t.Rows = append(t.Rows, append(row, number(sum(m.failures)), number(sum(m.twice))))
		}
	}
	return t
}

// ratioTable sets the peer, which is the last, beside macpool, round by round.
func ratioTable(all []*contender) measure.Table {
	peer := all[len(all)-1]
	t := measure.Table{
		Title:  "macpool beside " + peer.name + ": how many times as fast (medians of the ratios of each round)",
		Header: []string{"callers", "macpool is", "ADD p50", "ADD p99", "ADD/s", "DEL p50", "DEL/s"},
	}
	for i, l := range levels {
		for _, c := range all {
			if c.kind != "macpool" {
				continue
			}
			m, p := c.marks[i], peer.marks[i]
			t.Rows = append(t.Rows, []string{
				strconv.Itoa(l.callers), c.name,
				times(p.add, m.add, 0.5), times(p.add, m.add, 0.99), times(m.addRate, p.addRate, 0.5),
				times(p.del, m.del, 0.5), times(m.delRate, p.delRate, 0.5),
			})
		}
	}
	return t
}

func times(a, b *measure.Series, q float64) string {
	r := measure.Ratio(a, b, q)
	if math.IsNaN(r) || math.IsInf(r, 0) {
		return number(r)
	}
	return number(r) + "×"
}

// failureTable says who failed, how often, and for example with which words.
func failureTable(all []*contender) measure.Table {
	t := measure.Table{Title: "What went wrong", Header: []string{"plugin", "ADDs", "DELs", "the first error", "given up"}}
	for _, c := range all {
		if c.example != nil {
			t.Rows = append(t.Rows, []string{c.name, strconv.Itoa(c.failed["ADD"]), strconv.Itoa(c.failed["DEL"]), oneLine(c.example.Error()), c.gaveUp})
		}
	}
	return t
}

// oneLine makes of a text what a cell of a table can hold.
func oneLine(text string) string {
	const most = 300
	runes := []rune(text)
	if len(runes) > most {
		runes = append(runes[:most], '…')
	}
	for i, r := range runes {
		switch r {
		case '\n', '\r', '\t':
			runes[i] = ' '
		case '|':
			runes[i] = '/'
		}
	}
	return string(runes)
}

func charts(all []*contender) []measure.Chart {
	p50 := measure.Chart{Name: "peer-add", Title: "ADD of an IPAM plugin, p50", YLabel: "ms", LogY: true}
	rate := measure.Chart{Name: "peer-rate", Title: "ADDs of an IPAM plugin", YLabel: "ADDs a second", LogY: true}
	for _, l := range levels {
		label := fmt.Sprintf("callers: %d", l.callers)
		p50.Labels, rate.Labels = append(p50.Labels, label), append(rate.Labels, label)
	}
	for _, c := range all {
		took, rates := measure.Line{Name: c.name}, measure.Line{Name: c.name}
		for _, m := range c.marks {
			took.Y, rates.Y = append(took.Y, m.add.Quantile(0.5)), append(rates.Y, m.addRate.Quantile(0.5))
		}
		// Who was given up has no figures for a picture.
		if !slices.ContainsFunc(slices.Concat(took.Y, rates.Y), func(v float64) bool { return math.IsNaN(v) || v <= 0 }) {
			p50.Lines, rate.Lines = append(p50.Lines, took), append(rate.Lines, rates)
		}
	}
	return []measure.Chart{p50, rate}
}

// targets are of one peer: the one that most people have.
func targets(all []*contender) []measure.Target {
	peer, macpool := all[len(all)-1], all[0]
	if peer.kind != "whereabouts" {
		return nil
	}
	var met []measure.Target
	for i, l := range levels {
		p, m := peer.marks[i], macpool.marks[i]
		var t measure.Target
		switch l.callers {
		case 1:
			t = measure.Target{
				Name:  fmt.Sprintf("p50 of an ADD, 1 caller: %s' to that of %s", peer.name, macpool.name),
				Value: measure.Ratio(p.add, m.add, 0.5), Bound: 10, AtLeast: true,
			}
		case 50:
			t = measure.Target{
				Name:  fmt.Sprintf("rate of ADDs, 50 callers: that of %s to %s'", macpool.name, peer.name),
				Value: measure.Ratio(m.addRate, p.addRate, 0.5), Bound: 50, AtLeast: true,
			}
		default:
			continue
		}
		if !math.IsNaN(t.Value) && !math.IsInf(t.Value, 0) { // JSON has no such numbers
			met = append(met, t)
		}
	}
	return met
}
