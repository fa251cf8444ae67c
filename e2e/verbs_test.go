// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	cnitypes "github.com/containernetworking/cni/pkg/types"

	"github.com/macpool/macpool/e2e/lab"
)

// TestStatusAndGC : STATUS says 50 while the pool has no address left and nothing is wrong again once one is free, each time
// within 2 s (R-A6, R-C12). GC with an empty list releases nothing that is alive, nor does one with the right list (R-C13).
func TestStatusAndGC(t *testing.T) {
	namespace(t, "verbs")
	createPool(t, newPool("verbs", vlanVerbs, 2))
	config := macvlanConfig("1.1.0", vlanVerbs, "verbs")
	createNetwork(t, "verbs", "net", config)
	node := cluster.Nodes[0]
	net := lab.Network{Name: "verbs/net", Config: config, Interface: "net1"}

	awaitStatus(t, node, net, 0)
	one, two := runPod(t, "verbs", "one", "net", node), runPod(t, "verbs", "two", "net", node)
	awaitStatus(t, node, net, 50)

	if err := node.GC(t.Context(), net); err == nil {
		t.Error("GC with an empty list was taken seriously although two pods are alive")
	} else {
		assertProblem(t, err, "MP513")
	}
	valid := cnitypes.GCAttachment{ContainerID: one.ID, IfName: "net1"}
	if err := node.GC(t.Context(), net, valid); err != nil {
		t.Errorf("GC that names one of two: %v", err)
	}
	for _, s := range []*lab.Sandbox{one, two} {
		assertTruthful(t, s)
		if err := s.Attachments[0].Check(t.Context()); err != nil {
			t.Errorf("CHECK of %s after GC: %v", s.Pod.Name, err)
		}
	}

	if err := cluster.ForgetPod(t.Context(), two.Pod); err != nil {
		t.Fatal(err)
	}
	if err := two.Attachments[0].Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, node, net, 0)
	three := runPod(t, "verbs", "three", "net", node)
	assertTruthful(t, three)
}

// awaitStatus waits until STATUS has the code. The pool's status, on which it rests, is the manager's and follows.
func awaitStatus(t *testing.T, node *lab.Node, net lab.Network, code uint) {
	t.Helper()
	eventually(t, fmt.Sprintf("STATUS says %d", code), func(ctx context.Context) error {
		start := time.Now()
		err := node.Status(ctx, net)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("STATUS took %s", took)
		}
		if got := lab.CNICode(err); got != code || (err == nil) != (code == 0) {
			return fmt.Errorf("it says %d: %w", got, err)
		}
		return nil
	})
}
