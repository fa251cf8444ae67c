// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestNamespaceFull is I8 and R-S3: the pool's limit is said to claim and pod, whatever the network asks for, and who waits is served when another
// claim of the namespace has gone, or the limit is raised.
func TestNamespaceFull(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns, other := w.namespace(), w.namespace()
	pool := w.pool("192.168.50.0/24", cooling(0, 0), func(p *v1alpha1.MacPool) { p.Spec.MaxPerNamespace = new(int32(1)) })
	w.network(ns, "iot", pool.Name)
	first := w.claim(ns, "first", pool)
	w.bound(ns, "first")
	pod := w.pod(ns, "second", "iot")
	name := "second." + pool.Name + ".net1"
	message := w.refused(ns, name, "NamespaceFull")
	if note := w.told(pod, "NamespaceFull"); !strings.Contains(message, "namespace "+ns+" has 1 addresses of pool "+pool.Name) || !strings.HasSuffix(note, message) {
		t.Errorf("the claim is told %q, the pod %q", message, note)
	}
	w.claim(other, "elsewhere", pool)
	w.bound(other, "elsewhere") // a namespace's limit is no other's

	w.afterSecondLook()
	w.remove(first)
	w.bound(ns, name)

	w.claim(ns, "third", pool)
	w.refused(ns, "third", "NamespaceFull")
	w.afterSecondLook()
	change(w, pool, func(p *v1alpha1.MacPool) { p.Spec.MaxPerNamespace = new(int32(2)) })
	w.bound(ns, "third")
	w.claim(ns, "fourth", pool)
	w.refused(ns, "fourth", "NamespaceFull")
	w.afterSecondLook()
	change(w, pool, func(p *v1alpha1.MacPool) { p.Spec.MaxPerNamespace = nil })
	w.bound(ns, "fourth")
}

// TestT3QuotaOfClaims : a tenant makes a hundred claims at once (R-S4). A ResourceQuota counts those of people and of macpool, and is never exceeded; other
// namespaces are served meanwhile. A pod whose claim it refuses is told so and served when there is room.
func TestT3QuotaOfClaims(t *testing.T) {
	const limit = 10
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns, other := w.namespace(), w.namespace()
	tenant := w.bind("macpool-user", ns)
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	count := corev1.ResourceName("count/macclaims." + v1alpha1.GroupVersion.Group)
	mine := func(c client.Client, options ...client.CreateOption) error {
		return c.Create(t.Context(), &v1alpha1.MacClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, GenerateName: "mine-"},
			Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: pool.Name}},
		}, options...)
	}
	hard := corev1.ResourceList{count: resource.MustParse("0")}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "addresses"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}
	w.create(quota)
	// What the quota's controller does, which does not run here.
	changeStatus(w, quota, func(q *corev1.ResourceQuota) {
		q.Status.Hard, q.Status.Used = hard, corev1.ResourceList{count: resource.MustParse("0")}
	})
	w.eventually(func(g gomega.Gomega) { // until admission has seen it
		g.Expect(mine(tenant, client.DryRunAll)).To(gomega.MatchError(gomega.ContainSubstring("exceeded quota: addresses")))
	})
	allow := func(n string) {
		t.Helper()
		more := corev1.ResourceList{count: resource.MustParse(n)}
		change(w, quota, func(q *corev1.ResourceQuota) { q.Spec.Hard = more })
		changeStatus(w, quota, func(q *corev1.ResourceQuota) { q.Status.Hard = more })
		w.eventually(func(g gomega.Gomega) { g.Expect(mine(tenant, client.DryRunAll)).To(gomega.Succeed()) })
	}
	allow(strconv.Itoa(limit))
	var all sync.WaitGroup
	var made atomic.Int32
	for range 100 {
		all.Go(func() {
			switch err := mine(tenant); {
			case err == nil:
				made.Add(1)
			case !apierrors.IsForbidden(err) && !apierrors.IsConflict(err): // it may refuse early: too many write the quota at once
				t.Error(err)
			}
		})
	}
	w.claim(other, "elsewhere", pool)
	w.bound(other, "elsewhere")
	all.Wait()
	for made.Load() < limit {
		if err := mine(tenant); err != nil {
			t.Fatalf("after %d of %d claims: %v", made.Load(), limit, err)
		}
		made.Add(1)
	}
	var claims v1alpha1.MacClaimList
	if err := tenant.List(t.Context(), &claims, client.InNamespace(ns)); err != nil || len(claims.Items) != limit || made.Load() != limit {
		t.Errorf("there are %d claims of %d, and %d were made: %v", len(claims.Items), limit, made.Load(), err)
	}
	pod := w.pod(ns, "printer", "iot")
	if note := w.told(pod, "ClaimRefused"); !strings.Contains(note, "exceeded quota: addresses") {
		t.Errorf("the pod is told %q", note)
	}
	allow("1000")
	// No watch tells of quotas: the pod is looked at again, or changes.
	change(w, pod, func(p *corev1.Pod) { p.Labels = map[string]string{"looked-at": time.Now().Format("150405")} })
	w.bound(ns, "printer."+pool.Name+".net1")
}

