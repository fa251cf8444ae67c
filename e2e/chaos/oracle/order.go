// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"cmp"
	"slices"
	"strings"
)

// seen is the verb of an object in a list.
const seen = "seen"

// inOrder sorts by time, and the writes to one object by their versions: the log has them as they were answered, which may be
// another order than that in which they were done.
func inOrder(events []*Event) []*Event {
	slices.SortStableFunc(events, func(a, b *Event) int { return a.Completed.Compare(b.Completed) })
	places := map[string][]int{}
	for i, e := range events {
		if e.Version != 0 {
			key := e.kind() + " " + e.Namespace + "/" + e.Name
			places[key] = append(places[key], i)
		}
	}
	for _, at := range places {
		if len(at) < 2 {
			continue
		}
		same := make([]*Event, len(at))
		for i, p := range at {
			same[i] = events[p]
		}
		slices.SortStableFunc(same, func(a, b *Event) int {
			return cmp.Or(cmp.Compare(a.Version, b.Version), deletion(a)-deletion(b))
		})
		for i, p := range at {
			events[p] = same[i]
		}
	}
	return events
}

func deletion(e *Event) int {
	switch e.Verb {
	case "delete":
		return 1
	case seen:
		return 2
	default:
		return 0
	}
}

func (e *Event) kind() string {
	kind, _, _ := strings.Cut(e.Resource, "/")
	return kind
}
