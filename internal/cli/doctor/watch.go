// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

const (
	// silentFor is the time after which others take a node for silent: twice its fencing window.
	silentFor = 40 * time.Second
	// clockLimit is how far a node's clock may be from the API server's. Nothing is decided by the difference, but times are shown.
	clockLimit = 10 * time.Second
)

// watching is how long a doubtful node is watched. An agent reports every ten seconds.
type watching struct{ every, atMost time.Duration }

var patiently = watching{every: time.Second, atMost: 20 * time.Second}

// doubtful are the agents whose last report is old, or of the future: they are silent, or their clock is off. Which of the two the time itself,
// which is by their own clock, does not tell.
func (s *state) doubtful() map[string]time.Time {
	doubtful := map[string]time.Time{}
	for name, n := range s.reporting() {
		if age := s.now.Sub(n.Status.RenewTime.Time); age > silentFor || age < -clockLimit {
			doubtful[name] = n.Status.RenewTime.Time
		}
	}
	return doubtful
}

// watch watches the doubtful agents until each has reported again, or has not for as long as it is watched. tell is told that it takes a while.
func (s *state) watch(ctx context.Context, c client.Client, date *lastDate, times watching, tell func(string)) error {
	s.silent, s.offsets = map[string]time.Duration{}, map[string]time.Duration{}
	waiting := s.doubtful()
	if len(waiting) == 0 {
		return nil
	}
	tell(fmt.Sprintf("watching %s for a report, %s at most", some(sorted(waiting)), times.atMost))
	err := wait.PollUntilContextTimeout(ctx, times.every, times.atMost, false, func(ctx context.Context) (bool, error) {
		var nodes v1alpha1.MacNodeList
		if err := c.List(ctx, &nodes); err != nil {
			return false, ctx.Err() // a single failure is asked again
		}
		for i := range nodes.Items {
			n := &nodes.Items[i]
			if before, ok := waiting[n.Name]; ok && !n.Status.RenewTime.Time.Equal(before) {
				s.offsets[n.Name] = n.Status.RenewTime.Sub(date.get())
				delete(waiting, n.Name)
			}
		}
		return len(waiting) == 0, nil
	})
	if err != nil && !wait.Interrupted(err) {
		return fmt.Errorf("watching agents: %w", err)
	}
	for name, last := range waiting {
		s.silent[name] = s.now.Sub(last)
	}
	return ctx.Err()
}

// inContact tells whether an agent has reported lately.
func (s *state) inContact(node *v1alpha1.MacNode) bool {
	_, silent := s.silent[node.Name]
	return !silent
}

// clocks says whose clock is off.
func clocks(s *state) []Finding {
	var findings []Finding
	reporting := s.reporting()
	for _, name := range sorted(s.offsets) {
		off, n := s.offsets[name], reporting[name]
		if n == nil || off.Abs() <= clockLimit {
			continue
		}
		way := "ahead of"
		if off < 0 {
			way = "behind"
		}
		findings = append(findings, found(Hint, "Let the node synchronize its clock (NTP). No address depends on it, but the times in history and logs do.",
			"the clock of node %s is %s %s that of the API server", name, off.Abs().Round(time.Second), way).on(name).about("macnode.macpool.dev", n))
	}
	return findings
}
