// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"slices"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// gc serves GC: what of the network is attached on this node, and neither valid by the runtime's list nor alive by its
// netns, goes the way of a DEL. The list is a hint: an attempt whose netns is there, or that is young, is kept whatever
// the list says (R-C13).
func (a *Agent) gc(req *agentapi.Request) error {
	var stale []attempt
	alive := 0
	for _, entry := range a.journal.in(attached) {
		if entry.Network != req.Network {
			continue
		}
		valid := slices.Contains(req.Valid, agentapi.Attachment{ContainerID: entry.ContainerID, Interface: entry.Interface})
		switch {
		case a.netnsAlive(entry.NetNS):
			alive++
		case !valid && a.clock.Since(entry.At) >= a.times.MinAge:
			stale = append(stale, entry)
		}
	}
	if len(req.Valid) == 0 && alive > 0 {
		// A runtime that lost its records, not one that has no pods (M22).
		return problem.StillAttached.New(req.Network, alive)
	}
	var errs []error
	for _, entry := range stale {
		a.log.Info("Detached by the runtime's GC", "container", entry.ContainerID, "interface", entry.Interface,
			"pod", entry.Pod, "claim", entry.Claim)
		if _, err := a.journal.detach(entry.key()); err != nil {
			errs = append(errs, err)
		}
	}
	a.clears.kick()
	if err := errors.Join(errs...); err != nil {
		return problem.JournalFailed.New(err).WithCause(err)
	}
	return nil
}
