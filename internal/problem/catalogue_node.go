// SPDX-License-Identifier: Apache-2.0

package problem

// The part of the catalogue that a node tells, codes from MP501 on.
var (
	// The node.

	AgentUnreachable = &Kind{
		Code: "MP501", Reason: "AgentUnreachable", CNI: CNITryAgain,
		Sentence:    "the macpool agent of this node does not answer at %s: %s",
		Fix:         "See that the macpool-agent pod of the node runs; the pod is tried again.",
		Explanation: "The plugin holds no credentials; the agent of the node speaks to the cluster for it.",
	}
	APIUnreachable = &Kind{
		Code: "MP502", Reason: "APIUnreachable", CNI: CNITryAgain,
		Sentence:    "node %s has no contact with the Kubernetes API (%s), and without it nobody can know that the address is still this pod's",
		Fix:         "The pod is tried again; it starts when the API answers.",
		Explanation: "No lease, no interface: an address that might be in use elsewhere is not configured.",
	}
	PodUnknown = &Kind{
		Code: "MP503", Reason: "PodUnknown", CNI: CNITryAgain,
		Sentence:    "pod %s/%s with UID %s is not in the cluster",
		Fix:         "Nothing, if the pod was deleted.",
		Explanation: "A lease is never invented for a pod that the API server does not know.",
	}
	PodElsewhere = &Kind{
		Code: "MP504", Reason: "PodElsewhere", CNI: 504,
		Sentence:    "pod %s/%s belongs to node %q, not to %s",
		Fix:         "See who starts pods on this node beside its kubelet.",
		Explanation: "A node may only attach its own pods.",
	}
	ContainerDeleted = &Kind{
		Code: "MP505", Reason: "ContainerDeleted", CNI: 505,
		Sentence:    "container %s was deleted already",
		Fix:         "Nothing: the runtime makes a new one.",
		Explanation: "An ADD that arrives after the DEL of its container outlived its caller, and would be cleaned up by nobody.",
	}
	LinkMissing = &Kind{
		Code: "MP506", Reason: "LinkMissing", CNI: 506,
		Sentence:    "interface %s is missing in %s: %s",
		Fix:         "Use macpool inside macvlan or bridge, which make the interface before they ask for its addresses.",
		Explanation: "The MAC is set on the interface while it is still down.",
	}
	LinkUp = &Kind{
		Code: "MP507", Reason: "LinkUp", CNI: 507,
		Sentence:    "interface %s was up before it had its leased MAC",
		Fix:         "Use macpool inside macvlan or bridge, which bring the interface up after they have asked for its addresses.",
		Explanation: "An interface that is up has already sent frames with another MAC.",
	}
	LinkRefused = &Kind{
		Code: "MP508", Reason: "LinkRefused", CNI: 508,
		Sentence:    "the kernel refuses MAC %s on interface %s: %s",
		Fix:         "See whether an older interface on this node still has the MAC.",
		Explanation: "Address already in use means that another interface on the same parent is up with the MAC.",
	}
	LinkDiffers = &Kind{
		Code: "MP509", Reason: "LinkDiffers", CNI: 509,
		Sentence:    "interface %s has %s, its lease %s",
		Fix:         "Delete the pod, so that it is attached again.",
		Explanation: "Something changed the interface after it was attached.",
	}
	NotAttached = &Kind{
		Code: "MP510", Reason: "NotAttached", CNI: 510,
		Sentence:    "container %s has no lease for interface %s on this node",
		Fix:         "Delete the pod, so that it is attached again.",
		Explanation: "CHECK and the chained entry need the lease that ADD made for the same container.",
	}
	JournalFailed = &Kind{
		Code: "MP511", Reason: "JournalFailed", CNI: CNIUnavailable,
		Sentence:    "the agent cannot write its journal: %s",
		Fix:         "See that the disk under /var/lib/macpool is neither full nor read-only.",
		Explanation: "What is attached is written down before it is attached, so that it is found again after a power cut.",
	}
	HostNetwork = &Kind{
		Code: "MP512", Reason: "HostNetwork", CNI: CNIConfig,
		Sentence:    "pod %s/%s uses the host's network and gets no interface of its own",
		Fix:         "Remove hostNetwork or the networks annotation.",
		Explanation: "An address leased to such a pod would be used by nobody.",
	}
	StillAttached = &Kind{
		Code: "MP513", Reason: "StillAttached", CNI: 513,
		Sentence:    "the list of valid attachments of network %s is empty, but %d of its containers are alive on this node",
		Fix:         "Nothing was released. See what the runtime's list is made from.",
		Explanation: "A runtime that has lost its records would have every address released under its running containers.",
	}
	BadRequest = &Kind{
		Code: "MP514", Reason: "BadRequest", CNI: 514,
		Sentence:    "the agent got a request that it cannot read: %s",
		Fix:         "See that plugin and agent are of the same release.",
		Explanation: "The plugin is installed by the agent; an old one may be left in another directory.",
	}
	DelNotKept = &Kind{
		Code: "MP515", Reason: "DelNotKept", CNI: CNITryAgain,
		Sentence:    "the end of container %s can neither be told to the agent (%s) nor be kept for it: %s",
		Fix:         "See that the disk under /var/lib/macpool is neither full nor read-only; the runtime tries again.",
		Explanation: "While the agent is away, the plugin leaves each DEL in a spool, from which the agent applies it later.",
	}
	PodFinished = &Kind{
		Code: "MP516", Reason: "PodFinished", CNI: 516,
		Sentence:    "pod %s/%s has finished and gets no interface any more",
		Fix:         "Nothing: its address is free again when its node has taken it down.",
		Explanation: "An ADD for a pod that has ended, or that is being deleted with all its containers ended, came too late.",
	}
	ForeignPlugin = &Kind{
		Code: "MP517", Reason: "ForeignPlugin", CNI: 517,
		Sentence:    "%s on the node is not macpool's plugin, and stays as it is",
		Fix:         "Move it away if nothing on the node needs it; the plugin is installed as soon as the name is free.",
		Explanation: "The installer replaces only what it, or an installer of another release, has put there. The runtime would run the other file in the plugin's place, so the agent of the node is not Ready until this is solved. A file that takes the place of a plugin which was installed there is set aside, as .macpool-foreign- and its checksum, and the plugin put back; the installer's log says so.",
	}
	NowhereToInstall = &Kind{
		Code: "MP518", Reason: "NowhereToInstall", CNI: 518,
		Sentence:    "no directory in which the node looks for CNI plugins can take macpool's: %s",
		Fix:         "Make one of them writable, or tell the runtime of another directory and name it in MACPOOL_BIN_DIR.",
		Explanation: "The directories are read from the configuration of containerd or CRI-O and of Multus on the node, and from a table of distributions. Read-only ones are left out as long as the plugin is found in another.",
	}
	PreviousHolderAlive = &Kind{
		Code: "MP519", Reason: "PreviousHolderAlive", CNI: CNITryAgain,
		Sentence:    "%s still answers on the VLAN for address %s of claim %s/%s, which pod %s holds on node %s, and that node does not answer the API",
		Fix:         "Switch the node off, or bring it back; the pod is tried again.",
		Explanation: "The node is cut off from the API and still runs its pod. Two pods with one address would disturb each other.",
	}
	TakeoverTooSoon = &Kind{
		Code: "MP520", Reason: "TakeoverTooSoon", CNI: CNITryAgain,
		Sentence:    "claim %s/%s is held by pod %s on node %s, which does not answer, but has been silent for %s only; its address may be taken over after %s",
		Fix:         "The pod is tried again.",
		Explanation: "A node that has just lost contact may still attach the pod that it was told of last.",
	}
	TakeoverForbidden = &Kind{
		Code: "MP521", Reason: "TakeoverForbidden", CNI: CNITryAgain,
		Sentence:    "claim %s/%s is held by pod %s on node %s, which does not answer, and pool %s takes no address over from a node that is not known to be off",
		Fix:         "Bring the node back, or delete it or give it the taint node.kubernetes.io/out-of-service if it is off; or set the pool's takeover to Probe.",
		Explanation: "The pool's takeover is Strict.",
	}
	WireNotAsked = &Kind{
		Code: "MP522", Reason: "WireNotAsked", CNI: CNITryAgain,
		Sentence:    "whether anything still uses address %s of claim %s/%s cannot be asked on the VLAN: %s",
		Fix:         "See that the network names a link of this node as its master or bridge; or bring the node of the old pod back, or delete it if it is off.",
		Explanation: "The address of a pod on a silent node is taken over when nothing answers for it on the VLAN. Without asking nobody knows.",
	}
	Fenced = &Kind{
		Code: "MP523", Reason: "Fenced", CNI: 523,
		Sentence:    "interface %s of pod %s/%s was removed: its address %s belongs to %s now",
		Fix:         "Delete the pod if it is still wanted, so that it is attached again.",
		Explanation: "While this node did not answer, the address was taken over or released. The node removes the old interface as soon as it is back, since two of one address disturb each other.",
	}
	SandboxLingers = &Kind{
		Code: "MP524", Reason: "SandboxLingers", CNI: 524,
		Sentence:    "pod %s/%s is gone from the API for %s, but its interface %s is still there on node %s, and so claim %s keeps its address",
		Fix:         "See why the container runtime of the node does not end the sandbox: crictl pods there shows it.",
		Explanation: "An address is released when the network namespace of the pod is gone, not before.",
	}
	AddressNotProbed = &Kind{
		Code: "MP525", Reason: "AddressNotProbed", CNI: CNITryAgain,
		Sentence:    "whether a stranger uses address %s of claim %s/%s cannot be asked on the VLAN: %s",
		Fix:         "See that the network names a link of this node as its master or bridge, and that the link has carrier; or set the pool's conflictDetection.mode to Probe.",
		Explanation: "The pool's conflictDetection.mode is Strict: an address is given out only after the VLAN was asked for it.",
	}
	GatewaySilent = &Kind{
		Code: "MP526", Reason: "GatewaySilent", CNI: CNITryAgain,
		Sentence:    "gateway %s of pool %s does not answer on link %s of node %s, so that the silence of others there says nothing",
		Fix:         "See that the gateway is up, and that the switch port of the node lets the VLAN through; or set the pool's conflictDetection.mode to Probe.",
		Explanation: "The pool's conflictDetection.mode is Strict. A port that has just come up, or that does not carry the VLAN, is as silent as a VLAN on which nobody uses the address; so the gateway has to be heard first.",
	}
	ProxyAnswers = &Kind{
		Code: "MP527", Reason: "ProxyAnswers", CNI: CNITryAgain,
		Sentence:    "%s answers on link %s of node %s for address %s, and for %s too, which was asked for at random: it seems to answer for every address",
		Fix:         "Switch proxy ARP off on that device (net.ipv4.conf.*.proxy_arp, proxy_arp_pvlan, local-proxy-arp), or set the pool's conflictDetection.mode to Off.",
		Explanation: "A router that answers for all addresses of the subnet takes every frame for them, and no address can be found free behind it. No address is set aside for it: all would be.",
	}
	TooManyConflicts = &Kind{
		Code: "MP528", Reason: "TooManyConflicts", CNI: CNITryAgain,
		Sentence:    "%d addresses of pool %s were found in use by strangers within a minute, by node %s",
		Fix:         "See who uses addresses of the pool: kubectl get macleases shows the MACs. Exclude theirs from the pool, or look for a device that answers for addresses which are not its own.",
		Explanation: "After ten conflicts in a minute (RFC 5227, MAX_CONFLICTS) a node asks for no more addresses of the pool until the minute is over.",
	}
	StrangerHeard = &Kind{
		Code: "MP529", Reason: "StrangerHeard", CNI: 529,
		Sentence:    "%s uses address %s on the VLAN, which is leased to claim %s/%s and attached to pod %s on node %s",
		Fix:         "Find that device and give it another address; or delete the claim and its pod, and exclude the address from the pool.",
		Explanation: "The node of the pod has heard ARP or neighbour advertisements for the address from another MAC. Nothing is taken from the pod: both go on disturbing each other until a person has decided which of the two is right.",
	}
	OldInterfaceAlive = &Kind{
		Code: "MP530", Reason: "OldInterfaceAlive", CNI: CNITryAgain,
		Sentence:    "address %s of claim %s/%s still answers on the VLAN with its own MAC, %s: the interface that had it before seems to be there yet (%s)",
		Fix:         "The pod is tried again, and starts when that interface is gone. If it stays, see the node that had it; if the node is off, somebody else uses MAC and address.",
		Explanation: "A MAC is made from its address, so that an answer with the leased MAC comes from whoever had the lease before, whose interface outlived its pod, or from another cluster that leases the same addresses.",
	}
	HoldStolen = &Kind{
		Code: "MP531", Reason: "HoldStolen", CNI: 531,
		Sentence:    "claim %s/%s was taken from pod %s/%s, which is alive, by %s; the pod keeps its interface",
		Fix:         "See in the audit log of the API server which agent wrote that. If it was not a person, take that node out of the cluster: somebody else uses its agent's token.",
		Explanation: "A claim is taken over from a node that is silent, for a pod whose predecessor is gone. Nobody that keeps to this takes one from a pod that is there, so the node of that pod does not follow. macpool's manager gives the claim back when it finds that the taker is not there.",
	}
	ParentMissing = &Kind{
		Code: "MP535", Reason: "ParentMissing", CNI: CNITryAgain,
		Sentence:    "there is no link %s on node %s, which pool %s names as its parent there",
		Fix:         "Make the link on the node, or correct the pool's spec.parents. Pods that must wait elsewhere can select nodes by the label macpool.dev/POOL=ready.",
		Explanation: "The network leaves it to the pool by which link a node reaches the VLAN. No address is leased before that link is there.",
	}
	OldSandboxUp = &Kind{
		Code: "MP540", Reason: "OldSandboxUp", CNI: CNITryAgain,
		Sentence:    "interface %s of container %s, of pod %s/%s, is still up on node %s with MAC %s, which this pod is to have",
		Fix:         "The pod is tried again, and starts when that sandbox is gone. If that lasts, see why the container runtime does not end it: crictl pods on the node shows it.",
		Explanation: "The kernel lets one interface of a parent be up with a MAC (EADDRINUSE, address already in use), and two of one address disturb each other. The old one is waited for, ten seconds at most. One whose pod has lost the claim, or whose end the runtime has reported, is removed; this one is an earlier sandbox of the same pod that the runtime has not ended, or an interface that could not be removed.",
	}
	MadeWay = &Kind{
		Code: "MP541", Reason: "MadeWay", CNI: 541,
		Sentence:    "interface %s of pod %s/%s was removed: claim %s has gone to pod %s on node %s",
		Fix:         "Nothing, if the pod is about to be replaced. To let pods keep their address until they end, set handover: Wait in the claim.",
		Explanation: "The claim's handover is Preempt: a newer pod of the workload gets the address while the old one still runs.",
	}
	Internal = &Kind{
		Code: "MP599", Reason: "Internal", CNI: CNITryAgain,
		Sentence:    "macpool failed unexpectedly: %s",
		Fix:         "The pod is tried again; if it stays, look at the log of the agent on the node and report it.",
		Explanation: "An error that should have an entry of its own in this catalogue.",
	}

	// Who may ask whom on a node, and what is believed there (docs/design/0016).

	UntrustedSocket = &Kind{
		Code: "MP620", Reason: "UntrustedSocket", CNI: 620,
		Sentence:    "%s is not to be trusted with what plugin and agent say to each other: %s",
		Fix:         "See who made it, and remove it; the macpool-agent pod of the node makes it again when it is restarted.",
		Explanation: "The plugin configures what the agent answers, so it asks nobody but a process of its own user, root, through a socket that is root's, in a directory that is root's alone. The agent makes that directory if it is not there, and refuses to start where it is a link, or another user's. A DEL is kept in the spool meanwhile.",
	}
	ForeignNetNS = &Kind{
		Code: "MP621", Reason: "ForeignNetNS", CNI: 621,
		Sentence:    "the network namespace of container %s cannot be %q: %s",
		Fix:         "Let the container runtime call the plugin. If it keeps network namespaces in another directory, name that in the agent's --netns-dirs, and mount it into the agent's container.",
		Explanation: "The agent looks at the interface in that namespace later, and removes it when its address belongs to another pod, by the path that the ADD has told. So it has to be one where runtimes put network namespaces (/run/netns and /var/run/netns, or /proc/PID/ns/net), and not the node's own. A DEL is never refused for it.",
	}
	ForeignState = &Kind{
		Code: "MP622", Reason: "ForeignState", CNI: 622,
		Sentence:    "%s on the node, by which the installer knows what it has installed, is %s",
		Fix:         "See who made it, and remove it; the installer makes it again. Reference plugins that it had installed then stay as they are.",
		Explanation: "What stands in that file may be replaced and removed, and no runtime asks again. So it counts only as a file of root's that nobody else can write, in such a directory, and what is anything else is neither read nor written. The agent waits until then.",
	}
)
