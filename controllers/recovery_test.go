// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// reports is a node's agent, as far as it reports.
type reports struct {
	*world

	node *v1alpha1.MacNode
}

func (w *world) reporting(name string) *reports {
	w.t.Helper()
	w.node(name)
	r := &reports{world: w, node: &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: name}}}
	w.create(r.node)
	return r
}

// on reports on a timeline what is attached.
func (r *reports) on(timeline int64, attachments ...v1alpha1.NodeAttachment) {
	r.t.Helper()
	changeStatus(r.world, r.node, func(n *v1alpha1.MacNode) {
		n.Status.Epoch++
		n.Status.RenewTime = metav1.NowMicro()
		n.Status.Timeline, n.Status.Attachments = timeline, attachments
	})
}

// goOn reports every now and then, as agents do.
func (r *reports) goOn() {
	r.t.Helper()
	r.on(r.node.Status.Timeline, r.node.Status.Attachments...)
}

// attachedTo is the report of a pod that has a claim's address.
func attachedTo(claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool, ip, pod string, generation int64) v1alpha1.NodeAttachment {
	return v1alpha1.NodeAttachment{
		LeaseName: binding.SegmentOf(pool) + "." + ip, PoolName: pool.Name, MAC: "02:32:00:a8:32:08", IPs: []v1alpha1.IPAddress{v1alpha1.IPAddress(ip)},
		Namespace: claim.Namespace, ClaimName: claim.Name, PodName: pod, PodUID: types.UID(pod), Interface: "net1", Generation: generation,
	}
}

// pauseOf is why the pool is paused, empty if it is not.
func (w *world) pauseOf(pool *v1alpha1.MacPool) string {
	w.t.Helper()
	now := &v1alpha1.MacPool{}
	if err := w.Get(w.t.Context(), client.ObjectKeyFromObject(pool), now); err != nil {
		w.t.Fatal(err)
	}
	if c := apimeta.FindStatusCondition(now.Status.Conditions, v1alpha1.PoolAllocationPaused); c != nil {
		return c.Message
	}
	return ""
}

// TestRecovery proves the manager's part of R-B1: an agent that has found the API behind pauses all pools until all have reported;
// what they report is written, the conflict among it is listed; nothing is given out or taken back meanwhile; and all goes on.
func TestRecovery(t *testing.T) {
	w := newWorld(t)
	a, b := w.reporting("node-a"), w.reporting("node-b")
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", cooling(time.Hour, time.Hour))
	_, stop := w.startManager(managerOptions{recovery: time.Second})
	w.claim(ns, "kept", pool)
	w.claim(ns, "deleted", pool)
	w.eventually(func(g gomega.Gomega) { // the gate opens when both have reported since the manager's start
		a.goOn()
		b.goOn()
		for _, name := range []string{"kept", "deleted"} {
			g.Expect(w.claimNow(ns, name).Status.LeaseName).NotTo(gomega.BeEmpty())
		}
	})
	deleted := w.claimNow(ns, "deleted")

	lost := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "lost"}}
	rival := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "rival"}}
	a.on(1, attachedTo(lost, pool, "192.168.50.77", "pod-a", 4))
	stop() // it ends by itself, since its watches may show what is no more, and is started anew
	w.startManager(managerOptions{recovery: time.Second})
	w.eventually(func(g gomega.Gomega) { g.Expect(w.pauseOf(pool)).To(gomega.ContainSubstring("node-b")) })
	w.claim(ns, "new", pool)
	w.refused(ns, "new", "AllocationPaused")
	w.remove(deleted)
	w.never("a lease was released, or allocation went on", func() bool {
		return w.lease(deleted.Status.LeaseName).Spec.ReleasedAt != nil || w.pauseOf(pool) == ""
	})

	b.on(1, attachedTo(rival, pool, "192.168.50.77", "pod-b", 9))
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.pauseOf(pool)).To(gomega.BeEmpty())
		adopted := w.claimNow(ns, "lost")
		g.Expect(adopted.Status.Holder).NotTo(gomega.BeNil())
		g.Expect(adopted.Status.Holder.PodUID).To(gomega.Equal(types.UID("pod-a")))
		g.Expect(adopted.Status.Holder.Generation).To(gomega.BeEquivalentTo(4))
		g.Expect(w.lease(adopted.Status.LeaseName).Spec.ClaimRef.UID).To(gomega.Equal(adopted.UID))
	})
	w.bound(ns, "new")
	w.released(deleted.Status.LeaseName)
	w.eventually(func(g gomega.Gomega) {
		var events eventsv1.EventList
		g.Expect(w.List(t.Context(), &events)).To(gomega.Succeed())
		found := false
		for _, e := range events.Items {
			found = found || e.Reason == problem.LeaseLost.Reason && e.Regarding.Name == pool.Name && strings.Contains(e.Note, "pod-b")
		}
		g.Expect(found).To(gomega.BeTrue(), "the conflict is listed")
	})
}

// TestRecoveryWithoutANode proves that a node which does not report holds allocation up until somebody says that it is off.
func TestRecoveryWithoutANode(t *testing.T) {
	for name, off := range map[string]func(w *world, node *corev1.Node){
		"deleted": func(w *world, node *corev1.Node) { w.remove(node) },
		"fenced": func(w *world, node *corev1.Node) {
			w.ready(node, corev1.ConditionUnknown)
			w.fence(node)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.reporting("node-a")
			w.reporting("node-b")
			pool := w.pool("192.168.50.0/24")
			w.startManager(managerOptions{recovery: 100 * time.Millisecond})
			a.on(1)
			w.eventually(func(g gomega.Gomega) { g.Expect(w.pauseOf(pool)).To(gomega.ContainSubstring("node-b")) })
			w.never("allocation went on", func() bool { return w.pauseOf(pool) == "" })
			node := &corev1.Node{}
			if err := w.Get(t.Context(), types.NamespacedName{Name: "node-b"}, node); err != nil {
				t.Fatal(err)
			}
			off(w, node)
			w.eventually(func(g gomega.Gomega) {
				a.goOn()
				g.Expect(w.pauseOf(pool)).To(gomega.BeEmpty())
			})
		})
	}
}
