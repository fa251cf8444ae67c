// SPDX-License-Identifier: Apache-2.0

//go:build race

package plugin

// addBudget is how often an ADD may allocate. The race detector allocates itself, and what it does not let be shared is made anew: 267 times.
const addBudget = 290
