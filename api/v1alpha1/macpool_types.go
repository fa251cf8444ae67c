// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MacPoolSpec says which addresses a VLAN may use and for whom, or without subnets, with which MACs. The VLAN, the segment, the subnets'
// networks and the MAC prefix cannot change: leases are named and made from them. Ranges, exclusions, reservations, routes, DNS and times
// may; a lease that such an edit leaves outside is kept and counted as outOfRange.
//
// +kubebuilder:validation:XValidation:rule="self.vlan == oldSelf.vlan",message="vlan is immutable"
// +kubebuilder:validation:XValidation:rule="has(self.segment) && has(oldSelf.segment) ? self.segment == oldSelf.segment : has(self.segment) ? self.segment.matches('^vlan-(0|[1-9][0-9]{0,3})$') && int(self.segment.substring(5)) == self.vlan : !has(oldSelf.segment) || oldSelf.segment.matches('^vlan-(0|[1-9][0-9]{0,3})$') && int(oldSelf.segment.substring(5)) == self.vlan",message="segment is immutable"
// +kubebuilder:validation:XValidation:rule="has(oldSelf.mac) && has(oldSelf.mac.prefix) ? has(self.mac) && has(self.mac.prefix) && self.mac.prefix == oldSelf.mac.prefix : !has(self.mac) || !has(self.mac.prefix)",message="mac.prefix is immutable"
// +kubebuilder:validation:XValidation:rule="has(self.subnets) == has(oldSelf.subnets)",message="subnets must not be added to a pool that leases MACs alone, nor all be taken from one that leases addresses: make a new pool"
// +kubebuilder:validation:XValidation:rule="!has(self.subnets) || !has(oldSelf.subnets) || self.subnets.map(s, s.cidr) == oldSelf.subnets.map(s, s.cidr)",message="the subnets' cidr is immutable: make a new pool for another network"
// +kubebuilder:validation:XValidation:rule="self.vlan != 0 || has(self.mac) && has(self.mac.prefix)",message="mac.prefix must be set when vlan is 0: there is no VLAN to derive it from"
// +kubebuilder:validation:XValidation:rule="self.vlan != 1364 || has(self.mac) && has(self.mac.prefix)",message="mac.prefix must be set when vlan is 1364: the prefix derived from it, 52:54:00, is QEMU's"
// +kubebuilder:validation:XValidation:rule="has(self.subnets) || !has(self.reservations)",message="reservations must not be set without subnets: a pool of MACs alone has no addresses to reserve. A claim can ask for its mac"
// +kubebuilder:validation:XValidation:rule="has(self.subnets) || !has(self.routes) && !has(self.dns)",message="routes and dns must not be set without subnets: they come from whoever gives out the addresses, such as the DHCP server"
// +kubebuilder:validation:XValidation:rule="has(self.subnets) || !has(self.conflictDetection) || !has(self.conflictDetection.mode) || self.conflictDetection.mode != 'Strict'",message="conflictDetection.mode must not be Strict without subnets: a pool of MACs alone has no address that the VLAN could be asked for"
// +kubebuilder:validation:XValidation:rule="!has(self.reservations) || !has(self.subnets) || self.reservations.all(r, !isIP(r.ip) || self.subnets.exists(s, isCIDR(s.cidr) && cidr(s.cidr).containsIP(r.ip)))",message="each reservation's ip must lie in a subnet of the pool"
type MacPoolSpec struct {
	// vlan is the 802.1Q id of the VLAN, 0 for an untagged network. macpool does not tag frames: the parent link that the
	// network names (eth0.50, say) does.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4094
	VLAN *int32 `json:"vlan,omitempty"`

	// segment names the layer 2 domain in which addresses are unique; default vlan-<id>. Pools with one segment can never
	// lease one address twice. Set it where one VLAN id stands for several networks, or several ids are bridged together.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be a DNS label (lower case letters, digits and hyphens): the names of leases begin with it"
	Segment string `json:"segment,omitempty"`

	// subnets are the networks of the VLAN, at most one of IPv4 and one of IPv6. A pool with both gives every lease one
	// address of each, with the same offset in its network. Left out, the pool leases MACs alone, all that begin with its prefix, and
	// something else gives their interfaces addresses: a DHCP server of the VLAN, say. Its networks have the wrapper form then, with
	// dhcp as the ipam of the delegate.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:XValidation:rule="self.size() < 2 || !self.all(s, isCIDR(s.cidr)) || cidr(self[0].cidr).ip().family() != cidr(self[1].cidr).ip().family()",message="at most one subnet of each family: use a second pool for a second network"
	Subnets []Subnet `json:"subnets,omitempty"`

	// mac says how MACs are made.
	//
	// +optional
	MAC *MACPolicy `json:"mac,omitempty"`

	// routes are given to every pod in addition to those of the network's own ipam block. A route without gw goes by the gateway
	// of its family.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Routes []Route `json:"routes,omitempty"`

	// dns is given to every pod, as CNI result. Most runtimes ignore it for secondary networks.
	//
	// +optional
	DNS *DNS `json:"dns,omitempty"`

	// reservations keep addresses for one claim each. Not without subnets.
	//
	// +optional
	// +listType=map
	// +listMapKey=ip
	// +kubebuilder:validation:MaxItems=1024
	Reservations []Reservation `json:"reservations,omitempty"`

	// parents say by which link the pods of a node reach the VLAN: the first whose nodeSelector matches the node. A network in the wrapper
	// form whose delegate names no master gets that one.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Parents []Parent `json:"parents,omitempty"`

	// namespaceSelector selects the namespaces whose pods and claims may use the pool. Left out, all may.
	//
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// maxPerNamespace is how many addresses of the pool the claims of one namespace may have at a time. One that cools down after its
	// release counts, since its claim may have it back. Left out, there is no limit but the pool's size.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16777216
	MaxPerNamespace *int32 `json:"maxPerNamespace,omitempty"`

	// cooldown is how long a released address waits before another identity may have it, so that switches and neighbours
	// forget the old holder. Its own identity may come back at once.
	//
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('0s') && duration(self) <= duration('4h')",message="must be a duration between 0s and 4h, such as 60s"
	Cooldown *metav1.Duration `json:"cooldown,omitempty"`

	// retain is how long a claim that macpool made is kept once the workload that it was made for is gone. Claims of bare
	// pods and of Jobs are not retained.
	//
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('0s') && duration(self) <= duration('8760h')",message="must be a duration between 0s and 8760h, such as 1h"
	Retain *metav1.Duration `json:"retain,omitempty"`

	// history is how long the record of a released lease is kept, to answer who had the address.
	//
	// +optional
	// +kubebuilder:default="168h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('0s') && duration(self) <= duration('8760h')",message="must be a duration between 0s and 8760h, such as 1h"
	History *metav1.Duration `json:"history,omitempty"`

	// takeover says when a pod may take the address of its own identity over from a node that does not answer and is not
	// known to be off: Strict never, Probe when nothing answers for the address on the VLAN, Immediate without asking
	// the VLAN. Without subnets there is no address to ask for, and Probe is as Strict. In all cases the node must have been silent for 40 s. A node with the taint
	// node.kubernetes.io/out-of-service counts as off.
	//
	// +optional
	// +kubebuilder:default=Probe
	Takeover Takeover `json:"takeover,omitempty"`

	// conflictDetection says whether the VLAN is asked for strangers that use an address, before a pod gets it and while it
	// has it. Without subnets it is asked for nothing.
	//
	// +optional
	// +kubebuilder:default={mode: Probe}
	ConflictDetection *ConflictDetection `json:"conflictDetection,omitempty"`
}

