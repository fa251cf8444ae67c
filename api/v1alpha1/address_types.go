// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// MACAddress is a unicast MAC-48 address in canonical form: six octets, lower case, separated by colons. Because the form
// is canonical and of fixed width, equal strings are equal addresses.
//
// +kubebuilder:validation:MinLength=17
// +kubebuilder:validation:MaxLength=17
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-f]{2}(:[0-9a-f]{2}){5}$')",message="must be six octets in lower case, separated by colons, such as 02:32:00:a8:32:08"
// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9a-fA-F][13579bBdDfF]')",message="must be a unicast address: the second digit must be even, since an odd one sets the multicast bit and no interface can carry that"
// +kubebuilder:validation:XValidation:rule="self != '00:00:00:00:00:00'",message="must not be all zero, which no interface can carry"
type MACAddress string

// MACPrefix is the first three octets of the MACs that a pool makes: locally administered, unicast, lower case.
//
// +kubebuilder:validation:MinLength=8
// +kubebuilder:validation:MaxLength=8
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-f]{2}(:[0-9a-f]{2}){2}$')",message="must be three octets in lower case, separated by colons, such as 02:32:00"
// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9a-fA-F][13579bBdDfF]')",message="must be a unicast prefix: the second digit must be even, since an odd one sets the multicast bit and no interface can carry that"
// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9a-fA-F][048cC]')",message="must be a locally administered prefix: the second digit must be 2, 6, a or e, since others belong to manufacturers"
type MACPrefix string

// IPAddress is an IPv4 or IPv6 address in canonical form.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=39
// +kubebuilder:validation:XValidation:rule="isIP(self) && ip.isCanonical(self)",message="must be an IPv4 or IPv6 address in canonical form, such as 192.168.50.8 or fd00:50::8"
type IPAddress string

// CIDR is an IPv4 or IPv6 network in canonical form, without host bits.
//
// +kubebuilder:validation:MinLength=4
// +kubebuilder:validation:MaxLength=43
// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a network in CIDR form, such as 192.168.50.0/24 or fd00:50::/64"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must not have host bits set: write the network's first address, such as 192.168.50.0/24"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || ip.isCanonical(self.split('/')[0])",message="must be in canonical form, such as fd00:50::/64"
type CIDR string

// AddressRange is the addresses from start to end, both included.
//
// +kubebuilder:validation:XValidation:rule="!has(self.end) || !isIP(self.start) || !isIP(self.end) || ip(self.start).family() == ip(self.end).family()",message="start and end must be of one family"
type AddressRange struct {
	// start is the first address of the range.
	//
	// +required
	Start IPAddress `json:"start,omitempty"`

	// end is the last address of the range. Left out, the range is the one address start.
	//
	// +optional
	End IPAddress `json:"end,omitempty"`
}
