// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/retention"
)

// judge is judgeLife on what the cache knows. A verdict that removes the claim is repeated on live reads, which come after
// the claim was read: a cache that lags does not know the pod for which a node agent has just made it (M02). So is one that changes what the
// claim says: two replicas whose caches are of different age would write it against each other, as fast as they can, for as long as they are.
//
// The brake may put it off, if nothing but its absence says that the workload is gone.
func (r *MacClaimReconciler) judge(ctx context.Context, claim *v1alpha1.MacClaim) (life, error) {
	key := client.ObjectKeyFromObject(claim)
	verdict, err := lifeOf(ctx, r.Client, r.Client, r.APIReader, claim, r.Clock.Now())
	if err != nil {
		return life{}, err
	}
	var wait time.Duration
	if verdict.Remove && verdict.Absent && !endedByNode(claim) && !r.ends.seen(key, kindOf(claim)) {
		if wait, err = r.Brake.ask(ctx, r.Client, claim.Spec.PoolRef.Name, claimCandidate(key)); err != nil {
			return life{}, err
		}
	}
	if verdict.Remove && wait == 0 || verdict.Ended == retention.EndedAt(claim).IsZero() {
		if verdict, err = lifeOf(ctx, r.APIReader, r.Client, r.APIReader, claim, r.Clock.Now()); err != nil {
			return life{}, err
		}
	}
	if verdict.Remove && wait > 0 {
		return life{Ended: true, Left: wait}, nil
	}
	if !verdict.Remove {
		r.Brake.settled(claimCandidate(key))
	}
	if verdict.Alive {
		r.ends.forget(key)
	}
	return verdict, nil
}

// claimCandidate is a claim as the brake knows it.
func claimCandidate(key types.NamespacedName) string { return "claim " + key.String() }

// endedByNode tells whether a node has said that the claim's last hold is over.
func endedByNode(claim *v1alpha1.MacClaim) bool {
	past := claim.Status.PreviousHolders
	return len(past) > 0 && past[0].Reason.Attested()
}

// lifeOf is judgeLife on what the workload's reader knows; the rest, how long to retain and whether there is another claim, is the
// cache's word: of claims it knows all that was written before this one. VMs and IPAMClaims, which no cache has, are asked for live.
func lifeOf(ctx context.Context, workloads, cache, live client.Reader, claim *v1alpha1.MacClaim, now time.Time) (life, error) {
	kind := kindOf(claim)
	switch {
	case !binding.IsManaged(claim) || kind == "":
		return life{}, nil
	case kind == v1alpha1.WorkloadVM || kind == ofIPAMClaim:
		return lifeOfVM(ctx, workloads, cache, live, claim, now)
	}
	in := lifeInput{
		Managed: true, Kind: claim.Spec.Workload.Kind, Pod: podGone, Held: claim.Status.Holder != nil, EndedAt: retention.EndedAt(claim), Now: now,
	}
	if name := binding.PodName(*claim.Spec.Workload); name != "" {
		pod := &corev1.Pod{}
		key := client.ObjectKey{Namespace: claim.Namespace, Name: name}
		if err := workloads.Get(ctx, key, pod); err == nil {
			in.Pod = stateOf(pod)
		} else if !apierrors.IsNotFound(err) {
			return life{}, fmt.Errorf("reading pod %s: %w", key, err)
		}
	} else if needed, err := isNeeded(ctx, workloads, cache, claim); err != nil {
		return life{}, err
	} else if needed {
		in.Pod = podAlive
	}
	var err error
	if in.Superseded, err = superseded(ctx, cache, claim); err != nil {
		return life{}, err
	}
	if in.Kind == v1alpha1.WorkloadStatefulSet {
		set := &metav1.PartialObjectMetadata{}
		set.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("StatefulSet"))
		key := client.ObjectKey{Namespace: claim.Namespace, Name: claim.Spec.Workload.Name}
		if err := workloads.Get(ctx, key, set); err == nil {
			in.SetExists = true
		} else if !apierrors.IsNotFound(err) {
			return life{}, fmt.Errorf("reading StatefulSet %s: %w", key, err)
		}
	}
	if in.Retain, err = retainBy(ctx, cache, claim); err != nil {
		return life{}, err
	}
	verdict := judgeLife(in)
	verdict.Alive = in.Pod == podAlive || in.SetExists
	verdict.Absent = !in.Superseded && (in.Pod == podGone || in.Kind == v1alpha1.WorkloadStatefulSet)
	return verdict, nil
}

// superseded tells whether a person has made another claim for the workload.
func superseded(ctx context.Context, cache client.Reader, claim *v1alpha1.MacClaim) (bool, error) {
	if claim.Spec.Workload == nil {
		return false, nil
	}
	siblings, err := kin(ctx, cache, claim.Namespace, *claim.Spec.Workload)
	if err != nil {
		return false, err
	}
	return binding.Chosen(siblings, *claim.Spec.Workload, claim.Spec.PoolRef.Name) != nil, nil
}

// retainBy is retention.Retain by the pool that the cache has.
func retainBy(ctx context.Context, cache client.Reader, claim *v1alpha1.MacClaim) (time.Duration, error) {
	pool, err := poolOf(ctx, cache, claim.Spec.PoolRef.Name)
	if err != nil {
		return 0, err
	}
	return retention.Retain(claim, pool), nil
}

// remove deletes a claim that has outlived its workload, as it was read: a holder that was set since is a conflict. Its lease
// is the LeaseReconciler's to give back.
func (r *MacClaimReconciler) remove(ctx context.Context, claim *v1alpha1.MacClaim) (ctrl.Result, error) {
	if wait, err := r.Gate.closed(ctx, claim.Spec.PoolRef.Name); wait > 0 || err != nil {
		return ctrl.Result{RequeueAfter: wait}, err
	}
	err := r.Client.Delete(ctx, claim, client.Preconditions{UID: &claim.UID, ResourceVersion: &claim.ResourceVersion})
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("deleting claim %s: %w", client.ObjectKeyFromObject(claim), err)
	}
	ctrl.LoggerFrom(ctx).Info("Deleted a claim whose workload is gone", "workload", claim.Spec.Workload)
	return ctrl.Result{}, nil
}

// lastHold says why the lease of a claim that had no holder at its end may be given back: how its last hold ended.
func lastHold(claim *v1alpha1.MacClaim, outlived bool) v1alpha1.LeaseHistory {
	text := "claim deleted"
	if outlived {
		text = "workload gone, claim deleted"
	}
	past := claim.Status.PreviousHolders
	if len(past) == 0 {
		return v1alpha1.LeaseHistory{Reason: v1alpha1.EndNeverAttached, Evidence: text + "; it was never attached"}
	}
	last := past[0]
	if last.Evidence == "" { // written by an earlier release
		last.Reason, last.Evidence = v1alpha1.EndAgentReport, binding.AgentReport(last.NodeName).Evidence
	}
	return v1alpha1.LeaseHistory{
		PodName: last.PodName, NodeName: last.NodeName, Reason: last.Reason, Evidence: text + "; " + last.Evidence,
	}
}
