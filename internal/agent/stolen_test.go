// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/accesstest"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// TestT13StolenHold is T13: the token of another node's agent takes a claim over, in the form that the policy allows, from a pod that is alive.
// The pod keeps its interface, as long as it lives, and is told who has its claim.
func TestT13StolenHold(t *testing.T) {
	for name, reason := range map[string]v1alpha1.EndReason{
		"as from a silent node": v1alpha1.EndTakenOver, "as from a node that is off": v1alpha1.EndOutOfService,
	} {
		t.Run(name, func(t *testing.T) {
			f, n := newFixture(t), newNode(t)
			gone := record(n)
			n.start(t)
			n.awaitReady(t)
			pod := f.newPod(t, "db-0", n.name, "db")
			lease := f.attach(t, n, "c-1", pod)
			thief := &binding.Binder{Client: newClientOf(t, accesstest.AsAgent(apiConfig(t), "thief")), Index: binding.NewIndex(), Clock: n.clock}
			_, err := thief.TakeOver(t.Context(), f.claimOf(t, pod), v1alpha1.Holder{
				PodName: "invented", PodUID: "invented", NodeName: "thief", Interface: "net1",
			}, binding.End{Reason: reason, Evidence: "made up"})
			f.must(t, err)
			f.awaitEvent(t, pod, problem.HoldStolen)
			if removed := gone.are(); len(removed) > 0 {
				t.Errorf("%q were removed: one node's token cuts off the pods of another", removed)
			}
			f.deletePod(t, pod)
			gone.await(t, link(lease))
		})
	}
}
