// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// MacNodeStatus is what the agent of a node reports. Nobody else writes it.
type MacNodeStatus struct {
	// nodeUID is the UID of the Node.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=128
	NodeUID types.UID `json:"nodeUID,omitempty"`

	// agentVersion is the version of the agent.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	AgentVersion string `json:"agentVersion,omitempty"`

	// startedAt is when the agent started.
	//
	// +optional
	StartedAt metav1.Time `json:"startedAt,omitzero"`

	// renewTime is when the agent wrote this last, by its own clock. Whoever wants to know for how long a node has been
	// silent must watch it for that long: clocks of two machines cannot be compared.
	//
	// +optional
	RenewTime metav1.MicroTime `json:"renewTime,omitzero"`

	// epoch grows with every write of the agent, which keeps it on the node's disk too. If the API has a lower one, it
	// has gone back in time.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Epoch int64 `json:"epoch,omitempty"`

	// timeline is the latest timeline on which the agent has confirmed that the API knows all that is attached on the
	// node, or has reported it in attachments.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Timeline int64 `json:"timeline,omitempty"`

	// attachments are what is attached on the node, reported while allocation is paused.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=2048
	Attachments []NodeAttachment `json:"attachments,omitempty"`

	// attached is how many interfaces are attached on the node.
	//
	// +optional
	Attached *int32 `json:"attached,omitempty"`

	// pendingClears is how many interfaces are gone whose claims still name their pod, because the API could not be told
	// yet.
	//
	// +optional
	PendingClears *int32 `json:"pendingClears,omitempty"`

	// spooled is how many DELs the plugin has left on the disk that the agent has not taken over yet.
	//
	// +optional
	Spooled *int32 `json:"spooled,omitempty"`

	// lingering is how many interfaces are attached for more than ten minutes whose pod is gone from the API.
	//
	// +optional
	Lingering *int32 `json:"lingering,omitempty"`

	// fenced are the interfaces that the agent has removed last because their address belongs to another pod now, newest
	// first.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Fenced []FencedInterface `json:"fenced,omitempty"`

	// answers are what the agent has heard on the VLANs to the questions of the pools.
	//
	// +optional
	// +listType=map
	// +listMapKey=leaseName
	// +kubebuilder:validation:MaxItems=64
	Answers []WireAnswer `json:"answers,omitempty"`

	// strangers are those that the agent has heard use an address that is attached on this node, latest first.
	//
	// +optional
	// +listType=map
	// +listMapKey=leaseName
	// +kubebuilder:validation:MaxItems=32
	Strangers []Stranger `json:"strangers,omitempty"`

	// parents are the links by which the node's pods reach the VLANs of the pools.
	//
	// +optional
	// +listType=map
	// +listMapKey=poolName
	// +kubebuilder:validation:MaxItems=256
	Parents []NodeParent `json:"parents,omitempty"`
}

// NodeParent is what the agent found of the link by which the pods of its node reach the VLAN of a pool.
type NodeParent struct {
	// poolName is the pool.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	PoolName string `json:"poolName,omitempty"`

	// link is the link: that which the pool names for the node, else the first that networks of the pool name and the node has.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	Link string `json:"link,omitempty"`

	// state is Missing, Down if it is down or has no carrier, Silent if a gateway of the pool does not answer there, or Ready. A pool
	// that names no gateway, or whose VLAN is not to be asked (conflictDetection Off), is ready when its link is up.
	//
	// +required
	State ParentState `json:"state,omitempty"`
}

// ParentState is the state of a link to a VLAN.
//
// +kubebuilder:validation:Enum=Missing;Down;Silent;Ready
type ParentState string

const (
	// ParentMissing : there is no such link on the node, or it is no Ethernet link.
	ParentMissing ParentState = "Missing"

	// ParentDown : the link is down, or has no carrier.
	ParentDown ParentState = "Down"

	// ParentSilent : a gateway of the pool does not answer on it.
	ParentSilent ParentState = "Silent"

	// ParentReady : the pods of the node reach the VLAN by it.
	ParentReady ParentState = "Ready"
)

