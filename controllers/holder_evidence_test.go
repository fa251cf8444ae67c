// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// The table of evidence (R-G4, R-G1): what is gone from the API, or named otherwise there, has not stopped sending for that.
func TestEvidenceKeeps(t *testing.T) {
	gone := func(h *hold) { h.remove(h.pod) }
	for name, tc := range map[string]struct {
		do func(*hold)
		// suspect is the reason of the condition, none if nothing is suspicious; says is in its message.
		suspect, says string
	}{
		"alive, ready":  {do: func(*hold) {}},
		"alive, silent": {do: func(h *hold) { h.ready(h.node, corev1.ConditionUnknown) }},
		"alive, fenced": {do: func(h *hold) {
			h.ready(h.node, corev1.ConditionUnknown)
			h.fence(h.node)
		}},
		"alive, deleted": {do: func(h *hold) { h.remove(h.node) }},
		// Evicted from a node that is cut off: the pod is marked, and nobody there carries it out (M15, F14).
		"terminating, silent": {do: func(h *hold) {
			h.ready(h.node, corev1.ConditionUnknown)
			if err := h.Delete(h.t.Context(), h.pod); err != nil {
				h.t.Fatal(err)
			}
		}},
		// The agent of a ready node has the word: F16, F20, F21.
		"gone, ready":     {do: gone},
		"finished, ready": {do: func(h *hold) { finish(h, corev1.PodFailed) }},
		"gone, ready, and a taint that somebody forgot": {do: func(h *hold) {
			h.fence(h.node)
			gone(h)
		}},
		// F14: the partition of a node from the API alone, and every other silence.
		"gone, silent": {
			do: func(h *hold) {
				h.ready(h.node, corev1.ConditionUnknown)
				gone(h)
			},
			suspect: v1alpha1.ClaimReasonNodeSilent, says: "is gone from the API, and its node does not answer",
		},
		"gone, not ready": {
			do: func(h *hold) {
				gone(h)
				h.ready(h.node, corev1.ConditionFalse)
			},
			suspect: v1alpha1.ClaimReasonNodeSilent, says: "is gone from the API, and its node does not answer",
		},
		// A node that was shut down in an orderly way leaves its pods finished.
		"finished, silent": {
			do: func(h *hold) {
				finish(h, corev1.PodSucceeded)
				h.ready(h.node, corev1.ConditionUnknown)
			},
			suspect: v1alpha1.ClaimReasonNodeSilent, says: "has finished, and its node does not answer",
		},
		// A pod of the same name is another pod (M04).
		"another one of the name, silent": {
			do: func(h *hold) {
				h.ready(h.node, corev1.ConditionUnknown)
				gone(h)
				h.world.pod(h.ns, h.pod.Name, "")
			},
			suspect: v1alpha1.ClaimReasonNodeSilent, says: "is gone from the API",
		},
		"gone, deleted": {
			do: func(h *hold) {
				gone(h)
				h.remove(h.node)
			},
			suspect: v1alpha1.ClaimReasonNodeDeleted, says: "there are no two other nodes that could ask the VLAN",
		},
		// A Node made again under the name is another node, whatever it says (R-G10).
		"gone, made again": {
			do: func(h *hold) {
				gone(h)
				h.remove(h.node)
				h.world.node(h.node.Name)
			},
			suspect: v1alpha1.ClaimReasonNodeDeleted, says: "its node was deleted",
		},
		"gone, made again and fenced": {
			do: func(h *hold) {
				gone(h)
				h.remove(h.node)
				again := h.world.node(h.node.Name)
				h.ready(again, corev1.ConditionUnknown)
				h.fence(again)
			},
			suspect: v1alpha1.ClaimReasonNodeDeleted, says: "its node was deleted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHold(t, managerOptions{})
			tc.do(h)
			if tc.suspect == "" {
				h.goesOn()
				h.trusted()
				return
			}
			message := h.suspected(tc.suspect)
			if !strings.Contains(message, tc.says) || !strings.Contains(message, "pod camera") || !strings.Contains(message, "its address is kept") {
				t.Errorf("message %q lacks %q", message, tc.says)
			}
			h.goesOn()
			if note := h.told(h.now(), problem.HolderSuspect.Reason); !strings.Contains(note, tc.says) {
				t.Errorf("event %q lacks %q", note, tc.says)
			}
			h.eventually(func(g gomega.Gomega) {
				g.Expect(h.Get(t.Context(), keyOf(h.pool), h.pool)).To(gomega.Succeed())
				g.Expect(h.pool.Status.Suspect).To(gomega.HaveValue(gomega.BeEquivalentTo(1)))
			})
			// Whatever comes of it, the word of the node's agent is the last one.
			h.detach(h.now())
			if reason, _ := h.ended(); reason != v1alpha1.EndAgentReport {
				t.Errorf("it ended as %s", reason)
			}
			h.eventually(func(g gomega.Gomega) {
				g.Expect(h.Get(t.Context(), keyOf(h.pool), h.pool)).To(gomega.Succeed())
				g.Expect(h.pool.Status.Suspect).To(gomega.HaveValue(gomega.BeEquivalentTo(0)))
			})
		})
	}
}

