// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/macpool/macpool/e2e/lab"
)

// TestOldSandbox is R-C15 and F34 with the kernel's word: macvlan cannot bring an interface up while another one of the node is up with its MAC
// (EADDRINUSE). A new sandbox of a pod comes up when the old one, which lives for 5 s more, has gone; if it does not go, the error says
// which one it is, with code 11.
func TestOldSandbox(t *testing.T) {
	namespace(t, "oldsandbox")
	createPool(t, newPool("oldsandbox", vlanOldSandbox, 10))
	createNetwork(t, "oldsandbox", "net", macvlanConfig("1.0.0", vlanOldSandbox, "oldsandbox"))
	node := cluster.Nodes[0]
	old, err := cluster.RunPodRetrying(t.Context(), createPod(t, "oldsandbox", "db-0", "net", node), node)
	if err != nil {
		t.Fatal(err)
	}
	before := linkOf(t, old)
	type result struct {
		s   *lab.Sandbox
		err error
	}
	done := make(chan result, 1)
	go func() {
		s, err := cluster.RunPod(t.Context(), old.Pod, node)
		done <- result{s, err}
	}()
	select {
	case r := <-done:
		t.Fatalf("it was answered while the old interface was up: %v", r.err)
	case <-time.After(5 * time.Second):
	}
	if err := old.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	if after := linkOf(t, r.s); after.MAC != before.MAC || !slices.Equal(after.IPs, before.IPs) || !after.Up {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
	assertTruthful(t, r.s)

	_, err = cluster.RunPod(t.Context(), r.s.Pod, node)
	assertProblem(t, err, "MP540")
	if got := lab.CNICode(err); got != 11 || err != nil && !strings.Contains(err.Error(), r.s.ID) {
		t.Errorf("CNI code %d, and the error is %v, want 11 and container %s", got, err, r.s.ID)
	}
	if after := linkOf(t, r.s); after.MAC != before.MAC || !after.Up {
		t.Errorf("the interface was touched:\n%s", after)
	}
	stopAtEnd(t, r.s)
}
