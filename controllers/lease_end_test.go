// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/accesstest"
	"github.com/macpool/macpool/internal/problem"
)

// withoutAgents uninstalls the agents until the test ends. Nobody clears a holder then, and the policy lets claims go that are
// held: what is deleted now is deleted by force.
func (w *world) withoutAgents() {
	w.t.Helper()
	agents, err := accesstest.Read(filepath.Join("..", "config", "agent", "daemonset.yaml"))
	if err != nil || len(agents) != 1 {
		w.t.Fatalf("%d objects, %v", len(agents), err)
	}
	w.remove(agents[0].DeepCopy())
	w.t.Cleanup(func() {
		if err := applyPolicies(w.api.admin, filepath.Join("..", "config")); err != nil {
			w.t.Error(err)
		}
	})
}

// removeByForce deletes a claim that is held.
func (w *world) removeByForce(claim *v1alpha1.MacClaim) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) { g.Expect(w.Delete(w.t.Context(), claim)).To(gomega.Succeed()) })
}

// attached is a pod on a node that holds the claim of its interface, and whose network is gone since, so that no claim is made
// for it again.
func (w *world) attached(ns string, pool *v1alpha1.MacPool) (*corev1.Pod, *v1alpha1.MacClaim) {
	w.t.Helper()
	network := w.network(ns, "iot", pool.Name)
	pod := w.pod(ns, "camera", "iot", on("node-1"))
	claim := w.held(w.bound(ns, "camera."+pool.Name+".net1"), pod)
	w.remove(network)
	return pod, claim
}

// mirrored waits until the lease of a claim names the holder's node.
func (w *world) mirrored(claim *v1alpha1.MacClaim) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.lease(claim.Status.LeaseName).Spec.NodeName).To(gomega.Equal(claim.Status.Holder.NodeName))
	})
}

// kept fails if the lease is released or becomes another claim's while its pod runs, within the time in which an orphan goes.
func (w *world) kept(claim *v1alpha1.MacClaim) {
	w.t.Helper()
	for until := time.Now().Add(2 * orphanAfter); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		lease := w.lease(claim.Status.LeaseName)
		if lease == nil || lease.Spec.ReleasedAt != nil || lease.Spec.ClaimRef.UID != claim.UID {
			w.t.Fatalf("the address of a pod that runs was given away (I2): %v", lease)
		}
	}
}

// Claims that are deleted under their pods, by whatever force (I2).
func TestClaimDeletedByForce(t *testing.T) {
	for name, tc := range map[string]struct {
		// away: no manager runs when the claim is deleted.
		away bool
		// late: nor did one when the claim got its holder.
		late bool
		want string
	}{
		"seen":                       {want: "claim deleted while node node-1 held it; its pod is gone"},
		"while the manager is away":  {away: true, want: "its claim does not exist; its pod on node node-1 is gone"},
		"and held while it was away": {away: true, late: true, want: "its claim does not exist, and no node held it"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.withoutAgents()
			_, stop := w.startManager(managerOptions{orphanAfter: orphanAfter})
			ns, pool := w.namespace(), w.pool("192.168.50.0/24", cooling(0, time.Hour))
			pod, claim := w.attached(ns, pool)
			w.mirrored(claim)
			if tc.away {
				stop()
			}
			if tc.late { // as an agent leaves it that has bound by itself
				lease := w.lease(claim.Status.LeaseName)
				change(w, lease, func(l *v1alpha1.MacLease) { l.Spec.NodeName = "" })
			}
			w.removeByForce(claim)
			if tc.away {
				w.startManager(managerOptions{orphanAfter: orphanAfter})
			}
			stranger := w.claim(ns, "stranger", pool, v1alpha1.IPAddress(claim.Status.IPs[0]))
			w.refused(ns, stranger.Name, "AddressTaken")
			w.kept(claim)

			w.remove(pod)
			if evidence := w.released(claim.Status.LeaseName); evidence != tc.want {
				t.Errorf("evidence %q, want %q", evidence, tc.want)
			}
			// No node has said that its interface is gone: it cools for long, although the pool's cooldown is 0.
			later := w.claim(ns, "later", pool, v1alpha1.IPAddress(claim.Status.IPs[0]))
			w.refused(ns, later.Name, "AddressCooling")
			w.never("it was given to a stranger at once (I6)", func() bool { return w.lease(claim.Status.LeaseName).Spec.ReusableAt != nil })
		})
	}
}

