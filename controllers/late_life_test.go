// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"testing"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/controllers"
)

// blind is a cache that has not heard of a StatefulSet and its pods yet, or if ended, not of their end.
type blind struct {
	client.Client

	set   *appsv1.StatefulSet
	pod   *corev1.Pod
	ended bool
}

func (c blind) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	switch object := object.(type) {
	case *corev1.Pod:
		if c.ended {
			c.pod.DeepCopyInto(object)
			return nil
		}
		return apierrors.NewNotFound(corev1.Resource("pods"), key.Name)
	case *metav1.PartialObjectMetadata:
		if c.ended {
			c.set.ObjectMeta.DeepCopyInto(&object.ObjectMeta)
			return nil
		}
		return apierrors.NewNotFound(appsv1.Resource("statefulsets"), key.Name)
	}
	return c.Client.Get(ctx, key, object, options...)
}

// List has the claims without the cache's indexes.
func (c blind) List(ctx context.Context, list client.ObjectList, _ ...client.ListOption) error {
	return c.Client.List(ctx, list)
}

// A replica that sees a workload late does not write what it thinks of its end into the claim: another, which sees it as it is, would write
// that over, and so on without end (R-K1, F9, F11).
func TestLateReplicaDoesNotJudgeAnEnd(t *testing.T) {
	w := newWorld(t)
	_, stop := w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	set := w.statefulSet(ns)
	pod := w.pod(ns, set.Name+"-0", "iot", ownedBy(set))
	name := pod.Name + "." + pool.Name + ".net1"
	w.bound(ns, name)
	isEnded := func() bool {
		return apimeta.IsStatusConditionTrue(w.claimNow(ns, name).Status.Conditions, v1alpha1.ClaimEnded)
	}
	reconcile := func(cache client.Client) {
		t.Helper()
		r := controllers.MacClaimReconciler{Client: cache, APIReader: w, Clock: clock.RealClock{}}
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: ns, Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	reconcile(blind{w, set, pod, false})
	if isEnded() {
		t.Fatal("a replica that has not heard of the pod has written that its workload is gone")
	}
	_, stop = w.startManager(managerOptions{})
	w.remove(pod)
	w.remove(set)
	w.eventually(func(g gomega.Gomega) { g.Expect(isEnded()).To(gomega.BeTrue()) })
	stop()
	reconcile(blind{w, set, pod, true})
	if !isEnded() {
		t.Error("a replica that has not heard of the workload's end has written that it is there")
	}
}
