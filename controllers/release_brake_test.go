// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// emptyReader is an API server that answers with no pods, as long as lost says so.
type emptyReader struct {
	client.Reader

	lost *atomic.Bool
}

func (e emptyReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, isPod := object.(*corev1.Pod); isPod && e.lost.Load() {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, key.Name)
	}
	return e.Reader.Get(ctx, key, object, options...)
}

func (e emptyReader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, pods := list.(*corev1.PodList); pods && e.lost.Load() {
		return nil
	}
	return e.Reader.List(ctx, list, options...)
}

// emptyClient is the same as a cache.
type emptyClient struct {
	client.Client

	reader emptyReader
}

func (e emptyClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return e.reader.Get(ctx, key, object, options...)
}

func (e emptyClient) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return e.reader.List(ctx, list, options...)
}

// pausedReleases waits until the pool says that releases are paused, and returns the message.
func (w *world) pausedReleases(pool *v1alpha1.MacPool) string {
	w.t.Helper()
	return w.poolCondition(pool, v1alpha1.PoolReleasesPaused, metav1.ConditionTrue, v1alpha1.PoolReasonTooMany)
}

// checkPaused waits until the pool says it in these words.
func checkPaused(w *world, pool *v1alpha1.MacPool, want *problem.Error) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) { g.Expect(w.pausedReleases(pool)).To(gomega.Equal(want.Sentence())) })
}

// resumedReleases waits until it does not say so any more.
func (w *world) resumedReleases(pool *v1alpha1.MacPool) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(w.t.Context(), keyOf(pool), pool)).To(gomega.Succeed())
		g.Expect(apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolReleasesPaused)).To(gomega.BeNil())
	})
}

// emptied is a manager that started on an API server which shows none of the pods for which claims have been made and bound, and that
// have not been attached yet.
func emptied(t *testing.T, n int, metrics prometheus.Registerer) (w *world, ns string, pool *v1alpha1.MacPool, lost *atomic.Bool) {
	t.Helper()
	w = newWorld(t)
	_, stop := w.startManager(managerOptions{})
	ns, pool = w.namespace(), w.pool("192.168.0.0/16")
	w.network(ns, "iot", pool.Name)
	for i := range n {
		w.pod(ns, fmt.Sprintf("pod-%d", i), "iot")
	}
	w.expectOneLeaseEach(ns, pool, n)
	stop()
	lost = &atomic.Bool{}
	lost.Store(true)
	w.startManager(managerOptions{
		metrics: metrics,
		live:    func(next client.Reader) client.Reader { return emptyReader{next, lost} },
		cached:  func(next client.Client) client.Client { return emptyClient{next, emptyReader{next, lost}} },
	})
	return w, ns, pool, lost
}

// An API server that answers with an empty list of pods does not have the addresses of a whole pool given away (R-G9, M11).
func TestEmptyPodListReleasesNothing(t *testing.T) {
	const n = 30
	registry := prometheus.NewRegistry()
	w, ns, pool, lost := emptied(t, n, registry)
	checkPaused(w, pool, problem.ReleasesPaused.New(n, pool.Name, 10))
	w.never("a claim was deleted", func() bool { return len(w.claims(ns)) != n })
	w.eventually(func(g gomega.Gomega) {
		g.Expect(gauge(g, registry, "macpool_releases_held", pool.Name)).To(gomega.BeEquivalentTo(n))
	})

	lost.Store(false)
	w.resumedReleases(pool)
	w.eventually(func(g gomega.Gomega) {
		g.Expect(gauge(g, registry, "macpool_releases_held", pool.Name)).To(gomega.BeZero())
	})
	w.expectOneLeaseEach(ns, pool, n)
}

// A person who has looked says that it is right so.
func TestReleasesAreResumed(t *testing.T) {
	const n = 25
	w, ns, pool, _ := emptied(t, n, nil)
	w.pausedReleases(pool)
	change(w, pool, func(p *v1alpha1.MacPool) {
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, v1alpha1.AnnotationReleases, v1alpha1.ReleasesResumed)
	})
	w.eventually(func(g gomega.Gomega) { g.Expect(w.claims(ns)).To(gomega.BeEmpty()) })
	w.resumedReleases(pool)
}

// Few are no reason for doubt.
func TestFewReleasesAreNotHeldBack(t *testing.T) {
	w, ns, pool, _ := emptied(t, 10, nil)
	w.eventually(func(g gomega.Gomega) { g.Expect(w.claims(ns)).To(gomega.BeEmpty()) })
	w.resumedReleases(pool)
}

// What nodes and events have said does not come by the brake: a workload of many pods that ends is an everyday thing.
func TestManyPodsThatEnd(t *testing.T) {
	const n = 40
	w := newWorld(t)
	w.startManager(managerOptions{})
	node, ns, pool := w.node("node-1"), w.namespace(), w.pool("192.168.0.0/16")
	w.network(ns, "iot", pool.Name)
	for i := range n {
		var change []func(*corev1.Pod)
		if i%2 == 0 { // the others wait for a node
			change = append(change, on(node.Name))
		}
		w.pod(ns, fmt.Sprintf("pod-%d", i), "iot", change...)
	}
	w.expectOneLeaseEach(ns, pool, n)
	if err := w.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(ns), client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	w.within(2*soon, func(g gomega.Gomega) {
		for _, name := range w.claims(ns) {
			if claim := w.claimNow(ns, name); claim != nil && claim.Status.Holder != nil {
				w.detach(claim)
			}
		}
		g.Expect(w.claims(ns)).To(gomega.BeEmpty())
	})
	if err := w.Get(t.Context(), keyOf(pool), pool); err != nil || apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolReleasesPaused) != nil {
		t.Errorf("%v, %v", err, pool.Status.Conditions)
	}
}

// Leases whose claims are not there, and of whose end no event came, are not given away by the dozen either (R-G9).
func TestEmptyClaimListReleasesNothing(t *testing.T) {
	const n = 15
	w := newWorld(t)
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", cooling(0, time.Hour))
	for i := range n {
		w.strayLeaseAt(pool, v1alpha1.IPAddress(fmt.Sprintf("192.168.50.%d", 100+i)), &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{
			Namespace: ns, Name: fmt.Sprintf("never-%d", i), UID: types.UID(fmt.Sprintf("0-%d", i)),
		}})
	}
	w.startManager(managerOptions{orphanAfter: orphanAfter})
	w.pausedReleases(pool)
	w.never("a lease was released", func() bool { return len(w.leases(pool)) != n })

	// When six of them are gone by hand, the rest are few.
	i := 0
	for name := range w.leases(pool) {
		if i++; i <= 6 {
			w.remove(w.lease(name))
		}
	}
	w.eventually(func(g gomega.Gomega) { g.Expect(w.leases(pool)).To(gomega.BeEmpty()) })
	w.resumedReleases(pool)
}

// gauge is the value of a gauge of a pool, -1 if there is none.
func gauge(g gomega.Gomega, registry *prometheus.Registry, name, pool string) float64 {
	families, err := registry.Gather()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && m.GetLabel()[0].GetValue() == pool {
				return m.GetGauge().GetValue()
			}
		}
	}
	return -1
}
