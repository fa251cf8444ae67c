// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"net/http"
	"slices"
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/retention"
)

// timeline is what changed in a pool when: for the slider, and to step from change to change.
type timeline struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Changes are how many changes there were in each of equal parts of that time.
	Changes []int `json:"changes"`
	Total   int   `json:"total"`
	// Previous and Next are the nearest changes around the time that is looked at.
	Previous *time.Time `json:"previous,omitempty"`
	Next     *time.Time `json:"next,omitempty"`
	// History is how many seconds the pool remembers a released address.
	History float64 `json:"history"`
}

const (
	// parts is how many bars the slider has.
	parts = 240
	// shortest is the time that the slider spans at least.
	shortest = time.Minute
)

func (s *server) timeline(r *http.Request) (any, error) {
	a, err := s.asked(r)
	if err != nil {
		return nil, err
	}
	if a.pool == nil {
		return nil, &refusal{http.StatusBadRequest, "no pool is named"}
	}
	return timelineOf(a, retention.History(a.pool.MacPool)), nil
}

// timelineOf begins where the record does: what was released before is forgotten, and what was leased before still is.
func timelineOf(a *asked, history time.Duration) timeline {
	begin := a.Time.Add(-max(history, shortest))
	var times []time.Time
	for i := range a.objects.Leases {
		if l := &a.objects.Leases[i]; l.Spec.PoolName == a.pool.Name {
			times = append(times, changesOf(l)...)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	first, _ := slices.BinarySearchFunc(times, begin, time.Time.Compare)
	times = times[first:]
	line := timeline{From: begin, To: a.Time, Changes: make([]int, parts), Total: len(times), History: history.Seconds()}
	if len(times) > 0 {
		line.From = times[0]
	}
	if line.To.Sub(line.From) < shortest {
		line.From = line.To.Add(-shortest)
	}
	for _, t := range times {
		part := int(float64(parts) * float64(t.Sub(line.From)) / float64(line.To.Sub(line.From)))
		line.Changes[min(max(part, 0), parts-1)]++
	}
	before, at := slices.BinarySearchFunc(times, a.at, time.Time.Compare)
	if before > 0 {
		line.Previous = &times[before-1]
	}
	after := before
	for at && after < len(times) && times[after].Equal(a.at) {
		after++
	}
	if after < len(times) {
		line.Next = &times[after]
	}
	return line
}

// changesOf are the times at which an address came to a claim, or left it.
func changesOf(l *v1alpha1.MacLease) []time.Time {
	times := []time.Time{}
	if l.Spec.ReleasedAt == nil {
		times = append(times, l.Spec.LeasedAt.Time)
	}
	for _, h := range l.Spec.History {
		times = append(times, h.From.Time, h.To.Time)
	}
	return times
}
