// SPDX-License-Identifier: Apache-2.0

// Package agent is the node's half of macpool. It serves the CNI plugin over a UNIX socket, keeps a journal of what is
// attached on its node, and binds claims by itself when the manager is away (R-K2).
//
// Two records are kept apart, and each has one truth: the API says which pod on which node holds a claim, the journal says
// which containers of that pod are attached. What keeps them together, interleaving by interleaving:
//
//  1. ADD writes the journal after the holder and before the answer, so whatever was answered is in both.
//  2. DEL writes the journal alone, in one fsync: a tombstone and the wish to clear the holder. It never waits for the API or for
//     an ADD (R-C6). The clear worker carries the wish out later.
//  3. The clear worker and ADD hold the claim's lock. A clear is dropped when the journal has a newer attempt of the same pod;
//     an ADD that comes after a clear was tried does not trust the generation that may have been cleared, and if the API
//     still shows it writes the next one, so that a clear whose answer was lost can no longer arrive.
//  4. DEL of a container whose ADD is still running leaves a tombstone; the ADD meets it when it writes the journal, and undoes
//     itself (R-C9).
//  5. The caller of an ADD hangs up: the ADD undoes itself if it notices before the answer is sent. The claim's lock is kept
//     until the answer is sent, so nobody is answered from an entry that is about to be undone.
//  6. A holder of this node that has no attempt in the journal (its pod went before it was attached, or a DEL was lost) is
//     cleared by the reaper, on two live looks at the pod.
//  7. After a silence of the API longer than the fencing window the caches are compared with the API before they are believed
//     again: contact alone does not say that a watch has caught up. Nor are they believed while the API takes no report of this node,
//     by which others judge that it is silent.
//
// # Migration
//
// A VM that migrates has two pods with one address, the claim's holder and its alternate (docs/design/0013). All of the above is about a pod's
// hold, whichever of the two it is. The caches do not have claims whose alternate is here: they are read live.
//
// # Strangers
//
// Before a pod gets an address the VLAN is asked whether somebody else uses it, by the same question as before a takeover, and begun as
// soon as the pod holds the claim; afterwards the link is listened to. docs/design/0009 has the races, and why the pods of
// the cluster are no strangers.
//
// # Handover
//
// A pod that is to make way for a newer one loses its interface by a DEL that the agent makes itself (usher). And an ADD is answered when
// no old sandbox of this node has the MAC up (outlast.go). docs/design/0011 has the races.
//
// # Fencing
//
// While a node is silent another pod may have got the address of one of its pods (docs/design/0007). An interface whose address has
// moved on is removed: all that is attached is compared with the API before an ADD is served after a silence. lost.go says
// what is lost. What must never be hit is the interface of the pod that has the address by right:
//
//  8. Fence and ADD hold the claim's lock, and only an ADD of this node makes a pod the holder again that has lost the hold once. What
//     was read as lost is so until the lock is given back.
//  9. Generations of one claim only rise, so a holder above the entry's is a later one. One below, or of the same, is an API that is
//     older than the journal, and one of a claim with another UID says nothing: then the lease decides, and only if the API
//     shows that it has not gone back (fence.current).
//  10. A hold that this node's agent has ended by its own word is no loss: its clear may be the answer to the DEL of another container.
//  11. The pod was forced out, and its next container was attached before the fence came: the pod is the holder, and keeps what it has.
//  12. A claim that is missing, a lease that is missing or released, a read that fails: nothing is removed.
//  13. The link goes before the tombstone is written, so that a crash between them finds the entry attached, and looks again. A DEL
//     that comes between them has its own record, which the tombstone does not replace.
//  14. A network namespace's path may be another container's by now, in /proc. It is left alone if the journal has one there that came
//     later, and internal/links removes nothing with another MAC.
//  15. An ADD that was stopped for long between its decision and its answer finds that the API was silent, and undoes itself.
package agent
