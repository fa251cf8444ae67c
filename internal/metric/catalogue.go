// SPDX-License-Identifier: Apache-2.0

package metric

import "github.com/macpool/macpool/api/v1alpha1"

var (
	pool  = Label{Name: "pool", Of: "the MacPools"}
	phase = Label{Name: "phase", Values: []string{PhaseReady, PhaseLookup, PhaseQueue, PhaseBind, PhaseProbe, PhaseWait, PhaseJournal}}
)

// The phases of an ADD.
const (
	// PhaseReady : until the agent has read the cluster, and has compared what is attached with it.
	PhaseReady = "ready"
	// PhaseLookup : pool, pod and the name of the claim.
	PhaseLookup = "lookup"
	// PhaseQueue : until whatever else is done for the claim is over.
	PhaseQueue = "queue"
	// PhaseBind : until the claim is bound and held, by the manager or here.
	PhaseBind = "bind"
	// PhaseProbe : what is asked on the VLAN.
	PhaseProbe = "probe"
	// PhaseWait : until another pod of the node has made way, or an old interface has gone.
	PhaseWait = "wait"
	// PhaseJournal : until the journal is on the disk.
	PhaseJournal = "journal"
)

// What the manager counts when it is asked. Every replica serves it from its own caches, so that max by (pool) is the number.
var (
	PoolAddresses = add(Manager, Gauge, "macpool_pool_addresses",
		"Addresses of a pool by state: leased, cooling, conflicted, kept for claims that ask for them, or available to any. "+
			"Those are its capacity. Leases that an edit of the pool left outside are out_of_range.",
		pool, Label{Name: "state", Values: []string{"leased", "cooling", "conflicted", "kept", "available", "out_of_range"}})
	PoolCondition = add(Manager, Gauge, "macpool_pool_condition", "1 while the condition of the pool is true, 0 otherwise.",
		pool, Label{Name: "type", Values: PoolConditions})
	PoolTimeline = add(Manager, Gauge, "macpool_pool_timeline",
		"How often the API server was found to have gone back in time, as the pool knows. Addresses are given out on the latest timeline only.", pool)
	SuspectHolders = add(Manager, Gauge, "macpool_suspect_holders",
		"Claims of a pool whose pod is gone from the API while its node does not say that its interface is: their addresses are kept.", pool)
	UntrueHolds = add(Manager, Gauge, "macpool_untrue_holds",
		"Claims of a pool of which a node says that a pod holds them there, whereas the API does not know that pod, or has it on another node.", pool)
	ReleasesHeld = add(Manager, Gauge, "macpool_releases_held",
		"Releases of a pool that are held back because too many are due at once without a node's word (condition ReleasesPaused).", pool)
	ReleaseCandidates = add(Manager, Gauge, "macpool_release_candidates",
		"Leases of a pool that are about to be released because of what is missing: their claim is gone (claimless) or has another lease (orphaned), "+
			"or, of the lock of a reserved MAC, its lease (unpaired). Only the replica that works knows of any.",
		pool, Label{Name: "reason", Values: []string{"claimless", "orphaned", "unpaired"}})
	CoolingOverdue = add(Manager, Gauge, "macpool_cooling_overdue_seconds",
		"For how long the cooldown of the address of a pool that is the latest has been over without its end being written; 0 if there is none. "+
			"Only the replica that works knows of any.", pool)
	PolicyInForce = add(Manager, Gauge, "macpool_policy_in_force",
		"1 while an admission policy that guards something is as it was installed, and refuses what it must, as far as this replica has found; 0 otherwise.",
		Label{Name: "policy", Of: "the admission policies that fail closed"})
)

// PoolConditions are the conditions that a pool can have.
var PoolConditions = []string{
	v1alpha1.PoolReady, v1alpha1.PoolExhausted, v1alpha1.PoolNetworksMisconfigured, v1alpha1.PoolAllocationPaused,
	v1alpha1.PoolReleasesPaused, v1alpha1.PoolAddressesInConflict, v1alpha1.PoolNodesNotReady,
}

// What both processes do, counted by who did it: the sum over all is the number.
var (
	LeaseEvents = add(Both, Counter, "macpool_lease_events_total",
		"What happened to addresses, as in the audit lines: a claim got one (leased), a pod became its holder (held) and ceased to be (unheld), "+
			"the API contradicts that it is (doubted), it was given back (released), its cooldown ended (reusable), its record was deleted (forgotten). The reason is the kind of evidence on which something ended.",
		pool, Label{Name: "event", Values: []string{"leased", "held", "unheld", "doubted", "released", "reusable", "forgotten"}},
		Label{Name: "reason", Of: "the reasons of a claim's previous holders; empty where nothing ended"})
	BindDuration = add(Both, Histogram, "macpool_bind_duration_seconds",
		"Time that it took to choose an address for a claim, and to write it to the lease and the claim.", pool).
		within(.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)
	BindRetries = add(Both, Counter, "macpool_bind_retries_total",
		"Writes of binds that did not succeed at once: the address had a record already (exists), the object was written by somebody else since it was read (overtaken), "+
			"or the answer was lost (unknown).",
		pool, Label{Name: "cause", Values: []string{"exists", "overtaken", "unknown"}})
)

