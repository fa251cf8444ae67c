// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestFenceByLease: the claim is gone, and its address is leased to another claim.
func TestFenceByLease(t *testing.T) {
	f, n := newFixture(t), newNode(t)
	removed := record(n)
	n.start(t)
	n.awaitReady(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	lease := f.attach(t, n, "c1", pod)
	f.must(t, f.Delete(t.Context(), f.claimOf(t, pod)))
	f.must(t, judged(t, n))
	others := f.leases(t)[0]
	others.Spec.ClaimRef = v1alpha1.ClaimRef{Namespace: f.namespace, Name: "web", UID: "of-web"}
	f.must(t, f.Update(t.Context(), &others))
	n.agent.fence.touched(lease.Claim)
	removed.await(t, link(lease))
	awaitDeleted(t, n, "c1")
}

// TestFenceOfWhatWasReleased: the claim is gone and the lease was released, or even its record is gone. The address is anybody's
// when it has cooled, so the interface goes before that (I2).
func TestFenceOfWhatWasReleased(t *testing.T) {
	for name, after := range map[string]func(*fixture){
		"it cools": func(*fixture) {},
		"its record is gone, too, and its pod": func(f *fixture) {
			f.must(t, f.Delete(t.Context(), &f.leases(t)[0]))
			f.must(t, f.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(f.namespace), client.GracePeriodSeconds(0)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, n := newFixture(t), newNode(t)
			removed := record(n)
			n.start(t)
			n.awaitReady(t)
			pod := f.newPod(t, "db-0", n.name, "db")
			lease := f.attach(t, n, "c1", pod)
			claim := f.claimOf(t, pod)
			f.must(t, f.Delete(t.Context(), claim))
			f.must(t, f.binder().Release(t.Context(), claim.Status.LeaseName, claim.UID, v1alpha1.LeaseHistory{Reason: v1alpha1.EndPodsGone}))
			after(f)
			n.agent.fence.touched(lease.Claim)
			removed.await(t, link(lease))
			awaitDeleted(t, n, "c1")
		})
	}
}

// TestFenceOfWhatWasForgotten: claim and lease are gone, as while their definitions are being deleted, and the pod is there (F27). It
// keeps its interface, and the node says that the API knows less than it did.
func TestFenceOfWhatWasForgotten(t *testing.T) {
	f, n := newFixture(t), newNode(t)
	n.start(t)
	n.awaitReady(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.attach(t, n, "c1", pod)
	f.must(t, f.Delete(t.Context(), f.claimOf(t, pod)))
	f.must(t, f.Delete(t.Context(), &f.leases(t)[0]))
	f.must(t, judged(t, n))
	eventually(t, "the node to raise the timeline", func() error {
		if went := n.agent.recovery.total.Load(); went == 0 {
			return errors.New("it was not found that the API has forgotten something")
		}
		return nil
	})
	if err := isState(n, "c1", attached); err != nil {
		t.Error(err) // and n.removing has failed the test if the interface was removed
	}
}

// TestFenceBySuccessor: the claim was deleted by force and made again, and the successor is held by another pod.
func TestFenceBySuccessor(t *testing.T) {
	f, n := newFixture(t), newNode(t)
	removed := record(n)
	n.start(t)
	n.awaitReady(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	lease := f.attach(t, n, "c1", pod)
	f.makeAgain(t, n, pod)
	f.must(t, judged(t, n))
	f.endHold(t, pod, v1alpha1.EndAgentReport)
	f.holdBy(t, pod, "q")
	f.must(t, judged(t, n)) // or within keptRest: nothing tells this node of it
	removed.await(t, link(lease))
	awaitDeleted(t, n, "c1")
}
