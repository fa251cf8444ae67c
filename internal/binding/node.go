// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// NodeState is what the API says of the node of a holder. Manager and agent end holds by it (R-G4, R-G5).
type NodeState int

const (
	// NodeReady : its kubelet reports. What its agent says counts, and nothing else.
	NodeReady NodeState = iota
	// NodeSilent : nobody knows what it does.
	NodeSilent
	// NodeFenced : it does not report, and somebody who knows that it is off has tainted it.
	NodeFenced
	// NodeDeleted : there is no Node of the name, or one that was made again, with another UID.
	NodeDeleted
)

// StateOfNode judges the Node that stands under the name of the holder's now, nil if none does. A holder that was set without
// the UID of its node has any of the name.
//
// The taint counts only while the node does not report, as the pod garbage collector takes it too: somebody forgot it on one that
// is back.
func StateOfNode(node *corev1.Node, holder *v1alpha1.Holder) NodeState {
	switch {
	case node == nil, holder.NodeUID != "" && holder.NodeUID != node.UID:
		return NodeDeleted
	case IsReadyNode(node):
		return NodeReady
	case slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService }):
		return NodeFenced
	default:
		return NodeSilent
	}
}

// IsReadyNode tells whether the node's kubelet reports, and is well.
func IsReadyNode(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