// A pod that is not on a node yet, one that has ended and one of another name keep nothing.
func TestClaimEndsBesideOtherPods(t *testing.T) {
	w := newWorld(t)
	_, stop := w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	for _, name := range []string{"waiting", "ended", "done"} {
		w.claim(ns, name+"."+pool.Name+".net1", pool)
		w.bound(ns, name+"."+pool.Name+".net1")
	}
	stop()
	w.pod(ns, "waiting", "")
	ended := w.pod(ns, "ended", "", on("node-1"))
	changeStatus(w, ended, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
	w.pod(ns, "done-0", "", on("node-1"))
	var leases []string
	for _, name := range []string{"waiting", "ended", "done"} {
		claim := w.claimNow(ns, name+"."+pool.Name+".net1")
		leases = append(leases, claim.Status.LeaseName)
		w.remove(claim)
	}
	w.startManager(managerOptions{})
	for _, lease := range leases {
		w.released(lease)
	}
}

// A claim that is made again under its name takes the lease over that its predecessor has left, released or not: its pod may
// have an interface with it.
func TestClaimMadeAgainKeepsTheAddress(t *testing.T) {
	w := newWorld(t)
	w.withoutAgents()
	w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	pod := w.pod(ns, "camera", "iot", on("node-1"))
	claim := w.held(w.bound(ns, "camera."+pool.Name+".net1"), pod)
	for range 10 {
		w.removeByForce(claim)
		var again *v1alpha1.MacClaim
		w.eventually(func(g gomega.Gomega) {
			again = w.claimNow(ns, claim.Name)
			g.Expect(again).NotTo(gomega.BeNil())
			g.Expect(again.UID).NotTo(gomega.Equal(claim.UID))
			g.Expect(again.Status.Holder).NotTo(gomega.BeNil())
		})
		if again.Status.LeaseName != claim.Status.LeaseName || again.Status.Holder.PodUID != pod.UID {
			t.Fatalf("it has %v, had %s", again.Status, claim.Status.LeaseName)
		}
		claim = again
	}
	lease := w.lease(claim.Status.LeaseName)
	if past := lease.Spec.History; lease.Spec.ClaimRef.UID != claim.UID || len(past) == 0 || past[0].Claim != claim.Name {
		t.Errorf("lease %v", lease.Spec)
	}
}

// A lease that somebody still names is not given away with the claim that it names (case 6).
func TestDisputedLeaseOutlastsItsClaim(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	w.claim(ns, "a", pool)
	a := w.bound(ns, "a")
	lease := w.lease(a.Status.LeaseName)
	w.node("node-1")
	pod := w.pod(ns, "pod", "", on("node-1"))
	changeStatus(w, a, func(c *v1alpha1.MacClaim) {
		c.Status.Generation = 1
		c.Status.Holder = &v1alpha1.Holder{
			PodName: pod.Name, PodUID: pod.UID, NodeName: "node-1", Interface: "net1", Generation: 1, Since: metav1.Now(),
		}
	})
	change(w, lease, func(l *v1alpha1.MacLease) { l.Spec.ClaimRef = v1alpha1.ClaimRef{Namespace: ns, Name: "b", UID: "0-0"} })
	w.refused(ns, "a", problem.LeaseLost.Reason)
	for until := time.Now().Add(2 * orphanAfter); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if w.lease(lease.Name).Spec.ReleasedAt != nil {
			t.Fatal("it was released")
		}
	}
	w.detach(w.claimNow(ns, "a")) // by which it gets another
	w.released(lease.Name)
}

// An address is not free before the mark of its cooldown, although its claim could vanish at any time.
func TestLeaseOfDeletedClaimCools(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", cooling(time.Hour, time.Hour))
	claim := w.claim(ns, "a", pool)
	name := w.bound(ns, "a").Status.LeaseName
	w.remove(claim)
	w.released(name)
	w.claim(ns, "b", pool, w.lease(name).Spec.IPs[0])
	w.refused(ns, "b", "AddressCooling")
	if lease := w.lease(name); lease.Spec.ReusableAt != nil || !lease.Spec.History[0].To.Equal(lease.Spec.ReleasedAt) {
		t.Errorf("lease %v", lease.Spec)
	}
}

// A lease whose claim and pod are gone is kept while its node does not answer: it may run what the API has forgotten (R-G4, M15).
func TestClaimDeletedByForceOnASilentNode(t *testing.T) {
	w := newWorld(t)
	w.withoutAgents()
	node := w.node("node-1")
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", cooling(0, time.Hour))
	pod, claim := w.attached(ns, pool)
	w.mirrored(claim)
	w.ready(node, corev1.ConditionUnknown)
	w.removeByForce(claim)
	w.remove(pod)
	w.kept(claim)
	w.kept(claim)
	w.fence(node)
	w.within(time.Minute, func(g gomega.Gomega) { g.Expect(w.lease(claim.Status.LeaseName).Spec.ReleasedAt).NotTo(gomega.BeNil()) })
	if past := w.lease(claim.Status.LeaseName).Spec.History[0]; past.PodName != pod.Name || past.NodeName != node.Name || past.Reason != v1alpha1.EndPodsGone {
		t.Errorf("remembered is %+v", past)
	}
}
