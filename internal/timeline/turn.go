// SPDX-License-Identifier: Apache-2.0

package timeline

import (
	"math/rand/v2"
	"time"
)

// turn is how long it is until the nodes are looked at again. All processes have a doubt at the same time, when an API server ends, and each look is
// a list of all nodes. So in a large crowd even the first look after a doubt comes at a time of its own. In a small one it is made at once: agents
// report as soon as the API server is back, and what was reported before the first look is no news; the next report would be waited for.
func (g *Gate) turn(now time.Time, doubt uint64) time.Duration {
	if !g.nodes.listed {
		return 0
	}
	crowd := time.Duration(len(g.nodes.present)*len(g.nodes.present)) * g.times.Crowd
	if g.nodes.of == doubt {
		return max(g.times.Poll, crowd) - Elapsed(now, g.nodes.at)
	}
	if g.first.of != doubt {
		g.first = firstLook{of: doubt, from: now}
		if crowd > renewal {
			g.first.after = rand.N(crowd)
		}
	}
	return g.first.after - Elapsed(now, g.first.from)
}

// renewal is the time between two reports of an agent that has nothing to say.
const renewal = 10 * time.Second

// firstLook is when the nodes are looked at for the first time after a doubt.
type firstLook struct {
	of    uint64
	from  time.Time
	after time.Duration
}
