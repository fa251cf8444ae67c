// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// lookup serves LOOKUP: what ADD answered for the same container.
func (a *Agent) lookup(req *agentapi.Request) (*agentapi.Lease, error) {
	entry, ok := a.journal.get(attemptKey{req.ContainerID, req.Interface})
	if !ok || entry.State != attached {
		return nil, problem.NotAttached.New(req.ContainerID, req.Interface)
	}
	return entry.Lease, nil
}

// check serves CHECK: the attempt is its pod's latest, and the claim still has the lease and the pod as its holder. It
// changes nothing.
func (a *Agent) check(ctx context.Context, req *agentapi.Request) (*agentapi.Lease, error) {
	notAttached := problem.NotAttached.New(req.ContainerID, req.Interface)
	entry, ok := a.journal.get(attemptKey{req.ContainerID, req.Interface})
	if !ok || entry.State != attached {
		return nil, notAttached
	}
	for _, other := range a.journal.ofClaim(entry.Claim) {
		if other.State == attached && other.ofHolder(entry.Claim, entry.Pod.UID) && other.Number > entry.Number {
			return nil, notAttached
		}
	}
	held, err := a.stillHolds(ctx, &entry)
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, notAttached
	}
	return entry.Lease, nil
}
