// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/metric"
	"github.com/macpool/macpool/internal/problem"
)

// managerPoll is the time between two looks for what the manager did.
const managerPoll = 20 * time.Millisecond

// takeoverRounds bounds how often an ADD looks at a claim again that others write meanwhile.
const takeoverRounds = 3

// acquire returns the claim, bound and held by the pod. mine: this ADD made the pod its holder. The claim's lock is held.
func (t *addition) acquire(ctx context.Context) (claim *v1alpha1.MacClaim, mine bool, err error) {
	ctx, phase := t.phase(ctx, metric.PhaseBind)
	defer func() { phase.end(err) }()
	if claim := t.prebound(ctx); claim != nil {
		return claim, false, nil
	}
	if t.follow(ctx) {
		return nil, false, errRenamed
	}
	// The manager has seen a young pod when this agent did, and has less far to go.
	if t.clock.Since(t.pod.CreationTimestamp.Time) < t.times.ManagerAge && t.pool.Spec.Takeover != v1alpha1.TakeoverImmediate {
		until := t.clock.Now().Add(t.times.ManagerWait)
		for t.clock.Now().Before(until) && t.pause(ctx, managerPoll) == nil {
			if claim := t.prebound(ctx); claim != nil {
				return claim, false, nil
			}
			if t.follow(ctx) {
				return nil, false, errRenamed
			}
		}
	}
	t.asking = t.askAdmission(ctx) // whose word is needed in any case, whichever claim it is
	if err := t.rename(ctx); err != nil {
		t.asking = nil
		return nil, false, err
	}
	claim, err = t.bindOrTakeOver(ctx)
	return claim, t.mine, err
}

// bindOrTakeOver binds the claim, and if a pod of another node holds it sees whether it may be taken over.
func (t *addition) bindOrTakeOver(ctx context.Context) (*v1alpha1.MacClaim, error) {
	var claim *v1alpha1.MacClaim
	var err error
	for range takeoverRounds {
		if claim, err = t.bind(ctx); problem.ClaimPromised.Is(err) {
			if err := t.dismiss(ctx, err); err != nil {
				return nil, err
			}
			continue
		} else if !problem.ClaimHeld.Is(err) {
			return claim, err
		}
		if t.slot != nil { // another pod of the workload was faster: there is another claim for this one
			t.asked = false
			return nil, errRenamed
		}
		var changed error
		if claim, changed = t.takeOver(ctx); !errors.Is(changed, errChanged) {
			return claim, changed
		}
	}
	return nil, err
}

// prebound is the claim if the caches may be believed and say that all is done. It asks the API nothing.
//
// A pool whose addresses are taken over without a look at the VLAN is never answered for so: there the pod of a silent node
// is kept from being attached by nothing but a live look at it.
func (t *addition) prebound(ctx context.Context) *v1alpha1.MacClaim {
	if !t.contact.cachesHold() || t.pool.Spec.Takeover == v1alpha1.TakeoverImmediate {
		return nil
	}
	if !t.recovery.goesOn(t.pool) {
		return nil
	}
	claim := &v1alpha1.MacClaim{}
	if t.cluster.cache.Get(ctx, claimKey(t.claim), claim) != nil {
		return nil
	}
	holder := binding.HolderOf(claim, types.UID(t.req.Pod.UID))
	switch {
	case claim.Status.LeaseName == "" || holder == nil:
	case holder.NodeName != t.nodeName || holder.Interface != t.req.Interface:
	case holder.Generation <= t.journal.doubtful(t.claim, t.req.Pod.UID): // cleared since by this node, perhaps
	case claim.Spec.PoolRef.Name != t.pool.Name || !t.wish.SatisfiedBy(&claim.Status):
	default:
		return claim
	}
	return nil
}

// bind does with live calls what the manager has not done.
func (t *addition) bind(ctx context.Context) (claim *v1alpha1.MacClaim, err error) {
	err = t.live(ctx, func(ctx context.Context) error {
		found, left, err := t.claimAdmitted(ctx)
		if err != nil {
			return err
		}
		if before := binding.HolderOf(found, types.UID(t.req.Pod.UID)); !t.seen { // a repetition may find what the try before it has set
			t.seen, t.mine = true, before == nil
		}
		if claim, err = t.bindClaim(ctx, found, left); err != nil {
			return err
		}
		return t.renew(ctx, claim)
	})
	return claim, err
}

// bindClaim has the claim bound and held. An index is needed for choosing an address only, so most ADDs do not read one. left is what
// its identity has left behind, if the claim was made just now.
func (t *addition) bindClaim(ctx context.Context, claim *v1alpha1.MacClaim, left *left) (*v1alpha1.MacClaim, error) {
	if claim.Status.LeaseName != "" {
		return t.holders.Bind(ctx, claim, t.pool, t.holder())
	}
	return t.views.bind(ctx, t.holders.WithIndex, claim, t.pool, t.holder(), left)
}

// holder is the addition's pod as the holder of its claim.
func (t *addition) holder() *v1alpha1.Holder {
	return &v1alpha1.Holder{
		PodName: t.pod.Name, PodUID: types.UID(t.req.Pod.UID), NodeName: t.nodeName, NodeUID: t.ownUID(),
		Interface: t.req.Interface, Owner: binding.OwnerOf(t.pod), InstanceUID: binding.InstanceUID(t.pod),
	}
}

// renew gives the holder a new generation if this node has tried to clear the one it has: that clear may still be on its
// way, and must find the claim changed when it arrives. From the write's success on it cannot succeed any more. A claim that was
// made again begins at 1, and is lifted above all that the node has written down about the one before.
func (t *addition) renew(ctx context.Context, claim *v1alpha1.MacClaim) error {
	doubtful := t.journal.doubtful(t.claim, t.req.Pod.UID)
	holder := binding.HolderOf(claim, types.UID(t.req.Pod.UID))
	if holder.Generation > doubtful {
		return nil
	}
	claim.Status.Generation = max(claim.Status.Generation, doubtful) + 1
	holder.Generation = claim.Status.Generation
	if err := t.cluster.Status().Update(ctx, claim); err != nil {
		return fmt.Errorf("renewing the holder of claim %s: %w", client.ObjectKeyFromObject(claim), err)
	}
	return nil
}
