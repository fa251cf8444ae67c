// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/macpool/macpool/api/v1alpha1"
)

// forgetSilence is how long a node is remembered at which nobody looks any more.
const forgetSilence = time.Hour

// silences is what this agent has seen of nodes that do not answer. For how long one has been silent is measured on this agent's
// clock alone, from when it first saw the report that the node has not written anew since: the clock by which that was dated is
// another machine's. Safe for concurrent use; the zero value, with a clock, is ready.
type silences struct {
	clock clock.PassiveClock

	mu   sync.Mutex
	seen map[silentNode]sighting
}

// silentNode is a node as a holder names it. One that was made again under the name is another.
type silentNode struct {
	name string
	uid  types.UID
}

// sighting is a report that was seen, or that there was none.
type sighting struct {
	mark        string
	since, last time.Time
}

// silentFor tells for how long the node has written nothing, if mark is what was read of its report by a request that was sent at
// sent. alive: it has written since it was looked at last.
func (s *silences) silentFor(node silentNode, mark string, sent time.Time) (d time.Duration, alive bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, other := range s.seen {
		if sent.Sub(other.last) > forgetSilence {
			delete(s.seen, key)
		}
	}
	known, ok := s.seen[node]
	if !ok || known.mark != mark {
		if s.seen == nil {
			s.seen = map[silentNode]sighting{}
		}
		// The answer may have lain somewhere: the mark was seen now, and not when it was asked for.
		now := s.clock.Now()
		s.seen[node] = sighting{mark: mark, since: now, last: now}
		return 0, ok
	}
	known.last = sent
	s.seen[node] = known
	return max(0, sent.Sub(known.since)), false
}

// markOf tells one report of a node from the next. A node whose name another one reports under has no report any more.
func markOf(node *v1alpha1.MacNode, holder *v1alpha1.Holder) string {
	switch {
	case node == nil:
		return "none"
	case holder.NodeUID != "" && node.Status.NodeUID != "" && holder.NodeUID != node.Status.NodeUID:
		return "another's"
	default:
		return string(node.UID) + "/" + node.ResourceVersion
	}
}
