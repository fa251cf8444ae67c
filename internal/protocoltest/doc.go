// SPDX-License-Identifier: Apache-2.0

// Package protocoltest tests the whole protocol by properties: the manager's controllers, the agents and the binder, all of them the real
// ones, in one process, on a server in memory (memapi), in steps that are drawn at random. Each run is in a bubble of
// testing/synctest, so that hours of cooldowns and silences pass in milliseconds and the same draws lead to the same run.
//
// What is real: reconcilers with their watches, queues and retries, the agents from the connection to the journal's file, all
// decisions about addresses. What is simulated: the API server, the network to it, kubelets, container runtimes, plugins and the VLAN.
//
// The oracle is not the system's bookkeeping. It is the truth of the nodes: which interface of which sandbox carries which address, changed
// by nothing but an ADD that was answered, the end of a sandbox, a link that was removed, and power.
//
//	go test -tags property ./internal/protocoltest                       4,000 steps
//	MACPOOL_PROPERTY_STEPS=1000000 go test -tags property -timeout 0 ./internal/protocoltest  more of them
//
// It has a build tag because it takes a minute. A failure is shrunk, and says how to run it again. The same seed leads to the same run: one
// goroutine runs at a time, the garbage collector only while all wait, messages are delivered in an order of their own, and what
// the Go runtime decides by chance follows from the seed (package dice). What is left to chance is when the operating system
// interrupts a goroutine, which a machine does that has other work to do, and the order of maps with more than eight entries from one
// process to the next.
package protocoltest
