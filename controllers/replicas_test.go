// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// expectOneLeaseEach compares claims and leases from both sides: each claim has a lease, that lease is its, and there is no
// other.
func (w *world) expectOneLeaseEach(namespace string, pool *v1alpha1.MacPool, n int) {
	w.t.Helper()
	var claims v1alpha1.MacClaimList
	w.within(2*time.Minute, func(g gomega.Gomega) {
		g.Expect(w.List(w.t.Context(), &claims, client.InNamespace(namespace))).To(gomega.Succeed())
		leases := w.leases(pool)
		var without []string
		for _, c := range claims.Items {
			if leases[c.Status.LeaseName].Spec.ClaimRef.UID != c.UID {
				without = append(without, fmt.Sprintf("%s has %q: %v", c.Name, c.Status.LeaseName, c.Status.Conditions))
			}
		}
		g.Expect(without).To(gomega.BeEmpty())
		g.Expect([]int{len(claims.Items), len(leases)}).To(gomega.Equal([]int{n, n}))
	})
	addresses, macs := map[string]string{}, map[string]string{}
	for _, c := range claims.Items {
		for _, known := range []string{addresses[c.Status.IPs[0]], macs[c.Status.MAC]} {
			if known != "" {
				w.t.Errorf("claims %s and %s have the same address or MAC (I1)", known, c.Name)
			}
		}
		addresses[c.Status.IPs[0]], macs[c.Status.MAC] = c.Name, c.Name
	}
}

// Two managers, neither of which knows of the other, on a pool that has exactly as many addresses as there are claims (R-K1).
func TestTwoManagersWithoutLeaderElection(t *testing.T) {
	const n = 200
	w := newWorld(t)
	w.startManager(managerOptions{})
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.0.0/16", ranged("192.168.50.1", "192.168.50.200"), cooling(time.Hour, time.Hour))
	w.network(ns, "iot", pool.Name)
	var made sync.WaitGroup
	for worker := range 8 {
		made.Go(func() {
			for i := worker; i < n/2; i += 8 {
				w.pod(ns, fmt.Sprintf("pod-%d", i), "iot", on("node-1"))
				w.claim(ns, fmt.Sprintf("claim-%d", i), pool)
			}
		})
	}
	made.Wait()
	w.expectOneLeaseEach(ns, pool, n)
	w.expectCounts(pool, n, 0, 0)
	w.eventually(func(g gomega.Gomega) {
		for i := range n / 2 {
			claim := w.claimNow(ns, fmt.Sprintf("pod-%d.%s.net1", i, pool.Name))
			g.Expect(claim.Status.Holder).NotTo(gomega.BeNil())
			g.Expect(claim.Status.Generation).To(gomega.BeEquivalentTo(1))
		}
	})

	// All of it goes, and nothing is left leased.
	var removed sync.WaitGroup
	for worker := range 8 {
		removed.Go(func() {
			for i := worker; i < n/2; i += 8 {
				w.remove(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprintf("pod-%d", i)}})
				w.detach(w.claimNow(ns, fmt.Sprintf("pod-%d.%s.net1", i, pool.Name)))
				w.remove(w.claimNow(ns, fmt.Sprintf("claim-%d", i)))
			}
		})
	}
	removed.Wait()
	w.within(2*time.Minute, func(g gomega.Gomega) {
		for _, name := range w.claims(ns) {
			// A replica that lags may make a pod that is gone the holder once more. Its node's reaper ends that.
			if claim := w.claimNow(ns, name); claim != nil && claim.Status.Holder != nil {
				w.detach(claim)
			}
		}
		g.Expect(w.claims(ns)).To(gomega.BeEmpty())
		g.Expect(w.leases(pool)).To(gomega.BeEmpty())
	})
	w.expectCounts(pool, 0, n, 0)
}