// TestT4Churn : a tenant makes pods and deletes them again, each under another name, so that the addresses of all of them cool down at once (R-S4).
// With a ceiling the tenant never has more than that, cooling ones among them; others are served as before, and the tenant's own pods come back to
// their addresses at once. Without one the pool is empty for everybody until they have cooled: it is the ceiling that keeps the tenant from it, and
// docs/tenants.md says so.
func TestT4Churn(t *testing.T) {
	const size, limit = 8, 3
	for name, ceiling := range map[string]*int32{"with a ceiling": new(int32(limit)), "without": nil} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.startManager(managerOptions{})
			tenant, other := w.namespace(), w.namespace()
			pool := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.107"), cooling(time.Hour, time.Hour), func(p *v1alpha1.MacPool) {
				p.Spec.MaxPerNamespace = ceiling
			})
			w.network(tenant, "iot", pool.Name)
			var first *v1alpha1.MacClaim
			for i := range size + 2 {
				pod := w.pod(tenant, fmt.Sprintf("churn-%d", i), "iot")
				claim := w.answered(tenant, pod.Name+"."+pool.Name+".net1")
				if first == nil {
					first = claim
				}
				w.remove(pod)
				w.gone(claim)
				if ceiling == nil {
					continue
				}
				if n := w.taken(pool, tenant); n > limit {
					t.Fatalf("after %d pods the tenant has %d addresses, of %d", i+1, n, limit)
				}
				if i < limit { // which is theirs, too
					w.claim(other, fmt.Sprintf("elsewhere-%d", i), pool)
					w.bound(other, fmt.Sprintf("elsewhere-%d", i))
				}
			}
			if ceiling == nil {
				if n := w.taken(pool, tenant); n != size {
					t.Errorf("the tenant has made %d addresses of %d cool", n, size)
				}
				w.claim(other, "elsewhere", pool)
				w.refused(other, "elsewhere", "PoolExhausted")
				return
			}
			w.pod(tenant, "churn-0", "iot")
			if again := w.bound(tenant, first.Name); first.Status.LeaseName == "" || again.Status.LeaseName != first.Status.LeaseName {
				t.Errorf("the first pod had %q and came back to %q", first.Status.LeaseName, again.Status.LeaseName)
			}
		})
	}
}

// answered waits until it is known whether a claim gets an address.
func (w *world) answered(namespace, name string) *v1alpha1.MacClaim {
	w.t.Helper()
	var claim *v1alpha1.MacClaim
	w.eventually(func(g gomega.Gomega) {
		claim = w.claimNow(namespace, name)
		g.Expect(claim).NotTo(gomega.BeNil())
		g.Expect(apimeta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ClaimReady)).NotTo(gomega.BeNil())
	})
	return claim
}

// taken is how many addresses of a pool nobody but a namespace may have, be it that they cool.
func (w *world) taken(pool *v1alpha1.MacPool, namespace string) int {
	w.t.Helper()
	var leases v1alpha1.MacLeaseList
	if err := w.List(w.t.Context(), &leases, client.MatchingFields{"spec.poolName": pool.Name, "spec.claimRef.namespace": namespace}); err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for i := range leases.Items {
		if leases.Items[i].Spec.ReusableAt == nil {
			n++
		}
	}
	return n
}
