// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/macpool/macpool/e2e/lab"
)

// TestHeldClaim : a StatefulSet's pod is made again while its predecessor still has the interface. The new one has to wait
// and is told for whom (no takeover without evidence, R-G1); it gets the very same addresses when the other is gone (I4).
func TestHeldClaim(t *testing.T) {
	namespace(t, "held")
	createPool(t, newPool("held", vlanEnd+2, 10))
	createNetwork(t, "held", "net", macvlanConfig("1.0.0", vlanBadInput, "held"))
	old := runPod(t, "held", "db-0", "net", cluster.Nodes[0])
	before := linkOf(t, old)
	// As kubectl delete --force does: the API forgets the pod, its node does not.
	if err := cluster.ForgetPod(t.Context(), old.Pod); err != nil {
		t.Fatal(err)
	}
	again := createPod(t, "held", "db-0", "net", cluster.Nodes[1])
	_, err := cluster.RunPod(t.Context(), again, cluster.Nodes[1])
	assertProblem(t, err, "MP210")
	if got := lab.CNICode(err); got != 11 {
		t.Errorf("CNI code %d, want 11", got)
	}
	// Nor can a person give its address away by deleting the claim (R-P4).
	out, err := cluster.API.Kubectl(t.Context(), "delete", "macclaims", "--all", "--namespace", "held", "--wait=false")
	if want := "in use by pod db-0 on node " + cluster.Nodes[0].Name; err == nil || !strings.Contains(out, want) {
		t.Errorf("deleting the claim was answered with %q, %v, want %q", out, err, want)
	}
	if got := linkOf(t, old); got.MAC != before.MAC || !got.Up {
		t.Errorf("the old pod's interface was touched:\n%s", got)
	}
	if err := old.Attachments[0].Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := cluster.RunPodRetrying(t.Context(), again, cluster.Nodes[1])
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s)
	if after := linkOf(t, s); after.MAC != before.MAC || !slices.Equal(after.IPs, before.IPs) {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
	assertTruthful(t, s)
}
