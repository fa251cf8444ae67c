// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Vector is a CounterVec or a HistogramVec.
type Vector interface {
	prometheus.Collector
	DeletePartialMatch(labels prometheus.Labels) int
}

// ofPools collects vectors that have the label pool. Series of a pool that is gone go at the next look: what happens to an
// address may be counted after its pool was deleted, so that no event of the deletion would be the last word.
type ofPools struct {
	known   func() (pools []string, ok bool)
	vectors []Vector
}

// OfPools is a collector of vectors that have the label pool, without the pools that are gone. known are those that there are;
// while it does not know, all stay. A series without a pool stays.
func OfPools(known func() (pools []string, ok bool), vectors ...Vector) prometheus.Collector {
	return ofPools{known, vectors}
}

// Describe is prometheus.Collector's.
func (o ofPools) Describe(descs chan<- *prometheus.Desc) {
	for _, v := range o.vectors {
		v.Describe(descs)
	}
}

// Collect is prometheus.Collector's.
func (o ofPools) Collect(values chan<- prometheus.Metric) {
	pools, ok := o.known()
	there := map[string]bool{"": true}
	for _, name := range pools {
		there[name] = true
	}
	for _, v := range o.vectors {
		series := make(chan prometheus.Metric)
		go func() {
			defer close(series)
			v.Collect(series)
		}()
		gone := map[string]bool{}
		for m := range series {
			if name := poolOf(m); ok && !there[name] {
				gone[name] = true
				continue
			}
			values <- m
		}
		for name := range gone {
			v.DeletePartialMatch(prometheus.Labels{pool.Name: name})
		}
	}
}

func poolOf(m prometheus.Metric) string {
	var text dto.Metric
	if m.Write(&text) != nil {
		return ""
	}
	for _, l := range text.GetLabel() {
		if l.GetName() == pool.Name {
			return l.GetValue()
		}
	}
	return ""
}
