// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/metric"
)

var (
	selector  = regexp.MustCompile(`([a-z][a-z0-9_:]*)(\{([^}]*)\})?`)
	matcher   = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*("(?:\\.|[^"\\])*")`)
	grouping  = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
	reference = regexp.MustCompile(`\$labels\.([a-z_]+)`)
)

// scraped are the labels that the PodMonitor adds to whatever is scraped.
var scraped = map[string][]string{"job": {"macpool"}, "component": {"manager", "agent"}, "node": nil}

// series is what an expression may name: a metric with its labels, and their values where these are known.
type series map[string]map[string][]string

// served is what macpool serves, what everything that is scraped has, and what is recorded of it.
func served() series {
	all := series{"up": scraped, "process_resident_memory_bytes": scraped}
	for _, m := range metric.All() {
		labels := maps.Clone(scraped)
		for _, l := range m.Labels {
			labels[l.Name] = l.Values
		}
		if m.Type != metric.Histogram {
			all[m.Name] = labels
			continue
		}
		all[m.Name+"_sum"], all[m.Name+"_count"] = labels, labels
		all[m.Name+"_bucket"] = maps.Clone(labels)
		all[m.Name+"_bucket"]["le"] = nil
	}
	for _, recorded := range []string{"macpool:pool_available:count", "macpool:pool_used:ratio"} {
		all[recorded] = map[string][]string{"pool": nil}
	}
	return all
}

// words of PromQL that look like metrics.
var words = strings.Fields(`max min sum count by on and or unless without ignoring absent scalar vector rate increase histogram_quantile
	predict_linear bool offset group_left group_right h m s d`)

// wrong says what an expression names that is not served.
func (all series) wrong(expression string) []string {
	var wrong []string
	labels := map[string]bool{}
	rest := grouping.ReplaceAllString(expression, "")
	for _, m := range selector.FindAllStringSubmatch(withoutDurations(rest), -1) {
		name, matchers := m[1], m[3]
		if slices.Contains(words, name) {
			continue
		}
		known, ok := all[name]
		if !ok {
			wrong = append(wrong, "there is no metric "+name)
			continue
		}
		for l := range known {
			labels[l] = true
		}
		wrong = append(wrong, wrongMatchers(name, matchers, known)...)
	}
	for _, m := range grouping.FindAllStringSubmatch(expression, -1) {
		for l := range strings.SplitSeq(m[1], ",") {
			if l = strings.TrimSpace(l); !labels[l] {
				wrong = append(wrong, fmt.Sprintf("nothing in %s has the label %s", expression, l))
			}
		}
	}
	return wrong
}

func wrongMatchers(name, matchers string, known map[string][]string) []string {
	var wrong []string
	for _, m := range matcher.FindAllStringSubmatch(matchers, -1) {
		values, ok := known[m[1]]
		if !ok {
			wrong = append(wrong, name+" has no label "+m[1])
			continue
		}
		for value := range strings.SplitSeq(strings.Trim(m[3], `"`), "|") {
			if len(values) > 0 && !strings.HasPrefix(value, "$") && !slices.Contains(values, value) {
				wrong = append(wrong, fmt.Sprintf("%s never has %s=%q", name, m[1], value))
			}
		}
	}
	return wrong
}

// withoutDurations takes out what stands in brackets: no metric does.
func withoutDurations(expression string) string {
	return regexp.MustCompile(`\[[^\]]*\]`).ReplaceAllString(expression, "")
}

// TestWrongIsSeen has the check find what is wrong.
func TestWrongIsSeen(t *testing.T) {
	for expression, want := range map[string]string{
		`macpool_pool_adresses{state="leased"} > 0`:                     "there is no metric macpool_pool_adresses",
		`max by (pol) (macpool_suspect_holders)`:                        "has the label pol",
		`macpool_suspect_holders{node="a",state="x"}`:                   "macpool_suspect_holders has no label state",
		`macpool_pool_addresses{state=~"leased|cold"}`:                  `never has state="cold"`,
		`rate(macpool_cni_duration_seconds[5m])`:                        "there is no metric macpool_cni_duration_seconds",
		`sum(rate(macpool_cni_requests_total{command="add"}[5m]))`:      `never has command="add"`,
		`absent(up{job="macpol"} == 1)`:                                 `never has job="macpol"`,
		`macpool_pool_condition{type="Exausted"} == 1`:                  `never has type="Exausted"`,
		`macpool:pool_used:ratio > 1 and on (node) macpool_agent_epoch`: "",
	} {
		got := strings.Join(served().wrong(expression), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: found %q, want %q", expression, got, want)
		}
	}
}
