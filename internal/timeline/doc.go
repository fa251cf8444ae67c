// SPDX-License-Identifier: Apache-2.0

// Package timeline tells whether the API server may be behind what the nodes know, as after a restore of etcd, and whether that is
// settled. docs/design/0008 has the reasons.
//
// A timeline is a number. It grows when an agent finds that the API has gone back: that it knows less than the agent has told
// it. Every MacNode and every pool carries the timeline that it is on. Addresses are given out while all are on the same one and
// no pool is paused.
//
// An agent knows by itself that the API has gone back, from what it has on its disk. A process without such a memory, and
// one whose own memory is a few seconds older than what the API has lost, must wait for the word of all agents: that is the
// Gate. When it must, the Link knows: the API cannot go back without its server going away, and a server that goes away ends
// the watches that it serves.
package timeline
