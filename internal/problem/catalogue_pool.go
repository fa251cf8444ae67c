// SPDX-License-Identifier: Apache-2.0

package problem

// What pools give, and who may write what decides about it.
var (
	// Pools.

	PoolExhausted = &Kind{
		Code: "MP301", Reason: "PoolExhausted", CNI: 301,
		Sentence:    "pool %s has no address left: of %d, %d are leased, %d cooling, %d in conflict, %d kept for claims that ask for them",
		Fix:         "Add a range to the pool, or delete claims that nothing needs: kubectl get macclaims -A.",
		Explanation: "Cooling addresses come back by themselves. A waiting pod is tried again by its kubelet.",
	}
	PoolUnknown = &Kind{
		Code: "MP302", Reason: "PoolUnknown", CNI: 302,
		Sentence:    "there is no MacPool %q",
		Fix:         "Correct the pool in the network's ipam block, or make it: kubectl get macpools lists those that exist.",
		Explanation: "The ipam block of a NetworkAttachmentDefinition names its MacPool.",
	}
	PoolNotReady = &Kind{
		Code: "MP303", Reason: "PoolNotReady", CNI: CNITryAgain,
		Sentence:    "pool %s takes no claims: %s",
		Fix:         "Correct the pool: kubectl describe macpool shows its conditions.",
		Explanation: "A pool whose ranges make no sense, or that would make addresses of another pool a second time, leases nothing.",
	}
	PoolForbidden = &Kind{
		Code: "MP304", Reason: "PoolForbidden", CNI: 304,
		Sentence:    "pool %s does not take claims of namespace %s",
		Fix:         "Ask the pool's administrator to extend its namespaceSelector, or label the namespace accordingly.",
		Explanation: "The pool decides which namespaces may use it; a network or an annotation cannot widen that.",
	}
	NoPoolNamed = &Kind{
		Code: "MP305", Reason: "NoPoolNamed", CNI: CNIConfig,
		Sentence:    "the network %q names no pool",
		Fix:         `Write "ipam": {"type": "macpool", "pool": "NAME"}.`,
		Explanation: "Which pool a network uses stands in its ipam block, or beside its delegate.",
	}
	OtherPool = &Kind{
		Code: "MP306", Reason: "OtherPool", CNI: 306,
		Sentence:    "claim %s/%s is of pool %s, the network asks for pool %s",
		Fix:         "Name the claim's pool in the network, or make another claim.",
		Explanation: "A claim gets its lease from the one pool that it names.",
	}
	AllocationPaused = &Kind{
		Code: "MP307", Reason: "AllocationPaused", CNI: CNITryAgain,
		Sentence:    "no address of pool %s is given out at the moment: %s",
		Fix:         "It goes on by itself when these nodes have reported. For a node that will not come back, delete its MacNode, after making sure that it is off.",
		Explanation: "When the API server has gone back in time, as after a restore of etcd, it does not know all addresses that running pods have. Nothing is given out until each node has said what is attached on it, and leases that were lost are written again.",
	}
	ReleasesPaused = &Kind{
		Code: "MP308", Reason: "ReleasesPaused", CNI: 308,
		Sentence:    "%d leases of pool %s would be released at once without a node's word, more than %d, and none of them is",
		Fix:         "See that the API server shows all pods and claims that there should be. If it does, annotate the pool with macpool.dev/releases=resumed, and remove the annotation when they are made: it switches the brake off.",
		Explanation: "An API server that answers with fewer objects than there are would otherwise have addresses taken from running pods.",
	}
	NamespaceFull = &Kind{
		Code: "MP309", Reason: "NamespaceFull", CNI: 309,
		Sentence:    "namespace %s has %d addresses of pool %s, and may have no more than %d",
		Fix:         "Delete claims that nothing needs: kubectl get macclaims -n NAMESPACE. Or ask the pool's administrator to raise its maxPerNamespace.",
		Explanation: "Addresses that were released and cool down count as well: their claims may have them back, and who makes and deletes claims all the time shall not empty a pool for others. Of many claims at once some may be refused for a moment although there is room; they are tried again.",
	}
	ParentUnknown = &Kind{
		Code: "MP311", Reason: "ParentUnknown", CNI: 311,
		Sentence:    "network %s names no master for its delegate, and pool %s names no parent for %s",
		Fix:         "Add one to the pool's spec.parents whose nodeSelector matches, or write the master into the delegate.",
		Explanation: "Without a master, macvlan takes the link of the node's default route, which is not the pool's VLAN. So a network that names none needs a pool that says by which link each node reaches its VLAN.",
	}
	ParentNotReady = &Kind{
		Code: "MP312", Reason: "ParentNotReady", CNI: 312,
		Sentence:    "%d of the %d nodes that should reach the VLAN of pool %s do not: %s",
		Fix:         "See that the link is configured on the node, that its switch port carries the VLAN, and that the gateway is up.",
		Explanation: "Each node's agent looks at its link, and asks for the pool's gateways there. A node that is ready has the label macpool.dev/POOL=ready, by which pods can be kept to such nodes.",
	}

	NodeGuarded = &Kind{
		Code: "MP313", Reason: "NodeGuarded", CNI: 313,
		Sentence:    "macpool's manager may change nothing of a Node but its own labels, macpool.dev/POOL=ready",
		Fix:         "Nothing, unless somebody else uses the manager's account: see the audit log of the API server.",
		Explanation: "An admission policy, macpool-node-labels, keeps the manager's right to patch Nodes to the labels that say which VLANs a node reaches. A right to write Nodes is a right to move everybody's pods.",
	}
	NoAddresses = &Kind{
		Code: "MP314", Reason: "NoAddresses", CNI: 314,
		Sentence:    "pool %s leases MACs alone and cannot grant %s",
		Fix:         "Drop the address. Ask for a mac instead, and have the DHCP server of the VLAN give that MAC its address.",
		Explanation: "A pool without subnets leases MACs alone: the addresses of its interfaces come from something else, such as a DHCP server, and macpool neither knows nor chooses them (docs/dhcp.md).",
	}

	PolicyNotInForce = &Kind{
		Code: "MP315", Reason: "PolicyNotInForce", CNI: 315,
		Sentence:    "the admission policy %s is not in force: %s",
		Fix:         "Install macpool again as it was installed, in the version that is to run: docs/install. If it is being upgraded, wait until that is through.",
		Explanation: "The manager compares the policies that guard something, and their bindings, with those that it was built with, and sends writes that they must refuse, as dry runs. It does so when it starts and about every 20 seconds, and is ready only while all of them hold (docs/operations.md). Without a policy a right is as wide as RBAC can make it: an agent could write what is another node's, or a person give an address away that is in use.",
	}
	NotItsNode = &Kind{
		Code: "MP316", Reason: "NotItsNode", CNI: CNITryAgain,
		Sentence:    "an agent may write only what is its node's, and its token is of %s: %s is refused",
		Fix:         "Nothing, if it is an agent that asks: it tries again, or the manager does it. Otherwise somebody else uses an agent's token: see the audit log of the API server.",
		Explanation: "Admission policies, macpool-agent-leases, macpool-agent-claims and macpool-agent-nodes, hold the agent of each node to the leases, holders and report of that node. The node is the one that the API server has written into the token. docs/agent-access.md shows what is allowed.",
	}
	OnlyMacpool = &Kind{
		Code: "MP317", Reason: "OnlyMacpool", CNI: 317,
		Sentence:    "leases, reports of nodes, and the status of claims and pools are written by macpool alone: %s by %s is refused",
		Fix:         "Change the MacClaim or the MacPool instead: macpool follows. Who must write it all the same needs the verb override on macleases, as cluster-admin has it.",
		Explanation: "What these objects say is what addresses are given by. An admission policy, macpool-only, keeps them for macpool's service accounts whatever other roles allow: a role that covers macclaims/* would otherwise let its owner write that a claim has no holder any more.",
	}
	ProbeName = &Kind{
		Code: "MP318", Reason: "ProbeName", CNI: 318,
		Sentence:    "no pool may be named macpool-policy-probe, by which the manager asks whether the policy macpool-pool-in-use is in force",
		Fix:         "Give the pool another name.",
		Explanation: "The manager has no right to delete pools, so that it cannot ask by a deletion. Its role lets it apply a pool of that one name, which the policy refuses to anybody.",
	}
)
