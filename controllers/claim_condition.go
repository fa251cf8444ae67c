// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// setReady writes what became of the claim: the trouble, if there is one, else its lease, if it has one.
func setReady(claim *v1alpha1.MacClaim, trouble *problem.Error) {
	condition := metav1.Condition{Type: v1alpha1.ClaimReady, ObservedGeneration: claim.Generation}
	switch {
	case trouble != nil:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, trouble.Kind.Reason, trouble.Sentence()
	case claim.Status.LeaseName != "":
		condition.Status, condition.Reason = metav1.ConditionTrue, v1alpha1.ClaimReasonBound
		// As the binder writes it along with the lease.
		condition.Message = "The claim has a lease"
	default:
		return
	}
	apimeta.SetStatusCondition(&claim.Status.Conditions, condition)
}

// setEnded says that the workload is gone, or has another claim, or takes it back.
func setEnded(claim *v1alpha1.MacClaim, verdict life, now time.Time) {
	if !verdict.Ended {
		apimeta.RemoveStatusCondition(&claim.Status.Conditions, v1alpha1.ClaimEnded)
		return
	}
	reason, message := v1alpha1.ClaimReasonWorkloadGone, "The workload is gone; the claim is deleted when it has been so for the time of retain"
	if verdict.Superseded {
		reason, message = v1alpha1.ClaimReasonSuperseded, "Somebody has made a claim for the workload; this one is deleted when that has been there for the time of retain"
	}
	apimeta.SetStatusCondition(&claim.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ClaimEnded, Status: metav1.ConditionTrue, Reason: reason, Message: message,
		ObservedGeneration: claim.Generation,
		LastTransitionTime: metav1.NewTime(now),
	})
}

// sameConditions compares two lists of conditions whatever their order.
func sameConditions(a, b []metav1.Condition) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(c metav1.Condition) bool {
		other := apimeta.FindStatusCondition(b, c.Type)
		return other == nil || !equality.Semantic.DeepEqual(c, *other)
	})
}
