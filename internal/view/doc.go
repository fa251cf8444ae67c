// SPDX-License-Identifier: Apache-2.0

// Package view is what the manager sees of the cluster: how much of each object its cache keeps, and the binding.Index that
// is fed from it.
package view
