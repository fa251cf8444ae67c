// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Holder is the pod interface that a lease is attached to, or is about to be.
type Holder struct {
	// podName is the pod's name, in the claim's namespace.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PodName string `json:"podName,omitempty"`

	// podUID is the pod's UID. Holders are compared by it, never by name.
	//
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	PodUID types.UID `json:"podUID,omitempty"`

	// nodeName is the node that the pod was scheduled to.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`

	// nodeUID is the UID of the node, if it was known. A node that was made again under its name is another node.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=128
	NodeUID types.UID `json:"nodeUID,omitempty"`

	// interface is the name of the interface in the pod.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	Interface string `json:"interface,omitempty"`

	// instanceUID is the UID of the VirtualMachineInstance that the pod runs, if it runs one. While it migrates two pods of one instance
	// hold the claim.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=128
	InstanceUID types.UID `json:"instanceUID,omitempty"`

	// owner is what the pod belongs to. Of a claim without workload it tells the pods of one workload from those of another, which
	// may not take the claim over. Left out, it is not known.
	//
	// +optional
	Owner *Owner `json:"owner,omitempty"`

	// generation grows by one with every new holder of the claim. What is written about an older one changes nothing.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Generation int64 `json:"generation,omitempty"`

	// since is when the holder was set.
	//
	// +required
	Since metav1.Time `json:"since,omitzero"`
}

// Successor is a pod for which the holder is to make way.
type Successor struct {
	// podName is the pod's name, in the claim's namespace.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PodName string `json:"podName,omitempty"`

	// podUID is the pod's UID.
	//
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	PodUID types.UID `json:"podUID,omitempty"`

	// nodeName is the node that the pod was scheduled to.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`
}

// Owner is what a pod belongs to: its controller, the Deployment of a ReplicaSet's, or the pod itself if it has none.
type Owner struct {
	// kind is the owner's kind.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// name is the owner's name, in the claim's namespace.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// PreviousHolder is a holder of the past.
type PreviousHolder struct {
	// podName is the pod's name.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PodName string `json:"podName,omitempty"`

	// podUID is the pod's UID.
	//
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	PodUID types.UID `json:"podUID,omitempty"`

	// nodeName is the node.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`

	// since is when it became the holder.
	//
	// +required
	Since metav1.Time `json:"since,omitzero"`

	// until is when it ceased to be.
	//
	// +required
	Until metav1.Time `json:"until,omitzero"`

	// generation is the generation that it had.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Generation int64 `json:"generation,omitempty"`

	// reason is the kind of evidence on which it ceased to be the holder.
	//
	// +optional
	Reason EndReason `json:"reason,omitempty"`

	// evidence is that evidence in a few words.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Evidence string `json:"evidence,omitempty"`
}

// EndReason is the kind of evidence on which a hold or a lease ended.
//
// +kubebuilder:validation:Enum=AgentReport;NeverAttached;PodsGone;OutOfService;NodeDeleted;Forced;TakenOver;Orphaned;Succeeded;Conflicted;Preempted;Recovered;PodElsewhere;PodUnknown
type EndReason string

const (
	// EndAgentReport : the agent of the node has seen the interface go, or has never attached one.
	EndAgentReport EndReason = "AgentReport"

	// EndNeverAttached : no pod ever held it.
	EndNeverAttached EndReason = "NeverAttached"

	// EndPodsGone : its claim and all pods that could use it are gone from the API.
	EndPodsGone EndReason = "PodsGone"

	// EndOutOfService : the node has the taint node.kubernetes.io/out-of-service.
	EndOutOfService EndReason = "OutOfService"

	// EndNodeDeleted : the node was deleted, and nothing answered for the address on the VLAN.
	EndNodeDeleted EndReason = "NodeDeleted"

	// EndForced : a person said so, by the annotation macpool.dev/force-release.
	EndForced EndReason = "Forced"

	// EndTakenOver : another pod of the identity took it over from a silent node.
	EndTakenOver EndReason = "TakenOver"

	// EndOrphaned : the claim never got the lease, or has another one.
	EndOrphaned EndReason = "Orphaned"

	// EndSucceeded : a claim made again under the same name took it over.
	EndSucceeded EndReason = "Succeeded"

	// EndConflicted : a stranger uses the address, which no pod had got yet; the claim gets another one.
	EndConflicted EndReason = "Conflicted"

	// EndPreempted : the agent of the node has removed the interface, for a newer pod of the workload; the claim's handover is Preempt.
	EndPreempted EndReason = "Preempted"

	// EndRecovered : after the API had gone back in time the address was found attached for another pod, which has it now.
	EndRecovered EndReason = "Recovered"

	// EndPodElsewhere : the pod is on another node than the one whose agent said that it held the claim there.
	EndPodElsewhere EndReason = "PodElsewhere"

	// EndPodUnknown : the API never knew the pod, and nothing answered for the address on the VLAN, or its node had too many of such holds.
	EndPodUnknown EndReason = "PodUnknown"
)

// Attested tells whether something that could see it has said that nothing uses the address any more. What was decided
// without such a word cools down for longer.
func (r EndReason) Attested() bool {
	switch r {
	case EndOutOfService, EndNodeDeleted, EndForced, EndTakenOver, EndPodsGone, EndRecovered, EndPodElsewhere, EndPodUnknown:
		return false
	default:
		return true
	}
}

// MaxPreviousHolders is how many previous holders a claim keeps.
const MaxPreviousHolders = 8
