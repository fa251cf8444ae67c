// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"testing"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/controllers"
)

// late is a cache that shows one claim as it was.
type late struct {
	client.Client

	claim *v1alpha1.MacClaim
}

func (c late) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if claim, ok := object.(*v1alpha1.MacClaim); ok && key == client.ObjectKeyFromObject(c.claim) {
		c.claim.DeepCopyInto(claim)
		return nil
	}
	return c.Client.Get(ctx, key, object, options...)
}

func (c late) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if claims, ok := list.(*v1alpha1.MacClaimList); ok {
		claims.Items = []v1alpha1.MacClaim{*c.claim.DeepCopy()}
		return nil
	}
	return c.Client.List(ctx, list, options...)
}

// A replica that sees a claim late writes nothing into its lease: another, which sees it as it is, would write that over, and so on
// without end (R-K1, F9).
func TestLateReplicaDoesNotMirrorWhatIsPast(t *testing.T) {
	w := newWorld(t)
	_, stop := w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	_, held := w.attached(ns, pool)
	w.mirrored(held)
	stop()
	w.detach(held)
	cleared := w.claimNow(ns, held.Name)
	reconcile := func(seen *v1alpha1.MacClaim) {
		t.Helper()
		r := controllers.LeaseReconciler{Client: late{w, seen}, APIReader: w, Clock: clock.RealClock{}}
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: held.Status.LeaseName}}); err != nil {
			t.Fatal(err)
		}
	}
	reconcile(cleared)
	before := w.lease(held.Status.LeaseName)
	if before.Spec.NodeName != "" {
		t.Fatalf("the holder is gone, and its lease is on node %s", before.Spec.NodeName)
	}
	reconcile(held)
	if after := w.lease(held.Status.LeaseName); after.Spec.NodeName != "" || after.ResourceVersion != before.ResourceVersion {
		t.Errorf("a late replica wrote node %q into the lease", after.Spec.NodeName)
	}
}