func finish(h *hold, phase corev1.PodPhase) {
	h.t.Helper()
	changeStatus(h.world, h.pod, func(p *corev1.Pod) { p.Status.Phase = phase })
}

// A node that is fenced is off, and so are its interfaces (R-G4, F22). Its address cools for long.
func TestOutOfServiceEndsAHold(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(*hold)
		want string
	}{
		"the pod is gone": {
			func(h *hold) { h.remove(h.pod) },
			"node node-1 is out of service by its taint, and does not answer; the pod is gone from the API",
		},
		"the pod has finished": {
			func(h *hold) { finish(h, corev1.PodSucceeded) },
			"node node-1 is out of service by its taint, and does not answer; the pod has finished",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHold(t, managerOptions{}, cooling(0, time.Hour))
			h.ready(h.node, corev1.ConditionUnknown)
			tc.do(h)
			h.suspected(v1alpha1.ClaimReasonNodeSilent)
			h.goesOn()
			h.fence(h.node)
			reason, evidence := h.ended()
			if reason != v1alpha1.EndOutOfService || !strings.Contains(evidence, tc.want) {
				t.Errorf("it ended as %s: %s", reason, evidence)
			}
			if note := h.told(h.claim, string(v1alpha1.EndOutOfService)); !strings.Contains(note, tc.want) || !strings.Contains(note, h.claim.Status.MAC) {
				t.Errorf("event %q", note)
			}
			evidence = h.released(h.claim.Status.LeaseName)
			if want := "workload gone, claim deleted; " + tc.want; evidence != want {
				t.Errorf("the lease says %q, want %q", evidence, want)
			}
			h.never("the address did not cool", func() bool { return h.lease(h.claim.Status.LeaseName).Spec.ReusableAt != nil })
		})
	}
}

// A node that comes back without the interface having gone keeps it, and nobody is told anything any more; if it does not let go,
// somebody is (F14, F20).
func TestNodeComesBack(t *testing.T) {
	h := newHold(t, managerOptions{patience: 3 * time.Second})
	h.ready(h.node, corev1.ConditionUnknown)
	h.remove(h.pod)
	h.suspected(v1alpha1.ClaimReasonNodeSilent)
	h.ready(h.node, corev1.ConditionTrue)
	h.trusted()
	message := h.suspected(v1alpha1.ClaimReasonStillAttached)
	if want := "the agent of its node has not said that its interface is, although the node is ready"; !strings.Contains(message, want) {
		t.Errorf("message %q lacks %q", message, want)
	}
	h.goesOn()
	h.detach(h.now())
	if reason, _ := h.ended(); reason != v1alpha1.EndAgentReport {
		t.Errorf("it ended as %s", reason)
	}
}

