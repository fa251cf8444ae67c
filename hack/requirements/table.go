// SPDX-License-Identifier: Apache-2.0

package main

// requirement is something that macpool promises, or a fault or an incident that it must survive.
type requirement struct {
	id, what string
	// why is said where no test names the id, or where the tests show less than all of it.
	why string
}

// section is a table of the page.
type section struct {
	title, intro string
	requirements []requirement
}

var sections = []section{
	{"Invariants", "They hold at every moment, and every harness checks them.", []requirement{
		{id: "I1", what: "In a segment, an IP and a MAC have one owner at most"},
		{id: "I2", what: "The address of an interface that can still send is neither freed nor given to another"},
		{id: "I3", what: "An ADD that succeeded has a lease in the API that is equal to its result; one that failed leaves no interface up"},
		{id: "I4", what: "One identity keeps its MAC and IPs through restarts, re-creation and rescheduling"},
		{id: "I5", what: "After evidence of the end the address can be leased again; without evidence never"},
		{id: "I6", what: "An address is given to another identity only after its cooldown"},
		{id: "I7", what: "Only addresses of the pool's ranges are leased, and only MACs that an interface can carry"},
		{id: "I8", what: "A lease's namespace was allowed by the pool and within its limits"},
	}},
	{"Allocation", "", []requirement{
		{id: "R-A1", what: "One atomic operation of the API server reserves; caches only propose"},
		{id: "R-A2", what: "The MAC is as unique as the IP, by the same operation"},
		{id: "R-A3", what: "Uniqueness spans the pools of a segment"},
		{id: "R-A4", what: "A retry after a lost answer finds what was committed"},
		{id: "R-A5", what: "All families or none"},
		{id: "R-A6", what: "An exhausted pool is told at once, and the next release serves who waits"},
		{id: "R-A7", what: "MACs are locally administered unicast, and prefixes of others are refused"},
		{id: "R-A8", what: "A wish is granted exactly or refused"},
		{id: "R-A9", what: "The lowest free address is not preferred"},
		{id: "R-A10", what: "1,000 ADDs at once on 1,000 addresses all succeed"},
	}},
	{"Plugin and agent", "", []requirement{
		{id: "R-C1", what: "All CNI versions from 0.3.1 to 1.1.0"},
		{id: "R-C2", what: "An ADD that is repeated has an equal answer"},
		{id: "R-C3", what: "A new container of a pod gets the same addresses"},
		{id: "R-C4", what: "A DEL of what is not there succeeds and changes nothing"},
		{id: "R-C5", what: "A DEL clears its own attempt's hold only"},
		{id: "R-C6", what: "A DEL without the API is written down, and applied later"},
		{id: "R-C7", what: "No DEL error has words that a runtime takes for success"},
		{id: "R-C8", what: "An ADD is bounded, and tries again within its bound"},
		{id: "R-C9", what: "An ADD whose caller has gone leaves nothing; a late one of a deleted container is refused"},
		{id: "R-C10", what: "A lease is only for a pod that the API knows, on this node"},
		{id: "R-C11", what: "CHECK compares lease, claim and interface, and changes nothing"},
		{id: "R-C12", what: "STATUS answers within 2 s"},
		{id: "R-C13", what: "GC is a hint: what lives is kept"},
		{id: "R-C14", what: "The MAC is set before the first frame"},
		{id: "R-C15", what: "An address that is still up on the node's old sandbox is waited for"},
		{id: "R-C16", what: "Three announcements after the interface is up", why: "of an IPv6 address on a bridge only the pod's kernel tells, once (docs/design/0009)"},
		{id: "R-C17", what: "Bad input never gives half an answer"},
		{id: "R-C18", what: "Pods of the host's network get no lease"},
		{id: "R-C19", what: "Several interfaces of a pod have a lease each"},
		{id: "R-C20", what: "The binary can be replaced while ADDs run"},
	}},
	{"Ownership and release", "", []requirement{
		{id: "R-G1", what: "A lease is valid until proven dead"},
		{id: "R-G2", what: "Evidence is newer than the lease"},
		{id: "R-G3", what: "Two observations and a look at the moment of release"},
		{id: "R-G4", what: "The table of evidence"},
		{id: "R-G5", what: "Takeover from a silent node: Strict, Probe, Immediate"},
		{id: "R-G6", what: "Two holders only for one migrating VM"},
		{id: "R-G7", what: "A node that comes back removes what has moved on"},
		{id: "R-G8", what: "Cooldowns are measured by the manager's own clock"},
		{id: "R-G9", what: "Releases without a node's word stop when they are too many"},
		{id: "R-G10", what: "Static pods and nodes made again are told apart"},
	}},
	{"Pools and claims", "", []requirement{
		{id: "R-P1", what: "A pool that shrinks keeps its leases"},
		{id: "R-P2", what: "A pool with leases is not deleted"},
		{id: "R-P3", what: "What leases are made from cannot change"},
		{id: "R-P4", what: "A claim that is held is not deleted"},
		{id: "R-P5", what: "Nothing of ours keeps anything from being deleted for ever"},
		{id: "R-P6", what: "Counts are derived, and heal"},
	}},
	{"Control plane", "", []requirement{
		{id: "R-K1", what: "Several managers at once are safe"},
		{id: "R-K2", what: "ADD and DEL work without a manager"},
		{id: "R-K3", what: "Nobody is ready before it knows what there is"},
		{id: "R-K4", what: "A slow or failing API gives no wrong result"},
		{id: "R-K5", what: "A process that was stopped for long writes nothing from what it read before"},
		{id: "R-K6", what: "Releases next to each other work together", why: "there is one release of one API version so far"},
	}},
	{"The wire", "", []requirement{
		{id: "R-L1", what: "The VLAN is asked before an address is used, and of two that ask at once one gets it at most"},
		{id: "R-L2", what: "A stranger's address is set aside for a time, and who does not insist on it gets another"},
		{id: "R-L3", what: "IPv6 addresses are asked for like others, and the link-local one with them", why: "a kernel whose own check fails later is seen by the listener (R-L4), not by the ADD"},
		{id: "R-L4", what: "A stranger who comes later is reported, and nothing is taken from the pod"},
		{id: "R-L5", what: "Strict detection waits for carrier and for the gateway before it believes silence"},
	}},
	{"Disaster", "", []requirement{
		{id: "R-B1", what: "An API that went back in time is noticed, and leases are adopted from the nodes"},
		{id: "R-B2", what: "A restore of objects keeps identities"},
		{id: "R-B3", what: "Two clusters on one VLAN", why: "with ranges that do not meet they make different names, MACs and IPs (tested); with overlapping ones a pod whose address another cluster uses gets another (tested with agents and a simulated VLAN)"},
	}},
	{"Observability", "", []requirement{
		{id: "R-O3", what: "`kubectl macpool check` compares API, agents and what is heard on the VLANs, and fails if I1 to I8 are violated"},
	}},
	{"Faults", "Each is injected by a test, or by `make chaos` and `make soak`, whose report counts them by moment: [reliability.md](reliability.md).", []requirement{
		{id: "F1", what: "Plugin killed"},
		{id: "F2", what: "Its caller killed"},
		{id: "F3", what: "Agent killed"},
		{id: "F4", what: "Node without power"},
		{id: "F5", what: "API away"},
		{id: "F6", what: "Answer lost after the commit"},
		{id: "F7", what: "Storm of conflicts"},
		{id: "F8", what: "API too busy"},
		{id: "F9", what: "Frozen cache"},
		{id: "F10", what: "Missed events"},
		{id: "F11", what: "Two leaders, or one that was paused"},
		{id: "F12", what: "Process stopped for a minute"},
		{id: "F13", what: "Clock set by an hour"},
		{id: "F14", what: "Node cut off from the API only"},
		{id: "F15", what: "Node cut off altogether, then back"},
		{id: "F16", what: "Pod deleted by force, node alive"},
		{id: "F17", what: "Pod of a StatefulSet replaced before the old DEL"},
		{id: "F18", what: "Old ADD ends after the new one"},
		{id: "F19", what: "DEL three times, after a reboot, without configuration"},
		{id: "F20", what: "DEL lost for ever"},
		{id: "F21", what: "Pod that has ended"},
		{id: "F22", what: "Node out of service"},
		{id: "F23", what: "Namespace deleted"},
		{id: "F24", what: "Pool shrunk or deleted"},
		{id: "F25", what: "Pool exhausted"},
		{id: "F26", what: "CRDs upgraded"},
		{id: "F27", what: "CRDs deleted by mistake"},
		{id: "F28", what: "etcd restored to an older state"},
		{id: "F29", what: "Objects restored from a backup"},
		{id: "F30", what: "A stranger on the address"},
		{id: "F31", what: "A stranger who comes later"},
		{id: "F32", what: "Two nodes probe one address"},
		{id: "F33", what: "A probe that is lost"},
		{id: "F34", what: "The MAC is still up on the node's old sandbox"},
		{id: "F35", what: "Token expired"},
		{id: "F36", what: "Write refused by policy or quota"},
		{id: "F37", what: "Disk full, journal damaged"},
		{id: "F38", what: "Migration of a VM aborted"},
		{id: "F39", what: "Reboot of everything"},
		{id: "F40", what: "Upgrade while ADDs run"},
	}},
}
