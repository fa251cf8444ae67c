// SPDX-License-Identifier: Apache-2.0

// Package memapi is an API server in memory, for harnesses that run a whole cluster in one process, millions of steps of it. It decides
// as the real one does where a protocol rests on it: a create of a name that is there fails, an update of an old version
// fails, a precondition that does not hold fails, status and spec are written apart, a write of what is there already is no new
// version. TestSameAsTheRealServer runs one table of operations against both. A fake that is weaker than what it stands for
// hides bugs (M27).
//
// What it has beyond a real server is control. A Client's calls pass through a Transport, which may delay them, keep them from
// being sent, or lose their answers. A Cache lags as it is told to, kind by kind. A Server can be put back to any earlier state.
//
// What it has not: schemas and CEL, defaulting beyond what its kinds say, owner references and garbage collection, field managers,
// apply, strategic merge and JSON patches, watches other than those of a Cache.
package memapi
