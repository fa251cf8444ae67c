// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MacClaimSpec says what is wanted, from which pool.
//
// +kubebuilder:validation:XValidation:rule="self.poolRef == oldSelf.poolRef",message="poolRef is immutable: delete the claim and make it again"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.ips) || has(self.ips) && self.ips == oldSelf.ips",message="ips is immutable: delete the claim and make it again"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.mac) || has(self.mac) && self.mac == oldSelf.mac",message="mac is immutable: delete the claim and make it again"
// +kubebuilder:validation:XValidation:rule="has(self.workload) == has(oldSelf.workload) && (!has(self.workload) || self.workload == oldSelf.workload)",message="workload is immutable: delete the claim and make it again"
type MacClaimSpec struct {
	// poolRef names the pool.
	//
	// +required
	PoolRef PoolRef `json:"poolRef,omitzero"`

	// ips are the addresses wanted, at most one of each family. Left out, macpool chooses. In a pool of both families one
	// address decides the other. A pool without subnets grants none. They do not change, but those that status.ips has may be written down later.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:XValidation:rule="self.size() < 2 || !self.all(i, isIP(i)) || ip(self[0]).family() != ip(self[1]).family()",message="at most one address of each family"
	IPs []IPAddress `json:"ips,omitempty"`

	// mac is the MAC wanted. It must be one that the pool makes, its prefix and the low 24 bits of an address of the pool, or that of a
	// reservation of the pool's for this claim. Of a pool without subnets it is any with the prefix.
	//
	// +optional
	MAC MACAddress `json:"mac,omitempty"`

	// workload is what the claim is for: no other pod may use it, and the interface of this one gets it whatever the claim is
	// called. macpool fills it in for the claims that it makes. Left out, the claim serves the pod that names it, as claim in the
	// cni-args or as ipam-claim-reference of its networks annotation.
	//
	// +optional
	Workload *Workload `json:"workload,omitempty"`

	// retain overrides the pool's retain for this claim.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('0s') && duration(self) <= duration('8760h')",message="must be a duration between 0s and 8760h, such as 1h"
	Retain *metav1.Duration `json:"retain,omitempty"`

	// handover says what becomes of a pod that holds the lease when a newer pod of the same workload wants it: Wait leaves it to the pod,
	// and the newer one starts when its interface is gone. Preempt has the old pod's node remove that interface at once, and the newer
	// pod gets the lease although the old one still runs: for rolling updates that start the new pod first.
	//
	// +optional
	// +kubebuilder:default=Wait
	Handover Handover `json:"handover,omitempty"`
}

// Handover says what becomes of a pod that holds a lease which a newer pod of the same workload wants.
//
// +kubebuilder:validation:Enum=Wait;Preempt
type Handover string

const (
	// HandoverWait leaves the lease with the pod that has it until its interface is gone.
	HandoverWait Handover = "Wait"

	// HandoverPreempt takes the interface from the old pod.
	HandoverPreempt Handover = "Preempt"
)

// PoolRef names a MacPool.
type PoolRef struct {
	// name is the pool's name.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
}

