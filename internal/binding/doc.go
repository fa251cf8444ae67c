// SPDX-License-Identifier: Apache-2.0

// Package binding turns a claim into a lease. Manager and agent run the same code, at the same time if need be: the
// manager binds ahead of the pod, the agent when the manager is away (R-K2). What keeps two of them apart is the API server alone:
//
//   - a lease is created under the name of its address, and one create wins;
//   - a released lease is taken by an update on its resourceVersion;
//   - a claim gets its lease by an update on its resourceVersion while it names none.
//
// The Index proposes addresses and may be wrong in either direction: a stale "free" costs one create that is refused, a stale
// "used" leaves an address unused until the next event. Neither leases an address twice.
package binding