// What the agent of a node counts.
var (
	Requests = add(Agent, Counter, "macpool_cni_requests_total",
		"Requests of the CNI plugin, by command, code of the error catalogue, and pool if there is one of that name.",
		Label{Name: "command", Values: Commands}, Label{Name: "code", Of: "ok, and the codes of errors.md"}, pool)
	RequestDuration = add(Agent, Histogram, "macpool_cni_duration_seconds", "Time that requests of the CNI plugin took.",
		Label{Name: "command", Values: Commands}).
		within(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30)
	PhaseDuration = add(Agent, Histogram, "macpool_add_phase_duration_seconds",
		"Time that an ADD spent in a phase: until the agent was ready, in the lookup of pool and pod, in the queue for the claim, until the claim was bound, "+
			"with what the probe asked on the VLAN, in the wait for another pod or an old interface to make way, and until the journal was on the disk. "+
			"What the plugin does with the answer is not in it.", phase).
		within(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30)
	AddsUndone = add(Agent, Counter, "macpool_agent_adds_undone_total",
		"ADDs that were undone after something had been done for them: the caller was gone (hung_up), a DEL had overtaken it (deleted), "+
			"there was no time left (late), or the journal could not be written (journal).",
		Label{Name: "cause", Values: []string{"hung_up", "deleted", "late", "journal"}})
	APIRetries = add(Agent, Counter, "macpool_agent_api_retries_total",
		"Calls to the API that were made again: the object was written by somebody else meanwhile (conflict), the API server was busy (busy) or failed (failed), "+
			"did not know the agent (unauthorized), gave no answer (unreachable), or is doubted because it was away (doubted).",
		Label{Name: "cause", Values: []string{"conflict", "busy", "failed", "unauthorized", "unreachable", "doubted"}})
	JournalRecords = add(Agent, Counter, "macpool_agent_journal_records_total",
		"Records of attachments that were written to the journal. An ADD writes one; a DEL writes one, and another when the holder was cleared.")
	JournalSyncs = add(Agent, Counter, "macpool_agent_journal_syncs_total",
		"How often the agent waited for the disk (fsync) on behalf of the journal. Records that come together share one.")
	Attachments   = add(Agent, Gauge, "macpool_agent_attachments", "Containers that are attached on this node.")
	PendingClears = add(Agent, Gauge, "macpool_agent_pending_clears", "Holders that are to be cleared when the API answers.")
	ClearAge      = add(Agent, Gauge, "macpool_agent_pending_clear_age_seconds", "For how long the oldest of them has been waiting; 0 if there is none.")
	Spooled       = add(Agent, Gauge, "macpool_agent_spooled_requests", "DELs in the spool that are not in the journal yet.")
	SpoolAge      = add(Agent, Gauge, "macpool_agent_spool_age_seconds", "For how long the oldest of them has been there; 0 if there is none.")
	Astray        = add(Agent, Gauge, "macpool_agent_astray_attachments", "Attached containers that were not their claim's holder when the agent started.")
	Fenced        = add(Agent, Counter, "macpool_agent_fenced_total", "Interfaces that were removed because their address has moved on.")
	Lingering     = add(Agent, Gauge, "macpool_agent_lingering",
		"Interfaces that are still attached although their pod has been gone from the API for ten minutes.")
	Probes = add(Agent, Counter, "macpool_agent_address_probes_total",
		"Addresses that the VLAN was asked for before a pod got them: nobody answered (silent), somebody did (answered), or it could not be asked (unasked).",
		Label{Name: "result", Values: []string{"silent", "answered", "unasked"}})
	Strangers = add(Agent, Gauge, "macpool_agent_strangers",
		"Addresses attached on this node that somebody else on the VLAN was heard to use within the last ten minutes.")
	StrangersHeard = add(Agent, Counter, "macpool_agent_strangers_total",
		"How often somebody else on the VLAN was heard to use an address attached on this node, once a minute each.")
	Announced = add(Agent, Counter, "macpool_agent_announcements_total",
		"Announcements of addresses (gratuitous ARP, unsolicited neighbour advertisements) that were sent.")
	Parent = add(Agent, Gauge, "macpool_agent_parent",
		"1 for the state of the link by which this node's pods reach the VLAN of a pool.",
		pool, Label{Name: "link", Of: "the links of the node that pools or their networks name"}, Label{Name: "state", Values: []string{
			string(v1alpha1.ParentMissing), string(v1alpha1.ParentDown), string(v1alpha1.ParentSilent), string(v1alpha1.ParentReady),
		}})
	Contact  = add(Agent, Gauge, "macpool_agent_api_contact", "1 while the API has answered within the fencing window, 0 otherwise.")
	Epoch    = add(Agent, Gauge, "macpool_agent_epoch", "The number of the last report of this node that the API has taken. It only grows.")
	Timeline = add(Agent, Gauge, "macpool_agent_timeline", "The timeline of that report: how often the API server was found to have gone back in time.")
	WentBack = add(Agent, Counter, "macpool_agent_api_went_back_total", "How often this agent has found that the API server had gone back in time.")
)

// Commands are what the plugin asks, and who checks a node; anything else is other.
var Commands = []string{"ADD", "LOOKUP", "DEL", "CHECK", "STATUS", "GC", "ATTACHMENTS", "other"}
