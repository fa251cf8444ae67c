// SPDX-License-Identifier: Apache-2.0

// Package model is the protocol as a machine of small states, and a checker that visits all of them (H0 of the requirements).
//
// The world is two nodes, three pods of which two are of one identity, two addresses, the API's objects, the journals of the nodes, what
// is up in which netns, and what is on its way. A step is something that one process does at once, or something that happens to it. Every
// step names the function of the code that it stands for, and a test sees that the function is there.
//
// # What may happen
//
// Pods, runtimes, agents and managers do what they do in any order. On top of that a scope allows for a number of faults anywhere: a
// crash, a power cut, a partition, an answer or a DEL that is lost, a write that arrives late. That a process stops in the middle of something,
// while everybody else goes on, counts as one of them; so does a cache that is behind. Scope has the bounds. Within them all is visited, which
// the random walks of the other harnesses cannot say; beyond them nothing is said, and there the others look.
//
// What a manager has read, and acts upon later, is part of a state only if the world has changed meanwhile so that it could not be read
// now, and only if the write that it leads to can still succeed. Everything else comes to the same as not having read it yet.
//
// # What must hold
//
//	I1  no two interfaces that are up and can hear each other have one address
//	I2  an interface that is up is backed: its claim names the address and its pod as the holder, and the lease is the claim's
//	I3  the newest sandbox of a pod, answered and not stopped, passes CHECK
//	I4  its address is the one that its claim names
//	I5  from every state, what mends alone leads to one in which nothing is left over: no luck, no new pod, no fault is needed
//	I6  no address is leased to another identity before the interface that had it is gone
//
// An interface whose node was cut off when its identity went on elsewhere is excused from I1 and I2 until its agent has had the API
// for a few seconds (R-G7).
//
// # What is assumed
//
// Time is left out: what takes a minute may happen at once. Where the protocol needs that something is faster than something else, that is an
// assumption (Assumptions), and the checker shows what happens without it. What is not in the model: more than one interface of
// a pod, migration, the Node that is deleted, quotas, and what the allocator proposes beyond "the first that is free".
package model
