// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// SetHolder makes holder the holder of a bound claim; its generation and time are set here. A claim that the same pod holds
// already is returned as it is; one that another pod holds is ClaimHeld: only that pod's node, or evidence, clears a holder.
func (b *Binder) SetHolder(
	ctx context.Context, claim *v1alpha1.MacClaim, holder v1alpha1.Holder,
) (*v1alpha1.MacClaim, error) {
	live := false
	for range maxRounds {
		switch current := claim.Status.Holder; {
		case current != nil && current.PodUID == holder.PodUID:
			return claim, nil
		case current != nil && !live:
			// The copy may be old, and the other pod's hold over.
			fresh, err := b.reread(ctx, claim, nil)
			if err != nil {
				return nil, err
			}
			claim, live = fresh, true
			continue
		case current != nil:
			return nil, problem.ClaimHeld.New(claim.Namespace, claim.Name, current.PodName, current.NodeName)
		case !claim.DeletionTimestamp.IsZero():
			return nil, problem.ClaimDeleting.New(claim.Namespace, claim.Name)
		}
		updated := claim.DeepCopy()
		b.hold(&updated.Status, holder)
		writeErr := b.Client.Status().Update(ctx, updated)
		if writeErr == nil {
			return updated, nil
		}
		fresh, err := b.reread(ctx, claim, writeErr)
		if err != nil {
			return nil, err
		}
		claim, live = fresh, true
	}
	return nil, fmt.Errorf("setting the holder of claim %s: %w", client.ObjectKeyFromObject(claim), errOvertaken)
}

// hold sets the holder in status. A pod that holds the claim already keeps its generation: what its node has written down
// about it stays true.
func (b *Binder) hold(status *v1alpha1.MacClaimStatus, holder v1alpha1.Holder) {
	if status.Holder != nil && status.Holder.PodUID == holder.PodUID {
		return
	}
	status.Generation++
	holder.Generation = status.Generation
	holder.Since = metav1.NewTime(b.Clock.Now())
	status.Holder = &holder
}

// ClearHolder takes the claim from the pod with this UID, up to this generation. It does nothing if the claim is gone or has
// another holder, or a newer one of this pod: a late word about an old holder must not touch a new one (M01, M09).
//
// A holder of this pod with a lower generation is of a claim that was made again, or came back from a backup: within one claim
// generations only rise. The word is about that pod's interface all the same.
func (b *Binder) ClearHolder(ctx context.Context, key types.NamespacedName, podUID types.UID, generation int64) error {
	claim := &v1alpha1.MacClaim{}
	if err := b.Client.Get(ctx, key, claim); err != nil {
		return client.IgnoreNotFound(err)
	}
	for range maxRounds {
		holder := claim.Status.Holder
		if holder == nil || holder.PodUID != podUID || holder.Generation > generation {
			return nil
		}
		updated := claim.DeepCopy()
		past := v1alpha1.PreviousHolder{
			PodName: holder.PodName, PodUID: holder.PodUID, NodeName: holder.NodeName,
			Since: holder.Since, Until: metav1.NewTime(b.Clock.Now()),
		}
		all := append([]v1alpha1.PreviousHolder{past}, claim.Status.PreviousHolders...)
		updated.Status.PreviousHolders = all[:min(len(all), v1alpha1.MaxPreviousHolders)]
		updated.Status.Holder = nil
		writeErr := b.Client.Status().Update(ctx, updated)
		if writeErr == nil || apierrors.IsNotFound(writeErr) {
			return nil
		}
		fresh, err := b.reread(ctx, claim, writeErr)
		if apierrors.IsNotFound(err) || problem.ClaimDeleting.Is(err) {
			return nil
		}
		if err != nil {
			return err
		}
		claim = fresh
	}
	return fmt.Errorf("clearing the holder of claim %s: %w", key, errOvertaken)
}

// reread reads the claim, after a write that failed or nil. Refusals are final; after a conflict, or an answer that was
// lost, the claim says what to do.
func (b *Binder) reread(ctx context.Context, claim *v1alpha1.MacClaim, writeErr error) (*v1alpha1.MacClaim, error) {
	key := client.ObjectKeyFromObject(claim)
	if isRefusal(writeErr) {
		return nil, fmt.Errorf("writing the status of claim %s: %w", key, writeErr)
	}
	live := &v1alpha1.MacClaim{}
	if err := b.Client.Get(ctx, key, live); err != nil {
		if writeErr != nil {
			err = fmt.Errorf("after %w: %w", writeErr, err)
		}
		return nil, fmt.Errorf("reading claim %s: %w", key, err)
	}
	if live.UID != claim.UID {
		return nil, problem.ClaimDeleting.New(claim.Namespace, claim.Name)
	}
	return live, nil
}
