// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// A Node is the holder's by its UID (R-G10). The taint of a node that reports was forgotten there.
func TestStateOfNode(t *testing.T) {
	node := func(uid string, ready corev1.ConditionStatus, taints ...string) *corev1.Node {
		n := &corev1.Node{}
		n.UID = "1"
		if uid != "" {
			n.UID = "2"
		}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeDiskPressure, Status: corev1.ConditionTrue}, {Type: corev1.NodeReady, Status: ready}}
		for _, key := range taints {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key})
		}
		return n
	}
	const fence, other = corev1.TaintNodeOutOfService, corev1.TaintNodeUnreachable
	got, want := map[string]binding.NodeState{}, map[string]binding.NodeState{}
	for name, tc := range map[string]struct {
		node *corev1.Node
		any  bool // the holder does not name the UID of its node
		want binding.NodeState
	}{
		"none":                {node: nil, want: binding.NodeDeleted},
		"none, any":           {node: nil, any: true, want: binding.NodeDeleted},
		"ready":               {node: node("", corev1.ConditionTrue), want: binding.NodeReady},
		"not ready":           {node: node("", corev1.ConditionFalse), want: binding.NodeSilent},
		"unknown":             {node: node("", corev1.ConditionUnknown, other), want: binding.NodeSilent},
		"no condition":        {node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{UID: "1"}}, want: binding.NodeSilent},
		"fenced":              {node: node("", corev1.ConditionUnknown, other, fence), want: binding.NodeFenced},
		"ready, fenced":       {node: node("", corev1.ConditionTrue, fence), want: binding.NodeReady},
		"made again":          {node: node("2", corev1.ConditionTrue), want: binding.NodeDeleted},
		"made again, fenced":  {node: node("2", corev1.ConditionUnknown, fence), want: binding.NodeDeleted},
		"made again, unnamed": {node: node("2", corev1.ConditionTrue), any: true, want: binding.NodeReady},
	} {
		holder := &v1alpha1.Holder{NodeUID: "1"}
		if tc.any {
			holder.NodeUID = ""
		}
		got[name], want[name] = binding.StateOfNode(tc.node, holder), tc.want
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