// Parent is a link by which nodes reach the VLAN.
type Parent struct {
	// nodeSelector selects nodes by their labels. Left out, it matches every node.
	//
	// +optional
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`

	// link is the name of the link, such as eth0.50. What it carries without a tag must be the pool's VLAN.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^/: \\t]+$')",message="must be the name of a link: no slash, colon or space"
	Link string `json:"link,omitempty"`
}

// ConflictDetection says how strangers that use addresses of a pool are found.
type ConflictDetection struct {
	// mode is Off; Probe to ask the VLAN before a pod gets an address, where it can be asked, and to listen to it
	// afterwards; or Strict to give no address out where it cannot be asked, which takes a link that is named by the network and
	// has carrier, and an answer from the gateway of each subnet that has one.
	//
	// +optional
	// +kubebuilder:default=Probe
	Mode ConflictMode `json:"mode,omitempty"`

	// hold is for how long an address that a stranger uses is given to nobody. When that has passed it is given out again, if
	// nobody answers for it then.
	//
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('10m') && duration(self) <= duration('8760h')",message="must be a duration between 10m and 8760h, such as 1h"
	Hold *metav1.Duration `json:"hold,omitempty"`
}

// ConflictMode is how strangers are looked for.
//
// +kubebuilder:validation:Enum=Off;Probe;Strict
type ConflictMode string

const (
	// ConflictOff neither asks nor listens.
	ConflictOff ConflictMode = "Off"

	// ConflictProbe asks where the VLAN can be asked.
	ConflictProbe ConflictMode = "Probe"

	// ConflictStrict gives nothing out where it cannot be.
	ConflictStrict ConflictMode = "Strict"
)

// ConflictMode is the mode in force. The API server fills in the default; what has none was not read from one.
func (s *MacPoolSpec) ConflictMode() ConflictMode {
	if s.ConflictDetection == nil || s.ConflictDetection.Mode == "" {
		return ConflictOff
	}
	return s.ConflictDetection.Mode
}

// Takeover is a rule for taking an address over from a silent node.
//
// +kubebuilder:validation:Enum=Strict;Probe;Immediate
type Takeover string

const (
	// TakeoverStrict waits until the node answers, is fenced or is deleted.
	TakeoverStrict Takeover = "Strict"

	// TakeoverProbe takes over when nothing answers for the address on the VLAN.
	TakeoverProbe Takeover = "Probe"

	// TakeoverImmediate takes over without asking the VLAN.
	TakeoverImmediate Takeover = "Immediate"
)

// MacPool says which addresses a VLAN may use: the pool from which claims get their leases.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=mp,categories=mac
// +kubebuilder:printcolumn:name="VLAN",type=integer,JSONPath=`.spec.vlan`
// +kubebuilder:printcolumn:name="CIDR",type=string,JSONPath=`.spec.subnets[0].cidr`
// +kubebuilder:printcolumn:name="Capacity",type=integer,JSONPath=`.status.capacity`
// +kubebuilder:printcolumn:name="Leased",type=integer,JSONPath=`.status.leased`
// +kubebuilder:printcolumn:name="Available",type=integer,JSONPath=`.status.available`
// +kubebuilder:printcolumn:name="Conflicts",type=integer,JSONPath=`.status.conflicted`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="CIDR2",type=string,JSONPath=`.spec.subnets[1].cidr`,priority=1
// +kubebuilder:printcolumn:name="MAC-Prefix",type=string,JSONPath=`.status.macPrefix`,priority=1
// +kubebuilder:printcolumn:name="Segment",type=string,JSONPath=`.status.segment`,priority=1
// +kubebuilder:printcolumn:name="Cooling",type=integer,JSONPath=`.status.cooling`,priority=1
// +kubebuilder:printcolumn:name="Suspect",type=integer,JSONPath=`.status.suspect`,priority=1
// +kubebuilder:printcolumn:name="Out-Of-Range",type=integer,JSONPath=`.status.outOfRange`,priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63",message="the name of a pool must be a DNS label (at most 63 lower case letters, digits and hyphens): the names of claims contain it"
type MacPool struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the administrator wants.
	//
	// +required
	Spec MacPoolSpec `json:"spec,omitzero"`

	// status is what macpool found.
	//
	// +optional
	Status MacPoolStatus `json:"status,omitzero"`
}

// MacPoolList is a list of MacPools.
//
// +kubebuilder:object:root=true
type MacPoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []MacPool `json:"items"`
}
