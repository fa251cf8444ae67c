// SPDX-License-Identifier: Apache-2.0

// Package drill takes a real etcd and kube-apiserver back in time under managers and agents that go on running, and looks whether an
// address comes to be used twice, or a running pod loses its own (R-B1). It has tests only.
package drill
