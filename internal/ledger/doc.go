// SPDX-License-Identifier: Apache-2.0

// Package ledger answers who has an address, who had it, and what is left of a pool, from the objects in the cluster alone: values in, values
// out. All that it says of the past is derived anew from what leases and claims keep of it, which is bounded: a lease remembers its last
// claims, a claim its last pods, and a pool for how long. Where the record does not reach, it says so, and not that nobody had the address.
package ledger
