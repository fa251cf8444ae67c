// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

func TestClaimOfPerson(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	w.claim(ns, "early", &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "later"}})
	w.refused(ns, "early", "PoolUnknown")
	pool := w.pool("192.168.50.0/24", func(p *v1alpha1.MacPool) { p.Name = "later" })
	claim := w.bound(ns, "early")
	if len(claim.Finalizers) != 0 {
		t.Errorf("the claim cannot go without us (R-P5): %v", claim.Finalizers)
	}
	lease := w.lease(claim.Status.LeaseName)
	if lease == nil || lease.Spec.ClaimRef.UID != claim.UID || string(lease.Spec.MAC) != claim.Status.MAC {
		t.Fatalf("claim %v, lease %v", claim.Status, lease)
	}

	// It outlives pods of any name, and ends when the person says so.
	w.network(ns, "iot", pool.Name)
	w.remove(w.pod(ns, "early", "iot"))
	w.remove(claim)
	w.gone(claim)
	w.eventually(func(g gomega.Gomega) {
		lease := w.lease(lease.Name)
		g.Expect(lease).NotTo(gomega.BeNil())
		g.Expect(lease.Spec.ReleasedAt).NotTo(gomega.BeNil())
		g.Expect(lease.Spec.History).To(gomega.HaveLen(1))
		g.Expect(lease.Spec.History[0].Evidence).To(gomega.Equal("claim deleted; it was never attached"))
	})

	// Its identity may have it back while it cools (R-G8).
	w.claim(ns, "early", pool)
	if again := w.bound(ns, "early"); again.Status.LeaseName != lease.Name {
		t.Errorf("it came back to %s, not %s", again.Status.LeaseName, lease.Name)
	}
}

func TestBarePodKeepsItsClaimForItsLife(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	pod := w.pod(ns, "pod", "iot", on("node-1"))
	claim := w.held(w.bound(ns, "pod."+pool.Name+".net1"), pod)
	w.remove(pod)
	w.never("the claim ended while a node held it", func() bool {
		now := w.claimNow(ns, claim.Name)
		return now == nil || !now.DeletionTimestamp.IsZero()
	})
	w.detach(claim)
	w.gone(claim)
	w.eventually(func(g gomega.Gomega) {
		lease := w.lease(claim.Status.LeaseName)
		g.Expect(lease.Spec.ReleasedAt).NotTo(gomega.BeNil())
		g.Expect(lease.Spec.NodeName).To(gomega.BeEmpty())
		g.Expect(lease.Spec.History[0].Evidence).To(gomega.Equal("workload gone, claim deleted; the agent of node node-1 attests that no interface of it is left"))
		g.Expect(lease.Spec.History[0].PodName).To(gomega.Equal("pod"))
	})
}

func TestBarePodThatWasNeverAttached(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	pod := w.pod(ns, "pod", "iot")
	claim := w.bound(ns, "pod."+pool.Name+".net1")
	w.remove(pod)
	w.gone(claim)
}

func TestStatefulSetKeepsItsAddress(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	set := w.statefulSet(ns)
	var first *v1alpha1.MacClaim
	for generation, node := range []string{"node-1", "node-2", "node-1"} {
		pod := w.pod(ns, "db-0", "iot", ownedBy(set), on(node))
		claim := w.held(w.bound(ns, "db-0."+pool.Name+".net1"), pod)
		if first == nil {
			first = claim
		}
		if claim.UID != first.UID || claim.Status.MAC != first.Status.MAC || claim.Status.LeaseName != first.Status.LeaseName {
			t.Errorf("on %s it has %v, at first %v", node, claim.Status, first.Status)
		}
		if holder := claim.Status.Holder; holder.NodeName != node || holder.Generation != int64(generation+1) {
			t.Errorf("on %s its holder is %v", node, holder)
		}
		w.remove(pod)
		w.detach(claim)
		w.never("the claim ended with its pod", func() bool { return w.claimNow(ns, claim.Name) == nil })
	}
}

