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
//     again: contact alone does not say that a watch has caught up.
package agent
