// SPDX-License-Identifier: Apache-2.0

package problem

// The catalogue. Codes are for ever: an entry that is no longer used keeps its number. No sentence that DEL can answer
// may contain "not found" or "no such file or directory": go-cni takes a DEL error with these words for success (R-C7).
var (
	// What was asked for: MACs.

	MulticastMAC = &Kind{
		Code: "MP101", Reason: "MulticastMAC", CNI: 101,
		Sentence:    "MAC %s is a multicast address: the lowest bit of its first octet is set, and no network interface can carry it",
		Fix:         "Drop the MAC and let the pool choose one.",
		Explanation: "The kernel refuses such a MAC with EADDRNOTAVAIL, which plugins print as \"failed to create macvlan: cannot assign requested address\". Half of all MACs typed at random have the bit set. The nearest legal MAC has the second digit even, and 2, 6, a or e to be locally administered.",
	}
	ImpossibleMAC = &Kind{
		Code: "MP102", Reason: "ImpossibleMAC", CNI: 102,
		Sentence:    "MAC %q is not one that an interface can carry: it must be six octets and not all zero",
		Fix:         "Write it like 02:32:00:a8:32:08, or drop it and let the pool choose.",
		Explanation: "MACs of eight or twenty octets, which some parsers take, belong to other kinds of links.",
	}
	ForeignMAC = &Kind{
		Code: "MP103", Reason: "ForeignMAC", CNI: 103,
		Sentence:    "MAC %s is not one that pool %s makes: its MACs are %s, followed by the last three octets of an address that it leases if it has subnets",
		Fix:         "Drop the MAC, or ask for an address of the pool instead. If it must be this one, have the pool's owner reserve an address with it for the claim.",
		Explanation: "An address decides its MAC, so that neighbours' ARP entries stay right when an address is used again. One that a licence or a router insists on can be given to one claim by a reservation of the pool: reservations[].mac.",
	}
	MACTaken = &Kind{
		Code: "MP104", Reason: "MACTaken", CNI: CNITryAgain,
		Sentence:    "MAC %s is leased to claim %s/%s with address %s",
		Fix:         "It is free when that address has cooled down after its release. To have it sooner, take it out of the reservation, and make the claim again.",
		Explanation: "A reservation may give its claim a MAC that is not made of the address. That MAC is locked by a MacLease of its own, named after it, for as long as the address with which it was leased is leased or cools down: also when the reservation is moved to another address, or another claim, meanwhile.",
	}

	// What was asked for: addresses.

	AddressOutside = &Kind{
		Code: "MP201", Reason: "AddressOutside", CNI: 201,
		Sentence:    "address %s is outside what pool %s leases (%s)",
		Fix:         "Ask for another address, or add it to the pool's ranges.",
		Explanation: "An address that a pod or claim asks for must lie in a range of the pool; a range may be explicitOnly, which keeps it for such requests.",
	}
	AddressExcluded = &Kind{
		Code: "MP202", Reason: "AddressExcluded", CNI: 202,
		Sentence:    "address %s of pool %s is never leased: it is %s",
		Fix:         "Ask for another address.",
		Explanation: "Network and broadcast addresses, the gateway and what the pool excludes are never leased.",
	}
	AddressTaken = &Kind{
		Code: "MP203", Reason: "AddressTaken", CNI: 203,
		Sentence:    "address %s is leased to claim %s/%s by pool %s",
		Fix:         "Ask for another address, or delete that claim first.",
		Explanation: "Addresses are unique in their segment, whichever pool leases them. kubectl get macleases shows who has which.",
	}
	AddressMismatch = &Kind{
		Code: "MP204", Reason: "AddressMismatch", CNI: 204,
		Sentence:    "%s and %s do not go together in pool %s",
		Fix:         "Ask for one of the two; the other follows from it.",
		Explanation: "In a pool the IPv4 address, the IPv6 address and the MAC of a lease have the same offset.",
	}
	AddressCooling = &Kind{
		Code: "MP205", Reason: "AddressCooling", CNI: CNITryAgain,
		Sentence:    "address %s was released by claim %s/%s and is cooling down",
		Fix:         "It is free when the pool's cooldown has passed; wait, or ask for another address.",
		Explanation: "The cooldown lets switches and neighbours forget the old holder, whose interface may still be going down.",
	}
	AddressReserved = &Kind{
		Code: "MP206", Reason: "AddressReserved", CNI: 206,
		Sentence:    "address %s of pool %s is reserved for %s",
		Fix:         "Ask for another address, or change the pool's reservations.",
		Explanation: "A reservation keeps an address for one claim, or for nobody.",
	}
	AddressConflict = &Kind{
		Code: "MP207", Reason: "AddressConflict", CNI: 207,
		Sentence:    "address %s is in use by %s, which is not ours",
		Fix:         "Find that device and give it another address, or exclude the address from the pool.",
		Explanation: "Somebody on the VLAN answered for the address when the node of a pod asked, twice. It is given to nobody for the time of the pool's conflictDetection.hold. A claim that has asked for no address in particular, and that no pod has held before, gets another one; any other waits until the stranger is silent.",
	}
	WrongPrefixLength = &Kind{
		Code: "MP208", Reason: "WrongPrefixLength", CNI: 208,
		Sentence:    "address %s has another prefix length than the subnet %s of pool %s",
		Fix:         "Write the address without a prefix length.",
		Explanation: "The prefix length of the result is always that of the pool's subnet.",
	}
	BadAddress = &Kind{
		Code: "MP209", Reason: "BadAddress", CNI: 209,
		Sentence:    "%q is not an IP address",
		Fix:         "Write it like 192.168.50.8 or fd00:50::8.",
		Explanation: "Addresses are asked for as ips in the pod's networks annotation, with or without the prefix length.",
	}
	ClaimHeld = &Kind{
		Code: "MP210", Reason: "ClaimHeld", CNI: CNITryAgain,
		Sentence:    "claim %s/%s is held by pod %s on node %s",
		Fix:         "Wait until that pod is gone. If it is a rolling update, use strategy: Recreate or maxSurge: 0, so that the old pod goes first.",
		Explanation: "A lease has one holder at a time. It is taken from a pod only when its node's agent has seen the interface go.",
	}
	ClaimDiffers = &Kind{
		Code: "MP211", Reason: "ClaimDiffers", CNI: CNITryAgain,
		Sentence:    "claim %s/%s asks for %s, the pod for %s",
		Fix:         "If macpool made the claim, it is made again when its last holder is gone; otherwise change or delete the claim.",
		Explanation: "A claim's addresses do not change. When a workload asks for others, its claim has to be made again.",
	}
	ClaimDeleting = &Kind{
		Code: "MP212", Reason: "ClaimDeleting", CNI: CNITryAgain,
		Sentence:    "claim %s/%s is being deleted",
		Fix:         "Wait; a new one is made when it is gone. If that lasts, see which finalizer keeps it: macpool sets none.",
		Explanation: "A claim whose deletion has begun is given to nobody any more. Its lease stays with it until it is gone. One that is made again under its name gets the same address.",
	}
	NotOurClaim = &Kind{
		Code: "MP213", Reason: "NotOurClaim", CNI: 213,
		Sentence:    "claim %s/%s belongs to %s, not to %s",
		Fix:         "Rename one of them, or delete the claim if nothing needs it.",
		Explanation: "Claims are named after what they are made for; two things with the name of one claim cannot both have it. Nor can a pod have the claim of another workload by naming it.",
	}
	ClaimRefused = &Kind{
		Code: "MP214", Reason: "ClaimRefused", CNI: 214,
		Sentence:    "claim %s/%s cannot be made: %s",
		Fix:         "See the ResourceQuotas and admission policies of the namespace.",
		Explanation: "The API server refused the MacClaim that macpool makes for an interface of a pod.",
	}
	LeaseLost = &Kind{
		Code: "MP215", Reason: "LeaseLost", CNI: 215,
		Sentence:    "lease %s of claim %s/%s has become that of claim %s/%s",
		Fix:         "Delete the claim and its pod, so that it gets another address.",
		Explanation: "Somebody deleted or edited a MacLease, or restored one from a backup, while its address was in use, and another claim got it. macpool cannot know which of the two uses the address, and takes it from neither.",
	}
	ClaimInUse = &Kind{
		Code: "MP216", Reason: "ClaimInUse", CNI: 216,
		Sentence:    "claim %s/%s is in use by pod %s on node %s",
		Fix:         "Delete that pod, or scale its workload down; the claim can be deleted as soon as the agent of that node has seen the interface go.",
		Explanation: "An admission policy, macpool-claim-in-use, refuses to delete a MacClaim that has a holder: its address would be given away while something still sends frames with it. If the node is gone for good, delete the Node, or give it the taint node.kubernetes.io/out-of-service; if you know that the interface is gone, and nothing else will say so: kubectl annotate macclaim NAME -n NAMESPACE macpool.dev/force-release='REASON'. The policy binds only while there is an agent, that is, while the DaemonSet macpool-agent exists, so that a cluster without macpool is never held up by it.",
	}
	PoolInUse = &Kind{
		Code: "MP217", Reason: "PoolInUse", CNI: 217,
		Sentence:    "pool %s still leases %d of its addresses",
		Fix:         "Delete their claims, or the workloads that they were made for, first: kubectl get macclaims -A shows them. To keep new ones away meanwhile, set a namespaceSelector that selects nothing.",
		Explanation: "An admission policy, macpool-pool-in-use, refuses the deletion of a pool that has leases; those of a pool that overlaps it do not count. The number, ownLeases in the pool's status, is what the manager has counted last. A pool has no finalizer: nothing of macpool's must be there for it to go (docs/design/0006). Its leases would stay without it, but their pods could not be attached again. Like MP216, the policy binds only while the DaemonSet macpool-agent exists.",
	}
	ForceReleaseForbidden = &Kind{
		Code: "MP218", Reason: "ForceReleaseForbidden", CNI: 218,
		Sentence:    "the annotation macpool.dev/force-release may only be set by who has the verb force-release on macleases",
		Fix:         "Ask somebody with the ClusterRole macpool-admin.",
		Explanation: "It takes an address from a pod without any evidence that the pod's interface is gone. The address may then be in use twice.",
	}
	HolderSuspect = &Kind{
		Code: "MP219", Reason: "HolderSuspect", CNI: 219,
		Sentence:    "pod %s, which holds claim %s/%s on node %s, %s: its address is kept",
		Fix:         "If the node is off for good, delete the Node or give it the taint node.kubernetes.io/out-of-service; if you know that the interface is gone, annotate the claim with macpool.dev/force-release and the reason.",
		Explanation: "That the API has forgotten a pod does not mean that it has stopped sending: a node that is cut off from the API goes on running it. The address is released when the node's agent says that the interface is gone, when the node is fenced, or when it was deleted and nothing on the VLAN answers for the address.",
	}
	ClaimUnknown = &Kind{
		Code: "MP220", Reason: "ClaimUnknown", CNI: 220,
		Sentence:    "there is no claim %s/%s, which the pod names for interface %s",
		Fix:         "Make it, in the pod's namespace, or correct its name in the networks annotation: kubectl get macclaims lists those that exist.",
		Explanation: "A pod may name its claim, as claim in the cni-args or as ipam-claim-reference of an element of its networks annotation. macpool makes no claim of such a name, unless there is an IPAMClaim of it: a name with a mistake in it would get another address than the one that was meant. The pod is tried again when the claim is there.",
	}
	ClaimOfAnother = &Kind{
		Code: "MP221", Reason: "ClaimOfAnother", CNI: CNITryAgain,
		Sentence:    "claim %s/%s is held by pod %s of %s on node %s, and this pod is of %s",
		Fix:         "Name another claim, or end that workload first: a claim serves one workload at a time.",
		Explanation: "Two workloads name one claim. The one that has it keeps it, and the other waits; it does not take it over from a silent node either, since that is for the pods of one workload.",
	}
	ClaimTwice = &Kind{
		Code: "MP222", Reason: "ClaimTwice", CNI: 222,
		Sentence:    "claim %s/%s is that of interface %s of the pod, and cannot be that of %s too",
		Fix:         "Name another claim for one of the two.",
		Explanation: "A claim has one MAC and one set of addresses, for one interface.",
	}

	RolloutWaits = &Kind{
		Code: "MP223", Reason: "RolloutWaits", CNI: CNITryAgain,
		Sentence:    "the rollout of %s waits for itself: claim %s/%s is held by pod %s on node %s, which stays until pod %s is ready, and that one needs the claim",
		Fix:         "Use strategy: Recreate, or a rolling update with maxSurge: 0, so that the old pod goes first; or set handover: Preempt in the claim. To go on now, delete the old pod.",
		Explanation: "A claim has one holder, and a rolling update starts the new pod before it ends the old one. Nothing is wrong with either, and neither would ever give way. With handover: Preempt the interface is taken from the old pod, which runs on without it until it is ended.",
	}
	OneClaimManyPods = &Kind{
		Code: "MP224", Reason: "OneClaimManyPods", CNI: CNITryAgain,
		Sentence:    "claim %s/%s is held by pod %s on node %s, and %s has pod %s beside it, which names the same claim",
		Fix:         "Set replicas: 1, or name no claim in the template: macpool then makes one for each pod.",
		Explanation: "A claim has one MAC and one set of addresses, for one pod at a time. Of several replicas that name it one gets it.",
	}
	ClaimPromised = &Kind{
		Code: "MP225", Reason: "ClaimPromised", CNI: CNITryAgain,
		Sentence:    "the last holder of claim %s/%s has made way for pod %s on node %s, and no other pod gets it before",
		Fix:         "Wait until that pod is gone, if this one is to have the address.",
		Explanation: "The claim's handover is Preempt. A pod that had to make way may be restarted by its kubelet; it does not take the address back.",
	}
	HolderAsked = &Kind{
		Code: "MP226", Reason: "HolderAsked", CNI: CNITryAgain,
		Sentence:    "claim %s/%s is held by pod %s on node %s, whose agent has been asked to remove its interface and has not yet",
		Fix:         "See that the macpool-agent pod of that node runs; the pod is tried again. If the node is lost, its address is taken over by the pool's takeover rule.",
		Explanation: "The claim's handover is Preempt: the old pod's interface goes before the new pod gets the address, and only the agent of its node can say that it is gone.",
	}
	// Pods that wait for their claims (docs/gate.md).

	GateUnneeded = &Kind{
		Code: "MP230", Reason: "GateUnneeded", CNI: 230,
		Sentence:    "pod %s/%s has the scheduling gate macpool.dev/lease and nothing to wait for, since %s: the gate is removed",
		Fix:         "Take the gate out of the pod's template, or add the network that was meant to its annotation.",
		Explanation: "The gate keeps a pod from its node until the claims of its interfaces are bound. A pod without such an interface would wait for ever.",
	}
	GateOnly = &Kind{
		Code: "MP231", Reason: "GateOnly", CNI: 231,
		Sentence:    "the manager of macpool may take the scheduling gate macpool.dev/lease off a pod, and change nothing else of it",
		Fix:         "If this is not the manager of macpool, give its service account another name.",
		Explanation: "An admission policy, macpool-pod-gate, holds whoever is a service account of the name macpool-manager to that. macpool writes nothing else into pods; if its own manager is refused, the program is not ours.",
	}
	NetworkMissing = &Kind{
		Code: "MP232", Reason: "NetworkMissing", CNI: 232,
		Sentence:    "there is no network %s, which the pod selects",
		Fix:         "Make the NetworkAttachmentDefinition, or correct the networks annotation of the pod; it waits until then.",
		Explanation: "Said of pods with the scheduling gate macpool.dev/lease. Whether the network gets its addresses from a pool cannot be known, and Multus would refuse the pod on its node.",
	}

	// What a node says of a pod, and is not so.

	HolderUntrue = &Kind{
		Code: "MP250", Reason: "HolderUntrue", CNI: 250,
		Sentence:    "node %s says that pod %s holds claim %s/%s there, and %s: the address is given to nobody else",
		Fix:         "Look at that node. Unless the API server has gone back in time, somebody uses the token of its agent.",
		Explanation: "An agent reads a pod before it attaches it. What no admission policy can see, the manager looks up afterwards: whether there is such a pod, and whether it is on that node. A hold of a pod that is elsewhere ends after some seconds. One of a pod that the API never knew ends when the node's agent says that its interface is gone, when two other nodes have asked the VLAN and nothing answers, or when an administrator says so; and the newest of those by which a node has more than it could attach (docs/design/0017).",
	}

	// Networks and configuration.

	BadConfig = &Kind{
		Code: "MP401", Reason: "BadConfig", CNI: CNIConfig,
		Sentence:    "the network configuration cannot be read: %s",
		Fix:         "Correct the JSON in the NetworkAttachmentDefinition's spec.config.",
		Explanation: "The configuration is CNI's: a plugin's object, or a list of them under plugins.",
	}
	BadAnnotation = &Kind{
		Code: "MP402", Reason: "BadAnnotation", CNI: CNIConfig,
		Sentence:    "the annotation k8s.v1.cni.cncf.io/networks cannot be read: %s",
		Fix:         `Write it as name, namespace/name, or a JSON list such as [{"name": "iot-vlan"}].`,
		Explanation: "Multus starts a pod without its second interface when it cannot read the annotation.",
	}
	UnknownRole = &Kind{
		Code: "MP403", Reason: "UnknownRole", CNI: CNIConfig,
		Sentence:    "macpool is named where it cannot work: %s",
		Fix:         `Name it as "ipam": {"type": "macpool", "pool": "NAME"} inside macvlan or bridge, and as the last entry {"type": "macpool"} of the plugins.`,
		Explanation: "The plugin has three roles, told apart by its input: IPAM and chained, or wrapper, where it is the network's plugin and another one is its delegate (docs/wrapper.md).",
	}
	UnsupportedMain = &Kind{
		Code: "MP404", Reason: "UnsupportedMain", CNI: CNIConfig,
		Sentence:    "%s cannot carry a leased MAC: %s",
		Fix:         "Use macvlan in bridge mode, or bridge without macspoofchk. sriov, ovs and macspoofchk work in the wrapper form, where macpool runs the plugin: docs/wrapper.md.",
		Explanation: "ipvlan, ptp, sriov and ovs give the MAC no chance to be set before the interface is up or do not keep it, macvlan passthru would change the parent's own, and bridge's macspoofchk takes down the MAC before macpool is asked. In the wrapper form the MAC is known before the interface is made, and only ipvlan, ptp and passthru remain.",
	}
	ChainedEntryMissing = &Kind{
		Code: "MP405", Reason: "ChainedEntryMissing", CNI: 405,
		Sentence:    "network %s has no chained macpool entry, so its result reports a MAC that the interface does not have",
		Fix:         `Append {"type": "macpool"} to the plugins of the network.`,
		Explanation: "CNI gives an IPAM plugin no way to report a MAC. The chained entry writes the leased one into the result, which Multus copies into the pod's network-status and which CHECK compares. Pods work without it, with the right MAC on the link.",
	}
	InputTooLarge = &Kind{
		Code: "MP406", Reason: "InputTooLarge", CNI: CNIConfig,
		Sentence:    "the input is %d bytes long, more than the %d that are accepted",
		Fix:         "Shorten the network configuration.",
		Explanation: "A network configuration is some kilobytes.",
	}
	UnsupportedVersion = &Kind{
		Code: "MP407", Reason: "UnsupportedVersion", CNI: CNIVersion,
		Sentence:    "cniVersion is not supported: %s",
		Fix:         "Use 0.3.1, 0.4.0, 1.0.0 or 1.1.0.",
		Explanation: "Multus takes the cniVersion from the NetworkAttachmentDefinition.",
	}
	NoPrevResult = &Kind{
		Code: "MP408", Reason: "NoPrevResult", CNI: CNIConfig,
		Sentence:    "the chained macpool entry got no interface %s from the plugins before it",
		Fix:         `Put {"type": "macpool"} after macvlan or bridge in the plugins of the network.`,
		Explanation: "The chained entry verifies what the plugins before it have made.",
	}
	NotAPod = &Kind{
		Code: "MP409", Reason: "NotAPod", CNI: CNIConfig,
		Sentence:    "the runtime named no pod (K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID in CNI_ARGS)",
		Fix:         "Use macpool with Kubernetes' container runtimes.",
		Explanation: "A lease belongs to a pod, which is looked up in the cluster.",
	}
	BadEnvironment = &Kind{
		Code: "MP410", Reason: "BadEnvironment", CNI: CNIEnvironment,
		Sentence:    "the runtime called macpool in a way that CNI does not know: %s",
		Fix:         "Let a container runtime or Multus run the plugin.",
		Explanation: "CNI passes the command, the container's id, its network namespace and the interface's name in environment variables.",
	}
	VLANMismatch = &Kind{
		Code: "MP411", Reason: "VLANMismatch", CNI: 411,
		Sentence:    "network %s puts its pods on VLAN %d by %s of plugin %s, but its pool %s is of VLAN %d",
		Fix:         "Name a pool of that VLAN, or a parent on the pool's.",
		Explanation: "Pods would get addresses that nobody on their VLAN can reach, and that others may have there. What states a VLAN is the vlanId of plugin vlan, the vlan of plugin bridge, and names of links such as eth0.60, bond0.60 and vlan60; other names state none.",
	}
	SecondIPAM = &Kind{
		Code: "MP412", Reason: "SecondIPAM", CNI: 412,
		Sentence:    "network %s has more than one ipam block: %s",
		Fix:         "Keep the one of the plugin that makes the interface, and remove the others.",
		Explanation: "Each plugin asks its own IPAM. A second one gives the interface addresses that nobody has leased, or is never asked. Of two plugins that make the interface, the second fails, since it is there already.",
	}
	IgnoredSettings = &Kind{
		Code: "MP413", Reason: "IgnoredSettings", CNI: 413,
		Sentence:    "the ipam block of network %s has %s, which macpool does not read",
		Fix:         "Remove what another IPAM plugin has left there: ranges, exclusions and the gateway stand in the MacPool.",
		Explanation: "Pods get their addresses from the pool, whatever such settings say; they only mislead who reads them.",
	}
	LeaseOverwritten = &Kind{
		Code: "MP414", Reason: "LeaseOverwritten", CNI: 414,
		Sentence:    "network %s overwrites the MAC that its pods have leased: %s",
		Fix:         "Remove that, and let the pool choose; a pod that must have a certain MAC asks for it in its networks annotation.",
		Explanation: "A plugin that comes after macpool sets the MAC once more: tuning with a fixed one, the same for all pods, or spiderpool's coordinator with one that it makes. The chained macpool entry then refuses the pod; without it, it runs with a MAC that is not its own. The capability mac is harmless: Multus tells macpool the pod's wish as well, so that tuning sets what was leased.",
	}
	DefinitionMissing = &Kind{
		Code: "MP415", Reason: "DefinitionMissing", CNI: 415,
		Sentence:    "the API server knows no %s, which the manager reads",
		Fix:         "Install what defines it: Multus for a NetworkAttachmentDefinition, config/crd of macpool for the others. Kubernetes starts the manager again until it is there.",
		Explanation: "Networks tell the manager which pods get an address, and of which pool. Where everything is applied at once the definition may come a moment later.",
	}
)