func TestClaimIsRetainedAfterItsStatefulSet(t *testing.T) {
	w := newWorld(t)
	now := testclock.NewFakePassiveClock(time.Now())
	w.startManager(managerOptions{clock: now})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", func(p *v1alpha1.MacPool) { p.Spec.Retain = &metav1.Duration{Duration: 2 * time.Hour} })
	w.network(ns, "iot", pool.Name)
	set := w.statefulSet(ns)
	pod := w.pod(ns, "db-0", "iot", ownedBy(set), on("node-1"))
	claim := w.held(w.bound(ns, "db-0."+pool.Name+".net1"), pod)
	ended := func(g gomega.Gomega) *metav1.Condition {
		current := w.claimNow(ns, claim.Name)
		g.Expect(current).NotTo(gomega.BeNil())
		return apimeta.FindStatusCondition(current.Status.Conditions, v1alpha1.ClaimEnded)
	}

	w.remove(set)
	w.remove(pod)
	w.never("the claim ended while a node held it", func() bool { return ended(gomega.NewWithT(t)) != nil })
	w.detach(claim)
	w.eventually(func(g gomega.Gomega) {
		c := ended(g)
		g.Expect(c).NotTo(gomega.BeNil())
		g.Expect(c.Status).To(gomega.Equal(metav1.ConditionTrue))
		g.Expect(c.Reason).To(gomega.Equal(v1alpha1.ClaimReasonWorkloadGone))
	})

	// The set comes back in time.
	now.SetTime(now.Now().Add(119 * time.Minute))
	set = w.statefulSet(ns)
	w.eventually(func(g gomega.Gomega) { g.Expect(ended(g)).To(gomega.BeNil()) })
	w.remove(set)
	w.eventually(func(g gomega.Gomega) { g.Expect(ended(g)).NotTo(gomega.BeNil()) })

	touch := func(value string) {
		change(w, claim, func(c *v1alpha1.MacClaim) { c.Labels["looked"] = value })
	}
	now.SetTime(now.Now().Add(119 * time.Minute))
	touch("early")
	w.never("the claim was not retained", func() bool { return w.claimNow(ns, claim.Name) == nil })
	now.SetTime(now.Now().Add(2 * time.Minute))
	touch("late")
	w.gone(claim)
	w.released(claim.Status.LeaseName)
}

func TestDeletionWaitsForTheHolder(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	pod := w.pod(ns, "camera", "iot", on("node-1"))
	claim := w.held(w.bound(ns, "camera."+pool.Name+".net1"), pod)
	// As the namespace controller does.
	deleteAll := func() error {
		return w.DeleteAllOf(t.Context(), &v1alpha1.MacClaim{}, client.InNamespace(ns))
	}
	w.never("the address was freed under its pod (R-P4)", func() bool {
		err := deleteAll()
		if want := "in use by pod camera on node node-1"; !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("the deletion was answered with %v, want %q", err, want)
		}
		lease, now := w.lease(claim.Status.LeaseName), w.claimNow(ns, claim.Name)
		return now == nil || !now.DeletionTimestamp.IsZero() || lease == nil || lease.Spec.ReleasedAt != nil
	})
	w.remove(pod)
	w.detach(w.claimNow(ns, claim.Name))
	w.eventually(func(g gomega.Gomega) { g.Expect(deleteAll()).To(gomega.Succeed()) })
	w.gone(claim)
	if evidence := w.released(claim.Status.LeaseName); evidence != "workload gone, claim deleted; the agent of node node-1 attests that no interface of it is left" {
		t.Errorf("evidence %q", evidence)
	}
}

