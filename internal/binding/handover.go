// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// The way of a claim from a pod that runs to a newer one of its workload, if its handover is Preempt (docs/design/0011):
//
//  1. whoever finds the claim held, manager or agent of the newer pod, writes that pod into it as the successor (Summon);
//  2. the agent of the holder's node removes the interface, notes in its journal that it is gone, and clears the holder;
//  3. the successor becomes the holder, as of any claim that nobody holds.
//
// Between 2 and 3 nobody else can become the holder: the old pod, whose kubelet may be making it a new sandbox just then, would
// have the address again. Each step carries the resourceVersion of what it rests on.

// PodOver tells whether a pod gets no interface any more: it is gone (nil), has finished, or is on its way out.
func PodOver(pod *corev1.Pod) bool {
	return pod == nil || !pod.DeletionTimestamp.IsZero() || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// MayPreempt tells whether the holder of the claim is to make way for a pod of its workload. has is the holder's pod, nil if it is gone.
// Only a newer pod may, and none that had to make way itself: of two that both go on, one would otherwise take it from the other
// for ever.
func MayPreempt(claim *v1alpha1.MacClaim, pod, has *corev1.Pod) bool {
	if claim.Spec.Handover != v1alpha1.HandoverPreempt || claim.Status.Holder == nil || PodOver(pod) {
		return false
	}
	uid := PodUID(pod)
	for _, past := range claim.Status.PreviousHolders {
		if past.PodUID == uid && past.Reason == v1alpha1.EndPreempted {
			return false
		}
	}
	return has == nil || !pod.CreationTimestamp.Before(&has.CreationTimestamp)
}

// Summon makes the pod of holder the one that the claim's holder is to make way for. It returns the claim as it is then: with the
// successor, or as somebody else has written it meanwhile, which is a conflict.
func (b *Binder) Summon(ctx context.Context, claim *v1alpha1.MacClaim, holder v1alpha1.Holder) (*v1alpha1.MacClaim, error) {
	if s := claim.Status.Successor; s != nil && s.PodUID == holder.PodUID {
		return claim, nil
	}
	updated := claim.DeepCopy()
	updated.Status.Successor = &v1alpha1.Successor{PodName: holder.PodName, PodUID: holder.PodUID, NodeName: holder.NodeName}
	if err := b.Client.Status().Update(ctx, updated); err != nil {
		return nil, fmt.Errorf("asking the holder of claim %s to make way: %w", client.ObjectKeyFromObject(claim), err)
	}
	return updated, nil
}

// Dismiss takes the successor from a claim, as it was read: it is not wanted any more, or will never come.
func (b *Binder) Dismiss(ctx context.Context, claim *v1alpha1.MacClaim) (*v1alpha1.MacClaim, error) {
	updated := claim.DeepCopy()
	updated.Status.Successor = nil
	if err := b.Client.Status().Update(ctx, updated); err != nil {
		return nil, fmt.Errorf("dismissing the successor of claim %s: %w", client.ObjectKeyFromObject(claim), err)
	}
	return updated, nil
}

// SuccessorPod reads the pod that a claim's holder is to make way for, or has made way for; nil if it is gone, or is over.
func SuccessorPod(ctx context.Context, reader client.Reader, claim *v1alpha1.MacClaim) (*corev1.Pod, error) {
	s := claim.Status.Successor
	if s == nil {
		return nil, nil //nolint:nilnil // there is none, and that is well
	}
	pod := &corev1.Pod{}
	key := client.ObjectKey{Namespace: claim.Namespace, Name: s.PodName}
	if err := client.IgnoreNotFound(reader.Get(ctx, key, pod)); err != nil {
		return nil, fmt.Errorf("reading pod %s: %w", key, err)
	}
	if PodUID(pod) != s.PodUID || PodOver(pod) {
		return nil, nil //nolint:nilnil // as above
	}
	return pod, nil
}

// Standing is why pod cannot be the holder of a claim that another pod holds, said to people. has is that pod, nil if it is gone or not
// known.
func Standing(claim *v1alpha1.MacClaim, pod, has *corev1.Pod) *problem.Error {
	current := claim.Status.Holder
	held := problem.ClaimHeld.New(claim.Namespace, claim.Name, current.PodName, current.NodeName)
	switch {
	case has == nil || PodUID(has) != current.PodUID:
		return held.WithFix("That pod is gone from the API; the address is free for this one as soon as its node has taken its interface down.")
	case PodOver(has):
		return held.WithFix("That pod is ending; the address is free for this one as soon as its interface is gone.")
	case MayPreempt(claim, pod, has):
		return problem.HolderAsked.New(claim.Namespace, claim.Name, current.PodName, current.NodeName)
	case OwnerOf(pod).Kind == string(v1alpha1.WorkloadPod) || *OwnerOf(pod) != *OwnerOf(has) || InstanceUID(pod) != "":
		return held
	case isRollout(pod, has):
		return problem.RolloutWaits.New(ownerText(OwnerOf(pod)), claim.Namespace, claim.Name, current.PodName, current.NodeName, pod.Name)
	default:
		return problem.OneClaimManyPods.New(claim.Namespace, claim.Name, current.PodName, current.NodeName, ownerText(OwnerOf(pod)), pod.Name)
	}
}

// isRollout tells whether two pods of one owner are there at once because it is being updated: those of a Deployment are of two templates, and a
// DaemonSet has two on one node only then.
func isRollout(pod, has *corev1.Pod) bool {
	return pod.Labels[LabelTemplateHash] != has.Labels[LabelTemplateHash] ||
		OwnerOf(pod).Kind == "DaemonSet" && pod.Spec.NodeName == has.Spec.NodeName
}
