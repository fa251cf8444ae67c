// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// node makes a Node that is ready, as its kubelet does.
func (w *world) node(name string) *corev1.Node {
	w.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	w.create(node)
	w.ready(node, corev1.ConditionTrue)
	return node
}

// ready makes a Node so.
func (w *world) ready(node *corev1.Node, status corev1.ConditionStatus) {
	w.t.Helper()
	changeStatus(w, node, func(n *corev1.Node) {
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, LastHeartbeatTime: metav1.Now()}}
	})
}

// fence taints a Node as somebody does who knows that it is off.
func (w *world) fence(node *corev1.Node) {
	w.t.Helper()
	change(w, node, func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeOutOfService, Value: "nodeshutdown", Effect: corev1.TaintEffectNoExecute})
	})
}

// hold is a pod on a Node that holds the claim of its interface.
type hold struct {
	*world

	ns    string
	pool  *v1alpha1.MacPool
	node  *corev1.Node
	pod   *corev1.Pod
	claim *v1alpha1.MacClaim
}

func newHold(t *testing.T, o managerOptions, change ...func(*v1alpha1.MacPool)) *hold {
	t.Helper()
	w := newWorld(t)
	h := &hold{world: w, node: w.node("node-1"), ns: w.namespace(), pool: w.pool("192.168.50.0/24", change...)}
	w.startManager(o)
	w.network(h.ns, "iot", h.pool.Name)
	h.pod = w.pod(h.ns, "camera", "iot", on(h.node.Name))
	h.claim = w.held(w.bound(h.ns, "camera."+h.pool.Name+".net1"), h.pod)
	return h
}

// now is the claim as it is.
func (h *hold) now() *v1alpha1.MacClaim {
	h.t.Helper()
	return h.claimNow(h.claim.Namespace, h.claim.Name)
}

// isHeld tells whether the claim is held as it was.
func (h *hold) isHeld() bool {
	h.t.Helper()
	now := h.now()
	return now != nil && now.Status.Holder != nil && now.Status.Holder.PodUID == h.claim.Status.Holder.PodUID &&
		now.Status.Holder.Generation == h.claim.Status.Holder.Generation
}

// suspected waits until the claim's holder is suspect for a reason, and returns the message.
func (h *hold) suspected(reason string) string {
	h.t.Helper()
	var message string
	h.eventually(func(g gomega.Gomega) {
		now := h.now()
		g.Expect(now).NotTo(gomega.BeNil())
		c := apimeta.FindStatusCondition(now.Status.Conditions, v1alpha1.ClaimSuspect)
		g.Expect(c).NotTo(gomega.BeNil())
		g.Expect(c.Reason).To(gomega.Equal(reason), c.Message)
		message = c.Message
	})
	return message
}

// trusted waits until nothing is suspicious.
func (h *hold) trusted() {
	h.t.Helper()
	h.eventually(func(g gomega.Gomega) {
		g.Expect(apimeta.FindStatusCondition(h.now().Status.Conditions, v1alpha1.ClaimSuspect)).To(gomega.BeNil())
	})
}

// goesOn fails if the hold ends within several times the grace (I2).
func (h *hold) goesOn() {
	h.t.Helper()
	for until := time.Now().Add(4 * holdGrace); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if !h.isHeld() {
			h.t.Fatalf("the hold was ended: %+v", h.now().Status)
		}
	}
}

// ended waits until the hold is, and returns what is written about it. The claim of a bare pod goes with its hold, so that the lease
// may be all that is left.
func (h *hold) ended() (v1alpha1.EndReason, string) {
	h.t.Helper()
	var reason v1alpha1.EndReason
	var evidence string
	h.eventually(func(g gomega.Gomega) {
		now := h.now()
		if now != nil {
			g.Expect(now.Status.Holder).To(gomega.BeNil())
			g.Expect(now.Status.PreviousHolders).NotTo(gomega.BeEmpty())
			past := now.Status.PreviousHolders[0]
			reason, evidence = past.Reason, past.Evidence
			g.Expect(past.PodUID).To(gomega.Equal(h.claim.Status.Holder.PodUID))
			g.Expect(past.Generation).To(gomega.Equal(h.claim.Status.Holder.Generation))
			g.Expect(apimeta.FindStatusCondition(now.Status.Conditions, v1alpha1.ClaimSuspect)).To(gomega.BeNil())
			return
		}
		lease := h.lease(h.claim.Status.LeaseName)
		g.Expect(lease.Spec.History).NotTo(gomega.BeEmpty())
		reason, evidence = lease.Spec.History[0].Reason, lease.Spec.History[0].Evidence
	})
	return reason, evidence
}

// question waits until the VLAN is asked about the hold, anew if before is given, and returns the question.
func (h *hold) question(before ...v1alpha1.WireQuestion) v1alpha1.WireQuestion {
	h.t.Helper()
	var question v1alpha1.WireQuestion
	h.eventually(func(g gomega.Gomega) {
		g.Expect(h.Get(h.t.Context(), client.ObjectKeyFromObject(h.pool), h.pool)).To(gomega.Succeed())
		i := slices.IndexFunc(h.pool.Status.Questions, func(q v1alpha1.WireQuestion) bool { return q.LeaseName == h.claim.Status.LeaseName })
		g.Expect(i).NotTo(gomega.Equal(-1))
		question = h.pool.Status.Questions[i]
		for _, q := range before {
			g.Expect(question.AskedAt.Equal(&q.AskedAt)).To(gomega.BeFalse())
		}
	})
	return question
}

// answers makes the agent of a node answer a question: nothing was heard, or a MAC.
func (w *world) answers(node string, q v1alpha1.WireQuestion, rounds int32, heard string) {
	w.t.Helper()
	report := &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: node}}
	if err := w.Get(w.t.Context(), client.ObjectKeyFromObject(report), report); err != nil {
		w.create(report)
	}
	changeStatus(w, report, func(n *v1alpha1.MacNode) {
		n.Status.Answers = []v1alpha1.WireAnswer{{LeaseName: q.LeaseName, AskedAt: q.AskedAt, Rounds: rounds, AnsweredBy: heard}}
	})
}

// intercepted is a reader whose Get can be held up, or answered by somebody else.
type intercepted struct {
	client.Reader

	get func(ctx context.Context, next client.Reader, key client.ObjectKey, object client.Object) error
}

func (i intercepted) Get(ctx context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	return i.get(ctx, i.Reader, key, object)
}

func keyOf(object client.Object) client.ObjectKey { return client.ObjectKeyFromObject(object) }