func TestManagerThatStartsAgainBindsNothingTwice(t *testing.T) {
	const n = 50
	w := newWorld(t)
	_, stop := w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.0.0/16", ranged("192.168.50.1", "192.168.50.100"))
	w.network(ns, "iot", pool.Name)
	for i := range n {
		w.pod(ns, fmt.Sprintf("pod-%d", i), "iot", on("node-1"))
	}
	// In the middle of it.
	w.eventually(func(g gomega.Gomega) { g.Expect(len(w.claims(ns))).To(gomega.BeNumerically(">", n/5)) })
	stop()
	before := map[string]types.UID{}
	for name, l := range w.leases(pool) {
		before[name] = l.UID
	}
	for i := range n {
		w.pod(ns, fmt.Sprintf("more-%d", i), "iot")
	}
	w.startManager(managerOptions{})
	w.expectOneLeaseEach(ns, pool, 2*n)
	after := w.leases(pool)
	for name, uid := range before {
		if after[name].UID != uid {
			t.Errorf("lease %s was made again", name)
		}
	}

	// A manager that finds everything in order writes nothing.
	versions := func() map[string]string {
		versions := map[string]string{}
		var claims v1alpha1.MacClaimList
		if err := w.List(t.Context(), &claims, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		for _, c := range claims.Items {
			versions[c.Name] = c.ResourceVersion
		}
		for name, l := range w.leases(pool) {
			versions[name] = l.ResourceVersion
		}
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
			t.Fatal(err)
		}
		versions["pool"] = pool.ResourceVersion
		return versions
	}
	w.expectCounts(pool, 2*n, 0, 0)
	w.eventually(func(g gomega.Gomega) {
		for _, l := range w.leases(pool) {
			holder := w.claimNow(ns, l.Spec.ClaimRef.Name).Status.Holder
			g.Expect(l.Spec.NodeName != "").To(gomega.Equal(holder != nil))
		}
	})
	calm := versions()
	feed, _ := w.startManager(managerOptions{})
	w.eventually(func(g gomega.Gomega) { g.Expect(feed.Synced()).To(gomega.Succeed()) })
	time.Sleep(2 * time.Second)
	if diff := cmp.Diff(calm, versions()); diff != "" {
		t.Error(diff)
	}
}

func TestLeaderElectionHasItsRights(t *testing.T) {
	w := newWorld(t)
	elect := func(o *ctrl.Options) {
		o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = true, "macpool-manager", "macpool-system"
		o.LeaderElectionReleaseOnCancel = true
		o.LeaseDuration, o.RenewDeadline, o.RetryPeriod = ptr.To(3*time.Second), ptr.To(2*time.Second), ptr.To(200*time.Millisecond)
	}
	_, stop := w.startManager(managerOptions{change: elect})
	standby, _ := w.startManager(managerOptions{change: elect})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	w.claim(ns, "a", pool)
	w.bound(ns, "a")
	w.eventually(func(g gomega.Gomega) {
		lease := &coordinationv1.Lease{}
		g.Expect(w.Get(t.Context(), types.NamespacedName{Namespace: "macpool-system", Name: "macpool-manager"}, lease)).To(gomega.Succeed())
		// The one that waits has its index filled already.
		g.Expect(standby.Index.Count(pool.Name).Leased).To(gomega.BeEquivalentTo(1))
	})
	stop()
	w.claim(ns, "b", pool)
	w.bound(ns, "b")
}

// A pod that comes scheduled costs a claim, a lease and one status. Anything more would be paid for by each pod of a storm.
func TestPodCostsThreeRequests(t *testing.T) {
	const n = 50
	w := newWorld(t)
	var mu sync.Mutex
	requests := map[string]int{} // what -> how often
	w.startManager(managerOptions{count: func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		parts := slices.DeleteFunc(strings.Split(r.URL.Path, "/"), func(part string) bool {
			return !slices.Contains([]string{"macpools", "macclaims", "macleases", "status", "events"}, part)
		})
		what := r.Method + " " + strings.Join(parts, " ")
		if r.Method != http.MethodGet || !strings.Contains(r.URL.RawQuery, "watch") && !strings.Contains(r.URL.RawQuery, "limit") {
			requests[what]++
		}
	}})
	ns, pool := w.namespace(), w.pool("192.168.0.0/16")
	w.network(ns, "iot", pool.Name)
	w.poolReady(pool)
	for i := range n {
		w.pod(ns, fmt.Sprintf("pod-%d", i), "iot", on("node-1"))
	}
	w.expectOneLeaseEach(ns, pool, n)
	w.expectCounts(pool, n, 0, 1<<16-2-n)
	mu.Lock()
	defer mu.Unlock()
	total := 0
	for what, count := range requests {
		if !strings.Contains(what, "macpools") {
			total += count
		}
	}
	if total >= 4*n {
		t.Errorf("%d pods cost %d requests: %v", n, total, requests)
	}
}
