// SPDX-License-Identifier: Apache-2.0

package adds

import (
	"fmt"
	"time"

	"github.com/macpool/macpool/hack/bench/measure"
)

const (
	verbADD = "ADD"
	verbDEL = "DEL"
)

// key is what the values of one series have in common.
type key struct {
	kind    string
	callers int
	verb    string
	figure  figure
}

// figure is what is measured of a call.
type figure string

const (
	took    figure = "time"
	rate    figure = "rate"
	plugins figure = "CPU of the plugins"
	agent   figure = "CPU of the agent"
	answers figure = "time in the agent"
	records figure = "journal records"
	syncs   figure = "fsyncs"
)

var units = map[figure]string{took: "ms", rate: "per s", plugins: "ms", agent: "ms", answers: "ms", records: "per call", syncs: "per call"}

// findings are all values.
type findings struct {
	kinds  []kind
	series map[key]*measure.Series
	order  []key
}

func newFindings(kinds []kind) *findings {
	return &findings{kinds: kinds, series: map[key]*measure.Series{}}
}

func (f *findings) add(k *kind, l level, round int, verb string, p pass) {
	put := func(of figure, values ...float64) {
		at := key{k.name, l.callers, verb, of}
		if f.series[at] == nil {
			f.series[at] = &measure.Series{Name: fmt.Sprintf("%s, %s, %d callers: %s", k.name, verb, l.callers, of), Unit: units[of]}
			f.order = append(f.order, at)
		}
		f.series[at].Add(round, values...)
	}
	n := float64(len(p.took))
	each := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) / n }
	put(took, p.took...)
	put(rate, p.rate)
	put(plugins, each(p.plugins))
	put(agent, each(p.agent))
	put(answers, each(p.answers))
	put(records, p.records/n)
	put(syncs, p.syncs/n)
}

// of is nil for what was not measured.
func (f *findings) of(kind string, callers int, verb string, what figure) *measure.Series {
	return f.series[key{kind, callers, verb, what}]
}

func (f *findings) all() []*measure.Series {
	all := make([]*measure.Series, len(f.order))
	for i, k := range f.order {
		all[i] = f.series[k]
	}
	return all
}
