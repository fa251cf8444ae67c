// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// orphanAfter is short, and long enough for a bind that is under way.
const orphanAfter = 1500 * time.Millisecond

// strayLease makes a lease of 192.168.50.200 by hand, leased for longer than a bind takes, and not so long that it looks restored from a backup.
func (w *world) strayLease(pool *v1alpha1.MacPool, claim *v1alpha1.MacClaim) *v1alpha1.MacLease {
	w.t.Helper()
	return w.strayLeaseAt(pool, "192.168.50.200", claim)
}

func (w *world) strayLeaseAt(pool *v1alpha1.MacPool, address v1alpha1.IPAddress, claim *v1alpha1.MacClaim) *v1alpha1.MacLease {
	w.t.Helper()
	lease := &v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{
			Name: binding.SegmentOf(pool) + "." + string(address),
			Labels: map[string]string{
				v1alpha1.LabelSegment: binding.SegmentOf(pool), v1alpha1.LabelIdentity: binding.IdentityLabel(claim.Namespace, claim.Name),
			},
		},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: pool.Name, MAC: "02:32:00:a8:32:c8", IPs: []v1alpha1.IPAddress{address},
			ClaimRef: v1alpha1.ClaimRef{Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			// The clock of who took it is an hour fast, which makes an orphan no younger (F13).
			LeasedAt: metav1.NewTime(time.Now().Add(time.Hour)),
		},
	}
	w.create(lease)
	return lease
}

// released waits until a lease is, and returns the evidence.
func (w *world) released(name string) string {
	w.t.Helper()
	var evidence string
	w.eventually(func(g gomega.Gomega) {
		lease := w.lease(name)
		g.Expect(lease).NotTo(gomega.BeNil())
		g.Expect(lease.Spec.ReleasedAt).NotTo(gomega.BeNil())
		g.Expect(lease.Spec.History).NotTo(gomega.BeEmpty())
		evidence = lease.Spec.History[0].Evidence
	})
	return evidence
}

func TestRepairCase1(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	w.claim(ns, "a", pool)
	claim := w.bound(ns, "a")
	lease := w.lease(claim.Status.LeaseName)
	time.Sleep(2 * orphanAfter)
	if diff := cmp.Diff(lease, w.lease(lease.Name)); diff != "" {
		t.Errorf("a lease in order was touched: %s", diff)
	}
}

func TestRepairCase2(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", selecting("open", "no"))
	w.claim(ns, "a", pool)
	w.refused(ns, "a", "PoolForbidden")
	before := w.claimNow(ns, "a")
	lease := w.strayLease(pool, before)
	if evidence := w.released(lease.Name); evidence != "its claim never got it" {
		t.Errorf("evidence %q", evidence)
	}
	// Who made it, and is only slow, can not record it any more.
	before.Status.LeaseName = lease.Name
	if err := w.Status().Update(t.Context(), before); !apierrors.IsConflict(err) {
		t.Errorf("the slow bind recorded a lease that is released: %v", err)
	}
}

func TestRepairCase3(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.110"))
	w.claim(ns, "a", pool)
	claim := w.bound(ns, "a")
	lease := w.strayLease(pool, claim)
	if evidence := w.released(lease.Name); evidence != "its claim has another lease" {
		t.Errorf("evidence %q", evidence)
	}
	if w.lease(claim.Status.LeaseName).Spec.ReleasedAt != nil {
		t.Error("the lease that the claim names was released too")
	}
}

func TestRepairCase4(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", cooling(0, time.Hour))
	w.claim(ns, "a", pool)
	claim := w.bound(ns, "a")
	w.remove(claim)
	w.gone(claim)
	if evidence := w.released(claim.Status.LeaseName); evidence != "claim deleted; it was never attached" {
		t.Errorf("evidence %q", evidence)
	}

	// A claim of whose end no event came. The rest of case 4 is in lease_end_test.go.
	stray := w.strayLease(pool, &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "never", UID: "0-0"}})
	if evidence := w.released(stray.Name); evidence != "its claim does not exist, and no node held it" {
		t.Errorf("evidence %q", evidence)
	}
}

