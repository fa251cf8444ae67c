// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
)

// errRenamed: the pod's claim has another name than it was taken to have, by which it has to be locked.
var errRenamed = errors.New("the claim has another name")

// name finds the name of the pod's claim, as far as that takes no call: what the pod or its network names, what the cache shows the
// interface to hold, else what macpool calls its own.
func (t *addition) name(ctx context.Context) error {
	named, err := binding.NamedClaim(t.pod, t.req.Interface, t.req.Wish.Claim)
	if err != nil {
		return err
	}
	t.named = named != ""
	t.claim = agentapi.ClaimRef{Namespace: t.pod.Namespace, Name: named}
	if !t.named {
		t.claim.Name = t.ownName()
		t.follow(ctx)
	}
	return nil
}

// ownName is how macpool calls a claim that it makes for the interface; of a workload whose pods are alike the first, until it is known
// which one it is.
func (t *addition) ownName() string {
	return t.want().Name
}

// want is the claim that macpool makes for the interface.
func (t *addition) want() *v1alpha1.MacClaim {
	if t.slot == nil {
		return binding.NewClaim(t.pod, t.pool, t.req.Interface, t.wish)
	}
	return binding.NewClaimOf(t.pod.Namespace, *t.slot, t.pool, t.wish)
}

// follow takes the claim that the manager has made the interface hold, if that is another one than it was taken for: one that a person
// made for the workload. When the API was asked, that counts.
func (t *addition) follow(ctx context.Context) (changed bool) {
	if t.named || t.asked || !t.contact.cachesHold() {
		return false
	}
	var claims v1alpha1.MacClaimList
	if t.cluster.cache.List(ctx, &claims, client.InNamespace(t.claim.Namespace), client.MatchingFields{holderUID: t.req.Pod.UID}, client.UnsafeDisableDeepCopy) != nil {
		return false
	}
	other := ""
	for i := range claims.Items {
		c := &claims.Items[i]
		if h := binding.HolderOf(c, types.UID(t.req.Pod.UID)); h == nil || h.Interface != t.req.Interface || c.Spec.PoolRef.Name != t.pool.Name {
			continue
		}
		if c.Name == t.claim.Name {
			return false
		}
		other = c.Name
	}
	if other == "" {
		return false
	}
	t.claim.Name = other
	return true
}

// rename asks the API whether a person has made a claim for the workload: no manager has done anything about it yet. errRenamed: that is
// the one, and has to be locked.
func (t *addition) rename(ctx context.Context) error {
	if t.named || t.asked {
		return nil
	}
	name := ""
	err := t.live(ctx, func(ctx context.Context) (err error) {
		if family := binding.WorkloadOf(t.pod, t.req.Interface); binding.Alike(family) {
			name, err = t.choose(ctx, family)
			return err
		}
		name, err = t.people.claimFor(ctx, t.pod, t.want())
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("looking for a claim of the workload: %w", err)
	case name == "":
		name = t.want().Name
	}
	t.asked = true
	if name == t.claim.Name {
		return nil
	}
	t.claim.Name = name
	return errRenamed
}

// choose finds which of the claims of a workload whose pods are alike is the pod's: the one that it holds or was the last to hold, else the
// lowest that is free. One that another pod was the last to hold is not free while that one lives: its sandbox is being made anew.
// Nobody here knows which pods elsewhere wait; of two that choose the same one becomes its holder, and the other chooses again.
func (t *addition) choose(ctx context.Context, family v1alpha1.Workload) (string, error) {
	var claims v1alpha1.MacClaimList
	if err := t.cluster.List(ctx, &claims, client.InNamespace(t.pod.Namespace)); err != nil {
		return "", fmt.Errorf("listing the claims of namespace %s: %w", t.pod.Namespace, err)
	}
	me := types.UID(t.req.Pod.UID)
	var waiting []types.UID
	for i := range claims.Items {
		c := &claims.Items[i]
		if c.Spec.PoolRef.Name != t.pool.Name || c.Spec.Workload == nil || c.Spec.Workload.Ordinal == nil {
			continue
		}
		free := *c.Spec.Workload
		if free.Ordinal = nil; free != family {
			continue
		}
		if h := c.Status.Holder; h != nil && h.PodUID == me {
			t.slot = c.Spec.Workload
			return c.Name, nil
		}
		past := c.Status.PreviousHolders
		if c.Status.Holder != nil || len(past) == 0 || past[0].PodUID == me {
			continue
		}
		last, err := t.podOf(ctx, c.Namespace, &v1alpha1.Holder{PodName: past[0].PodName, PodUID: past[0].PodUID})
		if err != nil {
			return "", err
		}
		if !binding.PodOver(last) {
			waiting = append(waiting, past[0].PodUID)
		}
	}
	slot := binding.Assign(claims.Items, family, t.pool.Name, append(waiting, me))[me]
	t.slot = &slot.Workload
	if slot.Claim != nil {
		return slot.Claim.Name, nil
	}
	return "", nil
}

// makesClaim tells whether the pod's claim is one that macpool makes.
func (t *addition) makesClaim() bool { return !t.named && t.ownName() == t.claim.Name }

// findClaim is the pod's claim, live. Only one that nobody else has named is made if it is not there; made tells whether it was.
func (t *addition) findClaim(ctx context.Context) (claim *v1alpha1.MacClaim, made bool, err error) {
	want := t.want()
	if t.makesClaim() {
		return t.holders.MakeClaim(ctx, want)
	}
	want.Name = t.claim.Name
	claim, err = t.holders.FindClaim(ctx, want)
	return claim, false, err
}
