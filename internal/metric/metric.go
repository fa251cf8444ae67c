// SPDX-License-Identifier: Apache-2.0

// Package metric is the catalogue of all that macpool serves to Prometheus. Manager and agent take their metrics from it,
// docs/metrics.md is written from it, and the alerts and the dashboard are checked against it: none can name a metric, a label or
// a value of one that is not served.
package metric

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Type is what Prometheus calls the type of a metric.
type Type string

// The types.
const (
	Gauge     Type = "gauge"
	Counter   Type = "counter"
	Histogram Type = "histogram"
)

// Process is who serves a metric.
type Process string

// The processes.
const (
	Manager Process = "manager"
	Agent   Process = "agent"
	Both    Process = "manager, agent"
)

// Label is a label of a metric.
type Label struct {
	Name string
	// Values are all that it can be; none if what bounds it are objects of the cluster or the error catalogue, as Of says.
	Values []string
	Of     string
}

// Metric is an entry of the catalogue.
type Metric struct {
	Name   string
	Type   Type
	Served Process
	Help   string
	Labels []Label
	// Buckets are a histogram's.
	Buckets []float64

	desc *prometheus.Desc
}

// catalogue is all metrics, in the order in which they are declared.
var catalogue []*Metric

// All is the catalogue.
func All() []*Metric { return catalogue }

func add(served Process, of Type, name, help string, labels ...Label) *Metric {
	m := &Metric{Name: name, Type: of, Served: served, Help: help, Labels: labels}
	m.desc = prometheus.NewDesc(name, help, m.names(), nil)
	catalogue = append(catalogue, m)
	return m
}

func (m *Metric) within(buckets ...float64) *Metric {
	m.Buckets = buckets
	return m
}

func (m *Metric) names() []string {
	var names []string
	for _, l := range m.Labels {
		names = append(names, l.Name)
	}
	return names
}

// Desc describes the metric to Prometheus' library.
func (m *Metric) Desc() *prometheus.Desc { return m.desc }

// At is the metric with a value that was counted when somebody asked.
func (m *Metric) At(value float64, labels ...string) prometheus.Metric {
	of := prometheus.GaugeValue
	if m.Type == Counter {
		of = prometheus.CounterValue
	}
	return prometheus.MustNewConstMetric(m.desc, of, value, labels...)
}

// Counts is a counter that is counted as things happen.
func (m *Metric) Counts() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.names())
}

// Times is a histogram of durations.
func (m *Metric) Times() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: m.Buckets}, m.names())
}

// Seconds is how long ago something was, 0 if it was not, or if a clock was set meanwhile.
func Seconds(now, then time.Time) float64 {
	if then.IsZero() {
		return 0
	}
	return max(0, now.Sub(then).Seconds())
}
