// SPDX-License-Identifier: Apache-2.0

// Package network is what macpool reads of networks, and of the annotations that select them, and what is wrong with either:
// the manager tells it to their authors, kubectl macpool doctor to whoever asks.
package network
