// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MacPoolSpec says which addresses a VLAN may use and for whom, or without subnets, with which MACs. The VLAN, the segment, the subnets' networks and the MAC
// prefix cannot change: leases are named and made from them. Ranges, exclusions, reservations, routes, DNS and times may; a lease that
// such an edit leaves outside is kept and counted as outOfRange.
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

// Subnet is one network of a pool, and which of its addresses may be leased.
//
// +kubebuilder:validation:XValidation:rule="!isCIDR(self.cidr) || cidr(self.cidr).ip().family() == 6 || cidr(self.cidr).prefixLength() >= 8 && cidr(self.cidr).prefixLength() <= 30",message="an IPv4 subnet must be between /8 and /30: a MAC holds the low 24 bits of its address"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self.cidr) || cidr(self.cidr).ip().family() == 4 || cidr(self.cidr).prefixLength() >= 64 && cidr(self.cidr).prefixLength() <= 126",message="an IPv6 subnet must be between /64 and /126"
// +kubebuilder:validation:XValidation:rule="!has(self.gateway) || !isCIDR(self.cidr) || !isIP(self.gateway) || cidr(self.cidr).containsIP(self.gateway)",message="gateway must lie in cidr"
// +kubebuilder:validation:XValidation:rule="!has(self.ranges) || !isCIDR(self.cidr) || self.ranges.all(r, !isIP(r.start) || cidr(self.cidr).containsIP(r.start) && (!has(r.end) || !isIP(r.end) || cidr(self.cidr).containsIP(r.end)))",message="ranges must lie in cidr"
// +kubebuilder:validation:XValidation:rule="!has(self.exclude) || !isCIDR(self.cidr) || self.exclude.all(r, !isIP(r.start) || cidr(self.cidr).containsIP(r.start) && (!has(r.end) || !isIP(r.end) || cidr(self.cidr).containsIP(r.end)))",message="exclude must lie in cidr"
type Subnet struct {
	// cidr is the network.
	//
	// +required
	CIDR CIDR `json:"cidr,omitempty"`

	// gateway is the router's address; it is never leased. A pool's pods get it as the gateway of their address, and as
	// the next hop of routes that name none.
	//
	// +optional
	Gateway IPAddress `json:"gateway,omitempty"`

	// ranges are the addresses that may be leased. Left out, all of cidr may, but the network and broadcast addresses,
	// the gateway and what is excluded. Of an IPv6 network only the first 2^24 addresses can be leased, since a MAC holds the
	// low 24 bits of its address.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Ranges []PoolRange `json:"ranges,omitempty"`

	// exclude are addresses that are never leased: a DHCP server's scope, appliances, virtual router addresses.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Exclude []AddressRange `json:"exclude,omitempty"`
}

// PoolRange is a range of addresses that may be leased.
type PoolRange struct {
	AddressRange `json:",inline"`

	// explicitOnly keeps the range for claims and pods that ask for one of its addresses, like the fixed part of a DHCP
	// scope.
	//
	// +optional
	ExplicitOnly bool `json:"explicitOnly,omitempty"`
}

// MACPolicy says how the MACs of a pool are made: prefix, followed by the low 24 bits of the address, or by any 24 bits in a pool without
// subnets.
//
// +kubebuilder:validation:XValidation:rule="!has(self.prefix) || has(self.allowReserved) && self.allowReserved || !self.prefix.matches('^(0a:58|fe:|52:54:00|02:00:00|02:(42|bf|0[1-9a-f]|1[0-9a-f]|20):(0[1-9a-f]|[1-9a-f][0-9a-f]))')",message="prefix is one that other software makes MACs from (0a:58 Kubernetes bridges and OVN, fe: libvirt, 52:54:00 QEMU, 02:00:00 KubeVirt, 02:42 Docker, 02:01 to 02:20 and 02:bf load balancers): choose another, or set allowReserved"
type MACPolicy struct {
	// prefix is the first three octets. Default: made of the VLAN id, 02:32:00 for VLAN 50 (0x032). A pool without subnets and another one
	// of its segment must not have the same one, unless both are without.
	//
	// +optional
	Prefix MACPrefix `json:"prefix,omitempty"`

	// allowReserved accepts a prefix that other software is known to use.
	//
	// +optional
	AllowReserved bool `json:"allowReserved,omitempty"`
}

// Route is a route that pods get.
//
// +kubebuilder:validation:XValidation:rule="!has(self.gw) || !isCIDR(self.dst) || !isIP(self.gw) || cidr(self.dst).ip().family() == ip(self.gw).family()",message="dst and gw must be of one family"
type Route struct {
	// dst is the destination network.
	//
	// +required
	Dst CIDR `json:"dst,omitempty"`

	// gw is the next hop. Left out, it is the gateway of the subnet of the same family.
	//
	// +optional
	GW IPAddress `json:"gw,omitempty"`
}

// DNS is the name service that pods are told of.
type DNS struct {
	// nameservers are the addresses of name servers, in order of preference.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Nameservers []IPAddress `json:"nameservers,omitempty"`

	// domain is the local domain.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Domain string `json:"domain,omitempty"`

	// search are the domains to search, in order.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	Search []string `json:"search,omitempty"`

	// options are resolver options.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=64
	Options []string `json:"options,omitempty"`
}

// Reservation keeps an address for a claim.
//
// +kubebuilder:validation:XValidation:rule="!has(self.mac) || has(self.claimRef)",message="mac must not be set without claimRef: nobody would get it"
type Reservation struct {
	// ip is the reserved address. It need not lie in a range. In a pool of both families, the address of the other family
	// with the same offset is reserved with it.
	//
	// +required
	IP IPAddress `json:"ip,omitempty"`

	// mac is the MAC that the claim gets with the address, instead of the one that the pool makes of it: the one that a licence is
	// bound to, or that a router knows. It is unique in the segment, like the address. It must not be one that this pool or
	// another of its segment makes.
	//
	// +optional
	// +kubebuilder:example="00:1b:21:a8:32:08"
	MAC MACAddress `json:"mac,omitempty"`

	// claimRef names the claim that gets the address. Left out, nobody does.
	//
	// +optional
	ClaimRef *ReservedClaimRef `json:"claimRef,omitempty"`
}

// ReservedClaimRef names a claim that need not exist yet.
type ReservedClaimRef struct {
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
}

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
