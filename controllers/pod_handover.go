// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// handoverKinds are what is said on the claim as well as on the pod that waits for it: who reads one of the two finds the other.
var handoverKinds = []*problem.Kind{problem.ClaimHeld, problem.RolloutWaits, problem.OneClaimManyPods, problem.HolderAsked, problem.ClaimOfAnother}

// standOff is what becomes of a pod whose claim another pod holds: that one is asked to make way, if it has to; or it is on its way out, or
// about to be, and nothing is said for a moment; or both wait for each other, which is said at once.
func (r *PodReconciler) standOff(
	ctx context.Context, pod *corev1.Pod, claim *v1alpha1.MacClaim, holder v1alpha1.Holder,
) (time.Duration, error) {
	// Live: the copy may show a holder of before, and a pod that is gone from the cache may hold up nobody.
	live := &v1alpha1.MacClaim{}
	if err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}, live); err != nil {
		return 0, fmt.Errorf("reading claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	if live.Status.Holder == nil || holds(live, pod) {
		return retryRace, nil
	}
	has := &corev1.Pod{}
	key := types.NamespacedName{Namespace: claim.Namespace, Name: live.Status.Holder.PodName}
	if err := r.APIReader.Get(ctx, key, has); apierrors.IsNotFound(err) || err == nil && binding.PodUID(has) != live.Status.Holder.PodUID {
		has = nil
	} else if err != nil {
		return 0, fmt.Errorf("reading pod %s: %w", key, err)
	}
	if binding.MayPreempt(live, pod, has) {
		if _, err := r.Binder.Summon(ctx, live, holder); err != nil {
			return 0, err
		}
	}
	trouble := binding.Standing(live, pod, has)
	if trouble.Kind != problem.RolloutWaits && trouble.Kind != problem.OneClaimManyPods {
		if age := r.Clock.Since(pod.CreationTimestamp.Time); age < heldGrace {
			return heldGrace - age, nil
		}
	}
	return 0, trouble
}

// dismiss ends the wait for a successor that will not come. One that may is a problem of this pod's: refused.
func (r *PodReconciler) dismiss(ctx context.Context, claim *v1alpha1.MacClaim, refused error) (time.Duration, error) {
	live := &v1alpha1.MacClaim{}
	if err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}, live); err != nil {
		return 0, fmt.Errorf("reading claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	successor, err := binding.SuccessorPod(ctx, r.APIReader, live)
	switch {
	case err != nil:
		return 0, err
	case successor != nil:
		return 0, refused
	case live.Status.Successor != nil:
		if _, err := r.Binder.Dismiss(ctx, live); err != nil {
			return 0, err
		}
	}
	return retryRace, nil
}
