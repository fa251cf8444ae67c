// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// toldOnClaim waits for the event of the reason about the claim.
func (w *world) toldOnClaim(claim *v1alpha1.MacClaim, reason string) (note string) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) {
		var list eventsv1.EventList
		g.Expect(w.List(w.t.Context(), &list, client.InNamespace(claim.Namespace))).To(gomega.Succeed())
		for _, e := range list.Items {
			if e.Regarding.UID == claim.UID && e.Reason == reason {
				note = e.Note
			}
		}
		g.Expect(note).NotTo(gomega.BeEmpty())
	})
	return note
}

const names = `[{"name": "iot", "cni-args": {"claim": "home-assistant"}}]`

// TestRolloutThatWaitsForItself : a rolling update of a Deployment whose template names a claim. Within 5 seconds pod and claim are told who
// holds it and what helps; and it goes on when that is done.
func TestRolloutThatWaitsForItself(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	pool := w.pool("192.168.50.0/24")
	for name, remedy := range map[string]func(w *world, claim *v1alpha1.MacClaim, old *corev1.Pod){
		"the old pod goes first": func(w *world, claim *v1alpha1.MacClaim, old *corev1.Pod) {
			w.remove(old)
			w.detach(claim)
		},
		"the claim is told to preempt": func(w *world, claim *v1alpha1.MacClaim, _ *corev1.Pod) {
			change(w, claim.DeepCopy(), func(c *v1alpha1.MacClaim) { c.Spec.Handover = v1alpha1.HandoverPreempt })
			w.eventually(func(g gomega.Gomega) {
				s := w.claimNow(claim.Namespace, claim.Name).Status.Successor
				g.Expect(s).NotTo(gomega.BeNil())
				g.Expect(s.PodName).To(gomega.Equal("ha-2"))
				g.Expect(s.NodeName).To(gomega.Equal("node-2"))
			})
			w.detach(claim) // as the old pod's node does, when its interface is gone
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			ns := w.namespace()
			w.network(ns, "iot", pool.Name)
			w.claim(ns, "home-assistant", pool)
			old := w.pod(ns, "ha-1", names, on("node-1"), deployedBy("home-assistant", "7c9f"))
			claim := w.held(w.bound(ns, "home-assistant"), old)
			began := time.Now()
			next := w.pod(ns, "ha-2", names, on("node-2"), deployedBy("home-assistant", "8d00"))
			for _, note := range []string{w.told(next, "RolloutWaits"), w.toldOnClaim(claim, "RolloutWaits")} {
				for _, want := range []string{"MP223", "Deployment home-assistant", "held by pod ha-1 on node node-1", "strategy: Recreate", "maxSurge: 0"} {
					if !strings.Contains(note, want) {
						t.Errorf("the event says %q, without %q", note, want)
					}
				}
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			remedy(w, claim, old)
			after := w.held(w.bound(ns, "home-assistant"), next)
			if after.Status.LeaseName != claim.Status.LeaseName || after.Status.Holder.Generation != 2 || after.Status.Successor != nil {
				t.Errorf("it became %+v", after.Status)
			}
		})
	}
}

// TestStandings is who is told what of a claim that another pod holds, and who is to make way.
func TestStandings(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	pool := w.pool("192.168.50.0/24")
	ending := func(p *corev1.Pod) { p.Finalizers = []string{"test.macpool.dev/kept"} }
	for name, tc := range map[string]struct {
		preempt bool
		old     func(w *world, old *corev1.Pod, claim *v1alpha1.MacClaim)
		hash    string
		reason  string
		says    string
	}{
		"two replicas":                 {hash: "7c9f", reason: problem.OneClaimManyPods.Reason, says: "replicas: 1"},
		"the old pod is ending":        {hash: "8d00", old: func(w *world, old *corev1.Pod, _ *v1alpha1.MacClaim) { w.remove(old) }, reason: "ClaimHeld", says: "That pod is ending"},
		"nobody removes the interface": {hash: "8d00", preempt: true, reason: problem.HolderAsked.Reason, says: "macpool-agent"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			ns := w.namespace()
			w.network(ns, "iot", pool.Name)
			claim := w.claim(ns, "home-assistant", pool)
			if tc.preempt {
				change(w, claim, func(c *v1alpha1.MacClaim) { c.Spec.Handover = v1alpha1.HandoverPreempt })
			}
			old := w.pod(ns, "ha-1", names, on("node-1"), deployedBy("home-assistant", "7c9f"), ending)
			claim = w.held(w.bound(ns, "home-assistant"), old)
			if tc.old != nil {
				tc.old(w, old, claim)
			}
			next := w.pod(ns, "ha-2", names, on("node-2"), deployedBy("home-assistant", tc.hash))
			if note := w.told(next, tc.reason); !strings.Contains(note, tc.says) || !strings.Contains(note, "pod ha-1 on node node-1") {
				t.Errorf("the pod is told %q, want %q", note, tc.says)
			}
			w.toldOnClaim(claim, tc.reason)
		})
	}
}

// TestSuccessorThatGoes : the old pod has made way, and the pod that it was for is deleted. The next one gets the claim.
func TestSuccessorThatGoes(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	pool := w.pool("192.168.50.0/24")
	ns := w.namespace()
	w.network(ns, "iot", pool.Name)
	claim := w.claim(ns, "home-assistant", pool)
	w.bound(ns, "home-assistant")
	changeStatus(w, claim, func(c *v1alpha1.MacClaim) {
		c.Status.Successor = &v1alpha1.Successor{PodName: "ha-2", PodUID: "gone", NodeName: "node-2"}
	})
	next := w.pod(ns, "ha-3", names, on("node-1"), deployedBy("home-assistant", "8d00"))
	if after := w.held(w.claimNow(ns, "home-assistant"), next); after.Status.Successor != nil {
		t.Errorf("it became %+v", after.Status)
	}
	// While it lives, nobody else does.
	second := w.pod(ns, "ha-4", names, on("node-1"), deployedBy("home-assistant", "8d00"))
	w.remove(next)
	changeStatus(w, claim, func(c *v1alpha1.MacClaim) {
		c.Status.Holder = nil
		c.Status.Successor = &v1alpha1.Successor{PodName: second.Name, PodUID: second.UID, NodeName: "node-1"}
	})
	b := &binding.Binder{Client: w.Client, Index: binding.NewIndex(), Clock: clock.RealClock{}}
	if _, err := b.SetHolder(t.Context(), claim, v1alpha1.Holder{PodName: "ha-5", PodUID: "ha-5", NodeName: "node-1", Interface: "net1"}); err == nil || !strings.Contains(fmt.Sprint(err), "MP225") {
		t.Errorf("another pod was answered with %v, want MP225", err)
	}
	w.held(w.claimNow(ns, "home-assistant"), second)
}
