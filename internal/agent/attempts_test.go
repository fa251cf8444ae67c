// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// TestRepeatedAdd proves R-C2: a hundred ADDs of one attempt at once, and one more after a restart of the agent, are
// answered byte for byte alike, and there is one lease.
func TestRepeatedAdd(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	req := f.addition("c1", f.newPod(t, "db-0", n.name, "db"))
	const callers = 100
	answers := make([][]byte, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			resp, raw, err := tryAsk(t.Context(), n.socket, req)
			if err != nil || resp.Error != nil {
				t.Errorf("ADD: %v %+v", err, resp.Error)
			}
			answers[i] = raw
		})
	}
	wg.Wait()
	n.stop()
	n.start(t)
	n.awaitReady(t)
	_, again := ask(t, n.socket, req)
	answers = slices.Concat(answers, [][]byte{again})
	for i, raw := range answers {
		if !bytes.Equal(raw, answers[0]) {
			t.Fatalf("answer %d is %s, the first was %s", i, raw, answers[0])
		}
	}
	if leases := f.leases(t); len(leases) != 1 {
		t.Errorf("there are %d leases", len(leases))
	}
}

// TestAttemptsInARow proves R-C3 and R-C5: each new container of a pod gets the same addresses and is its next attempt, late DELs of
// the containers before it change nothing, in whatever order, and the DEL of the last one clears the holder.
func TestAttemptsInARow(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	const attempts = 20
	first := f.add(t, n, "c1", pod)
	for i := 2; i <= attempts; i++ {
		container := fmt.Sprintf("c%d", i)
		if diff := cmp.Diff(first, f.add(t, n, container, pod), compareAddresses); diff != "" {
			t.Fatalf("attempt %d (-first +got):\n%s", i, diff)
		}
		if entry, _ := n.agent.journal.get(attemptKey{container, "net1"}); entry.Number != i {
			t.Errorf("%s is attempt %d", container, entry.Number)
		}
		if i%3 == 0 { // some DELs come at once, the others at the end
			del(t, n, fmt.Sprintf("c%d", i-1))
		}
	}
	before := f.claimOf(t, pod)
	for i := 1; i < attempts; i++ {
		del(t, n, fmt.Sprintf("c%d", i))
	}
	eventually(t, "the late DELs to be settled", func() error {
		if left := n.agent.journal.in(detached); len(left) > 0 {
			return fmt.Errorf("%d are pending", len(left))
		}
		return nil
	})
	if after := f.claimOf(t, pod); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("late DELs changed the claim from %+v to %+v", before.Status, after.Status)
	}
	del(t, n, fmt.Sprintf("c%d", attempts))
	f.awaitNoHolder(t, pod)
}

// TestReplacedOnTheSameNode proves F17 on one node: the ADD of a StatefulSet's next pod waits for the DEL of the pod before it, and
// gets its addresses; the DEL of the old container, repeated later, does nothing to the new holder (M01).
func TestReplacedOnTheSameNode(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	old := f.newPod(t, "db-0", n.name, "db")
	lease := f.add(t, n, "old", old)
	f.deletePod(t, old)
	pod := f.newPod(t, "db-0", n.name, "db")
	n.wire.requests()
	answered := start(t, n, f.addition("new", pod))
	eventually(t, "the ADD to find the claim held", func() error {
		if !slices.Contains(n.wire.requests(), "POST /apis/macpool.dev/v1alpha1/namespaces/"+f.namespace+"/macclaims") {
			return errNotReady
		}
		return nil
	})
	select {
	case resp := <-answered:
		t.Fatalf("the new pod's ADD did not wait: %+v", resp)
	default:
	}
	del(t, n, "old")
	resp := <-answered
	if resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	if diff := cmp.Diff(lease, *resp.Lease, compareAddresses); diff != "" {
		t.Errorf("the new pod's lease (-old +new):\n%s", diff)
	}
	for range 3 {
		del(t, n, "old")
	}
	if holder := f.claimOf(t, pod).Status.Holder; holder == nil || holder.PodUID != pod.UID || holder.Generation != 2 {
		t.Errorf("the holder is %+v, want the new pod with generation 2", holder)
	}
}

