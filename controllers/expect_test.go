// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

func (w *world) eventually(f func(g gomega.Gomega)) {
	w.t.Helper()
	w.within(soon, f)
}

// within is eventually for what is much work.
func (w *world) within(limit time.Duration, f func(g gomega.Gomega)) {
	w.t.Helper()
	gomega.NewWithT(w.t).Eventually(f).WithTimeout(limit).WithPolling(20 * time.Millisecond).Should(gomega.Succeed())
}

// never fails if something comes true within a time that is long for a manager that has nothing else to do.
func (w *world) never(what string, f func() bool) {
	w.t.Helper()
	for range 20 {
		if f() {
			w.t.Fatalf("%s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// claimNow is a claim as it is, nil if there is none.
func (w *world) claimNow(namespace, name string) *v1alpha1.MacClaim {
	w.t.Helper()
	claim := &v1alpha1.MacClaim{}
	err := w.Get(w.t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, claim)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return claim
}

// bound waits until a claim has a lease.
func (w *world) bound(namespace, name string) *v1alpha1.MacClaim {
	w.t.Helper()
	var claim *v1alpha1.MacClaim
	w.eventually(func(g gomega.Gomega) {
		claim = w.claimNow(namespace, name)
		g.Expect(claim).NotTo(gomega.BeNil(), "claim %s", name)
		g.Expect(claim.Status.LeaseName).NotTo(gomega.BeEmpty(), "%v", claim.Status.Conditions)
		ready := apimeta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ClaimReady)
		g.Expect(ready).NotTo(gomega.BeNil())
		g.Expect(ready.Reason).To(gomega.Equal(v1alpha1.ClaimReasonBound), ready.Message)
	})
	return claim
}

// held waits until a pod holds a claim.
func (w *world) held(claim *v1alpha1.MacClaim, pod *corev1.Pod) *v1alpha1.MacClaim {
	w.t.Helper()
	var now *v1alpha1.MacClaim
	w.eventually(func(g gomega.Gomega) {
		now = w.claimNow(claim.Namespace, claim.Name)
		g.Expect(now).NotTo(gomega.BeNil())
		g.Expect(now.Status.Holder).NotTo(gomega.BeNil())
		g.Expect(now.Status.Holder.PodUID).To(gomega.Equal(binding.PodUID(pod)))
	})
	return now
}

// refused waits until a claim is not ready for a reason, and returns the message.
func (w *world) refused(namespace, name, reason string) string {
	w.t.Helper()
	var message string
	w.eventually(func(g gomega.Gomega) {
		claim := w.claimNow(namespace, name)
		g.Expect(claim).NotTo(gomega.BeNil(), "claim %s", name)
		ready := apimeta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ClaimReady)
		g.Expect(ready).NotTo(gomega.BeNil())
		g.Expect(ready.Status).To(gomega.Equal(metav1.ConditionFalse))
		g.Expect(ready.Reason).To(gomega.Equal(reason), ready.Message)
		g.Expect(ready.ObservedGeneration).To(gomega.Equal(claim.Generation))
		message = ready.Message
	})
	return message
}

// decided waits until a claim has a lease, or is told why it has none, and tells which.
func (w *world) decided(claim *v1alpha1.MacClaim) (bound bool) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) {
		now := w.claimNow(claim.Namespace, claim.Name)
		g.Expect(now).NotTo(gomega.BeNil())
		ready := apimeta.FindStatusCondition(now.Status.Conditions, v1alpha1.ClaimReady)
		g.Expect(ready).NotTo(gomega.BeNil())
		bound = ready.Status == metav1.ConditionTrue
	})
	return bound
}

// afterSecondLook lets the one pass that follows each new problem, so that what cures it after this was woken.
func (w *world) afterSecondLook() { time.Sleep(1500 * time.Millisecond) }

// gone waits until an object is no more.
func (w *world) gone(object client.Object) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) {
		err := w.Get(w.t.Context(), client.ObjectKeyFromObject(object), object)
		g.Expect(apierrors.IsNotFound(err)).To(gomega.BeTrue(), "%v", err)
	})
}

// lease is a lease as it is, nil if there is none.
func (w *world) lease(name string) *v1alpha1.MacLease {
	w.t.Helper()
	lease := &v1alpha1.MacLease{}
	err := w.Get(w.t.Context(), types.NamespacedName{Name: name}, lease)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return lease
}

// leases are the leases of a pool's segment that are leased now: name -> lease.
func (w *world) leases(pool *v1alpha1.MacPool) map[string]v1alpha1.MacLease {
	w.t.Helper()
	var list v1alpha1.MacLeaseList
	if err := w.List(w.t.Context(), &list, client.MatchingLabels{v1alpha1.LabelSegment: binding.SegmentOf(pool)}); err != nil {
		w.t.Fatal(err)
	}
	leases := map[string]v1alpha1.MacLease{}
	for _, l := range list.Items {
		if l.Spec.ReleasedAt == nil {
			leases[l.Name] = l
		}
	}
	return leases
}

// poolCondition waits until a pool's condition has a reason, and returns the message.
func (w *world) poolCondition(pool *v1alpha1.MacPool, kind string, status metav1.ConditionStatus, reason string) string {
	w.t.Helper()
	var message string
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(w.t.Context(), client.ObjectKeyFromObject(pool), pool)).To(gomega.Succeed())
		c := apimeta.FindStatusCondition(pool.Status.Conditions, kind)
		g.Expect(c).NotTo(gomega.BeNil())
		g.Expect(c.Reason).To(gomega.Equal(reason), c.Message)
		g.Expect(c.Status).To(gomega.Equal(status))
		g.Expect(c.ObservedGeneration).To(gomega.Equal(pool.Generation))
		message = c.Message
	})
	return message
}

func (w *world) poolReady(pool *v1alpha1.MacPool) {
	w.t.Helper()
	w.poolCondition(pool, v1alpha1.PoolReady, metav1.ConditionTrue, v1alpha1.PoolReasonValid)
}

// events are the events about an object.
func (w *world) events(object client.Object) []eventsv1.Event {
	w.t.Helper()
	var list eventsv1.EventList
	if err := w.List(w.t.Context(), &list, client.InNamespace(object.GetNamespace())); err != nil {
		w.t.Fatal(err)
	}
	var events []eventsv1.Event
	for _, e := range list.Items {
		if e.Regarding.UID == object.GetUID() {
			events = append(events, e)
		}
	}
	return events
}

// told waits until there is an event about an object for a reason, and returns its note.
func (w *world) told(object client.Object, reason string) string {
	w.t.Helper()
	var note string
	w.eventually(func(g gomega.Gomega) {
		var reasons []string
		for _, e := range w.events(object) {
			reasons = append(reasons, e.Reason)
			if e.Reason == reason {
				note = e.Note
			}
		}
		g.Expect(reasons).To(gomega.ContainElement(reason))
	})
	return note
}
