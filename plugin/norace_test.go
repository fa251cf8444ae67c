// SPDX-License-Identifier: Apache-2.0

//go:build !race

package plugin

// addBudget is how often an ADD may allocate. It did 236 times when this was written.
const addBudget = 245
