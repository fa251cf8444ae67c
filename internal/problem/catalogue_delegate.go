// SPDX-License-Identifier: Apache-2.0

package problem

// The part of the catalogue about networks whose plugin is macpool, which runs another one: codes from MP420 on.
var (
	BadDelegate = &Kind{
		Code: "MP420", Reason: "BadDelegate", CNI: CNIConfig,
		Sentence:    "the delegate of network %s cannot be run: %s",
		Fix:         `Write "delegate": {"type": "macvlan", "master": "eth0.50"}: the object that the plugin would have in plugins, without an ipam block of its own.`,
		Explanation: "In the wrapper form macpool leases first, and then runs the plugin that makes the interface. The delegate is that plugin's configuration; its addresses come from the lease, so that its ipam block, if there is one, may have routes and dns, but no other type than macpool. Only if the pool leases MACs alone it is another's, such as dhcp (docs/dhcp.md).",
	}
	DelegateMissing = &Kind{
		Code: "MP421", Reason: "DelegateMissing", CNI: 421,
		Sentence:    "there is no CNI plugin %s, the delegate of network %s, in %s",
		Fix:         "Install the plugin on the node, in a directory that the runtime searches: usually /opt/cni/bin.",
		Explanation: "The delegate is looked for in CNI_PATH, where the runtime looks for plugins. No address is leased before it is there.",
	}
	DelegateFailed = &Kind{
		Code: "MP422", Reason: "DelegateFailed", CNI: 422,
		Sentence:    "%s of delegate %s of network %s failed: %s",
		Fix:         "See what the delegate says; its configuration is in the network's delegate.",
		Explanation: "If it was an ADD, the delegate was asked to remove what it had made, and then the lease was given back. If the delegate says that it is worth trying again, or that it is not available, the error has its code.",
	}
	DelegateDiffers = &Kind{
		Code: "MP423", Reason: "DelegateDiffers", CNI: 423,
		Sentence:    "delegate %s has made interface %s with %s, and its lease has %s",
		Fix:         "Use a plugin that takes a MAC from runtimeConfig or CNI_ARGS, such as macvlan, bridge, tap, sriov or ovs.",
		Explanation: "A plugin may ignore the MAC that it is given, or set another one after it has asked for the addresses. The interface was removed again, and the lease given back: what is not leased is not used. Some drivers refuse a MAC in silence; for SR-IOV see the trust and spoofchk settings of the VF.",
	}
	InterfaceExists = &Kind{
		Code: "MP424", Reason: "InterfaceExists", CNI: 424,
		Sentence:    "there is an interface %s in %s already",
		Fix:         "Nothing, if the runtime has asked twice. Otherwise give the interface another name in the pod's networks annotation.",
		Explanation: "macpool asks the delegate for no interface that is there already: it would have to remove it when the delegate fails.",
	}
	MACsAlone = &Kind{
		Code: "MP425", Reason: "MACsAlone", CNI: CNIConfig,
		Sentence:    "pool %s leases MACs alone, and network %s wants addresses from it",
		Fix:         `Use the wrapper form, with what gives the addresses as the ipam of the delegate: "type": "macpool", "pool": "NAME", "delegate": {"type": "macvlan", "master": "eth0.50", "ipam": {"type": "dhcp"}}.`,
		Explanation: "A pool without subnets has no addresses to give. As the ipam of a plugin macpool would have to give some; in the wrapper form it leases the MAC, and the delegate gets its addresses from its own ipam, or none if it has none (docs/dhcp.md).",
	}
	IPAMMissing = &Kind{
		Code: "MP426", Reason: "IPAMMissing", CNI: 426,
		Sentence:    "there is no CNI plugin %s, the ipam of the delegate of network %s, in %s",
		Fix:         "Install the plugin on the node, in a directory that the runtime searches: usually /opt/cni/bin. If its pool leases addresses, take the type out of the delegate's ipam.",
		Explanation: "The addresses of an interface whose pool leases MACs alone come from the IPAM plugin that the delegate names. No MAC is leased before it is there.",
	}
)

// OwnIPAM is BadDelegate for a delegate whose addresses two would give: its own IPAM plugin, and the pool.
func OwnIPAM(network, ipam, pool string) *Error {
	return BadDelegate.New(network, "its ipam is "+ipam+", and pool "+pool+" leases addresses")
}
