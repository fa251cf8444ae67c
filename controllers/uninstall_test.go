// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/accesstest"
)

// crdOfClaims is the CRD of MacClaims, as it is shipped.
func (w *world) crdOfClaims() *unstructured.Unstructured {
	w.t.Helper()
	objects, err := accesstest.Read(filepath.Join("..", "config", "crd", "bases", "macpool.dev_macclaims.yaml"))
	if err != nil || len(objects) != 1 {
		w.t.Fatalf("%d objects, %v", len(objects), err)
	}
	return objects[0]
}

// installCRD applies the CRD again, and returns when claims can be made.
func (w *world) installCRD() {
	w.t.Helper()
	w.create(w.crdOfClaims())
	w.within(time.Minute, func(g gomega.Gomega) {
		probe := &v1alpha1.MacClaim{Spec: v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: "none"}}}
		probe.Namespace, probe.Name = "default", "probe"
		g.Expect(w.Create(w.t.Context(), probe, client.DryRunAll)).To(gomega.Succeed())
	})
}

// T22: the CRD of claims is deleted while claims are bound and held: it goes at once, with them, and nobody is needed for that (R-P5). When
// it is back each pod has its address again, and what nobody uses is free.
func TestT22ClaimsAreUninstalledAndInstalled(t *testing.T) {
	w := newWorld(t)
	_, stop := w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	set := w.statefulSet(ns)
	pod := w.pod(ns, "db-0", "iot", ownedBy(set), on("node-1"))
	claim := w.held(w.bound(ns, "db-0."+pool.Name+".net1"), pod)
	w.mirrored(claim)
	w.claim(ns, "spare", pool)
	spare := w.bound(ns, "spare")
	stop()

	crd := w.crdOfClaims()
	w.remove(crd)
	w.within(20*time.Second, func(g gomega.Gomega) {
		err := w.Get(t.Context(), client.ObjectKeyFromObject(crd), crd)
		g.Expect(apierrors.IsNotFound(err)).To(gomega.BeTrue(), "%v", err)
	})
	for _, name := range []string{claim.Status.LeaseName, spare.Status.LeaseName} {
		if lease := w.lease(name); lease == nil || lease.Spec.ReleasedAt != nil {
			t.Errorf("lease %s went with the claims: %v", name, lease)
		}
	}

	w.installCRD()
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	again := w.held(w.bound(ns, claim.Name), pod)
	if again.UID == claim.UID || again.Status.LeaseName != claim.Status.LeaseName {
		t.Errorf("the pod has %v, had %s", again.Status, claim.Status.LeaseName)
	}
	if evidence := w.released(spare.Status.LeaseName); evidence != "its claim does not exist, and no node held it" {
		t.Errorf("evidence %q", evidence)
	}
}

// T22: the CRD of claims is deleted under a manager that runs. A claim that the API server cannot be asked for is not gone, whatever the
// cache says.
func TestT22ClaimsAreUninstalledUnderTheManager(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.110"))
	_, claim := w.attached(ns, pool)
	w.mirrored(claim)
	crd := w.crdOfClaims()
	w.remove(crd)
	w.within(20*time.Second, func(g gomega.Gomega) {
		err := w.Get(t.Context(), client.ObjectKeyFromObject(crd), crd)
		g.Expect(apierrors.IsNotFound(err)).To(gomega.BeTrue(), "%v", err)
	})
	lost := w.strayLease(pool, &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "never", UID: "0-0"}})
	w.kept(claim)
	if lease := w.lease(lost.Name); lease == nil || lease.Spec.ReleasedAt != nil {
		t.Errorf("a lease was released while no claim could be read: %v", lease)
	}
	w.installCRD()
	w.within(2*time.Minute, func(g gomega.Gomega) { g.Expect(w.lease(lost.Name).Spec.ReleasedAt).NotTo(gomega.BeNil()) })
	w.kept(claim)
}
