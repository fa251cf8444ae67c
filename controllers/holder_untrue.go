// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// What the agent of a node writes is held to that node by admission policies. They cannot look up whether the pod that it names is there
// (T12, T13): that is done here, afterwards, and written down in docs/design/0017.

const (
	// interfacesPerPod is how many addresses a pod has, at most, for the cap of a node. Multus has no bound; this is more than anybody uses.
	interfacesPerPod = 16
	// defaultMaxPods is the kubelet's, for a Node that does not say.
	defaultMaxPods = 110
)

// isUntrue tells whether a claim is suspect, for this reason, because the API contradicts its hold.
func isUntrue(reason string) bool {
	return reason == v1alpha1.ClaimReasonPodElsewhere || reason == v1alpha1.ClaimReasonPodUnknown
}

// judgeElsewhere is judgeHold of a pod that is on another node than the ready one whose agent says that it holds the claim there. A pod never
// changes its node. The second look is for an API that went back: its first answers may be of before. An agent that is in order removes
// the interface then, since it did not attest the end.
func judgeElsewhere(holder *v1alpha1.Holder, f holdFacts, times holdTimes) holdVerdict {
	if left := times.Grace - f.Seen; left > 0 {
		return holdVerdict{Suspect: v1alpha1.ClaimReasonPodElsewhere, Why: "the API has that pod on node " + f.Elsewhere, Again: left}
	}
	return holdVerdict{End: binding.End{
		Reason:   v1alpha1.EndPodElsewhere,
		Evidence: fmt.Sprintf("the pod is on node %s, and not on node %s, as was said of it there", f.Elsewhere, holder.NodeName),
	}}
}

// judgeUnknown is judgeHold of a pod that this process has never seen, and that is said to be on a ready node. It may have been deleted by force
// while it was attached, so that it is not told before Doubt, and its address is kept as for any interface that lingers. Since it may
// never have been, its node's word is not all that counts: after Patience two other nodes can say that nothing answers.
func judgeUnknown(holder *v1alpha1.Holder, f holdFacts, times holdTimes) holdVerdict {
	if left := times.Doubt - f.Seen; left > 0 && !f.ToldUnknown {
		return holdVerdict{Again: left}
	}
	v := holdVerdict{Suspect: v1alpha1.ClaimReasonPodUnknown, Why: "the API knows no such pod"}
	left, w := times.Patience-f.Seen, f.Wire
	switch {
	case f.Cap > 0:
		return holdVerdict{End: binding.End{
			Reason: v1alpha1.EndPodUnknown,
			Evidence: fmt.Sprintf("the API knows no such pod, and node %s keeps addresses for %d of that kind, which is all that it could attach",
				holder.NodeName, f.Cap),
		}}
	case w.AnsweredBy != "":
		v.Why += ", while " + w.AnsweredBy + " " + answersWords + w.HeardBy + hearsWord
	case !f.ToldUnknown: // others may be told at the same moment, and the cap be passed
		v.Again = times.Grace
	case left > 0:
		v.Again = left
	case len(w.Silent) >= neededSilences && w.Waited == "":
		return holdVerdict{End: binding.End{
			Reason: v1alpha1.EndPodUnknown,
			Evidence: fmt.Sprintf("the API knows no such pod; on the VLAN nothing answered to nodes %s in %d rounds each",
				strings.Join(w.Silent[:neededSilences], " and "), neededRounds),
		}}
	default:
		v.Keep = f.Answered
	}
	return v
}

// beyondCap is how many addresses a node may keep for pods that the API does not know, if it keeps so many already for others than this
// claim's; 0 if not. A kubelet runs no more pods than its Node says. The newest are too many: by when the manager has found them so, since
// all other times are the agent's own.
func (r *HolderReconciler) beyondCap(ctx context.Context, node *corev1.Node, claim *v1alpha1.MacClaim) (int, error) {
	pods := node.Status.Allocatable.Pods().Value()
	if pods <= 0 {
		pods = defaultMaxPods
	}
	limit := int(pods) * interfacesPerPod
	var claims v1alpha1.MacClaimList
	if err := r.Client.List(ctx, &claims, claimsByNode.is(node.Name), client.UnsafeDisableDeepCopy); err != nil {
		return 0, fmt.Errorf("listing the claims of node %s: %w", node.Name, err)
	}
	before := 0
	for i := range claims.Items {
		other := &claims.Items[i]
		if other.UID != claim.UID && suspicion(other).Reason == v1alpha1.ClaimReasonPodUnknown && foundBefore(other, claim) {
			before++
		}
	}
	if before < limit {
		return 0, nil
	}
	return limit, nil
}

// foundBefore tells whether the hold of a, which is suspect, was found to be so before that of b.
func foundBefore(a, b *v1alpha1.MacClaim) bool {
	if suspicion(b).Reason != v1alpha1.ClaimReasonPodUnknown {
		return true
	}
	at := suspicion(a).LastTransitionTime
	return cmp.Or(at.Compare(suspicion(b).LastTransitionTime.Time), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID)) < 0
}