// TestOlderContainerAlive proves I2 where DELs are lost: the DEL of a pod's latest container does not clear the holder while
// an older one still has its netns.
func TestOlderContainerAlive(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	older := f.addition("older", pod)
	older.NetNS = aliveNetNS
	if resp := n.ask(t, older); resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	f.add(t, n, "latest", pod)
	del(t, n, "latest")
	eventually(t, "the worker to have looked", func() error {
		n.agent.clears.mu.Lock()
		defer n.agent.clears.mu.Unlock()
		if n.agent.clears.tries[attemptKey{"latest", "net1"}].backoff == 0 {
			return errNotReady
		}
		return nil
	})
	if f.claimOf(t, pod).Status.Holder == nil {
		t.Fatal("the holder was cleared under a container that is alive")
	}
	del(t, n, "older")
	f.awaitNoHolder(t, pod)
}

// TestDelChangesNothingElse proves R-C4: a DEL that is not the current attempt's, with all that it may lack, succeeds and
// changes no claim and no lease.
func TestDelChangesNothingElse(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.add(t, n, "old", pod)
	f.add(t, n, "current", pod)
	before := f.claimOf(t, pod)

	gone := newFixture(t)
	unused := gone.newPod(t, "gone", n.name, "")
	gone.deletePod(t, unused)
	gone.must(t, gone.Delete(t.Context(), gone.pool))

	for _, container := range []string{"old", "unknown"} {
		for _, netns := range []string{"", "/run/netns/gone"} {
			for _, network := range []string{"", "iot-vlan", "no-such-network"} {
				for _, pool := range []string{"", f.pool.Name, gone.pool.Name, "no-such-pool"} {
					for _, p := range []agentapi.Pod{{}, podRef(pod), podRef(unused), {Namespace: "no-such", Name: "pod"}} {
						for range 2 {
							resp := n.ask(t, agentapi.Request{
								Command: agentapi.Del, ContainerID: container, Interface: "net1",
								NetNS: netns, Network: network, Pool: pool, Pod: p,
							})
							if resp.Error != nil {
								t.Fatalf("DEL of %s: %+v", container, *resp.Error)
							}
						}
					}
				}
			}
		}
	}
	eventually(t, "the DELs to be settled", func() error {
		if left := n.agent.journal.in(detached); len(left) > 0 {
			return fmt.Errorf("%d are pending", len(left))
		}
		return nil
	})
	if after := f.claimOf(t, pod); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the claim was changed from %+v to %+v", before.Status, after.Status)
	}
	if leases := f.leases(t); len(leases) != 1 || leases[0].Spec.ReleasedAt != nil {
		t.Errorf("leases = %+v", leases)
	}
	// A DEL without a name for what it deletes is refused, in words that go-cni does not take for success (R-C7).
	resp := n.ask(t, agentapi.Request{Command: agentapi.Del})
	wantProblem(t, resp, problem.BadRequest)
}

// TestLateAdd proves R-C9: the ADD of a container that was deleted is refused, whether it was attached before or not, also
// after a restart, and sets no holder.
func TestLateAdd(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pods := map[string]*corev1.Pod{"attached": f.newPod(t, "one", n.name, ""), "never": f.newPod(t, "two", n.name, "")}
	f.add(t, n, "attached", pods["attached"])
	for container := range pods {
		del(t, n, container)
	}
	f.awaitNoHolder(t, pods["attached"])
	for range 2 {
		for container, pod := range pods {
			wantProblem(t, n.ask(t, f.addition(container, pod)), problem.ContainerDeleted)
			if claim := f.claimOf(t, pod); claim != nil && claim.Status.Holder != nil {
				t.Errorf("the late ADD of %s has set %+v", container, *claim.Status.Holder)
			}
		}
		n.stop()
		n.start(t)
		n.awaitReady(t)
	}
}
