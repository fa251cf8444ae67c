// SPDX-License-Identifier: Apache-2.0

// Package allocator is the index of what is leased, and proposes what to lease next. The index proposes, the API server disposes: an
// address is leased by creating an object that is named after it, and of two creates one wins. So nothing here needs to be true, only
// likely, and the package needs no client, no clock and no context: events and own writes come in as values, candidates go out.
// A stale "free" costs one create that is refused, a stale "used" leaves an address idle until the next event. Neither leases an
// address twice.
//
// # Plans and slots
//
// A Plan is a pool's configuration, checked. It numbers the addresses of the pool's subnets: the n-th address of each is slot n, and a
// lease is one slot with its address in every family and the MAC that these decide. Without subnets the MACs themselves are numbered,
// all that begin with the prefix, and the lease is named after its MAC (docs/design/0014). The dynamic slots, which go to whoever comes, are
// numbered again, by rank, so that choosing among them needs no thought of gateways, holes and exclusions.
//
// # What it costs
//
// Time and memory are those of what is leased, never of what could be: a /8 or a /64 costs what a /24 with as many leases costs
// (T18). Plans are sets of spans, computed from the configuration. Leases are in maps. What is blocked is a bitset by rank in pages of
// 512, of which only those exist in which something is set; full pages are skipped 64 at a time.
//
// # Who may be late
//
// Three hands write, each with its own delay: events (Observe, Forget) arrive in the order of the API's writes but after them; the
// answer to an own write (Commit, Taken) may come before its event or long after; and other processes write all the time. Each of these
// interleavings is closed by one field, where it is told:
//
//	asked again between a write and its event        marks.inFlight
//	another's lease that no event has told of yet    marks.avoided
//	a late event undoes an own write                 Allocator.leases
//	a late answer revives what was deleted           graveyard
//
// # Order of choice
//
// The first candidate is a hash of the identity, the next ones are its successors. See firstChoice.
package allocator
