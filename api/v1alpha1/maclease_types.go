// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// MacLeaseSpec is who has the address. There is no status: a lease is one record, and taking a released one must be one
// update.
type MacLeaseSpec struct {
	// poolName is the pool that the address was leased from.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	PoolName string `json:"poolName,omitempty"`

	// mac is the MAC that goes with the address.
	//
	// +required
	MAC MACAddress `json:"mac,omitempty"`

	// ips are the addresses, IPv4 first; none of a lease that is a MAC alone.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	IPs []IPAddress `json:"ips,omitempty"`

	// claimRef is the claim that has the lease, or had it last.
	//
	// +required
	ClaimRef ClaimRef `json:"claimRef,omitzero"`

	// nodeName is the node of the claim's holder. The claim's status decides; this is what is left of it when the claim is gone.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`

	// podName is the pod that holds the claim, or held it last. The claim's status decides; this is what is left of it when the claim
	// is gone.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PodName string `json:"podName,omitempty"`

	// leasedAt is when the claim got the lease.
	//
	// +required
	LeasedAt metav1.Time `json:"leasedAt,omitzero"`

	// releasedAt is when the lease was given back. While it is set the address belongs to nobody: it cools, until
	// reusableAt is set too.
	//
	// +optional
	ReleasedAt *metav1.Time `json:"releasedAt,omitempty"`

	// reusableAt is when the manager had seen the cooldown pass, by its own monotonic clock. Any claim may take the record
	// from then on. It is written down so that nobody has to judge the time by another machine's clock.
	//
	// +optional
	ReusableAt *metav1.Time `json:"reusableAt,omitempty"`

	// conflict is set while a stranger uses the address. It is leased to nobody then.
	//
	// +optional
	Conflict *Conflict `json:"conflict,omitempty"`

	// history are the claims that had the address before, newest first.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	History []LeaseHistory `json:"history,omitempty"`
}

// ClaimRef is the claim of a lease. Claims are compared by UID: one made again under the same name is another claim of the
// same identity.
type ClaimRef struct {
	// namespace is the claim's namespace.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// name is the claim's name.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// uid is the claim's UID.
	//
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	UID types.UID `json:"uid,omitempty"`
}

// Conflict is a stranger's use of an address.
type Conflict struct {
	// mac is the stranger's MAC.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=17
	MAC string `json:"mac,omitempty"`

	// nodeName is the node that saw it.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`

	// seenAt is when it was seen last.
	//
	// +required
	SeenAt metav1.Time `json:"seenAt,omitzero"`
}

// LeaseHistory is one claim's time with an address.
type LeaseHistory struct {
	// namespace is the claim's namespace.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// claim is the claim's name.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Claim string `json:"claim,omitempty"`

	// podName is the last pod that held the lease, if one did.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PodName string `json:"podName,omitempty"`

	// nodeName is the node of that pod.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`

	// from is when the claim got the lease.
	//
	// +required
	From metav1.Time `json:"from,omitzero"`

	// to is when it was released.
	//
	// +required
	To metav1.Time `json:"to,omitzero"`

	// reason is the kind of evidence on which it was released.
	//
	// +optional
	Reason EndReason `json:"reason,omitempty"`

	// evidence is that evidence in a few words.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Evidence string `json:"evidence,omitempty"`
}

// MaxLeaseHistory is how many past claims a lease remembers.
const MaxLeaseHistory = 8

// MacLease records that an address of a segment is leased. Its name is the address, <segment>.<address>, or the MAC of a lease that is one
// alone: creating it is taking the address, and the API server lets one create win.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=ml,categories=mac
// +kubebuilder:selectablefield:JSONPath=`.spec.poolName`
// +kubebuilder:selectablefield:JSONPath=`.spec.claimRef.namespace`
// +kubebuilder:printcolumn:name="Pool",type=string,JSONPath=`.spec.poolName`
// +kubebuilder:printcolumn:name="MAC",type=string,JSONPath=`.spec.mac`
// +kubebuilder:printcolumn:name="IP",type=string,JSONPath=`.spec.ips[0]`
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.spec.claimRef.namespace`
// +kubebuilder:printcolumn:name="Claim",type=string,JSONPath=`.spec.claimRef.name`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.spec.nodeName`
// +kubebuilder:printcolumn:name="Leased",type=date,JSONPath=`.spec.leasedAt`
// +kubebuilder:printcolumn:name="Released",type=date,JSONPath=`.spec.releasedAt`
// +kubebuilder:printcolumn:name="Conflict",type=string,JSONPath=`.spec.conflict.mac`
// +kubebuilder:printcolumn:name="IP2",type=string,JSONPath=`.spec.ips[1]`,priority=1
// +kubebuilder:printcolumn:name="Reusable",type=date,JSONPath=`.spec.reusableAt`,priority=1
// +kubebuilder:validation:XValidation:rule="has(self.spec.ips) || self.metadata.name.matches('[.]([0-9a-f]{2}-){5}[0-9a-f]{2}$')",message="spec.ips must be set: only a lease that is named after its MAC has none"
type MacLease struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is who has the address.
	//
	// +required
	Spec MacLeaseSpec `json:"spec,omitzero"`
}

// MacLeaseList is a list of MacLeases.
//
// +kubebuilder:object:root=true
type MacLeaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []MacLease `json:"items"`
}
