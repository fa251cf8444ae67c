// SPDX-License-Identifier: Apache-2.0

package timeline

import (
	"math/rand/v2"
	"time"
)

// turn is how long it is until the nodes are looked at again. In a crowd the first look after a doubt is not made at once: all have the doubt at
// the same time, when an API server ends, and each look is a list of all nodes.
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
		if crowd > g.times.Poll {
			g.first.after = rand.N(crowd)
		}
	}
	return g.first.after - Elapsed(now, g.first.from)
}

// firstLook is when the nodes are looked at for the first time after a doubt.
type firstLook struct {
	of    uint64
	from  time.Time
	after time.Duration
}
