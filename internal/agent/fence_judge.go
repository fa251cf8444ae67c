// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// judge judges an entry, under the claim's lock: no ADD of the claim decides anything meanwhile.
func (f *fence) judge(ctx context.Context, entry attempt) error {
	ctx, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	unlock, err := f.locks.Lock(ctx, entry.Claim)
	if err != nil {
		return fmt.Errorf("waiting for claim %s: %w", claimKey(entry.Claim), err)
	}
	defer unlock()
	return f.judgeLocked(ctx, entry.key())
}

// errNotRemoved: an interface was to be removed and may be there still. It is tried again for ever: an administrator has
// given it another MAC, perhaps, or it is no software that can be removed.
var errNotRemoved = errors.New("the interface is still there, or in the journal")

// judgeLocked reads live what there is to know about an attached entry, and removes its interface if its address has moved
// on. The claim's lock is held. Everything that is not certain is an error, or keeps the interface.
func (f *fence) judgeLocked(ctx context.Context, k attemptKey) error {
	entry, ok := f.journal.get(k)
	if !ok || entry.State != attached || entry.Lease == nil {
		return nil
	}
	to, err := f.movedTo(ctx, &entry)
	if err != nil || to == "" {
		return err
	}
	if f.current != nil {
		if current, err := f.current(ctx, entry.Pool); err != nil || !current {
			return err
		}
	}
	// The link first: a tombstone of one that is still there would be forgotten about after a crash.
	gone := !f.netnsAlive(entry.NetNS) || f.isAnothers(&entry)
	if !gone {
		if err := f.remove(entry.NetNS, entry.Interface, entry.Lease.MAC); err != nil {
			return fmt.Errorf("%w: its address belongs to %s: %w", errNotRemoved, to, err)
		}
	}
	mine, err := f.journal.fence(k)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotRemoved, err)
	}
	if mine && !gone {
		f.report(&entry, to)
	}
	return nil
}

// movedTo tells whose the address of an entry is now, empty if it is still the entry's or nobody can tell.
func (f *fence) movedTo(ctx context.Context, entry *attempt) (string, error) {
	claim, err := f.readClaim(ctx, entry)
	if err != nil {
		return "", err
	}
	v, to := judgeClaim(entry, claim, f.nodeName)
	if v == loses {
		if stolen, err := f.isStolen(ctx, entry, claim); err != nil || stolen {
			return "", err
		}
	}
	if v != asksLease {
		return to, nil
	}
	lease := &v1alpha1.MacLease{}
	err = f.cluster.Get(ctx, types.NamespacedName{Name: entry.Lease.Name}, lease)
	switch {
	case apierrors.IsNotFound(err):
		lease = nil
	case err != nil:
		return "", fmt.Errorf("reading lease %s: %w", entry.Lease.Name, err)
	}
	// Again: a claim that was made again between the two reads is in step with the lease only now.
	if claim, err = f.readClaim(ctx, entry); err != nil {
		return "", err
	}
	if lease == nil && claim == nil {
		// Its hold has ended long ago, while this node was silent, or its objects were deleted under a running pod, as they are with
		// their definitions, one kind after another (F27). The pod tells which: who ended the hold had seen that one gone.
		gone, err := f.podGone(ctx, entry.Pod)
		if err != nil {
			return "", err
		}
		if !gone {
			f.recovery.recheck()
			return "", nil
		}
	}
	_, to = judgeLease(entry, lease, claim, f.nodeName)
	return to, nil
}

// isStolen tells whether the hold was ended against the rule. Only the agent of another node says that it has taken a claim over, and
// only of a pod that is gone or has finished, unless the claim is handed over on demand: whoever says so of a pod that is there has that
// agent's token, and not its manners. Believing it would let one node cut off the pods of all (T13). What no policy can see is seen
// here, where the pod runs: it keeps its interface, and who has taken its claim is told of by name.
func (f *fence) isStolen(ctx context.Context, entry *attempt, claim *v1alpha1.MacClaim) (bool, error) {
	past := endedUnattested(claim, entry.Pod.UID, f.nodeName, 0)
	if past == nil || past.Reason != v1alpha1.EndTakenOver && past.Reason != v1alpha1.EndOutOfService ||
		claim.Spec.Handover == v1alpha1.HandoverPreempt {
		return false, nil
	}
	over, err := f.podOver(ctx, entry.Pod)
	if err != nil || over {
		return false, err
	}
	by := "nobody that is left"
	if claim.Status.Holder != nil {
		by = podOf(claim)
	}
	f.says.onPod(entry.Pod, problem.HoldStolen.New(claim.Namespace, claim.Name, entry.Pod.Namespace, entry.Pod.Name, by))
	return true, nil
}

// readClaim reads the claim of an entry live; nil if there is none.
func (f *fence) readClaim(ctx context.Context, entry *attempt) (*v1alpha1.MacClaim, error) {
	claim := &v1alpha1.MacClaim{}
	err := f.cluster.Get(ctx, claimKey(entry.Claim), claim)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading claim %s: %w", claimKey(entry.Claim), err)
	}
	return claim, nil
}

// isAnothers tells whether the path of the entry's network namespace is now that of another container's: a path in /proc is
// used again with its process ID, and the one who is there may have the very MAC by right.
func (f *fence) isAnothers(entry *attempt) bool {
	for _, other := range f.journal.in(attached) {
		if other.NetNS == entry.NetNS && other.ContainerID != entry.ContainerID && !other.At.Before(entry.At) {
			return true
		}
	}
	return false
}

// report says that an interface was removed.
func (f *fence) report(entry *attempt, to string) {
	f.total.Add(1)
	trouble := problem.Fenced.New(entry.Interface, entry.Pod.Namespace, entry.Pod.Name, addressOf(entry.Lease), to)
	f.log.Info("An interface was removed, its address has moved on", "container", entry.ContainerID, "interface", entry.Interface,
		"pod", entry.Pod, "claim", entry.Claim, "lease", entry.Lease.Name, "to", to)
	f.reporter.fenced(v1alpha1.FencedInterface{
		LeaseName: entry.Lease.Name, Namespace: entry.Pod.Namespace, PodName: entry.Pod.Name, PodUID: types.UID(entry.Pod.UID),
		FencedAt: metav1.NewTime(f.clock.Now()), Reason: binding.Evidence("it belongs to " + to),
	})
	f.says.onPod(entry.Pod, trouble)
}

// addressOf is the lease's first address.
func addressOf(lease *agentapi.Lease) string {
	if len(lease.IPs) == 0 {
		return lease.Name
	}
	return lease.IPs[0].Address.Addr().String()
}
