// SPDX-License-Identifier: Apache-2.0

// Package controllers is the manager: it judges pools, makes claims for pods, binds them ahead of the pod, and gives back
// what has ended. Any number of replicas may run at once, with or without leader election: each write carries a
// resourceVersion or a UID, or creates under a name, so that of two hands one wins and the other finds its work done.
//
// # Who writes what
//
//	MacPoolReconciler   MacPool status, all of it derived; with it, what is wrong with the networks that name the pool, and
//	                    what the VLAN is asked
//	PodReconciler       MacClaim (create; delete of one whose pod asks for another address), its status.holder, status.alternate and
//	                    status.successor; the removal of our scheduling gate, and nothing else, of pods
//	MacClaimReconciler  MacClaim status: lease, holder, conditions; delete of one whose workload is gone;
//	                    MacLease: create, take (through binding.Binder)
//	HolderReconciler    MacClaim status: holder (clear), condition Suspect; the annotations of a forced release
//	LeaseReconciler     MacLease: releasedAt, reusableAt, nodeName, podName, the end of conflict, delete
//	MacNodeReconciler   MacNode: delete of one whose Node is gone
//	NodeLabelReconciler Node: the labels macpool.dev/<pool>
//	NADReconciler       events only, on the networks; a network has no status
//	IPAMClaimReconciler the status of others' IPAMClaims, if there are any
//
// What is left out here, because it is only done after the API server went back in time, is at Recovery. The agents of the nodes write
// too: claims and leases when the manager is away, status.holder, a lease's conflict, and their MacNode's status.
//
// # Who ends a hold
//
// The agent of the holder's node, when it has seen the interface go. HolderReconciler only where no agent can say so any more:
//
//	pod       node      what is done (judgeHold)
//	alive     any       nothing
//	finished  ready     nothing: the agent has the word
//	gone      ready     nothing: the agent has the word; Suspect=StillAttached after Patience (10 min)
//	unknown   ready     Suspect=PodUnknown after Doubt (1 min), and the pool asks the VLAN; ended as PodUnknown after Patience when two
//	                    other ready nodes have heard nothing, or when its node has more of these than it could attach
//	elsewhere ready     Suspect=PodElsewhere; ended as PodElsewhere at the second of two looks Grace (10 s) apart
//	over      silent    nothing: Suspect=NodeSilent
//	over      fenced    ended as OutOfService, at the second of two looks Grace (10 s) apart
//	over      deleted   Suspect=NodeDeleted, and the pool asks the VLAN; ended as NodeDeleted when two other ready nodes have heard
//	                    nothing in three rounds each, at the second look
//	any pod   any node  and the claim is annotated with force-release: ended as Forced
//
// An alternate, the second pod of a VM that migrates, is judged as a holder is (judgeAlternate), but for "deleted": the VLAN is not asked, since
// the holder answers. When a hold ends the other pod of the VM has the claim.
//
// A pod is the holder's by the UID that the runtime knows (binding.PodUID), a Node by its UID, if the holder has one; over is finished, gone or
// elsewhere: on another node than the holder says. Unknown is gone, and not seen before in this hold. Both may be lies (docs/design/0017).
// A fence is the taint out-of-service on a node that is not ready. All is read live, after the claim, and the claim is written as it was read: what
// was written to it since voids the evidence. Answers of the VLAN are to a question about this pod's hold, which is good for five
// minutes; one that was heard counts until the node that heard it says otherwise.
//
// An address that was released without a node's word (EndReason.Attested) cools ten times as long, and for ten minutes at least. Of
// releases and removals that rest on what a read did not find, at most max(10, 10 %) of a pool's leases go in a minute; if more are due, none
// goes (Brake, condition ReleasesPaused).
//
// # Repair
//
// LeaseReconciler takes each lease L with the claim C that its claimRef names by UID, and each claim that names L in its
// status.leaseName. An arrow says who names whom. Everything that releases is decided on live reads, the lease before the claim;
// in cases 2 and 3 at least OrphanAfter (60 s) after this process first saw it so.
//
//	 1  L -> C -> L        in order, also while C is under deletion by a finalizer of somebody else; nodeName follows the holder of C
//	 2  L -> C             and C names no lease: a bind was cut off; voided by a write to C, an orphan, released
//	 3  L -> C -> M        another lease was recorded in C, and stays; an orphan, released
//	 4  L                  and C is gone: released,
//	 4a                    at once, if the event of its deletion was seen and C had no holder then
//	 4b                    when no pod that C was named after is on a node, if no event was seen and L has no nodeName
//	 4c                    when none was on a node at two looks OrphanAfter apart, if C had a holder at its deletion, or no event was
//	                       seen and L has a nodeName: C was deleted by force, perhaps, and its pod may send frames (I2); and not
//	                       while that node is silent
//	 5       C -> (L)      deleted by hand: made again, if nobody has taken the name since
//	 6  L -> D, C -> L     two claims name L, or D is gone and C names it still: reported on C while something holds it, and nothing
//	                       is changed; else C is unbound, and bound anew
//	 7  L -> C -> L        with releasedAt, but C has not ended: edited by hand, or restored; taken back
//	 8  L released         it cools; reusable when this process has seen it cooling for the pool's cooldown, or the longer one
//	 9  L reusable         deleted when releasedAt is the pool's history ago
//	10  L in conflict      given to nobody and left alone, for the pool's conflictDetection.hold since this process has seen it marked so;
//	                       then the mark goes, and L is one of the cases above
//	11  M -> L             the lock M of a reservation's MAC names L, which has that MAC, for M's claim, and is not reusable: in order
//	12  M                  L is not so, for OrphanAfter, or at once if L is reusable: released, and deleted when L is not so after that
//	13       L             case 1, and L has a MAC that its pool does not make, and there is no M: made again
//
// In case 4 a claim that is made again under C's name takes L over as it is; that one is then case 1. An API server that knows no
// claims at all, because their CRD is gone, has not said that C is; nothing is released until it can be asked.
//
// Case 2 against a bind that is only slow: it would record L in C after L was released. The write to C that comes before
// the release takes away the resourceVersion that its record needs; it reads again, and finds L released. In cases 3 and 4 the record
// fails by itself: C has changed, or is gone.
package controllers
