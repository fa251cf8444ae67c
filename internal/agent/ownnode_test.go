// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestHolderHasTheNodesUID proves that a holder names the Node by UID, in time also one that was made again (R-G10).
func TestHolderHasTheNodesUID(t *testing.T) {
	f := newFixture(t)
	n := newNode(t, func(o *Options) { o.Times.Node = 20 * time.Millisecond })
	node := f.makeNode(t, n.name)
	n.start(t)
	n.awaitReady(t)
	first := f.newPod(t, "first", n.name, "")
	f.add(t, n, "c1", first)
	if holder := f.claimOf(t, first).Status.Holder; holder.NodeUID != node.UID {
		t.Errorf("the holder's node is %q, want %q", holder.NodeUID, node.UID)
	}
	f.must(t, f.Delete(t.Context(), node))
	again := f.makeNode(t, n.name)
	eventually(t, "the UID of the Node that was made again", func() error {
		if got := n.agent.ownUID(); got != again.UID {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
	second := f.newPod(t, "second", n.name, "")
	f.add(t, n, "c2", second)
	if holder := f.claimOf(t, second).Status.Holder; holder.NodeUID != again.UID {
		t.Errorf("the holder's node is %q, want %q", holder.NodeUID, again.UID)
	}
}

// TestReaperKnowsItsOwnNode proves R-G10: what a machine held that had this node's name before is not this agent's to end. It may be cut off
// from the API, and still run the pod.
func TestReaperKnowsItsOwnNode(t *testing.T) {
	f := newFixture(t)
	n := newNode(t)
	node := f.makeNode(t, n.name)
	holders := map[string]*v1alpha1.Holder{
		"other":   {NodeUID: "before"},
		"same":    {NodeUID: node.UID},
		"unknown": {},
	}
	pods := map[string]*corev1.Pod{}
	for name, holder := range holders {
		pod := f.newPod(t, name, n.name, "")
		pods[name] = pod
		claim := f.prebind(t, nil, pod)
		claim.Status.Holder.NodeUID = holder.NodeUID
		f.must(t, f.Status().Update(t.Context(), claim))
		f.deletePod(t, pod)
	}
	n.start(t)
	n.awaitReady(t)
	f.awaitNoHolder(t, pods["same"])
	f.awaitNoHolder(t, pods["unknown"])
	if holder := f.claimOf(t, pods["other"]).Status.Holder; holder == nil {
		t.Error("the holder on the other machine was cleared")
	}
}

// TestIsHere: what is not known for certain counts as here.
func TestIsHere(t *testing.T) {
	tests := []struct {
		name   string
		own    string
		holder v1alpha1.Holder
		want   bool
	}{
		{"both known", "1", v1alpha1.Holder{NodeName: "node", NodeUID: "1"}, true},
		{"made again", "2", v1alpha1.Holder{NodeName: "node", NodeUID: "1"}, false},
		{"the holder's is not known", "2", v1alpha1.Holder{NodeName: "node"}, true},
		{"the own is not known", "", v1alpha1.Holder{NodeName: "node", NodeUID: "1"}, true},
		{"another node", "1", v1alpha1.Holder{NodeName: "other", NodeUID: "1"}, false},
		{"another node, nothing known", "", v1alpha1.Holder{NodeName: "other"}, false},
	}
	for _, tt := range tests {
		a := &Agent{nodeName: "node"}
		if tt.own != "" {
			a.nodeUID.Store(new(types.UID(tt.own)))
		}
		if got := a.isHere(&tt.holder); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}
