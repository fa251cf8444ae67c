// SPDX-License-Identifier: Apache-2.0

package allocator

// graves is how many deleted leases are remembered: more than can be deleted while the answer to one write is on its way.
const graves = 4096

// graveyard remembers the UIDs of the last leases that were seen deleted. A UID never comes back, so a report of one of them is late:
//
//	A: create .8 -> ok (UID u)                  informer: added u, deleted u: Forget(u)
//	A: Commit(u)
//
// No event will ever remove u again: the address would be lost to this process until it restarts.
type graveyard struct {
	uids map[string]struct{}
	// ring are the same UIDs in the order of their deletion, beginning at next once it is full.
	ring []string
	next int
}

func newGraveyard() graveyard { return graveyard{uids: map[string]struct{}{}} }

func (g *graveyard) has(uid string) bool {
	_, ok := g.uids[uid]
	return ok
}

func (g *graveyard) bury(uid string) {
	if uid == "" || g.has(uid) {
		return
	}
	g.uids[uid] = struct{}{}
	if len(g.ring) < graves {
		g.ring = append(g.ring, uid)
		return
	}
	delete(g.uids, g.ring[g.next])
	g.ring[g.next] = uid
	g.next = (g.next + 1) % graves
}
