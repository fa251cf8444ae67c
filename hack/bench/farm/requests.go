// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Requests are how many the API server has answered, by verb, resource and subresource.
type Requests map[string]float64

var requestLine = regexp.MustCompile(`^apiserver_request_total\{(.*)\} ([0-9.e+]+)$`)

// Requests asks the API server for its metrics.
func (f *Farm) Requests(ctx context.Context) (Requests, error) {
	text, err := f.API.Kubectl(ctx, "get", "--raw", "/metrics")
	if err != nil {
		return nil, fmt.Errorf("reading the metrics of the API server: %w", err)
	}
	all := Requests{}
	for line := range strings.Lines(text) {
		m := requestLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			continue
		}
		name := label(m[1], "verb") + " " + label(m[1], "resource")
		if sub := label(m[1], "subresource"); sub != "" {
			name += "/" + sub
		}
		all[name] += n
	}
	return all, nil
}

// label is the value of a label, which has no quotes in it here.
func label(labels, name string) string {
	_, rest, ok := strings.Cut(labels, name+`="`)
	if !ok || strings.Contains(name, `"`) {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// Since are the requests that came after those, without what a watch has cost.
func (r Requests) Since(before Requests) Requests {
	after := Requests{}
	for name, n := range r {
		if n -= before[name]; n > 0 && !strings.HasPrefix(name, "WATCH ") {
			after[name] = n
		}
	}
	return after
}
