// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// The main plugin brings the interface up after the answer of ADD, and the kernel refuses that (EADDRINUSE) while another one of the
// same parent is up with the MAC: that of a sandbox which the runtime has not ended yet. macvlan's DEL asks its IPAM plugin first
// and deletes the link after that, so that the journal may have forgotten an interface that is still there. The plugin knows
// nothing of other sandboxes, the journal does; so the wait is here, before the answer (R-C15, F34).

// oldLinkPoll is the time between two looks at an old sandbox's interface.
const oldLinkPoll = 100 * time.Millisecond

// errWaitForLink: an old sandbox of this node still has the MAC up.
var errWaitForLink = errors.New("an old interface of this node is still up with the MAC")

// outlast is nil when no old sandbox of this node has the claim's MAC up. One whose pod has lost the claim is removed at once. Others are
// waited for; errWaitForLink: without the claim's lock, for what they wait for themselves needs it, perhaps. After that an interface is
// removed whose end the runtime has reported by a DEL. One that the journal has attached belongs to an earlier sandbox of this
// pod, or is one that the fence keeps: it is not ours to take.
func (t *addition) outlast(ctx context.Context, claim *v1alpha1.MacClaim) error {
	if t.contact.isJudged() { // else it is not known who has lost what; once comes back
		t.fenceOthers(ctx)
	}
	for _, old := range t.oldLinks(claim) {
		up := problem.OldSandboxUp.New(old.Interface, old.ContainerID, old.Pod.Namespace, old.Pod.Name, t.nodeName, claim.Status.MAC)
		if !t.clock.Now().After(t.waitUntil) {
			t.outlasted = true
			return errors.Join(up, errWaitForLink)
		}
		if old.State != attached {
			err := t.fence.remove(old.NetNS, old.Interface, claim.Status.MAC)
			if err == nil {
				t.log.Info("An interface was removed that has outlived its DEL", "container", old.ContainerID, "interface", old.Interface,
					"pod", old.Pod, "claim", t.claim)
				continue
			}
			up = up.WithCause(err)
		}
		t.says.onPod(t.req.Pod, up)
		return up
	}
	return nil
}

// oldLinks are the attempts on this node, in whatever state, whose interface is up with the claim's MAC. What cannot be looked at is left
// to the kernel.
func (t *addition) oldLinks(claim *v1alpha1.MacClaim) []attempt {
	all := t.journal.ofClaim(t.claim)
	for _, entry := range t.journal.ofLease(claim.Status.LeaseName) {
		if entry.Claim != t.claim {
			all = append(all, entry)
		}
	}
	var up []attempt
	for _, entry := range all {
		if entry.key() == t.key || entry.NetNS == "" || entry.NetNS == t.req.NetNS || !t.netnsAlive(entry.NetNS) || t.fence.isAnothers(&entry) {
			continue
		}
		state, err := t.look(entry.NetNS, entry.Interface)
		if err != nil {
			t.log.V(1).Info("An old interface was not looked at", "container", entry.ContainerID, "interface", entry.Interface, "error", err.Error())
			continue
		}
		if state.Up && state.MAC == claim.Status.MAC {
			up = append(up, entry)
		}
	}
	return up
}