func TestRepairCase5(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", func(p *v1alpha1.MacPool) {
		p.Spec.Subnets = append(p.Spec.Subnets, v1alpha1.Subnet{CIDR: "fd00:50::/64"})
	})
	w.network(ns, "iot", pool.Name)
	pod := w.pod(ns, "pod", "iot", on("node-1"))
	claim := w.held(w.bound(ns, "pod."+pool.Name+".net1"), pod)
	before := w.lease(claim.Status.LeaseName)
	w.remove(before)
	var after *v1alpha1.MacLease
	w.eventually(func(g gomega.Gomega) {
		after = w.lease(claim.Status.LeaseName)
		g.Expect(after).NotTo(gomega.BeNil())
		g.Expect(after.UID).NotTo(gomega.Equal(before.UID))
	})
	if diff := cmp.Diff(before.Spec, after.Spec, cmpopts.IgnoreFields(v1alpha1.MacLeaseSpec{}, "LeasedAt")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before.Labels, after.Labels); diff != "" {
		t.Error(diff)
	}
}

func TestRepairCase6(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	w.claim(ns, "a", pool)
	w.claim(ns, "b", pool)
	a, b := w.bound(ns, "a"), w.bound(ns, "b")
	lease := w.lease(a.Status.LeaseName)
	w.node("node-1")
	pod := w.pod(ns, "pod", "", on("node-1"))
	changeStatus(w, a, func(c *v1alpha1.MacClaim) {
		c.Status.Generation = 1
		c.Status.Holder = &v1alpha1.Holder{
			PodName: pod.Name, PodUID: pod.UID, NodeName: "node-1", Interface: "net1", Generation: 1, Since: metav1.Now(),
		}
	})
	change(w, lease, func(l *v1alpha1.MacLease) { l.Spec.ClaimRef = v1alpha1.ClaimRef{Namespace: ns, Name: "b", UID: b.UID} })
	changeStatus(w, b, func(c *v1alpha1.MacClaim) {
		c.Status.LeaseName, c.Status.IPs, c.Status.MAC = a.Status.LeaseName, a.Status.IPs, a.Status.MAC
	})
	if message := w.refused(ns, "a", problem.LeaseLost.Reason); !strings.Contains(message, "claim "+ns+"/b") {
		t.Errorf("message %q does not name who has it", message)
	}
	if now := w.claimNow(ns, "a"); now.Status.LeaseName != a.Status.LeaseName {
		t.Errorf("the claim was changed: %v", now.Status)
	}
	w.never("the lease was released", func() bool { return w.lease(lease.Name).Spec.ReleasedAt != nil })

	// When nothing holds it any more it gets another address (R-B1).
	w.detach(w.claimNow(ns, "a"))
	w.eventually(func(g gomega.Gomega) {
		now := w.claimNow(ns, "a")
		g.Expect(now.Status.LeaseName).NotTo(gomega.BeElementOf("", lease.Name))
		g.Expect(w.lease(now.Status.LeaseName).Spec.ClaimRef.UID).To(gomega.Equal(a.UID))
	})
	if now := w.lease(lease.Name); now.Spec.ClaimRef.UID != b.UID || now.Spec.ReleasedAt != nil {
		t.Errorf("the other's lease is %v", now.Spec)
	}
}

func TestRepairCase7(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.100"), cooling(time.Second, 0))
	w.claim(ns, "a", pool)
	claim := w.bound(ns, "a")
	w.claim(ns, "b", pool)
	w.refused(ns, "b", "PoolExhausted")
	lease := w.lease(claim.Status.LeaseName)
	change(w, lease, func(l *v1alpha1.MacLease) { l.Spec.ReleasedAt = new(metav1.Now()) })
	w.eventually(func(g gomega.Gomega) {
		now := w.lease(lease.Name)
		g.Expect(now).NotTo(gomega.BeNil())
		g.Expect(now.Spec.ReleasedAt).To(gomega.BeNil())
		g.Expect(now.Spec.ClaimRef.UID).To(gomega.Equal(claim.UID))
	})
	if now := w.claimNow(ns, "b"); now.Status.LeaseName != "" {
		t.Errorf("another claim got the address: %v", now.Status)
	}
}