// Stranger is somebody on the VLAN who uses an address that a pod has.
type Stranger struct {
	// leaseName is the lease of the address.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	LeaseName string `json:"leaseName,omitempty"`

	// poolName is the pool of the lease.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	PoolName string `json:"poolName,omitempty"`

	// ip is the address that it uses.
	//
	// +required
	IP IPAddress `json:"ip,omitempty"`

	// mac is its MAC.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=17
	MAC string `json:"mac,omitempty"`

	// seenAt is when it was heard first since it was silent for long.
	//
	// +required
	SeenAt metav1.Time `json:"seenAt,omitzero"`
}

// NodeAttachment is an interface that is attached on a node, with all that is needed to write its claim and its lease again.
type NodeAttachment struct {
	// leaseName is the name of the MacLease.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	LeaseName string `json:"leaseName,omitempty"`

	// poolName is the pool.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	PoolName string `json:"poolName,omitempty"`

	// mac is the MAC of the interface.
	//
	// +required
	MAC MACAddress `json:"mac,omitempty"`

	// ips are its addresses, IPv4 first; none of a lease that is a MAC alone.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	IPs []IPAddress `json:"ips,omitempty"`

	// namespace is the namespace of the claim and the pod.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// claimName is the name of the claim.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClaimName string `json:"claimName,omitempty"`

	// workload is what the claim was made for, if macpool made it.
	//
	// +optional
	Workload *Workload `json:"workload,omitempty"`

	// podName is the pod.
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

	// interface is the name of the interface in the pod.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	Interface string `json:"interface,omitempty"`

	// instanceUID is the UID of the VirtualMachineInstance that the pod runs, if it runs one: two pods of one instance may have one address.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=128
	InstanceUID types.UID `json:"instanceUID,omitempty"`

	// generation is the holder's generation in the claim.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Generation int64 `json:"generation,omitempty"`
}

// FencedInterface is an interface that was removed because its address belongs to another pod.
type FencedInterface struct {
	// leaseName is the name of the MacLease.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	LeaseName string `json:"leaseName,omitempty"`

	// namespace is the pod's namespace.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// podName is the pod that had the interface.
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

	// fencedAt is when it was removed.
	//
	// +required
	FencedAt metav1.Time `json:"fencedAt,omitzero"`

	// reason is to whom the address belongs now, in a few words.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`
}

// WireAnswer is what a node heard when it asked a VLAN who has an address.
type WireAnswer struct {
	// leaseName is the lease of the question.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	LeaseName string `json:"leaseName,omitempty"`

	// askedAt is the question's.
	//
	// +required
	AskedAt metav1.Time `json:"askedAt,omitzero"`

	// rounds is how many rounds of probes were sent.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Rounds int32 `json:"rounds,omitempty"`

	// answeredBy is the MAC that answered; left out, nothing did.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=17
	AnsweredBy string `json:"answeredBy,omitempty"`
}

// MacNode is what the agent of the node of the same name reports.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=mn,categories=mac
// +kubebuilder:printcolumn:name="Attached",type=integer,JSONPath=`.status.attached`
// +kubebuilder:printcolumn:name="Pending",type=integer,JSONPath=`.status.pendingClears`
// +kubebuilder:printcolumn:name="Lingering",type=integer,JSONPath=`.status.lingering`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.agentVersion`
// +kubebuilder:printcolumn:name="Seen",type=date,JSONPath=`.status.renewTime`
// +kubebuilder:printcolumn:name="Timeline",type=integer,JSONPath=`.status.timeline`,priority=1
// +kubebuilder:printcolumn:name="Epoch",type=integer,JSONPath=`.status.epoch`,priority=1
type MacNode struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// status is what the agent reports.
	//
	// +optional
	Status MacNodeStatus `json:"status,omitzero"`
}

// MacNodeList is a list of MacNodes.
//
// +kubebuilder:object:root=true
type MacNodeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []MacNode `json:"items"`
}
