// SPDX-License-Identifier: Apache-2.0

// Package metrictest compares what a process serves with the catalogue of metrics.
package metrictest

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/macpool/macpool/internal/metric"
)

// Check fails where what a process serves is not as the catalogue says, or something is not there that it always has to serve: what has no
// labels, and what is named besides.
func Check(t *testing.T, registry prometheus.Gatherer, process metric.Process, besides ...*metric.Metric) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, family := range families {
		served[family.GetName()] = true
		i := slices.IndexFunc(metric.All(), func(m *metric.Metric) bool { return m.Name == family.GetName() })
		if i < 0 {
			t.Errorf("%s is served, and is not in the catalogue", family.GetName())
			continue
		}
		m := metric.All()[i]
		if m.Served != process && m.Served != metric.Both {
			t.Errorf("%s is served by the %s, the catalogue says %s", m.Name, process, m.Served)
		}
		if got := strings.ToLower(family.GetType().String()); got != string(m.Type) {
			t.Errorf("%s is a %s, the catalogue says %s", m.Name, got, m.Type)
		}
		for _, series := range family.GetMetric() {
			checkLabels(t, m, series)
		}
	}
	for _, m := range metric.All() {
		if m.Served == process && len(m.Labels) == 0 && !served[m.Name] || slices.Contains(besides, m) && !served[m.Name] {
			t.Errorf("%s is not served", m.Name)
		}
	}
}

func checkLabels(t *testing.T, m *metric.Metric, series *dto.Metric) {
	t.Helper()
	if len(series.GetLabel()) != len(m.Labels) {
		t.Errorf("%s has the labels %v", m.Name, series.GetLabel())
	}
	for _, l := range m.Labels {
		i := slices.IndexFunc(series.GetLabel(), func(p *dto.LabelPair) bool { return p.GetName() == l.Name })
		if i < 0 {
			t.Errorf("%s has no label %s", m.Name, l.Name)
		} else if value := series.GetLabel()[i].GetValue(); len(l.Values) > 0 && !slices.Contains(l.Values, value) {
			t.Errorf("%s has %s=%q, which the catalogue does not know", m.Name, l.Name, value)
		}
	}
}
