// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/onsi/gomega"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// macsAlone takes the subnets from a pool.
func macsAlone(p *v1alpha1.MacPool) { p.Spec.Subnets = nil }

// The life of the lease of a MAC alone is that of any lease: it is counted, made again when somebody has deleted it (case 5), cools and goes
// after its claim (R-P6). It is no lock, although it has the name of one.
func TestLeaseOfMACAlone(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	ns, pool := w.namespace(), w.pool("", macsAlone, cooling(0, time.Second))
	w.network(ns, "iot", pool.Name)
	pod := w.pod(ns, "pod", "iot", on("node-1"))
	claim := w.held(w.bound(ns, "pod."+pool.Name+".net1"), pod)
	if !strings.HasPrefix(claim.Status.MAC, "02:32:00:") || len(claim.Status.IPs) != 0 {
		t.Fatalf("the claim has %+v", claim.Status)
	}
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(t.Context(), client.ObjectKeyFromObject(pool), pool)).To(gomega.Succeed())
		g.Expect(ptr.Deref(pool.Status.Capacity, 0)).To(gomega.BeEquivalentTo(1 << 24))
		g.Expect(ptr.Deref(pool.Status.Leased, 0)).To(gomega.BeEquivalentTo(1))
		g.Expect(ptr.Deref(pool.Status.Available, 0)).To(gomega.BeEquivalentTo(1<<24 - 1))
		g.Expect(ptr.Deref(pool.Status.OwnLeases, 0)).To(gomega.BeEquivalentTo(1))
	})

	before := w.lease(claim.Status.LeaseName)
	w.remove(before)
	w.eventually(func(g gomega.Gomega) {
		after := w.lease(claim.Status.LeaseName)
		g.Expect(after).NotTo(gomega.BeNil())
		g.Expect(after.UID).NotTo(gomega.Equal(before.UID))
		g.Expect(cmp.Diff(before.Spec, after.Spec, cmpopts.IgnoreFields(v1alpha1.MacLeaseSpec{}, "LeasedAt"))).To(gomega.BeEmpty())
		g.Expect(cmp.Diff(before.Labels, after.Labels)).To(gomega.BeEmpty())
	})

	w.claim(ns, "mine", pool)
	mine := w.bound(ns, "mine")
	w.remove(mine)
	w.gone(mine)
	w.eventually(func(g gomega.Gomega) { g.Expect(w.lease(mine.Status.LeaseName)).To(gomega.BeNil()) })
	if w.lease(claim.Status.LeaseName).Spec.ReleasedAt != nil {
		t.Error("the lease of a claim that is held was released")
	}
}

// A pool of MACs alone and one of addresses must not have one prefix in a segment, and the younger of two that do says so (R-A2).
func TestMACsAloneContradict(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	old := w.pool("192.168.50.0/24")
	w.poolReady(old)
	young := w.pool("", macsAlone, func(p *v1alpha1.MacPool) { p.Spec.Segment = old.Spec.Segment })
	message := w.poolCondition(young, v1alpha1.PoolReady, "False", v1alpha1.PoolReasonContradiction)
	if !strings.Contains(message, "a pool without subnets leases every MAC that begins with its prefix, 02:32:00") {
		t.Errorf("it says %q", message)
	}
	other := w.pool("", macsAlone, func(p *v1alpha1.MacPool) {
		p.Spec.Segment, p.Spec.MAC = old.Spec.Segment, &v1alpha1.MACPolicy{Prefix: "02:32:01"}
	})
	w.poolReady(other)
}