// A finalizer of somebody else is respected: the lease stays with the claim, which is given to nobody meanwhile.
func TestFinalizerOfSomebodyElse(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	claim := w.claim(ns, "camera."+pool.Name+".net1", pool)
	w.bound(ns, claim.Name)
	change(w, claim, func(c *v1alpha1.MacClaim) { c.Finalizers = []string{"example.com/mine"} })
	w.remove(claim)
	pod := w.pod(ns, "camera", "iot", on("node-1"))
	if note := w.told(pod, "ClaimDeleting"); !strings.Contains(note, "MP212") {
		t.Errorf("note %q", note)
	}
	w.never("the lease of a claim that is still there was touched", func() bool {
		now, lease := w.claimNow(ns, claim.Name), w.lease(claim.Status.LeaseName)
		return now == nil || now.Status.Holder != nil || lease == nil || lease.Spec.ReleasedAt != nil
	})
	change(w, claim, func(c *v1alpha1.MacClaim) { c.Finalizers = nil })
	w.eventually(func(g gomega.Gomega) {
		now := w.claimNow(ns, claim.Name)
		g.Expect(now).NotTo(gomega.BeNil())
		g.Expect(now.UID).NotTo(gomega.Equal(claim.UID))
		g.Expect(now.Status.LeaseName).To(gomega.Equal(claim.Status.LeaseName))
		g.Expect(now.Status.Holder).NotTo(gomega.BeNil())
	})
}

func TestDeletedClaimOfPodThatRunsIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	w.pod(ns, "pod", "iot")
	first := w.bound(ns, "pod."+pool.Name+".net1")
	w.remove(first)
	w.eventually(func(g gomega.Gomega) {
		claim := w.claimNow(ns, first.Name)
		g.Expect(claim).NotTo(gomega.BeNil())
		g.Expect(claim.UID).NotTo(gomega.Equal(first.UID))
		g.Expect(claim.Status.LeaseName).To(gomega.Equal(first.Status.LeaseName))
	})
}

// TestT6SquattedName : somebody makes a pod, or a claim, under the name of another's, which is not attached just now. In the same namespace it gets
// nothing, since it is of another workload; in another namespace the same name, set and claim are another identity, and the address stays with the first.
func TestT6SquattedName(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	set := w.statefulSet(ns)
	pod := w.pod(ns, "db-0", "iot", ownedBy(set), on("node-1"))
	claim := w.held(w.bound(ns, "db-0."+pool.Name+".net1"), pod)
	w.remove(pod)
	w.detach(claim)
	w.eventually(func(g gomega.Gomega) {
		claim = w.claimNow(ns, claim.Name)
		g.Expect(claim.Status.Holder).To(gomega.BeNil())
	})
	victim := w.victim(claim)

	foreign := w.namespace()
	w.network(foreign, "iot", pool.Name)
	w.personal(foreign, claim.Name, pool, *claim.Spec.Workload)
	elsewhere := w.pod(foreign, "db-0", "iot", ownedBy(w.statefulSet(foreign)), on("node-1"))
	if got := w.held(w.bound(foreign, claim.Name), elsewhere); got.Status.LeaseName == claim.Status.LeaseName {
		t.Errorf("the same names in another namespace got %s", got.Status.LeaseName)
	}
	// A bare pod under the name of the set's pod gets neither its claim nor its address.
	squatter := w.pod(ns, "db-0", "iot", on("node-1"))
	if note := w.told(squatter, "NotOurClaim"); !strings.Contains(note, "StatefulSet db-0") {
		t.Errorf("note %q", note)
	}
	if now := w.claimNow(ns, claim.Name); now.Status.Holder != nil {
		t.Errorf("the claim has the holder %v", now.Status.Holder)
	}
	w.remove(squatter)
	w.unharmed(victim)
}

func TestQuotaThatRefusesAClaim(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	hard := corev1.ResourceList{"count/macclaims.macpool.dev": resource.MustParse("0")}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}
	w.create(quota)
	// As the quota controller does.
	changeStatus(w, quota, func(q *corev1.ResourceQuota) { q.Status.Hard, q.Status.Used = hard, hard })
	w.eventually(func(g gomega.Gomega) {
		probe := &v1alpha1.MacClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "probe"}, Spec: v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: pool.Name}},
		}
		g.Expect(apierrors.IsForbidden(w.Create(t.Context(), probe, client.DryRunAll))).To(gomega.BeTrue())
	})
	pod := w.pod(ns, "pod", "iot")
	if note := w.told(pod, "ClaimRefused"); !strings.Contains(note, "MP214") || !strings.Contains(note, "exceeded quota") {
		t.Errorf("note %q", note)
	}
	if claims := w.claimsOf(pod); len(claims) != 0 {
		t.Errorf("there are claims: %v", claims)
	}
}
