// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// reaches has a node report by which link it reaches a pool's VLAN, as its agent does.
func (w *world) reaches(report *v1alpha1.MacNode, parents ...v1alpha1.NodeParent) {
	w.t.Helper()
	changeStatus(w, report, func(n *v1alpha1.MacNode) {
		n.Status.RenewTime, n.Status.Epoch, n.Status.Parents = metav1.NowMicro(), n.Status.Epoch+1, parents
	})
}

// expectLabels waits until a node has these labels and no others but its own.
func (w *world) expectLabels(node *corev1.Node, want map[string]string) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) {
		now := &corev1.Node{}
		g.Expect(w.Get(w.t.Context(), keyOf(node), now)).To(gomega.Succeed())
		ours := maps.Clone(now.Labels)
		maps.DeleteFunc(ours, func(key, _ string) bool { return !strings.HasPrefix(key, "macpool.dev/") })
		g.Expect(ours).To(gomega.Equal(want))
		g.Expect(now.Labels).To(gomega.HaveKeyWithValue("zone", "a"))
	})
}

func parent(pool *v1alpha1.MacPool, state v1alpha1.ParentState) v1alpha1.NodeParent {
	return v1alpha1.NodeParent{PoolName: pool.Name, Link: "eth0.50", State: state}
}

// A Node has a label for each pool whose VLAN it reaches, by its agent's word, and the pool says which nodes do not. Somebody else's labels stay;
// what somebody else does to ours is mended.
func TestNodeLabels(t *testing.T) {
	w := newWorld(t)
	pool, other := w.pool("192.168.50.0/24"), w.pool("192.168.60.0/24")
	node := w.node("node-1")
	change(w, node, func(n *corev1.Node) {
		n.Labels = map[string]string{"zone": "a", "macpool.dev/gone": "ready", "macpool.dev/" + pool.Name: "never"}
	})
	report := w.reports("node-1")
	w.startManager(managerOptions{})
	ready := map[string]string{"macpool.dev/" + pool.Name: "ready"}
	both := map[string]string{"macpool.dev/" + pool.Name: "ready", "macpool.dev/" + other.Name: "ready"}

	w.reaches(report, parent(pool, v1alpha1.ParentReady), parent(other, v1alpha1.ParentSilent))
	w.expectLabels(node, ready)
	w.reaches(report, parent(pool, v1alpha1.ParentReady), parent(other, v1alpha1.ParentReady))
	w.expectLabels(node, both)
	change(w, node, func(n *corev1.Node) { delete(n.Labels, "macpool.dev/"+pool.Name) })
	w.expectLabels(node, both)

	w.node("node-2")
	two := w.reports("node-2")
	w.reaches(two, parent(pool, v1alpha1.ParentMissing))
	message := w.poolCondition(pool, v1alpha1.PoolNodesNotReady, metav1.ConditionTrue, v1alpha1.PoolReasonParents)
	if !strings.Contains(message, "MP312: 1 of the 2 nodes") || !strings.Contains(message, "on node node-2 link eth0.50 is missing") {
		t.Errorf("the pool says %q", message)
	}
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(t.Context(), keyOf(pool), pool)).To(gomega.Succeed())
		g.Expect(pool.Status.ReadyNodes).To(gomega.HaveValue(gomega.Equal(int64(1))))
	})
	w.reaches(two, parent(pool, v1alpha1.ParentReady))
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(t.Context(), keyOf(pool), pool)).To(gomega.Succeed())
		g.Expect(pool.Status.ReadyNodes).To(gomega.HaveValue(gomega.Equal(int64(2))))
		g.Expect(apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolNodesNotReady)).To(gomega.BeNil())
	})

	w.reaches(report, parent(pool, v1alpha1.ParentDown))
	w.expectLabels(node, map[string]string{})
}

// A node of which nothing is heard reaches nothing, nor does one that was made again under the name, before its own agent has reported.
func TestNodeLabelsOfTheSilent(t *testing.T) {
	w := newWorld(t)
	pool := w.pool("192.168.50.0/24")
	node := w.node("node-1")
	change(w, node, func(n *corev1.Node) { n.Labels = map[string]string{"zone": "a"} })
	report := w.reports("node-1")
	const silence = 5 * time.Second
	w.startManager(managerOptions{nodeSilence: silence})
	ready := map[string]string{"macpool.dev/" + pool.Name: "ready"}
	w.reaches(report, parent(pool, v1alpha1.ParentReady))
	w.expectLabels(node, ready)
	w.expectLabels(node, map[string]string{}) // nothing more was heard
	w.reaches(report, parent(pool, v1alpha1.ParentSilent))
	w.reaches(report, parent(pool, v1alpha1.ParentReady))
	w.expectLabels(node, ready)

	changeStatus(w, report, func(n *v1alpha1.MacNode) { n.Status.NodeUID = node.UID })
	w.remove(node)
	again := w.node("node-1")
	change(w, again, func(n *corev1.Node) { n.Labels = map[string]string{"zone": "a"} })
	w.reaches(report, parent(pool, v1alpha1.ParentDown))
	w.reaches(report, parent(pool, v1alpha1.ParentReady))
	w.never("a node was labelled by the report of another", func() bool {
		now := &corev1.Node{}
		return w.Get(t.Context(), keyOf(again), now) == nil && now.Labels["macpool.dev/"+pool.Name] != ""
	})
}
