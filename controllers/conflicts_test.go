// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

const strangerMAC = "02:00:00:00:00:66"

// marked sets a stranger's mark on a lease, as an agent does that gives the claim another address.
func (w *world) marked(lease *v1alpha1.MacLease, seen time.Time, released bool) {
	w.t.Helper()
	change(w, lease, func(l *v1alpha1.MacLease) {
		at := metav1.NewTime(seen.Truncate(time.Second))
		l.Spec.Conflict = &v1alpha1.Conflict{MAC: strangerMAC, NodeName: "node-1", SeenAt: at}
		if released {
			l.Spec.ReleasedAt = &at
			l.Spec.History = []v1alpha1.LeaseHistory{{
				Namespace: l.Spec.ClaimRef.Namespace, Claim: l.Spec.ClaimRef.Name, From: l.Spec.LeasedAt, To: at,
				Reason: v1alpha1.EndConflicted, Evidence: "as the test says",
			}}
		}
	})
}

// R-L2: an address that a stranger uses is given to nobody for as long as the pool's hold, as the manager has seen it, whosever clock has
// dated it; then it cools like any other, and is given out again.
func TestConflictHold(t *testing.T) {
	w := newWorld(t)
	now := testclock.NewFakePassiveClock(time.Now())
	w.startManager(managerOptions{clock: now})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", cooling(0, time.Hour), func(p *v1alpha1.MacPool) {
		p.Spec.ConflictDetection = &v1alpha1.ConflictDetection{Mode: v1alpha1.ConflictProbe, Hold: &metav1.Duration{Duration: 20 * time.Minute}}
	})
	lease := w.strayLease(pool, &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "never", UID: "0-0"}})
	w.marked(lease, now.Now().Add(-time.Hour), true)
	w.claim(ns, "a", pool, "192.168.50.200")
	if message := w.refused(ns, "a", "AddressConflict"); !strings.Contains(message, strangerMAC) {
		t.Errorf("message %q", message)
	}
	message := w.poolCondition(pool, v1alpha1.PoolAddressesInConflict, metav1.ConditionTrue, v1alpha1.PoolReasonStrangers)
	if !strings.Contains(message, "192.168.50.200 is used by "+strangerMAC+" (heard by node node-1)") {
		t.Errorf("the pool says %q", message)
	}
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(t.Context(), client.ObjectKeyFromObject(pool), pool)).To(gomega.Succeed())
		g.Expect(*pool.Status.Conflicted).To(gomega.Equal(int64(1)))
	})

	looked := 0
	look := func() {
		looked++
		change(w, w.lease(lease.Name), func(l *v1alpha1.MacLease) {
			l.Annotations = map[string]string{"looked": strings.Repeat("x", looked)}
		})
	}
	look()
	w.afterSecondLook()
	now.SetTime(now.Now().Add(20*time.Minute - time.Second))
	look()
	w.never("the mark was taken away before its time", func() bool { return w.lease(lease.Name).Spec.Conflict == nil })
	now.SetTime(now.Now().Add(time.Second))
	look()
	w.eventually(func(g gomega.Gomega) {
		now := w.lease(lease.Name)
		g.Expect(now).NotTo(gomega.BeNil()) // a bind that was overtaken takes its lease away, and the next one makes it again
		g.Expect(now.Spec.Conflict).To(gomega.BeNil())
	})
	if claim := w.bound(ns, "a"); claim.Status.LeaseName != lease.Name {
		t.Errorf("the claim that asks for it has %s", claim.Status.LeaseName)
	}
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(t.Context(), client.ObjectKeyFromObject(pool), pool)).To(gomega.Succeed())
		g.Expect(apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolAddressesInConflict)).To(gomega.BeNil())
	})
}

// R-L2: a claim that must have its address keeps it, and says who uses it. When the claim goes, the address is kept from all others until
// the hold is over, and is released then.
func TestConflictOfAClaimThatKeepsItsAddress(t *testing.T) {
	w := newWorld(t)
	now := testclock.NewFakePassiveClock(time.Now())
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", cooling(0, time.Hour))
	w.startManager(managerOptions{clock: now})
	claim := w.claim(ns, "a", pool, "192.168.50.200")
	name := w.bound(ns, "a").Status.LeaseName
	w.marked(w.lease(name), now.Now(), false)
	w.eventually(func(g gomega.Gomega) {
		ready := apimeta.FindStatusCondition(w.claimNow(ns, "a").Status.Conditions, v1alpha1.ClaimReady)
		g.Expect(ready).NotTo(gomega.BeNil())
		g.Expect(ready.Reason).To(gomega.Equal("AddressConflict"))
		g.Expect(ready.Message).To(gomega.ContainSubstring(strangerMAC))
	})
	if got := w.claimNow(ns, "a").Status.LeaseName; got != name {
		t.Errorf("the claim has %q now", got)
	}
	w.remove(claim)
	w.never("the address was released while a stranger uses it", func() bool { return w.lease(name).Spec.ReleasedAt != nil })
	now.SetTime(now.Now().Add(10 * time.Minute))
	change(w, w.lease(name), func(l *v1alpha1.MacLease) { l.Annotations = map[string]string{"looked": "again"} })
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.lease(name).Spec.Conflict).To(gomega.BeNil())
		g.Expect(w.lease(name).Spec.ReleasedAt).NotTo(gomega.BeNil())
	})
}

// R-L4: what a node has heard of an address that a pod has stands in the condition of the pool, and changes no lease. The links of the
// pool's networks are named, by which agents ask ahead of an ADD.
func TestStrangersInThePoolsStatus(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(t.Context(), client.ObjectKeyFromObject(pool), pool)).To(gomega.Succeed())
		g.Expect(pool.Status.Links).To(gomega.Equal([]string{"eth0.50"}))
	})
	w.claim(ns, "a", pool)
	lease := w.lease(w.bound(ns, "a").Status.LeaseName)
	w.node("node-1") // without its Node it would be deleted
	node := &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}
	w.create(node)
	changeStatus(w, node, func(n *v1alpha1.MacNode) {
		n.Status.Strangers = []v1alpha1.Stranger{{
			LeaseName: lease.Name, PoolName: pool.Name, IP: lease.Spec.IPs[0], MAC: strangerMAC, SeenAt: metav1.Now(),
		}}
	})
	message := w.poolCondition(pool, v1alpha1.PoolAddressesInConflict, metav1.ConditionTrue, v1alpha1.PoolReasonStrangers)
	if want := string(lease.Spec.IPs[0]) + " is used by " + strangerMAC + " (heard by node node-1), and by a pod"; !strings.Contains(message, want) {
		t.Errorf("the pool says %q, want %q", message, want)
	}
	if diff := cmp.Diff(lease.Spec, w.lease(lease.Name).Spec); diff != "" {
		t.Errorf("the lease was changed: %s", diff)
	}
	changeStatus(w, node, func(n *v1alpha1.MacNode) { n.Status.Strangers = nil })
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(t.Context(), client.ObjectKeyFromObject(pool), pool)).To(gomega.Succeed())
		g.Expect(apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolAddressesInConflict)).To(gomega.BeNil())
	})
}
