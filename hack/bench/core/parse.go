// SPDX-License-Identifier: Apache-2.0

package core

import (
	"fmt"
	"strconv"
	"strings"
)

// figures are one line of a benchmark.
type figures struct{ nanoseconds, octets, allocations float64 }

// anchored is the pattern that matches the benchmark alone: patterns are matched between the slashes, and somewhere.
func anchored(benchmark string) string {
	return "^" + strings.ReplaceAll(benchmark, "/", "$/^") + "$"
}

// parse reads the lines of one benchmark in what go test prints, which must all have the three figures. Run with one CPU, names have no suffix.
func parse(out []byte, benchmark string) ([]figures, error) {
	var all []figures
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != benchmark {
			continue
		}
		f := figures{-1, -1, -1}
		units := map[string]*float64{"ns/op": &f.nanoseconds, "B/op": &f.octets, "allocs/op": &f.allocations}
		// A name, how often, and then values with their units.
		for i := 2; i+1 < len(words); i += 2 {
			to := units[words[i+1]]
			if to == nil {
				continue
			}
			value, err := strconv.ParseFloat(words[i], 64)
			if err != nil {
				return nil, fmt.Errorf("reading %q: %w", line, err)
			}
			*to = value
		}
		if f.nanoseconds < 0 || f.octets < 0 || f.allocations < 0 {
			return nil, fmt.Errorf("reading %q: it has not all of ns/op, B/op and allocs/op", line)
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no benchmark %s in %q", benchmark, out)
	}
	return all, nil
}
