// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// TestBackupRightAfterTheEnd: a lease is given back because its claim has ended, and a backup brings it back before its release was looked
// at. It is kept for its grace: the end that was seen is that of another life (R-B2, F29).
func TestBackupRightAfterTheEnd(t *testing.T) {
	scheme := k8sruntime.NewScheme()
	for _, add := range []func(*k8sruntime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1alpha1.MacClaim{}, "lease", func(object client.Object) []string {
		claim, ok := object.(*v1alpha1.MacClaim)
		if !ok {
			return nil
		}
		return []string{claim.Status.LeaseName}
	}).Build()
	lease := func() *v1alpha1.MacLease {
		return &v1alpha1.MacLease{
			ObjectMeta: metav1.ObjectMeta{Name: "vlan-50.10.50.0.20"},
			Spec: v1alpha1.MacLeaseSpec{
				PoolName: "main", MAC: "02:32:00:32:00:14", IPs: []v1alpha1.IPAddress{"10.50.0.20"}, LeasedAt: metav1.Now(),
				ClaimRef: v1alpha1.ClaimRef{Namespace: "ns", Name: "claim", UID: "first"},
			},
		}
	}
	r := &LeaseReconciler{
		Client: api, APIReader: api, Clock: clock.RealClock{}, RestoreGrace: time.Hour,
		Binder: &binding.Binder{Client: api, Index: binding.NewIndex(), Clock: clock.RealClock{}},
	}
	look := func() *v1alpha1.MacLease {
		t.Helper()
		live := &v1alpha1.MacLease{}
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: lease().Name}}); err != nil {
			t.Fatal(err)
		}
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(lease()), live); err != nil {
			t.Fatal(err)
		}
		return live
	}
	if err := api.Create(t.Context(), lease()); err != nil {
		t.Fatal(err)
	}
	r.endings.note(&v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "claim", UID: "first"}, Status: v1alpha1.MacClaimStatus{LeaseName: lease().Name},
	})
	released := look()
	if released.Spec.ReleasedAt == nil {
		t.Fatal("the lease of a claim that has ended was not given back")
	}
	if err := api.Delete(t.Context(), released); err != nil {
		t.Fatal(err)
	}
	again := lease()
	again.Labels = map[string]string{"velero.io/restore-name": "night"}
	if err := api.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if kept := look(); kept.Spec.ReleasedAt != nil {
		t.Error("a restored lease was released by the end of the claim that it had before")
	}
}
