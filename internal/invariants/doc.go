// SPDX-License-Identifier: Apache-2.0

// Package invariants compares what the API server has, what the agents of the nodes have attached and what the VLAN was heard to say, and tells
// which of the invariants I1 to I8 that violates. Values in, values out, but for Read.
//
// Nothing stands still while it is read, and macpool mends by itself what a crash or a hand leaves behind. So a violation says for how long
// it must have been seen, unchanged, to be one (Settle): longer than a write that is under way, or the repair, takes. Who reads again keeps
// what Same finds in both readings.
//
//	I1 Unique       two leases, claims, attached interfaces or strangers with one MAC or address of a segment
//	I2 No false     what is attached has no lease, or a released one, or another's; its pod is not the holder; a held claim whose lease
//	   release      is not its own; generations that did not rise
//	I3 Truthful     the interface has another MAC or address than was answered; one interface that holds two claims; a holder on another
//	                node than its pod; a report that counts otherwise than the journal
//	I4 Stable       what is attached is not what the claim has now; a claim says other addresses than its lease has
//	I5 Released     a lease without its claim, a holder whose pod is over and that its node does not have, a cooldown that does not end
//	I6 Quarantine   an address that was given to another identity sooner than its cooldown, by the times in its history
//	I7 Contained    a MAC or an address that the pool does not make, or did not lease when it was leased
//	I8 Isolated     a namespace that the pool did not allow, or that has more than maxPerNamespace
//
// Of I6, I7 and I8 the present says only something if the pool is as it was then: where it was edited since, that is a Remark and no
// violation. I2 and I6 of the past that no object remembers, and I4 of what was deleted, no reading can show.
package invariants
