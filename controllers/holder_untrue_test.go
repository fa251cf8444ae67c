// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// writesHolder is whoever has the token of a node's agent and writes what it likes of a claim.
func (w *world) writesHolder(claim *v1alpha1.MacClaim, pod string, uid types.UID, node string) {
	w.t.Helper()
	changeStatus(w, claim, func(c *v1alpha1.MacClaim) {
		c.Status.Generation++
		c.Status.Holder = &v1alpha1.Holder{
			PodName: pod, PodUID: uid, NodeName: node, Interface: "net1", Generation: c.Status.Generation, Since: metav1.Now(),
		}
	})
}

// T13: a compromised node takes the sticky lease of a pod that runs on another one. The pod object is bound to that other node, so that the hold
// is told, ends, and is the pod's again where it runs; the lease stays with its identity all the time.
func TestT13StolenTakeover(t *testing.T) {
	audit := &lines{}
	h := newHold(t, managerOptions{audit: audit})
	thief := h.world.node("node-2")
	before := h.claim.DeepCopy()
	// Another pod of it, of which the cache knows the name alone.
	other := h.personal(h.ns, "other", h.pool, v1alpha1.Workload{Kind: v1alpha1.WorkloadPod, Name: "nobody", Interface: "net1"})
	other = h.bound(h.ns, other.Name)
	without := h.world.pod(h.ns, "without-networks", "", on(h.node.Name))
	h.writesHolder(other, without.Name, without.UID, thief.Name)

	h.writesHolder(h.claim, h.pod.Name, h.pod.UID, thief.Name)
	stolen := h.claim.Status.Holder.Generation

	h.eventually(func(g gomega.Gomega) {
		now := h.now()
		g.Expect(now.Status.Holder).NotTo(gomega.BeNil())
		g.Expect(now.Status.Holder.NodeName).To(gomega.Equal(h.node.Name))
		g.Expect(now.Status.Holder.PodUID).To(gomega.Equal(h.pod.UID))
		g.Expect(now.Status.Holder.Generation).To(gomega.BeNumerically(">", stolen))
		g.Expect(now.Status.LeaseName).To(gomega.Equal(before.Status.LeaseName))
		g.Expect(now.Status.Conditions).NotTo(gomega.ContainElement(gomega.HaveField("Type", v1alpha1.ClaimSuspect)))
		past := now.Status.PreviousHolders[0]
		g.Expect(past.Reason).To(gomega.Equal(v1alpha1.EndPodElsewhere))
		g.Expect(past.Evidence).To(gomega.ContainSubstring("the pod is on node node-1, and not on node node-2"))
	})
	h.eventually(func(g gomega.Gomega) {
		now := h.claimNow(h.ns, other.Name)
		g.Expect(now.Status.Holder).To(gomega.BeNil())
		g.Expect(now.Status.PreviousHolders[0].Reason).To(gomega.Equal(v1alpha1.EndPodElsewhere))
	})
	if lease := h.lease(before.Status.LeaseName); lease.Spec.ReleasedAt != nil || lease.Spec.ClaimRef.UID != before.UID {
		t.Errorf("the lease was released: %+v", lease.Spec)
	}
	note := h.told(h.now(), problem.HolderUntrue.Reason)
	if !strings.Contains(note, "node node-2 says that pod camera holds claim") || !strings.Contains(note, "the API has that pod on node node-1") {
		t.Errorf("event %q", note)
	}
	if doubts := audit.of(t, "doubted", before.Status.LeaseName); len(doubts) != 1 || doubts[0]["node"] != thief.Name {
		t.Errorf("audited doubts: %v", doubts)
	}
	if ends := audit.of(t, "unheld", before.Status.LeaseName); len(ends) != 1 || ends[0]["reason"] != string(v1alpha1.EndPodElsewhere) {
		t.Errorf("audited ends: %v", ends)
	}
}

