// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"

	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/timeline"
)

// mayAnswer tells whether an ADD may be answered by the API's word. If that is to be waited for and the pod was attached
// before, there is nothing to wait for: the journal has what it gets.
func (t *addition) mayAnswer(ctx context.Context) error {
	err := t.recovery.mayGive(ctx, t.pool.Name)
	var u *timeline.Unsettled
	if errors.As(err, &u) && t.earlier() != nil {
		return problem.AllocationPaused.New(t.pool.Name, u).WithCause(err)
	}
	return err
}

// earlier is the latest container of the same pod that the journal calls attached with the claim, and whose network namespace is there; nil if
// there is none. One whose namespace is gone is in no report of this node: the manager may give its address to another pod as soon as
// it has all reports.
func (t *addition) earlier() *attempt {
	var latest *attempt
	for _, entry := range t.journal.ofClaim(t.claim) {
		if entry.State == attached && entry.ofHolder(t.claim, t.req.Pod.UID) && entry.Pool == t.req.Pool &&
			entry.Interface == t.req.Interface && (latest == nil || latest.Number < entry.Number) && t.netnsAlive(entry.NetNS) {
			latest = &entry
		}
	}
	return latest
}

// reattach attaches what the pod had already, while the API cannot be asked what that is. It is what this node reports: the
// earlier container is still there when the journal has this one, so that a report which has not seen this one has that. why is what it
// answers if there is nothing to attach any more.
func (t *addition) reattach(ctx context.Context, earlier *attempt, why error, unlock func()) (*given, error) {
	entry := *earlier
	entry.ContainerID, entry.NetNS, entry.Network, entry.Link = t.req.ContainerID, t.req.NetNS, t.req.Network, t.req.Link
	lease := *earlier.Lease
	lease.Parent = t.parent
	entry.Lease = &lease
	undo := func(why string) error { return t.abandon(nil, false, why) }
	if err := t.write(ctx, entry, undo); err != nil {
		return nil, err
	}
	if known, ok := t.journal.get(earlier.key()); !ok || known.State != attached || !t.netnsAlive(earlier.NetNS) {
		return nil, errors.Join(why, undo("deleted"))
	}
	t.log.Info("Attached a pod again with the address that it had, without asking the API", "container", entry.ContainerID,
		"pod", entry.Pod, "claim", entry.Claim, "lease", entry.Lease.Name)
	return t.give(unlock, func() error { return undo(undoneHungUp) })
}
