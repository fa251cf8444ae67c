// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// judgeBoth judges the claim's alternate, and then its holder, if the alternate's hold goes on.
func (r *HolderReconciler) judgeBoth(ctx context.Context, seen *v1alpha1.MacClaim) (ctrl.Result, error) {
	again, ended, err := r.judgeAlternate(ctx, seen)
	if ended || err != nil {
		return ctrl.Result{}, err
	}
	result, err := r.judge(ctx, seen)
	if again > 0 {
		result.RequeueAfter = min(cmp.Or(result.RequeueAfter, again), again)
	}
	return result, err
}

// judgeAlternate ends the hold of an alternate whose pod is gone or has finished, and whose node is fenced or deleted, or whose pod is on another
// node, at the second of two looks Grace apart. Otherwise its node's agent has the word, as of any holder. The VLAN is not asked about a deleted node: the holder answers
// there, with the same MAC. The address becomes nobody else's by it, and the agent, should it come back, removes the interface (R-G7).
func (r *HolderReconciler) judgeAlternate(ctx context.Context, seen *v1alpha1.MacClaim) (again time.Duration, ended bool, err error) {
	end, again, err := r.lookAlternate(ctx, r.Client, seen)
	if end.Reason == "" || err != nil {
		return again, false, err
	}
	claim := &v1alpha1.MacClaim{}
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(seen), claim); err != nil {
		return 0, false, fmt.Errorf("reading claim %s: %w", client.ObjectKeyFromObject(seen), err)
	}
	if claim.UID != seen.UID || !binding.SamePod(claim.Status.Alternate, seen.Status.Alternate) || asksForce(claim) {
		return retryRace, false, nil // the cache lags
	}
	end, again, err = r.lookAlternate(ctx, r.APIReader, claim)
	if end.Reason == "" || err != nil {
		return again, false, err
	}
	if wait, err := r.Gate.closed(ctx, claim.Spec.PoolRef.Name); wait > 0 || err != nil {
		return wait, false, err
	}
	_, err = r.endOne(ctx, claim, claim.Status.Alternate, end)
	return 0, err == nil, err
}

// lookAlternate is why the alternate's hold ends by what a reader knows, if it does; else how soon time alone may change that.
func (r *HolderReconciler) lookAlternate(ctx context.Context, reader client.Reader, claim *v1alpha1.MacClaim) (end binding.End, again time.Duration, err error) {
	holder := claim.Status.Alternate
	pod, err := podOf(ctx, reader, claim.Namespace, holder)
	if err != nil {
		return binding.End{}, 0, err
	}
	look := holdLook{claim: claim.UID, pod: holder.PodUID, generation: holder.Generation}
	if pod != nil {
		look.podState = stateOf(pod)
		if isElsewhere(pod, holder) {
			look.podState = podElsewhere
		}
	}
	if look.podState != podAlive {
		node, err := nodeOf(ctx, reader, holder.NodeName)
		if err != nil {
			return binding.End{}, 0, err
		}
		look.node = binding.StateOfNode(node, holder)
	}
	since, _ := r.alternates.seen(client.ObjectKeyFromObject(claim), look, r.Clock.Now())
	what := ""
	switch {
	case look.podState == podAlive:
		return binding.End{}, 0, nil
	case look.podState == podElsewhere:
		end.Reason, what = v1alpha1.EndPodElsewhere, "does not have the pod, which is on node "+pod.Spec.NodeName
	case look.node == binding.NodeFenced:
		end.Reason, what = v1alpha1.EndOutOfService, "is out of service by its taint"
	case look.node == binding.NodeDeleted:
		end.Reason, what = v1alpha1.EndNodeDeleted, "was deleted"
	default:
		return binding.End{}, 0, nil
	}
	if left := r.Grace - since; left > 0 {
		return binding.End{}, left, nil
	}
	end.Evidence = fmt.Sprintf("node %s %s; pod %s of the VM has the address", holder.NodeName, what, claim.Status.Holder.PodName)
	return end, 0, nil
}
