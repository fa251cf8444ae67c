// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
)

// TestFenceAndTheNextContainer: the hold was forced from a pod that goes on running. Its next container is attached, and neither is
// that one taken for the old one, nor is the old one's DEL for the new one's (M01).
func TestFenceAndTheNextContainer(t *testing.T) {
	f, n := newFixture(t), newNode(t)
	removed := record(n)
	n.start(t)
	n.awaitReady(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	lease := f.attach(t, n, "c1", pod)
	f.endHold(t, pod, v1alpha1.EndForced)
	removed.await(t, link(lease))
	awaitDeleted(t, n, "c1")
	f.attach(t, n, "c2", pod)
	del(t, n, "c1")
	f.must(t, judged(t, n))
	if err := isState(n, "c2", attached); err != nil {
		t.Error(err)
	}
	if holder := f.claimOf(t, pod).Status.Holder; holder == nil || holder.PodUID != pod.UID || holder.Generation != 2 {
		t.Errorf("the holder is %+v, want the pod with generation 2", holder)
	}
	removed.await(t, link(lease))
}

// TestFenceMeetsTheNextContainer: the next container's ADD is faster than the fence. The pod holds the claim again, and the old
// container's interface is its own affair, as without the force.
func TestFenceMeetsTheNextContainer(t *testing.T) {
	f, n := newFixture(t), startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.attach(t, n, "c1", pod)
	claim := f.claimOf(t, pod)
	unlock, err := n.agent.locks.Lock(t.Context(), agentapi.ClaimRef{Namespace: claim.Namespace, Name: claim.Name})
	f.must(t, err)
	f.endHold(t, pod, v1alpha1.EndForced)
	f.holdByPod(t, pod, n.name) // as the ADD that has the lock does
	unlock()
	f.must(t, judged(t, n))
	if err := isState(n, "c1", attached); err != nil {
		t.Error(err)
	}
}

func (f *fixture) holdByPod(t *testing.T, pod *corev1.Pod, nodeName string) {
	t.Helper()
	_, err := f.binder().SetHolder(t.Context(), f.claimOf(t, pod), v1alpha1.Holder{
		PodName: pod.Name, PodUID: pod.UID, NodeName: nodeName, Interface: "net1",
	})
	f.must(t, err)
}

// TestFenceMeetsDel: the DEL comes while the interface is being removed. It has something to clear, which the fence must not take from it.
func TestFenceMeetsDel(t *testing.T) {
	f, n := newFixture(t), newNode(t)
	removed := record(n)
	removed.before(func() { del(t, n, "c1") })
	n.start(t)
	n.awaitReady(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	lease := f.attach(t, n, "c1", pod)
	f.endHold(t, pod, v1alpha1.EndForced)
	removed.await(t, link(lease))
	awaitDeleted(t, n, "c1")
	if n := n.agent.fence.total.Load(); n != 0 {
		t.Errorf("%d interfaces were fenced, the DEL was first", n)
	}
}

// TestFenceOfAPathThatIsUsedAgain: a network namespace's path in /proc is that of another container by now, which has the very
// MAC by right; and a namespace that is gone has nothing to remove.
func TestFenceOfAPathThatIsUsedAgain(t *testing.T) {
	f, n := newFixture(t), startNode(t)
	old := f.newPod(t, "db-0", n.name, "db")
	f.attach(t, n, "c1", old)
	f.deletePod(t, old)
	unlock, err := n.agent.locks.Lock(t.Context(), agentapi.ClaimRef{Namespace: f.namespace, Name: f.claimOf(t, old).Name})
	f.must(t, err)
	f.endHold(t, old, v1alpha1.EndForced)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.holdByPod(t, pod, n.name)
	_, err = n.agent.journal.attach(attempt{ // as the ADD that has the lock does
		ContainerID: "c2", Interface: "net1", NetNS: aliveNetNS, Claim: agentapi.ClaimRef{Namespace: f.namespace, Name: f.claimOf(t, old).Name},
		Pod: podRef(pod), Generation: 2, Lease: &agentapi.Lease{Name: f.claimOf(t, pod).Status.LeaseName},
	})
	f.must(t, err)
	unlock()
	awaitDeleted(t, n, "c1")
	if err := isState(n, "c2", attached); err != nil {
		t.Error(err)
	}

	gone := f.newPod(t, "gone", n.name, "")
	f.add(t, n, "c3", gone) // its namespace is not there
	f.endHold(t, gone, v1alpha1.EndForced)
	awaitDeleted(t, n, "c3")
	if n := n.agent.fence.total.Load(); n != 0 {
		t.Errorf("%d interfaces were fenced", n)
	}
}

// TestFenceBeforeTheSameClaim: a pod of this node gets the address from another of this node whose hold was forced: the old
// interface goes before the new one is attached.
func TestFenceBeforeTheSameClaim(t *testing.T) {
	f, n := newFixture(t), newNode(t)
	removed := record(n)
	n.options.Times.Fence = time.Hour
	n.start(t)
	n.awaitReady(t)
	old := f.newPod(t, "db-0", n.name, "db")
	lease := f.attach(t, n, "c1", old)
	f.deletePod(t, old)
	pod := f.newPod(t, "db-0", n.name, "db")
	removed.before(func() {
		if err := isState(n, "c2", ""); err != nil {
			t.Error(err)
		}
	})
	f.endHold(t, old, v1alpha1.EndForced)
	f.add(t, n, "c2", pod)
	if got := removed.are(); !slices.Equal(got, []string{link(lease)}) {
		t.Errorf("removed were %q when the new one was attached", got)
	}
}