// Cases 8 and 9, on a clock of our own.
func TestReleasedLeaseCoolsIsReusableAndGoes(t *testing.T) {
	w := newWorld(t)
	now := testclock.NewFakePassiveClock(time.Now())
	_, stop := w.startManager(managerOptions{clock: now})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.100"), cooling(10*time.Minute, 2000*time.Hour))
	claim := w.claim(ns, "a", pool)
	name := w.bound(ns, "a").Status.LeaseName
	w.remove(claim)
	w.released(name)
	w.claim(ns, "b", pool, "192.168.50.100")
	w.refused(ns, "b", "AddressCooling")
	w.expectCounts(pool, 0, 1, 0)

	// looked makes the manager look at the lease again: it does not know that the clock was moved.
	looked := 0
	look := func() {
		looked++
		change(w, w.lease(name), func(l *v1alpha1.MacLease) { l.Annotations = map[string]string{"looked": strconv.Itoa(looked)} })
	}
	reusable := func() bool { return w.lease(name).Spec.ReusableAt != nil }

	now.SetTime(now.Now().Add(599 * time.Second))
	look()
	w.never("it was reusable before its cooldown (I6)", reusable)

	// A manager that starts now has seen nothing of the cooldown (R-G8).
	stop()
	w.startManager(managerOptions{clock: now})
	now.SetTime(now.Now().Add(time.Second))
	look()
	w.never("the cooldown did not begin anew with the manager", reusable)
	now.SetTime(now.Now().Add(600 * time.Second))
	look()
	if b := w.bound(ns, "b"); b.Status.LeaseName != name {
		t.Errorf("b has %s", b.Status.LeaseName)
	}

	// b has taken the record; a's time with the address is written in it.
	lease := w.lease(name)
	if len(lease.Spec.History) != 1 || lease.Spec.History[0].Claim != "a" || lease.Spec.ReusableAt != nil {
		t.Errorf("lease %v", lease.Spec)
	}
	b := w.claimNow(ns, "b")
	w.remove(b)
	w.released(name)
	// Nobody is told when the manager has begun to count: the clock goes on until it has. It can't come near the end of the history,
	// after which there would be no lease to look at, however slow the manager is.
	w.eventually(func(g gomega.Gomega) {
		now.SetTime(now.Now().Add(5 * time.Minute))
		look()
		g.Expect(reusable()).To(gomega.BeTrue())
	})
	w.expectCounts(pool, 0, 0, 1)
	w.eventually(func(g gomega.Gomega) {
		if w.lease(name) != nil {
			now.SetTime(now.Now().Add(400 * time.Hour))
			look()
		}
		g.Expect(w.lease(name)).To(gomega.BeNil())
	})
}

func (w *world) expectCounts(pool *v1alpha1.MacPool, leased, cooling, available int64) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(w.t.Context(), client.ObjectKeyFromObject(pool), pool)).To(gomega.Succeed())
		got := []*int64{pool.Status.Leased, pool.Status.Cooling, pool.Status.Available}
		g.Expect(cmp.Diff([]*int64{&leased, &cooling, &available}, got)).To(gomega.BeEmpty())
	})
}

func TestShorterHistoryDeletesWhatIsOld(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", cooling(0, time.Hour))
	claim := w.claim(ns, "a", pool)
	name := w.bound(ns, "a").Status.LeaseName
	w.remove(claim)
	w.eventually(func(g gomega.Gomega) { g.Expect(w.lease(name).Spec.ReusableAt).NotTo(gomega.BeNil()) })
	change(w, pool, func(p *v1alpha1.MacPool) { cooling(0, 0)(p) })
	w.eventually(func(g gomega.Gomega) { g.Expect(w.lease(name)).To(gomega.BeNil()) })
}

func TestRepairCase10(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", cooling(0, 0))
	nobody := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "never", UID: "0-0"}}
	lease := w.strayLease(pool, nobody)
	change(w, lease, func(l *v1alpha1.MacLease) {
		l.Spec.Conflict = &v1alpha1.Conflict{MAC: "00:11:22:33:44:55", NodeName: "node-1", SeenAt: metav1.Now()}
	})
	w.claim(ns, "a", pool, "192.168.50.200")
	if message := w.refused(ns, "a", "AddressConflict"); !strings.Contains(message, "00:11:22:33:44:55") {
		t.Errorf("message %q", message)
	}
	time.Sleep(2 * orphanAfter)
	if diff := cmp.Diff(lease, w.lease(lease.Name)); diff != "" {
		t.Errorf("it was touched: %s", diff)
	}
}
