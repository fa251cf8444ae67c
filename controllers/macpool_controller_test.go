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
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

func TestPoolIsCounted(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.109"), kept("192.168.50.8", "192.168.50.11"), func(p *v1alpha1.MacPool) {
		p.Spec.Segment = "" // the default
		p.Spec.Subnets[0].Gateway = "192.168.50.1"
	})
	w.poolReady(pool)
	w.claim(ns, "any", pool)
	w.claim(ns, "eight", pool, "192.168.50.8")
	w.bound(ns, "any")
	w.bound(ns, "eight")

	want := v1alpha1.MacPoolStatus{
		Segment: "vlan-50", MACPrefix: "02:32:00", Capacity: ptr.To[int64](14), Leased: ptr.To[int64](2),
		Cooling: ptr.To[int64](0), Conflicted: ptr.To[int64](0), OutOfRange: ptr.To[int64](0), Available: ptr.To[int64](9),
		Suspect: ptr.To[int64](0), OwnLeases: ptr.To[int64](2),
	}
	w.expectStatus(pool, want)

	t.Run("after an edit (R-P1)", func(t *testing.T) {
		change(w, pool, func(p *v1alpha1.MacPool) { p.Spec.Subnets[0].Ranges = p.Spec.Subnets[0].Ranges[1:] })
		want.Capacity, want.Leased, want.OutOfRange, want.Available = ptr.To[int64](4), ptr.To[int64](1), ptr.To[int64](1), ptr.To[int64](0)
		w.expectStatus(pool, want)
		if claim := w.claimNow(ns, "any"); claim.Status.LeaseName == "" {
			t.Error("the edit has taken the lease from a claim")
		}
	})
	t.Run("corrupted (R-P6)", func(*testing.T) {
		changeStatus(w, pool, func(p *v1alpha1.MacPool) {
			p.Status.Available, p.Status.Segment, p.Status.Conditions = ptr.To[int64](-7), "nonsense", nil
		})
		w.expectStatus(pool, want)
		w.poolReady(pool)
	})
}

func (w *world) expectStatus(pool *v1alpha1.MacPool, want v1alpha1.MacPoolStatus) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(w.t.Context(), client.ObjectKeyFromObject(pool), pool)).To(gomega.Succeed())
		got := pool.Status
		got.Conditions = nil
		g.Expect(cmp.Diff(want, got)).To(gomega.BeEmpty())
	})
}

func TestPoolThatMakesNoSense(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*v1alpha1.MacPool)
		want   string
	}{
		"inverted range": {ranged("192.168.50.20", "192.168.50.10"), "192.168.50.20"},
		"ranges overlap": {func(p *v1alpha1.MacPool) {
			ranged("192.168.50.10", "192.168.50.20")(p)
			ranged("192.168.50.20", "192.168.50.30")(p)
		}, "overlap"},
		"inverted exclude": {func(p *v1alpha1.MacPool) {
			p.Spec.Subnets[0].Exclude = []v1alpha1.AddressRange{{Start: "192.168.50.20", End: "192.168.50.10"}}
		}, "192.168.50.20"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.startManager(managerOptions{})
			ns := w.namespace()
			pool := w.pool("192.168.50.0/24", tc.change)
			message := w.poolCondition(pool, v1alpha1.PoolReady, metav1.ConditionFalse, v1alpha1.PoolReasonInvalid)
			if !strings.Contains(message, tc.want) {
				t.Errorf("message %q does not speak of %q", message, tc.want)
			}
			w.claim(ns, "early", pool)
			if told := w.refused(ns, "early", "PoolNotReady"); !strings.Contains(told, message) {
				t.Errorf("the claim is told %q, not what is wrong with the pool", told)
			}
			if leases := w.leases(pool); len(leases) != 0 {
				t.Errorf("there are leases: %v", leases)
			}
			w.afterSecondLook()
			change(w, pool, func(p *v1alpha1.MacPool) { p.Spec.Subnets[0].Ranges, p.Spec.Subnets[0].Exclude = nil, nil })
			w.bound(ns, "early") // woken by the pool
		})
	}
}

func TestPoolsThatContradict(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	older := w.pool("10.1.0.0/16")
	w.poolReady(older)
	// The same prefix for another network, whose addresses end in the same 24 bits.
	younger := w.pool("11.1.0.0/16", func(p *v1alpha1.MacPool) { p.Name, p.Spec.Segment = "a-"+older.Name, older.Spec.Segment })
	message := w.poolCondition(younger, v1alpha1.PoolReady, metav1.ConditionFalse, v1alpha1.PoolReasonContradiction)
	if !strings.Contains(message, "Pool "+older.Name+" ") {
		t.Errorf("message %q does not name the other pool", message)
	}
	w.poolReady(older)
	w.claim(ns, "waits", younger)
	w.refused(ns, "waits", "PoolNotReady")
	w.afterSecondLook()
	w.remove(older)
	w.poolReady(younger)
	w.bound(ns, "waits")
}

// Two contradicting pools that both are called ready, as by managers that did not see each other: the older stays.
func TestPoolsThatContradictAndAreBothReady(t *testing.T) {
	w := newWorld(t)
	older := w.pool("10.1.0.0/16")
	time.Sleep(1100 * time.Millisecond) // creation times are whole seconds
	younger := w.pool("11.1.0.0/16", func(p *v1alpha1.MacPool) { p.Name, p.Spec.Segment = "a-"+older.Name, older.Spec.Segment })
	for _, pool := range []*v1alpha1.MacPool{older, younger} {
		changeStatus(w, pool, func(p *v1alpha1.MacPool) {
			apimeta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{
				Type: v1alpha1.PoolReady, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonValid, ObservedGeneration: p.Generation,
			})
		})
	}
	w.startManager(managerOptions{})
	w.poolCondition(younger, v1alpha1.PoolReady, metav1.ConditionFalse, v1alpha1.PoolReasonContradiction)
	w.poolReady(older)
}

func TestExhaustedPoolWakesThoseWhoWait(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.100"), cooling(0, time.Hour))
	first := w.claim(ns, "first", pool)
	lease := w.bound(ns, "first").Status.LeaseName
	w.poolCondition(pool, v1alpha1.PoolExhausted, metav1.ConditionTrue, v1alpha1.PoolReasonNoAddress)
	w.claim(ns, "second", pool)
	message := w.refused(ns, "second", "PoolExhausted")
	if want := "of 1, 1 are leased, 0 cooling"; !strings.Contains(message, want) {
		t.Errorf("message %q lacks %q", message, want)
	}
	w.afterSecondLook()
	w.remove(first)
	if got := w.bound(ns, "second").Status.LeaseName; got != lease {
		t.Errorf("the second claim has %s, not %s, which the first gave back", got, lease)
	}
	w.gone(first)

	second := w.claimNow(ns, "second")
	w.remove(second)
	w.gone(second)
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(t.Context(), client.ObjectKeyFromObject(pool), pool)).To(gomega.Succeed())
		g.Expect(apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolExhausted)).To(gomega.BeNil())
		g.Expect(pool.Status.Available).To(gomega.HaveValue(gomega.BeEquivalentTo(1)))
	})
}