// T12: a compromised node invents a pod. The address is given to nobody while nobody can tell that it is unused; the word of two other nodes that
// nothing answers ends the hold, and the pod of the identity gets its address. What answers keeps it.
func TestT12InventedPod(t *testing.T) {
	for name, answered := range map[string]bool{"silent": false, "answered": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := &hold{world: w, node: w.node("node-1"), ns: w.namespace(), pool: w.pool("192.168.50.0/24")}
			for _, other := range []string{"node-2", "node-3"} {
				w.node(other)
				w.create(&v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: other}})
			}
			w.startManager(managerOptions{doubt: holdGrace, patience: time.Second})
			w.network(h.ns, "iot", h.pool.Name)
			set := w.statefulSet(h.ns)
			h.pod = w.pod(h.ns, set.Name+"-0", "iot", ownedBy(set))
			h.claim = w.bound(h.ns, set.Name+"-0."+h.pool.Name+".net1")
			h.writesHolder(h.claim, "ghost", "0-0", h.node.Name)

			if message := h.suspected(v1alpha1.ClaimReasonPodUnknown); !strings.Contains(message, "node node-1 says that pod ghost holds claim") {
				t.Errorf("message %q", message)
			}
			w.schedule(h.pod, "node-2")
			q := h.question()
			h.answers("node-1", q, 3, "") // whose word it is that is doubted
			h.answers("node-2", q, 3, "")
			h.goesOn()
			if answered {
				h.answers("node-3", q, 3, h.claim.Status.MAC)
				h.eventually(func(g gomega.Gomega) {
					g.Expect(h.suspected(v1alpha1.ClaimReasonPodUnknown)).To(gomega.ContainSubstring("answers for its address on the VLAN, as node node-3 hears"))
				})
				h.goesOn()
				return
			}
			h.answers("node-3", q, 3, "")
			now := w.held(h.now(), h.pod)
			if past := now.Status.PreviousHolders[0]; past.PodName != "ghost" || past.Reason != v1alpha1.EndPodUnknown {
				t.Errorf("the previous holder is %+v", past)
			}
			if now.Status.LeaseName != h.claim.Status.LeaseName {
				t.Errorf("the identity has lease %s and had %s", now.Status.LeaseName, h.claim.Status.LeaseName)
			}
		})
	}
}

// T12: a compromised node invents as many pods as it likes. It keeps as many addresses as its Node could attach, and loses the newest beyond;
// those are released, and cool for longer than others, while a pod that is there keeps its own.
func TestT12InventedLeases(t *testing.T) {
	const pods, perPod, invented = 4, 16, 67
	h := newHold(t, managerOptions{doubt: holdGrace})
	changeStatus(h.world, h.node, func(n *corev1.Node) {
		n.Status.Allocatable = corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(pods, resource.DecimalSI)}
	})
	for i := range invented {
		name := fmt.Sprintf("ghost-%d", i)
		workload := v1alpha1.Workload{Kind: v1alpha1.WorkloadPod, Name: name, Interface: "net1"}
		claim := &v1alpha1.MacClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: name, Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
			Spec: v1alpha1.MacClaimSpec{
				PoolRef: v1alpha1.PoolRef{Name: h.pool.Name}, Workload: &workload, Retain: &metav1.Duration{Duration: 2 * time.Second},
			},
		}
		h.create(claim)
		h.writesHolder(claim, name, types.UID(fmt.Sprintf("0-%d", i)), h.node.Name)
	}
	count := func(g gomega.Gomega) (suspect, released int) {
		var claims v1alpha1.MacClaimList
		g.Expect(h.List(t.Context(), &claims, client.InNamespace(h.ns))).To(gomega.Succeed())
		for i := range claims.Items {
			for _, c := range claims.Items[i].Status.Conditions {
				if c.Type == v1alpha1.ClaimSuspect && c.Reason == v1alpha1.ClaimReasonPodUnknown && claims.Items[i].Status.Holder != nil {
					suspect++
				}
			}
		}
		var leases v1alpha1.MacLeaseList
		g.Expect(h.List(t.Context(), &leases, client.MatchingFields{"spec.poolName": h.pool.Name})).To(gomega.Succeed())
		for i := range leases.Items {
			if lease := &leases.Items[i]; lease.Spec.ReleasedAt != nil {
				g.Expect(lease.Spec.History[0].Reason).To(gomega.Equal(v1alpha1.EndPodUnknown))
				g.Expect(lease.Spec.History[0].Evidence).To(gomega.ContainSubstring("node node-1 keeps addresses for 64 of that kind"))
				released++
			}
		}
		return suspect, released
	}
	h.within(2*time.Minute, func(g gomega.Gomega) { // 67 claims pass through, one write after the other
		suspect, released := count(g)
		g.Expect(suspect).To(gomega.Equal(pods * perPod))
		g.Expect(released).To(gomega.Equal(invented - pods*perPod))
	})
	h.never("more than those were ended", func() bool {
		suspect, _ := count(gomega.NewWithT(t))
		return suspect != pods*perPod
	})
	if !h.isHeld() {
		t.Errorf("the pod that is there holds its claim no more: %+v", h.now().Status)
	}
}
