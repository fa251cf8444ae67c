// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// counted waits until the pool says how many leases of its own it has.
func (w *world) counted(pool *v1alpha1.MacPool, n int) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(w.t.Context(), keyOf(pool), pool)).To(gomega.Succeed())
		g.Expect(pool.Status.OwnLeases).To(gomega.HaveValue(gomega.BeEquivalentTo(n)))
	})
}

// T22: a pool that is deleted during a storm stays while it has a lease, whatever comes and goes beside that, and goes when the last claim is
// gone (R-P2, F24). Nothing needs a finalizer for that.
func TestT22PoolIsDeletedDuringAStorm(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.0.0/16", cooling(0, time.Hour))
	w.claim(ns, "stays", pool)
	stays := w.bound(ns, "stays")
	w.counted(pool, 1)

	storm, calm := context.WithCancel(t.Context())
	defer calm()
	var workers sync.WaitGroup
	for worker := range 4 {
		workers.Go(func() {
			for i := 0; storm.Err() == nil; i++ {
				claim := &v1alpha1.MacClaim{Spec: v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: pool.Name}}}
				claim.Namespace, claim.Name = ns, fmt.Sprintf("storm-%d-%d", worker, i)
				if w.Create(storm, claim) == nil {
					_ = w.Delete(storm, claim)
				}
			}
		})
	}
	for range 100 {
		err := w.Delete(t.Context(), pool)
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), problem.PoolInUse.Code) {
			t.Fatalf("the pool was deleted under claim %s: %v", stays.Name, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	calm()
	workers.Wait()
	var rest v1alpha1.MacClaimList
	if err := w.List(t.Context(), &rest, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	for i := range rest.Items {
		w.remove(&rest.Items[i])
	}
	// As the quick start says it.
	text, err := w.shell("kubectl wait macpool " + pool.Name + " --for=jsonpath='{.status.ownLeases}'=0 --timeout=1m && kubectl delete macpool " + pool.Name)
	if err != nil {
		t.Errorf("%v: %s", err, text)
	}
	w.gone(pool)
	if left := w.leases(pool); len(left) != 0 {
		t.Errorf("leases are left without their pool: %v", left)
	}
}

// A lease that another pool has made of an address which both have needs that other pool (R-A3, R-P2).
func TestOverlappingPoolCanGo(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.110"))
	other := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.110"), func(p *v1alpha1.MacPool) { p.Spec.Segment = pool.Spec.Segment })
	w.claim(ns, "a", pool)
	w.bound(ns, "a")
	w.expectCounts(other, 1, 0, 10)
	w.counted(other, 0)
	w.counted(pool, 1)
	w.remove(other)
	w.gone(other)
	if err := w.Delete(t.Context(), pool); !apierrors.IsForbidden(err) {
		t.Errorf("the pool of the lease was deleted: %v", err)
	}
	// Leases that an edit left outside are the pool's all the same (R-P1).
	change(w, pool, func(p *v1alpha1.MacPool) {
		p.Spec.Subnets[0].Ranges[0].Start, p.Spec.Subnets[0].Ranges[0].End = "192.168.50.8", "192.168.50.9"
	})
	w.expectCounts(pool, 0, 0, 2)
	if err := w.Delete(t.Context(), pool); !apierrors.IsForbidden(err) {
		t.Errorf("the pool of a lease outside of it was deleted: %v", err)
	}
}

// A pool whose deletion has begun, and that somebody's finalizer keeps, gives nothing out (R-P2).
func TestPoolUnderDeletionGivesNothing(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", func(p *v1alpha1.MacPool) { p.Finalizers = []string{"example.com/mine"} })
	w.claim(ns, "before", pool)
	w.bound(ns, "before")
	w.remove(w.claimNow(ns, "before"))
	w.counted(pool, 0)
	w.remove(pool)
	// Two watches tell the manager of the pool and of claims: it may see the first ones sooner.
	seen := 0
	for ; w.decided(w.claim(ns, fmt.Sprintf("soon-%d", seen), pool)); seen++ {
	}
	w.claim(ns, "late", pool)
	if message := w.refused(ns, "late", "PoolNotReady"); !strings.Contains(message, "it is being deleted") {
		t.Errorf("message %q", message)
	}
	w.never("it got a lease", func() bool { return len(w.leases(pool)) != seen })
}

// T22: a pool that is deleted without its policy and made again under running pods finds their leases (R-P2, R-P5): they were the segment's all the time, and nobody else
// has got one of them.
func TestT22PoolIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.withoutAgents() // whose policy would keep it
	w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.104"))
	network := w.network(ns, "iot", pool.Name)
	before := map[string]string{} // claim -> lease
	for i := range 3 {
		pod := w.pod(ns, fmt.Sprintf("pod-%d", i), "iot", on("node-1"))
		name := pod.Name + "." + pool.Name + ".net1"
		before[name] = w.held(w.bound(ns, name), pod).Status.LeaseName
	}
	w.eventually(func(g gomega.Gomega) { g.Expect(w.Delete(t.Context(), pool)).To(gomega.Succeed()) })
	w.gone(pool)
	w.told(network, "PoolUnknown") // the manager has seen it too
	w.claim(ns, "late", pool)
	w.refused(ns, "late", "PoolUnknown")
	again := &v1alpha1.MacPool{Spec: pool.Spec}
	again.Name = pool.Name
	w.create(again)
	w.counted(again, 4)
	late := w.bound(ns, "late")
	for name, lease := range before {
		claim := w.claimNow(ns, name)
		if claim.Status.LeaseName != lease || claim.Status.Holder == nil || w.lease(lease).Spec.ClaimRef.UID != claim.UID {
			t.Errorf("claim %s has %+v, had %s", name, claim.Status, lease)
		}
		if late.Status.LeaseName == lease {
			t.Errorf("%s was leased twice (I1)", lease)
		}
	}
}
