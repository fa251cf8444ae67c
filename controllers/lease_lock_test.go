// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestMACOfReservation is the life of a foreign MAC's lock: it comes with the lease, outlives a bind that was cut off for OrphanAfter only,
// is made again, stays while the address cools, and goes after that (R-A2, I6).
func TestMACOfReservation(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{orphanAfter: 3 * time.Second})
	ns := w.namespace()
	const foreign = "00:1b:21:a8:32:08"
	pool := w.pool("192.168.50.0/24", cooling(4*time.Second, time.Hour), func(p *v1alpha1.MacPool) {
		p.Spec.Reservations = []v1alpha1.Reservation{
			{IP: "192.168.50.8", MAC: foreign, ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: ns, Name: "printer"}},
		}
	})
	w.network(ns, "iot", pool.Name)
	name := pool.Spec.Segment + ".00-1b-21-a8-32-08"
	w.claim(ns, "printer", pool)
	pod := w.pod(ns, "printer-1", `[{"name": "iot", "mac": "`+foreign+`", "cni-args": {"claim": "printer"}}]`, on("node-1"))
	claim := w.held(w.bound(ns, "printer"), pod)
	if claim.Status.MAC != foreign || claim.Status.IPs[0] != "192.168.50.8" {
		t.Fatalf("it got %+v", claim.Status)
	}
	lock := w.lease(name)
	if lock == nil || lock.Spec.ClaimRef.UID != claim.UID {
		t.Fatalf("the lock is %+v", lock)
	}

	w.remove(lock) // by hand
	w.eventually(func(g gomega.Gomega) { g.Expect(w.lease(name)).NotTo(gomega.BeNil()) })

	stray := lock.DeepCopy()
	stray.ObjectMeta = lock.ObjectMeta
	stray.Name, stray.UID, stray.ResourceVersion = pool.Spec.Segment+".00-1b-21-a8-32-09", "", ""
	stray.Spec.MAC, stray.Spec.IPs = "00:1b:21:a8:32:09", []v1alpha1.IPAddress{"192.168.50.9"}
	w.create(stray)
	w.gone(stray)

	w.remove(pod)
	w.detach(claim)
	w.eventually(func(g gomega.Gomega) { g.Expect(w.claimNow(ns, "printer").Status.Holder).To(gomega.BeNil()) })
	w.remove(claim)
	w.eventually(func(g gomega.Gomega) { g.Expect(w.lease(claim.Status.LeaseName).Spec.ReleasedAt).NotTo(gomega.BeNil()) })
	w.eventually(func(g gomega.Gomega) {
		lease, lock := w.lease(claim.Status.LeaseName), w.lease(name)
		if lease.Spec.ReusableAt == nil {
			g.Expect(w.lease(name)).NotTo(gomega.BeNil(), "the MAC is free while its address cools")
		}
		g.Expect(lock).To(gomega.BeNil())
	})
	if lease := w.lease(claim.Status.LeaseName); lease.Spec.ReusableAt == nil {
		t.Errorf("the lock has gone, and the lease is %+v", lease.Spec)
	}
}
