// SPDX-License-Identifier: Apache-2.0

// Package lab is a laboratory that starts the real parts of a cluster on one machine: etcd and kube-apiserver, macpool's
// manager and agents, and nodes that are network namespaces on a bridge that plays the switch. The demo and the e2e tests
// stand on it.
//
// Where real VLAN links matter, nodes are machines (AddMachine): namespaces where the kernel has 802.1Q, else User-mode Linux
// kernels, on the same switch.
//
// What it plays, because there is no kubelet: the scheduler, the container runtime, Multus and the StatefulSet controller.
// What is real: the API server, RBAC and admission policies, service account tokens, the CNI plugins and the frames.
//
// Everything happens in namespaces of the laboratory's own (Isolate), so that nothing survives it, however it ends.
package lab
