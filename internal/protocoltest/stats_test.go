// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/macpool/macpool/e2e/chaos/report"
	"github.com/macpool/macpool/internal/agentapi"
)

// stats are what all runs came to.
type stats struct {
	report.Report

	start, told time.Time

	runs    int64
	actions map[string]int64
	asks    map[string]int64
}

func newStats() *stats {
	now := time.Now()
	return &stats{Report: report.Report{Harness: "properties"}, start: now, told: now, actions: map[string]int64{}, asks: map[string]int64{}}
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

// violated counts the first violation of all runs. Those that follow are of runs by which it is shrunk.
func (s *stats) violated(invariant, text string) {
	if len(s.Violations) > 0 {
		return
	}
	s.Violations = append(s.Violations, text)
	switch invariant {
	case "I1":
		s.Duplicates++
	case "I2":
		s.FalseReleases++
	case "I3", "I4":
		s.LostLeases++
	case "I5":
		s.Orphans++
	}
}

// progress writes the report as it is, now and then.
func (s *stats) progress() {
	if time.Since(s.told) < time.Minute {
		return
	}
	s.told = time.Now()
	s.Seconds = time.Since(s.start).Seconds()
	fmt.Printf("%d steps, %.0f steps/s, %d ADD, %d DEL\n", s.Steps, float64(s.Steps)/s.Seconds, s.Adds, s.Dels)
	if err := s.Write(os.Getenv(report.DirEnv), s.name()); err != nil {
		fmt.Println(err)
	}
}

// name is that of the report. Runs of other seeds are added to it.
func (s *stats) name() string { return fmt.Sprintf("properties-%d", s.Seed) }

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
