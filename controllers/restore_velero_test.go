// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"testing"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// asRestored is an object as Velero makes it again: another UID, labels of its own, and no status.
func asRestored[T client.Object](object T) T {
	object.SetUID("")
	object.SetResourceVersion("")
	object.SetCreationTimestamp(metav1.Time{})
	object.SetManagedFields(nil)
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels["velero.io/restore-name"] = "night"
	object.SetLabels(labels)
	return object
}

// TestRestoreFromVelero proves R-B2 and F29: all is deleted and made again with new UIDs, no status and owner references to what is
// no more. Each identity has the address that it had, whether its claim comes back, or only its pod; what has nothing but a lease keeps it for
// the grace.
func TestRestoreFromVelero(t *testing.T) {
	w := newWorld(t)
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	set := w.statefulSet(ns)
	_, stop := w.startManager(managerOptions{orphanAfter: orphanAfter})
	w.network(ns, "iot", pool.Name)
	pod := w.pod(ns, "db-0", "iot", on("node-1"), ownedBy(set))
	claimOfPod := w.held(w.bound(ns, "db-0."+pool.Name+".net1"), pod)
	w.claim(ns, "mine", pool)
	mine := w.bound(ns, "mine")
	w.claim(ns, "missing", pool)
	missing := w.bound(ns, "missing")
	for _, claim := range []*v1alpha1.MacClaim{claimOfPod, mine} {
		if len(claim.OwnerReferences) > 0 {
			t.Errorf("claim %s has owners, which a restore lets dangle: %v", claim.Name, claim.OwnerReferences)
		}
	}

	// The backup, and the end of all that is in it.
	leases := map[string]*v1alpha1.MacLease{}
	for _, claim := range []*v1alpha1.MacClaim{claimOfPod, mine, missing} {
		lease := w.lease(claim.Status.LeaseName)
		if len(lease.OwnerReferences) > 0 {
			t.Errorf("lease %s has owners, which a restore lets dangle: %v", lease.Name, lease.OwnerReferences)
		}
		leases[claim.Name] = lease
	}
	stop()
	w.detach(w.claimNow(ns, claimOfPod.Name))
	for _, object := range []client.Object{pod, claimOfPod, mine, missing} {
		w.remove(object)
	}
	for _, lease := range leases {
		w.remove(lease.DeepCopy())
	}
	changeStatus(w, pool, func(p *v1alpha1.MacPool) { p.Status = v1alpha1.MacPoolStatus{} }) // the manager is gone already
	w.remove(pool.DeepCopy())

	// The restore: the leases first, then claim and pod. The pod's owner is one of before.
	restoredPool := asRestored(pool.DeepCopy())
	restoredPool.Status = v1alpha1.MacPoolStatus{}
	w.create(restoredPool)
	for _, lease := range leases {
		w.create(asRestored(lease.DeepCopy()))
	}
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	for range 3 { // others go after one second
		w.never("a restored lease was released", func() bool {
			for _, lease := range leases {
				if now := w.lease(lease.Name); now == nil || now.Spec.ReleasedAt != nil {
					return true
				}
			}
			return false
		})
	}
	restoredMine := asRestored(mine.DeepCopy())
	restoredMine.Status = v1alpha1.MacClaimStatus{}
	w.create(restoredMine)
	restoredPod := w.pod(ns, "db-0", "iot", on("node-1"), func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(
			&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: set.Name, UID: "of-before"}}, appsv1.SchemeGroupVersion.WithKind("StatefulSet"),
		)}
	})
	for name, want := range map[string]*v1alpha1.MacClaim{"mine": mine, claimOfPod.Name: claimOfPod} {
		now := w.bound(ns, name)
		if now.UID == want.UID || now.Status.LeaseName != want.Status.LeaseName || now.Status.MAC != want.Status.MAC {
			t.Errorf("claim %s has %v, had %v", name, now.Status, want.Status)
		}
		w.eventually(func(g gomega.Gomega) {
			g.Expect(w.lease(now.Status.LeaseName).Spec.ClaimRef.UID).To(gomega.Equal(now.UID))
		})
	}
	w.held(w.claimNow(ns, claimOfPod.Name), restoredPod)

	// What nobody came for is still kept for its name.
	if kept := w.lease(missing.Status.LeaseName); kept.Spec.ReleasedAt != nil {
		t.Errorf("the lease of a claim that is yet to be restored was released: %v", kept.Spec)
	}
	w.claim(ns, "other", pool, leases["missing"].Spec.IPs[0])
	w.refused(ns, "other", "AddressTaken")
	w.claim(ns, "missing", pool)
	if now := w.bound(ns, "missing"); now.Status.LeaseName != missing.Status.LeaseName {
		t.Errorf("the claim that came late has %v, had %v", now.Status, missing.Status)
	}
}
