// SPDX-License-Identifier: Apache-2.0

package agentapi

import (
	"cmp"
	"net/netip"
)

// Attached is an interface that is attached on the node: what the agent's journal has of it, and what the kernel says.
type Attached struct {
	Attachment

	Pod        Pod      `json:"pod"`
	Claim      ClaimRef `json:"claim"`
	ClaimUID   string   `json:"claimUID,omitempty"`
	Generation int64    `json:"generation"`
	// Instance is the VirtualMachineInstance that the pod runs, if it runs one. Its guest has the address, whatever the interface has.
	Instance string `json:"instance,omitempty"`
	// Lease, MAC and IPs are what the interface was given.
	Lease string       `json:"lease"`
	MAC   string       `json:"mac"`
	IPs   []netip.Addr `json:"ips,omitempty"`

	// Kernel is the interface as it is; nil if it is gone, or its network namespace.
	Kernel *Kernel `json:"kernel,omitempty"`
	// Unseen is why the kernel could not be asked; empty if it was.
	Unseen string `json:"unseen,omitempty"`
}

// Kernel is an interface as its kernel has it.
type Kernel struct {
	MAC string `json:"mac"`
	Up  bool   `json:"up"`
	// IPs are its addresses, but for those of the link itself (fe80::).
	IPs []netip.Addr `json:"ips,omitempty"`
}

// Compare orders attachments, as answers have them.
func (a Attachment) Compare(b Attachment) int {
	return cmp.Or(cmp.Compare(a.ContainerID, b.ContainerID), cmp.Compare(a.Interface, b.Interface))
}
