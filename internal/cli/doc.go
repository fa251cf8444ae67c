// SPDX-License-Identifier: Apache-2.0

// Package cli is what the commands of kubectl-macpool have in common: kubectl's connection flags, the clients that they lead to, the
// forms of output, colours. A command is a package beneath this one, and package root puts them together.
package cli
