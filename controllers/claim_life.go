// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// judge is judgeLife on what the cache knows. A verdict that removes the claim is repeated on live reads, which come after
// the claim was read: a cache that lags does not know the pod for which a node agent has just made it (M02).
func (r *MacClaimReconciler) judge(ctx context.Context, claim *v1alpha1.MacClaim) (life, error) {
	if !binding.IsManaged(claim) || claim.Spec.Workload == nil {
		return life{}, nil
	}
	verdict, err := r.judgeBy(ctx, r.Client, claim)
	if err != nil || !verdict.Remove {
		return verdict, err
	}
	return r.judgeBy(ctx, r.APIReader, claim)
}

func (r *MacClaimReconciler) judgeBy(ctx context.Context, reader client.Reader, claim *v1alpha1.MacClaim) (life, error) {
	in := lifeInput{
		Managed: true, Kind: claim.Spec.Workload.Kind, Pod: podGone, Held: claim.Status.Holder != nil, EndedAt: endedAt(claim), Now: r.Clock.Now(),
	}
	pod := &corev1.Pod{}
	key := client.ObjectKey{Namespace: claim.Namespace, Name: binding.PodName(*claim.Spec.Workload)}
	if err := reader.Get(ctx, key, pod); err == nil {
		in.Pod = stateOf(pod)
	} else if !apierrors.IsNotFound(err) {
		return life{}, fmt.Errorf("reading pod %s: %w", key, err)
	}
	if in.Kind == v1alpha1.WorkloadStatefulSet {
		set := &metav1.PartialObjectMetadata{}
		set.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("StatefulSet"))
		key := client.ObjectKey{Namespace: claim.Namespace, Name: claim.Spec.Workload.Name}
		if err := reader.Get(ctx, key, set); err == nil {
			in.SetExists = true
		} else if !apierrors.IsNotFound(err) {
			return life{}, fmt.Errorf("reading StatefulSet %s: %w", key, err)
		}
	}
	pool := &v1alpha1.MacPool{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: claim.Spec.PoolRef.Name}, pool); apierrors.IsNotFound(err) {
		pool = nil
	} else if err != nil {
		return life{}, fmt.Errorf("reading pool %s: %w", claim.Spec.PoolRef.Name, err)
	}
	in.Retain = retainOf(claim, pool)
	return judgeLife(in), nil
}

// remove deletes a claim that has outlived its workload, as it was read: a holder that was set since is a conflict.
func (r *MacClaimReconciler) remove(ctx context.Context, claim *v1alpha1.MacClaim) (ctrl.Result, error) {
	err := r.Client.Delete(ctx, claim, client.Preconditions{UID: &claim.UID, ResourceVersion: &claim.ResourceVersion})
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("deleting claim %s: %w", client.ObjectKeyFromObject(claim), err)
	}
	ctrl.LoggerFrom(ctx).Info("Deleted a claim whose workload is gone", "workload", claim.Spec.Workload)
	return ctrl.Result{}, nil
}

// end gives back the lease of a claim under deletion when nothing holds it, and lets the claim go.
//
// That the live claim has no holder is final: a holder is set with the claim's resourceVersion, by code that refuses claims
// under deletion, so that no holder can follow.
func (r *MacClaimReconciler) end(ctx context.Context, seen *v1alpha1.MacClaim) error {
	claim := &v1alpha1.MacClaim{}
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(seen), claim); err != nil {
		return client.IgnoreNotFound(err)
	}
	if claim.UID != seen.UID || !controllerutil.ContainsFinalizer(claim, v1alpha1.FinalizerLease) {
		return nil
	}
	if claim.Status.Holder != nil {
		return r.sayWaiting(ctx, claim)
	}
	outlived, err := r.judge(ctx, claim)
	if err != nil {
		return err
	}
	evidence := evidenceOf(claim, outlived.Ended)
	if err := r.Binder.ReleaseLease(ctx, claim, evidence); err != nil {
		return err
	}
	unfinished := claim.DeepCopy()
	controllerutil.RemoveFinalizer(claim, v1alpha1.FinalizerLease)
	err = r.Client.Patch(ctx, claim, client.MergeFromWithOptions(unfinished, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return fmt.Errorf("removing the finalizer of claim %s: %w", client.ObjectKeyFromObject(claim), err)
	}
	ctrl.LoggerFrom(ctx).Info("Released the lease of a claim", "lease", claim.Status.LeaseName, "evidence", evidence)
	return nil
}

// sayWaiting names the pod that keeps the claim from going (R-P4). When its node's agent clears the holder, that is an event.
func (r *MacClaimReconciler) sayWaiting(ctx context.Context, claim *v1alpha1.MacClaim) error {
	holder := claim.Status.Holder
	trouble := problem.ClaimDeleting.New(claim.Namespace, claim.Name).
		WithFix("Its address stays with pod %s on node %s until that pod's interface is gone.", holder.PodName, holder.NodeName)
	updated := claim.DeepCopy()
	setReady(updated, trouble)
	changed, err := r.writeStatus(ctx, claim, updated)
	if changed {
		say(r.Recorder, claim, claim.Status.Holder.Interface, findingOf(trouble))
	}
	return err
}

// maxEvidence is how long a lease's history takes it.
const maxEvidence = 256

// evidenceOf says why the lease of a claim without holder may be given back.
func evidenceOf(claim *v1alpha1.MacClaim, outlived bool) string {
	text := "claim deleted"
	if outlived {
		text = "workload gone, claim deleted"
	}
	if past := claim.Status.PreviousHolders; len(past) > 0 {
		text += "; the agent of node " + past[0].NodeName + " saw its interface go"
	} else {
		text += "; it was never attached"
	}
	return text[:min(len(text), maxEvidence)]
}
