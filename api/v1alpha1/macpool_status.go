// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// MacPoolStatus is what macpool found. All of it is derived from the pool and its leases.
type MacPoolStatus struct {
	// segment is the segment in force.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Segment string `json:"segment,omitempty"`

	// macPrefix is the prefix in force.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=8
	MACPrefix string `json:"macPrefix,omitempty"`

	// capacity is how many addresses the pool can lease, those of explicitOnly ranges and reservations included.
	//
	// +optional
	Capacity *int64 `json:"capacity,omitempty"`

	// leased is how many are leased now, in this pool and in pools that overlap it.
	//
	// +optional
	Leased *int64 `json:"leased,omitempty"`

	// cooling is how many were released and wait for their cooldown to end.
	//
	// +optional
	Cooling *int64 `json:"cooling,omitempty"`

	// conflicted is how many are set aside because a stranger uses them.
	//
	// +optional
	Conflicted *int64 `json:"conflicted,omitempty"`

	// outOfRange is how many of this pool's leases lie outside what may be leased now, after an edit of the pool. They
	// are kept until they are released.
	//
	// +optional
	OutOfRange *int64 `json:"outOfRange,omitempty"`

	// ownLeases is how many leases were made from this pool and are not released, those outside of it included. While there
	// are any, an admission policy refuses to delete the pool.
	//
	// +optional
	OwnLeases *int64 `json:"ownLeases,omitempty"`

	// available is how many could be leased now to a claim that asks for no address in particular.
	//
	// +optional
	Available *int64 `json:"available,omitempty"`

	// suspect is how many addresses belong to pods that the API has forgotten and whose node is silent: they may still be
	// in use, and are kept.
	//
	// +optional
	Suspect *int64 `json:"suspect,omitempty"`

	// timeline counts how often the API server was found to have gone back in time, as when etcd was restored from a
	// backup. Addresses are given out on the latest timeline only.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Timeline int64 `json:"timeline,omitempty"`

	// questions are addresses of which the manager wants to know whether anything answers for them on the VLAN. The
	// agents of the nodes answer in the status of their MacNode.
	//
	// +optional
	// +listType=map
	// +listMapKey=leaseName
	// +kubebuilder:validation:MaxItems=32
	Questions []WireQuestion `json:"questions,omitempty"`

	// links are the names of the links by which the networks of the pool reach the VLAN. The agent of a node asks for
	// strangers there ahead of the pod.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=15
	Links []string `json:"links,omitempty"`

	// readyNodes is how many nodes have said that they reach the VLAN: their link is there and has carrier, and the gateways answer.
	// They have the label macpool.dev/<pool>=ready. Left out, no node has a say in it: neither parents nor a network name a link.
	//
	// +optional
	ReadyNodes *int64 `json:"readyNodes,omitempty"`

	// conditions are Ready; Exhausted while no address is available; NetworksMisconfigured while something is wrong with
	// networks that name the pool; AllocationPaused and ReleasesPaused while addresses are not given out, or not taken
	// back; AddressesInConflict while strangers use some; NodesNotReady while nodes do not reach the VLAN.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// WireQuestion is an address that may be in use by a node that is gone.
type WireQuestion struct {
	// leaseName is the lease of the address.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	LeaseName string `json:"leaseName,omitempty"`

	// askedAt tells one question about a lease from an earlier one.
	//
	// +required
	AskedAt metav1.Time `json:"askedAt,omitzero"`

	// podUID is the pod whose hold is asked about. An answer says nothing of a later holder.
	//
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	PodUID types.UID `json:"podUID,omitempty"`

	// mac is the leased MAC.
	//
	// +required
	MAC MACAddress `json:"mac,omitempty"`

	// ips are the leased addresses.
	//
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	IPs []IPAddress `json:"ips,omitempty"`

	// links are the names of the links by which the networks of the pool reach the VLAN. A node that has none of them
	// does not answer.
	//
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=15
	Links []string `json:"links,omitempty"`
}

const (
	// PoolReady is true while the pool takes claims. Reasons: PoolReasonValid, PoolReasonInvalid, PoolReasonContradiction.
	PoolReady = "Ready"

	// PoolExhausted is present, and true, while no address is available. Reason: PoolReasonNoAddress.
	PoolExhausted = "Exhausted"

	// PoolNetworksMisconfigured is present, and true, while something is wrong with NetworkAttachmentDefinitions that name
	// the pool; the message says with which, and what to write instead. The pool itself takes claims all the same. Reasons:
	// the reason of an entry of the error catalogue (docs/errors.md), such as ChainedEntryMissing or VLANMismatch;
	// PoolReasonSeveral.
	PoolNetworksMisconfigured = "NetworksMisconfigured"

	// PoolAllocationPaused is present, and true, while no address of the pool is given out because the API server has gone
	// back in time and not every node has reported yet what it has attached; the message names the nodes. Reason:
	// PoolReasonWentBack.
	PoolAllocationPaused = "AllocationPaused"

	// PoolReleasesPaused is present, and true, while more leases than usual would be released at once without a node's
	// word; none of them is. Reason: PoolReasonTooMany.
	PoolReleasesPaused = "ReleasesPaused"

	// PoolAddressesInConflict is present, and true, while strangers use addresses of the pool; the message names them.
	// Reason: PoolReasonStrangers.
	PoolAddressesInConflict = "AddressesInConflict"

	// PoolNodesNotReady is present, and true, while nodes that the pool names a link for do not reach its VLAN; the message names them.
	// Reason: PoolReasonParents.
	PoolNodesNotReady = "NodesNotReady"
)

const (
	// PoolReasonValid : the pool takes claims.
	PoolReasonValid = "Valid"

	// PoolReasonInvalid : the ranges, exclusions or reservations make no sense; the message says which and why.
	PoolReasonInvalid = "Invalid"

	// PoolReasonContradiction : an older pool's addresses or MACs would be made a second time; the message names that pool.
	PoolReasonContradiction = "Contradiction"

	// PoolReasonNoAddress : every address is leased, cooling, conflicted or kept for claims that ask for it.
	PoolReasonNoAddress = "NoAddress"

	// PoolReasonSeveral : things of several reasons are wrong with networks that name the pool; the message has the code of
	// each.
	PoolReasonSeveral = "Several"

	// PoolReasonWentBack : the API server knows less than the nodes do, as after a restore from a backup.
	PoolReasonWentBack = "WentBack"

	// PoolReasonTooMany : so many claims at once are gone that the API server's answers are doubted.
	PoolReasonTooMany = "TooMany"

	// PoolReasonStrangers : somebody on the VLAN uses addresses that macpool has not given out to them.
	PoolReasonStrangers = "Strangers"

	// PoolReasonParents : the link is missing or down on a node, or a gateway does not answer there.
	PoolReasonParents = "Parents"
)
