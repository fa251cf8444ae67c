// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// reports makes the MacNode of a node, as its agent does.
func (w *world) reports(node string) *v1alpha1.MacNode {
	w.t.Helper()
	report := &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: node}}
	w.create(report)
	w.renew(report)
	return report
}

func (w *world) renew(report *v1alpha1.MacNode) {
	w.t.Helper()
	changeStatus(w, report, func(n *v1alpha1.MacNode) { n.Status.RenewTime, n.Status.Epoch = metav1.NowMicro(), n.Status.Epoch+1 })
}

// isThere tells whether a MacNode is.
func (w *world) isThere(report *v1alpha1.MacNode) bool {
	w.t.Helper()
	err := w.Get(context.WithoutCancel(w.t.Context()), keyOf(report), &v1alpha1.MacNode{})
	if err != nil && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
	return err == nil
}

// stays fails if a MacNode goes within several times the silence after which it may.
func (w *world) stays(why string, report *v1alpha1.MacNode, meanwhile func()) {
	w.t.Helper()
	for until := time.Now().Add(4 * holdGrace); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if !w.isThere(report) {
			w.t.Fatalf("%s: the MacNode was deleted", why)
		}
		if meanwhile != nil {
			meanwhile()
		}
	}
}

// A MacNode goes with its Node, not before: what it says of what is attached may be all that is left after a restore (R-B1), and its
// agent takes its absence for a sign of one.
func TestMacNodeGoesWithItsNode(t *testing.T) {
	w := newWorld(t)
	node, report := w.node("node-1"), w.reports("node-1")
	w.startManager(managerOptions{})
	w.stays("its Node is there", report, nil)
	w.ready(node, corev1.ConditionUnknown)
	w.fence(node)
	w.stays("its Node is silent, and fenced", report, nil)
	w.remove(node)
	w.stays("its agent still reports", report, func() { w.renew(report) })
	again := w.node("node-1")
	w.stays("its Node was made again", report, nil)
	w.remove(again)
	w.gone(report)
}

// One that was left behind while no manager ran goes too, but not under a pod of its node that holds a claim.
func TestMacNodeOfAHolder(t *testing.T) {
	h := newHold(t, managerOptions{})
	left, report := h.reports("node-0"), h.reports(h.node.Name)
	h.gone(left)
	h.remove(h.pod)
	h.remove(h.node)
	h.suspected(v1alpha1.ClaimReasonNodeDeleted)
	h.stays("a pod of its node holds a claim", report, nil)
	h.detach(h.now())
	h.within(time.Minute, func(g gomega.Gomega) { g.Expect(h.isThere(report)).To(gomega.BeFalse()) })
}