// MacClaimStatus is what the claim got.
//
// +kubebuilder:validation:XValidation:rule="!has(self.alternate) || (has(self.holder) && has(self.holder.instanceUID) && has(self.alternate.instanceUID) && self.holder.instanceUID == self.alternate.instanceUID && self.holder.podUID != self.alternate.podUID && self.holder.nodeName != self.alternate.nodeName)",message="alternate must be another pod of the holder's VirtualMachineInstance, on another node"
type MacClaimStatus struct {
	// vlan is the pool's VLAN.
	//
	// +optional
	VLAN *int32 `json:"vlan,omitempty"`

	// mac is the leased MAC.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=17
	MAC string `json:"mac,omitempty"`

	// ips are the leased addresses, IPv4 first; none from a pool without subnets.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:MaxLength=39
	IPs []string `json:"ips,omitempty"`

	// leaseName is the name of the MacLease.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	LeaseName string `json:"leaseName,omitempty"`

	// holder is the pod interface that uses the lease. It is set when the pod's node is known, and cleared when that node's
	// agent has seen the interface go. While it is set, an admission policy refuses to delete the claim.
	//
	// +optional
	Holder *Holder `json:"holder,omitempty"`

	// alternate is the second pod of the holder's VirtualMachineInstance, while that migrates: its target, or once that is active its
	// source. It has the same address, and does not announce it. When either lets go the other remains, as the holder.
	//
	// +optional
	Alternate *Holder `json:"alternate,omitempty"`

	// generation is the generation of the latest holder.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Generation int64 `json:"generation,omitempty"`

	// successor is the newer pod for which the holder is to make way. It is set if handover is Preempt, and cleared with the next
	// holder, which can be no other pod as long as that one lives.
	//
	// +optional
	Successor *Successor `json:"successor,omitempty"`

	// previousHolders are the last holders, newest first.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	PreviousHolders []PreviousHolder `json:"previousHolders,omitempty"`

	// conditions are Ready; Ended while the workload of a claim that macpool made is gone; Suspect while its holder may be
	// gone and nobody can tell.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// MacClaim is who wants a MAC and its IPs: made ahead of time by a user, or by macpool for a pod. It is named after the
// stable identity, so it outlives the pod.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=mc,categories=mac
// +kubebuilder:selectablefield:JSONPath=`.status.holder.nodeName`
// +kubebuilder:selectablefield:JSONPath=`.status.alternate.nodeName`
// +kubebuilder:printcolumn:name="Pool",type=string,JSONPath=`.spec.poolRef.name`
// +kubebuilder:printcolumn:name="VLAN",type=integer,JSONPath=`.status.vlan`
// +kubebuilder:printcolumn:name="MAC",type=string,JSONPath=`.status.mac`
// +kubebuilder:printcolumn:name="IP",type=string,JSONPath=`.status.ips[0]`
// +kubebuilder:printcolumn:name="Holder",type=string,JSONPath=`.status.holder.podName`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.status.holder.nodeName`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="IP2",type=string,JSONPath=`.status.ips[1]`,priority=1
// +kubebuilder:printcolumn:name="Interface",type=string,JSONPath=`.status.holder.interface`,priority=1
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.holder.since`,priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:validation:XValidation:rule="!has(self.spec.ips) || has(oldSelf.spec.ips) || has(oldSelf.status) && has(oldSelf.status.ips) && self.spec.ips == oldSelf.status.ips",message="spec.ips is immutable, except that the addresses that the claim has may be written down: delete the claim and make it again"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.mac) || has(oldSelf.spec.mac) || has(oldSelf.status) && has(oldSelf.status.mac) && self.spec.mac == oldSelf.status.mac",message="spec.mac is immutable, except that the MAC that the claim has may be written down: delete the claim and make it again"
type MacClaim struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is wanted.
	//
	// +required
	Spec MacClaimSpec `json:"spec,omitzero"`

	// status is what the claim got.
	//
	// +optional
	Status MacClaimStatus `json:"status,omitzero"`
}

// MacClaimList is a list of MacClaims.
//
// +kubebuilder:object:root=true
type MacClaimList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []MacClaim `json:"items"`
}

const (
	// ClaimReady is true while the claim has a lease. Reasons: ClaimReasonBound; while false, the reason of an entry of the
	// error catalogue (docs/errors.md), such as PoolExhausted or AddressTaken.
	ClaimReady = "Ready"

	// ClaimEnded is present, and true, while the workload of a claim that macpool made is gone, or has a claim of a person's,
	// and nothing holds the lease. The claim is deleted when that has lasted for retain. Reasons: ClaimReasonWorkloadGone,
	// ClaimReasonSuperseded.
	ClaimEnded = "Ended"

	// ClaimSuspect is present, and true, while the pod that holds the lease is gone from the API and its node does not
	// say whether its interface is, or while the API contradicts that it holds it there: the address is kept. Reasons:
	// ClaimReasonNodeSilent, ClaimReasonNodeDeleted, ClaimReasonStillAttached, ClaimReasonPodElsewhere, ClaimReasonPodUnknown.
	ClaimSuspect = "Suspect"
)

const (
	// ClaimReasonBound : the claim has a lease.
	ClaimReasonBound = "Bound"

	// ClaimReasonWorkloadGone : what the claim was made for is gone: the StatefulSet, the pod, the VM, or the IPAMClaim.
	ClaimReasonWorkloadGone = "WorkloadGone"

	// ClaimReasonSuperseded : a person has made a claim for the workload, which its next pod gets.
	ClaimReasonSuperseded = "Superseded"

	// ClaimReasonNodeSilent : the holder's node is not ready.
	ClaimReasonNodeSilent = "NodeSilent"

	// ClaimReasonNodeDeleted : the holder's node was deleted, and the VLAN is being asked, or has answered.
	ClaimReasonNodeDeleted = "NodeDeleted"

	// ClaimReasonStillAttached : the holder's node is ready, and has not said that the interface is gone.
	ClaimReasonStillAttached = "StillAttached"

	// ClaimReasonPodElsewhere : the pod is on another node than the one whose agent says that it holds the lease there.
	ClaimReasonPodElsewhere = "PodElsewhere"

	// ClaimReasonPodUnknown : the API did not know the pod when this hold was seen first, and does not know it now.
	ClaimReasonPodUnknown = "PodUnknown"
)
