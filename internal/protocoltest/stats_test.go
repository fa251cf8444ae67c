// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/macpool/macpool/e2e/chaos/report"
	"github.com/macpool/macpool/internal/agentapi"
)

// stats are what all runs came to.
type stats struct {
	report.Report

	runs    int64
	actions map[string]int64
	asks    map[string]int64
}

func newStats() *stats {
	return &stats{Report: report.Report{Harness: "properties"}, actions: map[string]int64{}, asks: map[string]int64{}}
}

func (s *stats) step(action string) {
	s.Steps++
	s.actions[action]++
}

func (s *stats) asked(c agentapi.Command) { s.asks[string(c)]++ }

func (s *stats) finished(c agentapi.Command, ok bool) {
	switch {
	case !ok:
	case c == agentapi.Add:
		s.Adds++
	case c == agentapi.Del:
		s.Dels++
	}
}

func (s *stats) fault(id, class, moment string) { s.AddFault(id, class, moment, 1) }

// String is a table for people.
func (s *stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs, %d steps, %d successful ADDs, %d DELs\n", s.runs, s.Steps, s.Adds, s.Dels)
	b.WriteString("steps by action:\n")
	for _, name := range slices.Sorted(maps.Keys(s.actions)) {
		fmt.Fprintf(&b, "  %7d  %s\n", s.actions[name], name)
	}
	b.WriteString("faults by class and moment:\n")
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "  %7d  %-4s %-24s %s\n", f.Count, f.ID, f.Class, f.Moment)
	}
	return b.String()
}
