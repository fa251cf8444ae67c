// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/audit"
	"github.com/macpool/macpool/internal/problem"
)

// suspicion is the condition that says that the claim's holder may be gone, zero if there is none.
func suspicion(claim *v1alpha1.MacClaim) metav1.Condition {
	c := apimeta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ClaimSuspect)
	if c == nil || c.Status != metav1.ConditionTrue {
		return metav1.Condition{}
	}
	return *c
}

// problem is what is suspicious about the holder of a claim, nil if nothing is.
func (v holdVerdict) problem(claim *v1alpha1.MacClaim) *problem.Error {
	if v.Suspect == "" {
		return nil
	}
	holder := claim.Status.Holder
	if isUntrue(v.Suspect) {
		return problem.HolderUntrue.New(holder.NodeName, holder.PodName, claim.Namespace, claim.Name, v.Why)
	}
	return problem.HolderSuspect.New(holder.PodName, claim.Namespace, claim.Name, holder.NodeName, v.Why)
}

// words are the message of the claim's condition.
func (v holdVerdict) words(claim *v1alpha1.MacClaim) string {
	known := suspicion(claim)
	switch p := v.problem(claim); {
	case p == nil:
		return ""
	case v.Keep && known.Reason == v.Suspect:
		return known.Message
	default:
		return p.Sentence()
	}
}

// suspect writes on the claim what is suspicious about its holder, or that nothing is.
func (r *HolderReconciler) suspect(ctx context.Context, claim *v1alpha1.MacClaim, v holdVerdict) error {
	updated := claim.DeepCopy()
	p := v.problem(claim)
	if p == nil {
		apimeta.RemoveStatusCondition(&updated.Status.Conditions, v1alpha1.ClaimSuspect)
	} else {
		apimeta.SetStatusCondition(&updated.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ClaimSuspect, Status: metav1.ConditionTrue, Reason: v.Suspect, Message: v.words(claim),
			ObservedGeneration: claim.Generation,
		})
	}
	if sameConditions(claim.Status.Conditions, updated.Status.Conditions) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, updated, client.MergeFromWithOptions(claim, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing the conditions of claim %s: %w", client.ObjectKeyFromObject(claim), err)
	}
	if isUntrue(v.Suspect) && suspicion(claim).Reason != v.Suspect {
		record := audit.OfHolder(audit.Doubted, claim, claim.Status.Holder)
		record.Evidence = v.Why
		r.Binder.Audit.Write(ctx, record)
	}
	if p != nil {
		say(r.Recorder, claim, "", findingOf(p))
	}
	return nil
}
