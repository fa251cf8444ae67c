// SPDX-License-Identifier: Apache-2.0

package v1alpha1

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
