// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// usher removes the interfaces of pods of this node that are to make way for a newer pod of their workload (docs/design/0011). It is a
// DEL that the agent makes itself: the interface goes, the journal says so, and the clear worker clears the holder as after any
// DEL, with all that it knows about caches that lag and answers that are lost.
type usher struct {
	*Agent

	wake chan struct{} // capacity 1
}

func newUsher(a *Agent) *usher { return &usher{Agent: a, wake: make(chan struct{}, 1)} }

// follow tells the usher of claims that have a successor.
func (u *usher) follow() toolscache.ResourceEventHandler {
	offer := func(object any) {
		claim, ok := object.(*v1alpha1.MacClaim)
		if !ok || claim.Status.Successor == nil {
			return
		}
		select {
		case u.wake <- struct{}{}:
		default:
		}
	}
	return toolscache.ResourceEventHandlerFuncs{AddFunc: offer, UpdateFunc: func(_, is any) { offer(is) }}
}

func (u *usher) run(ctx context.Context) error {
	select {
	case <-u.ready:
	case <-ctx.Done():
		return nil
	}
	for {
		u.look(ctx)
		timer := u.clock.NewTimer(u.times.Fence)
		select {
		case <-u.wake:
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		timer.Stop()
	}
}

// look goes over the claims that are to change hands. The cache proposes; what is done rests on live reads.
func (u *usher) look(ctx context.Context) {
	var claims v1alpha1.MacClaimList
	if err := u.cluster.cache.List(ctx, &claims); err != nil {
		u.log.Error(err, "Looking for claims that change hands did not succeed")
		return
	}
	for i := range claims.Items {
		c := &claims.Items[i]
		if c.Status.Successor == nil || c.Status.Holder == nil || !u.isHere(c.Status.Holder) {
			continue
		}
		ref := agentapi.ClaimRef{Namespace: c.Namespace, Name: c.Name}
		if err := u.makeWay(ctx, ref); err != nil {
			u.log.Info("A pod has not made way yet, it will be tried again", "claim", ref, "pod", c.Status.Holder.PodName, "error", err.Error())
		}
	}
}

// makeWay removes what the claim's holder has attached here, if the claim says so live, and its successor lives. The claim's lock is held: no
// ADD of the holder decides anything meanwhile. It may be repeated after a crash at any point.
func (u *usher) makeWay(ctx context.Context, ref agentapi.ClaimRef) error {
	ctx, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	unlock, err := u.locks.Lock(ctx, ref)
	if err != nil {
		return fmt.Errorf("waiting for claim %s: %w", claimKey(ref), err)
	}
	defer unlock()
	claim := &v1alpha1.MacClaim{}
	if err := u.cluster.Get(ctx, claimKey(ref), claim); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("reading claim %s: %w", claimKey(ref), err)
	}
	holder, successor := claim.Status.Holder, claim.Status.Successor
	if holder == nil || successor == nil || !u.isHere(holder) || holder.PodUID == successor.PodUID {
		return nil
	}
	// An API that has gone back in time asks for what was wanted once.
	if current, err := u.fence.current(ctx, claim.Spec.PoolRef.Name); err != nil || !current {
		return err
	}
	if wanted, err := u.isWanted(ctx, claim); err != nil || !wanted {
		return err
	}
	return u.remove(claim)
}

// isWanted tells whether the successor lives and may have the claim. One that does not is taken from the claim.
func (u *usher) isWanted(ctx context.Context, claim *v1alpha1.MacClaim) (bool, error) {
	pod, err := binding.SuccessorPod(ctx, u.cluster, claim)
	if err != nil {
		return false, err
	}
	holder := claim.Status.Holder
	has, err := u.podOf(ctx, claim.Namespace, holder)
	if err != nil {
		return false, err
	}
	if pod != nil && binding.MayPreempt(claim, pod, has) {
		return true, nil
	}
	_, err = u.holders.Dismiss(ctx, claim)
	return false, err
}

// remove removes the holder's interfaces, and leaves it to the clear worker to say so. The link comes before the journal: what the
// journal calls detached is cleared.
func (u *usher) remove(claim *v1alpha1.MacClaim) error {
	ref := agentapi.ClaimRef{Namespace: claim.Namespace, Name: claim.Name}
	holder, successor := claim.Status.Holder, claim.Status.Successor
	pod := agentapi.Pod{Namespace: claim.Namespace, Name: holder.PodName, UID: string(holder.PodUID)}
	known := false
	for _, entry := range u.journal.ofClaim(ref) {
		if !entry.ofHolder(ref, pod.UID) || entry.State == deleted {
			continue
		}
		known = true
		if entry.State != attached || entry.Lease == nil {
			continue
		}
		gone := !u.netnsAlive(entry.NetNS) || u.fence.isAnothers(&entry)
		if !gone {
			if err := u.fence.remove(entry.NetNS, entry.Interface, entry.Lease.MAC); err != nil {
				return fmt.Errorf("%w: claim %s is to change hands: %w", errNotRemoved, claimKey(ref), err)
			}
		}
		if err := u.journal.giveWay(entry.key(), successor.PodName); err != nil {
			return fmt.Errorf("%w: %w", errNotRemoved, err)
		}
		if !gone {
			u.log.Info("An interface was removed, its address goes to a newer pod", "container", entry.ContainerID, "interface", entry.Interface,
				"pod", entry.Pod, "claim", ref, "successor", successor.PodName)
			u.says.onPod(pod, problem.MadeWay.New(entry.Interface, pod.Namespace, pod.Name, ref.Name, successor.PodName, successor.NodeName))
		}
	}
	if !known { // it was never attached; as the reaper ends the hold of a pod that is gone
		unattached := reapedAttempt(ref, pod, holder.Generation)
		unattached.For = successor.PodName
		if err := u.journal.abandon(unattached); err != nil {
			return err
		}
	}
	u.clears.kick()
	return nil
}

// podOf reads the pod of a holder; nil if it is gone.
func (a *Agent) podOf(ctx context.Context, namespace string, holder *v1alpha1.Holder) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	key := types.NamespacedName{Namespace: namespace, Name: holder.PodName}
	if err := a.cluster.Get(ctx, key, pod); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil //nolint:nilnil // it is gone
		}
		return nil, fmt.Errorf("reading pod %s: %w", key, err)
	}
	if binding.PodUID(pod) != holder.PodUID {
		return nil, nil //nolint:nilnil // as above
	}
	return pod, nil
}

// summon asks the holder to make way for the addition's pod. errChanged: the claim has been written since it was read.
func (t *addition) summon(ctx context.Context, claim *v1alpha1.MacClaim) (*v1alpha1.MacClaim, error) {
	asked, err := t.holders.Summon(ctx, claim, *t.holder())
	if err != nil && transient(err) {
		return nil, errors.Join(errChanged, err)
	}
	return asked, err
}

// dismiss ends the wait for a successor that will not come: nil then. Otherwise the claim is that one's: refused.
func (t *addition) dismiss(ctx context.Context, refused error) error {
	return t.live(ctx, func(ctx context.Context) error {
		claim := &v1alpha1.MacClaim{}
		if err := t.cluster.Get(ctx, claimKey(t.claim), claim); err != nil {
			return fmt.Errorf("reading claim %s: %w", claimKey(t.claim), err)
		}
		successor, err := binding.SuccessorPod(ctx, t.cluster, claim)
		switch {
		case err != nil:
			return err
		case successor != nil:
			return refused
		case claim.Status.Successor == nil:
			return nil
		}
		_, err = t.holders.Dismiss(ctx, claim)
		return err
	})
}
