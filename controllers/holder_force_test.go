// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"

	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// force annotates the claim as an administrator does.
func (h *hold) force(reason string) {
	h.t.Helper()
	change(h.world, h.now(), func(c *v1alpha1.MacClaim) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationForceRelease, reason)
	})
}

// unmarked waits until no annotation is left, or the claim is gone.
func (h *hold) unmarked() {
	h.t.Helper()
	h.eventually(func(g gomega.Gomega) {
		if now := h.now(); now != nil {
			g.Expect(now.Annotations).To(gomega.BeEmpty())
		}
	})
}

// An administrator takes the claim from its holder, with a reason that is kept (R-G4).
func TestForcedRelease(t *testing.T) {
	h := newHold(t, managerOptions{})
	set := h.statefulSet(h.ns)
	pod := h.world.pod(h.ns, "db-0", "iot", ownedBy(set), on(h.node.Name))
	h.pod, h.claim = pod, h.held(h.bound(h.ns, "db-0."+h.pool.Name+".net1"), pod)
	h.remove(pod)
	h.goesOn()
	h.force("the machine was sold")
	if reason, evidence := h.ended(); reason != v1alpha1.EndForced || evidence != "forced: the machine was sold" {
		t.Errorf("it ended as %s: %s", reason, evidence)
	}
	h.unmarked()
	if note := h.told(h.claim, string(v1alpha1.EndForced)); !strings.Contains(note, "the machine was sold") {
		t.Errorf("event %q", note)
	}

	// The same reason again, for the next pod: it is another hold, and another wish.
	next := h.world.pod(h.ns, "db-0", "iot", ownedBy(set), on(h.node.Name))
	h.pod, h.claim = next, h.held(h.claim, next)
	h.goesOn()
	h.force("the machine was sold")
	h.ended()
	h.unmarked()
	if note := h.told(next, string(v1alpha1.EndForced)); !strings.Contains(note, "holds "+"["+h.claim.Status.IPs[0]) {
		t.Errorf("the pod, which is still there, was told %q", note)
	}
	if now := h.now(); len(now.Status.PreviousHolders) != 2 || now.Status.PreviousHolders[0].Generation != 2 {
		t.Errorf("remembered are %+v", now.Status.PreviousHolders)
	}

	// Without holder there is nothing to release, and the wish does not wait for the next one.
	h.force("once more")
	h.unmarked()
	third := h.world.pod(h.ns, "db-0-x", "")
	if third.Name == "" || len(h.now().Status.PreviousHolders) != 2 {
		t.Error("something was released")
	}
}

// The wish is about the hold that the administrator saw: a manager that ended between two of its writes does not end the next one.
func TestForcedReleaseIsCutOff(t *testing.T) {
	for name, tc := range map[string]struct {
		upTo string
		ends bool
	}{
		"before anything was written":             {"", true},
		"after it was written down what is meant": {"1", true},
		"after the holder was cleared":            {"0", false}, // and there is a new one, with the next generation
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, stop := w.startManager(managerOptions{})
			node, ns, pool := w.node("node-1"), w.namespace(), w.pool("192.168.50.0/24")
			w.network(ns, "iot", pool.Name)
			pod := w.pod(ns, "camera", "iot", on(node.Name))
			h := &hold{world: w, ns: ns, pool: pool, node: node, pod: pod, claim: w.held(w.bound(ns, "camera."+pool.Name+".net1"), pod)}
			stop()
			change(w, h.now(), func(c *v1alpha1.MacClaim) {
				metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationForceRelease, "sold")
				if tc.upTo != "" {
					metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationForceReleaseUpTo, tc.upTo)
				}
			})
			w.startManager(managerOptions{})
			h.unmarked()
			if held := h.isHeld(); held == tc.ends {
				t.Errorf("held: %v", held)
			}
		})
	}
}

// A claim that is forced from its pod can be deleted, which before it could not be.
func TestForcedClaimCanGo(t *testing.T) {
	h := newHold(t, managerOptions{})
	if err := h.Delete(t.Context(), h.now()); !apierrors.IsForbidden(err) {
		t.Fatalf("got %v, want a refusal", err)
	}
	h.force("")
	if _, evidence := h.ended(); evidence != "forced: no reason given" {
		t.Errorf("evidence %q", evidence)
	}
	h.remove(h.now())
	// The pod still exists, and gets a claim again: that may take the lease over before its end is written.
	h.eventually(func(g gomega.Gomega) {
		lease := h.lease(h.claim.Status.LeaseName)
		g.Expect(lease.Spec.History).NotTo(gomega.BeEmpty())
		g.Expect(lease.Spec.ReleasedAt != nil || lease.Spec.ClaimRef.UID != h.claim.UID).To(gomega.BeTrue())
	})
}