// A pod of a StatefulSet that was replaced on another node: the old hold ends by the fence, the new pod gets the same address, and
// nothing that was known of the old one touches it (M05, F22).
func TestReplacedPodAfterAFence(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	old, other := w.node("node-1"), w.node("node-2")
	w.network(ns, "iot", pool.Name)
	set := w.statefulSet(ns)
	first := w.pod(ns, "db-0", "iot", ownedBy(set), on(old.Name))
	claim := w.held(w.bound(ns, "db-0."+pool.Name+".net1"), first)
	h := &hold{world: w, ns: ns, pool: pool, node: old, pod: first, claim: claim}
	h.ready(old, corev1.ConditionUnknown)
	h.remove(first)
	second := w.pod(ns, "db-0", "iot", ownedBy(set), on(other.Name))
	h.suspected(v1alpha1.ClaimReasonNodeSilent)
	h.goesOn()
	h.fence(old)
	now := w.held(claim, second)
	if now.Status.LeaseName != claim.Status.LeaseName || now.Status.Holder.Generation != 2 || now.Status.Holder.NodeUID != other.UID {
		t.Errorf("the new pod holds %+v", now.Status)
	}
	if past := now.Status.PreviousHolders[0]; past.PodUID != first.UID || past.Reason != v1alpha1.EndOutOfService {
		t.Errorf("the old hold is remembered as %+v", past)
	}
	h.claim = now
	h.remove(old)
	h.goesOn()
	h.trusted()
}

// TestT2EditedPodIsNoEvidence : a tenant edits a running pod, so that its address seems free or seems to be another. Nothing that can be edited about a
// pod frees or moves its lease (R-S5, M03): not its network-status, not which networks, address or claim it asks for, not its labels or owners. The
// UID that a static pod's mirror names counts, and cannot be given to a pod that is there.
func TestT2EditedPodIsNoEvidence(t *testing.T) {
	h := newHold(t, managerOptions{})
	before := h.victim(h.claim)
	h.world.claim(h.ns, "other", h.world.pool("192.168.60.0/24"))
	for _, edit := range []func(*corev1.Pod){
		func(p *corev1.Pod) { p.Annotations["k8s.v1.cni.cncf.io/network-status"] = "[]" },
		func(p *corev1.Pod) {
			p.Annotations["k8s.v1.cni.cncf.io/network-status"] = `[{"name": "iot", "interface": "net1", "ips": ["192.168.50.250"], "mac": "02:32:00:a8:32:fa"}]`
			p.Annotations["k8s.v1.cni.cncf.io/networks"] = `[{"name": "iot", "ips": ["192.168.50.250"]}]`
		},
		func(p *corev1.Pod) {
			p.Annotations["k8s.v1.cni.cncf.io/networks"] = `[{"name": "iot", "cni-args": {"claim": "other"}}]`
			p.Annotations["kubernetes.io/config.hash"] = "of-another"
		},
		func(p *corev1.Pod) {
			p.Labels = map[string]string{"gone": "yes"}
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "gone", UID: "gone", Controller: new(true)}}
			p.Annotations["k8s.v1.cni.cncf.io/networks"] = "other"
		},
		func(p *corev1.Pod) { p.Annotations, p.OwnerReferences = nil, nil },
	} {
		change(h.world, h.pod, edit)
		// Only now its node is lost, which has the holder looked at.
		h.ready(h.node, corev1.ConditionUnknown)
		h.fence(h.node)
		h.goesOn()
		h.trusted()
		change(h.world, h.node, func(n *corev1.Node) { n.Spec.Taints = nil })
		h.ready(h.node, corev1.ConditionTrue)
	}
	h.kept(h.claim)
	h.unharmed(before)
	mirror := h.pod.DeepCopy()
	metav1.SetMetaDataAnnotation(&mirror.ObjectMeta, "kubernetes.io/config.mirror", "of-another")
	if err := h.Update(t.Context(), mirror); !apierrors.IsInvalid(err) {
		t.Errorf("a pod was made a mirror: %v", err)
	}
}
