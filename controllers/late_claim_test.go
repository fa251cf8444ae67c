// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"testing"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/controllers"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/view"
)

// A replica that has not heard yet that a claim was made again sees the lease of the old one in the hands of another, the new one, and
// leaves that alone (R-G2, I4, F9).
func TestLateReplicaDoesNotUnbindAClaimThatWasMadeAgain(t *testing.T) {
	w := newWorld(t)
	_, stop := w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	w.claim(ns, "a", pool)
	old := w.bound(ns, "a")
	w.remove(old)
	w.claim(ns, "a", pool)
	again := w.bound(ns, "a")
	if again.UID == old.UID || again.Status.LeaseName != old.Status.LeaseName {
		t.Fatalf("the claim that was made again has lease %q, want %q", again.Status.LeaseName, old.Status.LeaseName)
	}
	stop()
	r := controllers.MacClaimReconciler{
		Client: late{w, old}, APIReader: w, Binder: &binding.Binder{Client: w, Index: view.NewFeed().Index, Clock: clock.RealClock{}},
		Feed: view.NewFeed(), Clock: clock.RealClock{},
	}
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(old)}); err != nil {
		t.Fatal(err)
	}
	if now := w.claimNow(ns, "a"); now.Status.LeaseName != again.Status.LeaseName {
		t.Errorf("the claim has lease %q now, and had %q", now.Status.LeaseName, again.Status.LeaseName)
	}
}
