// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// LabelTemplateHash is what a Deployment appends to its name for that of a ReplicaSet, and labels the pods with.
const LabelTemplateHash = appsv1.DefaultDeploymentUniqueLabelKey

// OwnerOf is what a pod belongs to. It asks nobody: agents may read no ReplicaSets. Who can make pods in a namespace can write anything
// into them, so it keeps mistakes apart, not tenants; those have namespaces of their own.
func OwnerOf(pod *corev1.Pod) *v1alpha1.Owner {
	ref := metav1.GetControllerOf(pod)
	if _, static := pod.Annotations[annotationConfigMirror]; ref == nil || static { // the Node owns all of its static pods
		return &v1alpha1.Owner{Kind: string(v1alpha1.WorkloadPod), Name: pod.Name}
	}
	if hash := pod.Labels[LabelTemplateHash]; ref.Kind == "ReplicaSet" && hash != "" &&
		strings.HasPrefix(ref.APIVersion, appsv1.GroupName+"/") {
		if name, ok := strings.CutSuffix(ref.Name, "-"+hash); ok && name != "" {
			return &v1alpha1.Owner{Kind: "Deployment", Name: name}
		}
	}
	return &v1alpha1.Owner{Kind: ref.Kind, Name: ref.Name}
}

// Refusal is why holder cannot be the holder of a claim that another pod, or another interface of the pod, holds.
func Refusal(claim *v1alpha1.MacClaim, holder *v1alpha1.Holder) error {
	current := claim.Status.Holder
	if own := HolderOf(claim, holder.PodUID); own != nil {
		return problem.ClaimTwice.New(claim.Namespace, claim.Name, own.Interface, holder.Interface)
	}
	if has, wants := current.Owner, holder.Owner; claim.Spec.Workload == nil && has != nil && wants != nil && *has != *wants {
		return problem.ClaimOfAnother.New(claim.Namespace, claim.Name, current.PodName, ownerText(has), current.NodeName, ownerText(wants))
	}
	return problem.ClaimHeld.New(claim.Namespace, claim.Name, current.PodName, current.NodeName)
}

func ownerText(o *v1alpha1.Owner) string { return o.Kind + " " + o.Name }
