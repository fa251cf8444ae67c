// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// orphanedHold is a hold whose pod and Node are gone, with three other nodes whose agents report.
func orphanedHold(t *testing.T, change ...func(*v1alpha1.MacPool)) *hold {
	t.Helper()
	h := newHold(t, managerOptions{}, change...)
	for _, name := range []string{"node-2", "node-3", "node-4"} {
		h.world.node(name)
		h.create(&v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	h.remove(h.pod)
	h.remove(h.node)
	return h
}

// A node that was deleted may run on. The VLAN is asked, and two nodes that hear nothing in three rounds each end the hold (R-G4).
func TestWireEndsAHold(t *testing.T) {
	h := orphanedHold(t, cooling(0, time.Hour))
	if message := h.suspected(v1alpha1.ClaimReasonNodeDeleted); !strings.Contains(message, "is being asked") {
		t.Errorf("message %q", message)
	}
	q := h.question()
	want := v1alpha1.WireQuestion{
		LeaseName: h.claim.Status.LeaseName, PodUID: h.pod.UID, MAC: v1alpha1.MACAddress(h.claim.Status.MAC),
		IPs: []v1alpha1.IPAddress{v1alpha1.IPAddress(h.claim.Status.IPs[0])}, Links: []string{"eth0.50"},
	}
	if diff := cmp.Diff(want, q, cmpopts.IgnoreFields(v1alpha1.WireQuestion{}, "AskedAt")); diff != "" {
		t.Error(diff)
	}

	h.answers("node-2", q, 3, "")
	h.goesOn() // one does not do
	h.answers("node-3", q, 2, "")
	h.goesOn() // nor two rounds
	earlier := q
	earlier.AskedAt = metav1.NewTime(q.AskedAt.Add(-time.Minute))
	h.answers("node-3", earlier, 3, "")
	h.goesOn() // nor an answer to another question
	h.answers(h.node.Name, q, 3, "")
	h.goesOn() // nor the node itself, made again or not
	silent := h.world.node("node-5")
	h.ready(silent, corev1.ConditionUnknown)
	h.answers(silent.Name, q, 3, "")
	h.goesOn() // nor one that is not ready: who knows when that was
	h.answers("node-6", q, 3, "")
	h.goesOn() // nor one that is no node

	h.answers("node-3", q, 3, "")
	reason, evidence := h.ended()
	if want := "node node-1 was deleted; on the VLAN nothing answered to nodes node-2 and node-3 in 3 rounds each; the pod is gone from the API"; reason != v1alpha1.EndNodeDeleted || !strings.HasSuffix(evidence, want) {
		t.Errorf("it ended as %s: %s", reason, evidence)
	}
	h.told(h.claim, string(v1alpha1.EndNodeDeleted))
	h.released(h.claim.Status.LeaseName)
	h.never("the address did not cool", func() bool { return h.lease(h.claim.Status.LeaseName).Spec.ReusableAt != nil })
	h.eventually(func(g gomega.Gomega) {
		g.Expect(h.Get(t.Context(), keyOf(h.pool), h.pool)).To(gomega.Succeed())
		g.Expect(h.pool.Status.Questions).To(gomega.BeEmpty(), "a question that is settled is still asked")
	})
}

// One answer outweighs any silence, and is told (R-G4, M24).
func TestWireAnswers(t *testing.T) {
	h := orphanedHold(t)
	q := h.question()
	h.answers("node-2", q, 3, "")
	h.answers("node-4", q, 1, h.claim.Status.MAC)
	h.eventually(func(g gomega.Gomega) {
		g.Expect(h.suspected(v1alpha1.ClaimReasonNodeDeleted)).To(gomega.ContainSubstring(h.claim.Status.MAC + " answers for its address on the VLAN, as node node-4 hears"))
	})
	h.answers("node-3", q, 3, "")
	h.goesOn()
	if note := h.told(h.now(), problem.HolderSuspect.Reason); !strings.Contains(note, "node-1") {
		t.Errorf("event %q", note)
	}

	// Asked anew later, by a manager that has not asked yet, what was heard before counts no more, either way.
	changeStatus(h.world, h.pool, func(p *v1alpha1.MacPool) {
		p.Status.Questions[0].AskedAt = metav1.NewTime(q.AskedAt.Add(-10 * time.Minute))
	})
	h.startManager(managerOptions{})
	again := h.question(q, h.pool.Status.Questions[0])
	h.goesOn()
	if message := h.suspected(v1alpha1.ClaimReasonNodeDeleted); !strings.Contains(message, "answers for its address") {
		t.Errorf("while it is asked anew, what was heard last is not said any more: %q", message)
	}
	h.answers("node-2", again, 3, "")
	h.answers("node-3", again, 3, "")
	h.goesOn() // the two may not hear what node-4 hears
	h.answers("node-4", again, 3, "")
	if reason, _ := h.ended(); reason != v1alpha1.EndNodeDeleted {
		t.Errorf("it ended as %s", reason)
	}
}

// The pod is there after all, or the Node: nothing is asked any more, and what was answered is void (R-G3).
func TestQuestionIsWithdrawn(t *testing.T) {
	h := orphanedHold(t)
	q := h.question()
	h.answers("node-2", q, 3, "")
	h.detach(h.now())
	h.eventually(func(g gomega.Gomega) {
		g.Expect(h.Get(t.Context(), keyOf(h.pool), h.pool)).To(gomega.Succeed())
		g.Expect(h.pool.Status.Questions).To(gomega.BeEmpty())
	})
}

// A manager that starts anew goes on with the question that stands, and with its own grace (R-G8).
func TestManagerThatStartsGoesOnAsking(t *testing.T) {
	h := orphanedHold(t)
	q := h.question()
	h.startManager(managerOptions{}) // beside the other one, which does not matter
	h.goesOn()
	if now := h.question(); !now.AskedAt.Equal(&q.AskedAt) {
		t.Errorf("it was asked anew, at %v instead of %v", now.AskedAt, q.AskedAt)
	}
	h.answers("node-2", q, 3, "")
	h.answers("node-3", q, 3, "")
	if reason, _ := h.ended(); reason != v1alpha1.EndNodeDeleted {
		t.Errorf("it ended as %s", reason)
	}
}

// Without a link nobody can ask, and that is said.
func TestNoLinkNoQuestion(t *testing.T) {
	h := newHold(t, managerOptions{})
	h.networkOf(h.ns, "other", `{"cniVersion": "1.0.0", "name": "other", "plugins": [{"type": "vlan", "master": "eth0", "vlanId": 50, "ipam": {"type": "macpool", "pool": "`+h.pool.Name+`"}}]}`)
	nad := h.networkOf(h.ns, "unused", `{}`)
	nad.Name = "iot"
	h.remove(nad)
	h.remove(h.pod)
	h.remove(h.node)
	h.eventually(func(g gomega.Gomega) {
		g.Expect(h.suspected(v1alpha1.ClaimReasonNodeDeleted)).To(gomega.ContainSubstring("no network of the pool names a link"))
	})
	h.goesOn()
	if err := h.Get(t.Context(), keyOf(h.pool), h.pool); err != nil || len(h.pool.Status.Questions) != 0 {
		t.Errorf("%v, questions %v", err, h.pool.Status.Questions)
	}
}
