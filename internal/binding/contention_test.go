// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/problem"
)

// TestFrozenCaches proves I1 and R-A1: two managers without leader election and two agents, whose view of the leases froze
// when a tenth of them existed, bind 3,000 claims on one /20 pool. A fifth of the claims, those that were bound already among them,
// are bound by two of the four at once. Nothing is leased twice, and every claim ends with exactly one lease.
func TestFrozenCaches(t *testing.T) {
	const claims, callers = 3_000, 24
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "10.64.0.0/20"})
	namespace := newNamespace(t, c)

	all := make([]*v1alpha1.MacClaim, claims)
	parallel(t, callers, claims, func(i int) error {
		all[i] = &v1alpha1.MacClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("claim-%d", i)},
			Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: pool.Name}},
		}
		return c.Create(t.Context(), all[i])
	})

	// The old state: what the caches hold for the rest of the test.
	old := newBinder(t, c, pool)
	parallel(t, callers, claims/10, func(i int) error {
		_, err := old.Bind(t.Context(), all[i], pool, nil)
		return err
	})
	writers := make([]*binding.Binder, 4)
	for i := range writers {
		writers[i] = newBinder(t, newClient(t, nil), pool)
		hydrate(t, c, writers[i].Index, pool, i >= 2)
	}

	started := time.Now()
	parallel(t, callers, claims+claims/5, func(n int) error {
		// The first 2/5 of n are pairs: one claim and two different writers, at the same time.
		i, second := n-claims/5, 0
		if n < 2*claims/5 {
			i, second = n/2, n%2
		}
		w := writers[(i+second*(1+rand.IntN(3)))%len(writers)]
		// The claim as it was before anybody bound it: a cache that froze.
		bound, err := w.Bind(t.Context(), all[i], pool, nil)
		if err != nil {
			return err
		}
		if bound.Status.LeaseName == "" {
			return fmt.Errorf("claim %s came back without a lease", bound.Name)
		}
		return nil
	})
	t.Logf("%d binds by %d writers took %s", claims+claims/5, len(writers), time.Since(started).Round(time.Millisecond))
	assertOneLeaseEach(t, c, pool, namespace, claims)
}

// TestExactlyAsManyAddressesAsClaims proves R-A10 in small and R-A6: four writers, each of which knows of no lease, bind as many
// claims as the pool has addresses; the next claim is told that the pool is exhausted.
func TestExactlyAsManyAddressesAsClaims(t *testing.T) {
	const claims = 126
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "10.65.0.0/25"})
	namespace := newNamespace(t, c)
	var writers []*binding.Binder
	for range 4 {
		writers = append(writers, newBinder(t, newClient(t, nil), pool))
	}
	all := make([]*v1alpha1.MacClaim, claims+1)
	for i := range all {
		all[i] = newClaim(t, c, pool, namespace, fmt.Sprintf("claim-%d", i))
	}
	parallel(t, 32, claims, func(i int) error {
		_, err := writers[i%len(writers)].Bind(t.Context(), all[i], pool, nil)
		return err
	})
	assertOneLeaseEach(t, c, pool, namespace, claims)
	for _, w := range writers {
		if _, err := w.Bind(t.Context(), all[claims], pool, nil); !problem.PoolExhausted.Is(err) {
			t.Errorf("binding one claim more: %v, want %s", err, problem.PoolExhausted.Code)
		}
	}
}

// hydrate feeds an index as a manager does, from whole leases, or as an agent does, from their metadata alone.
func hydrate(t *testing.T, c client.Client, x *binding.Index, pool *v1alpha1.MacPool, metadataOnly bool) {
	t.Helper()
	for name, l := range leasesOf(t, c, pool) {
		if !metadataOnly {
			x.SetLease(&l)
			continue
		}
		parsed, err := mac.ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		x.Observe(allocator.Lease{Name: parsed, UID: string(l.UID), State: allocator.Leased})
	}
}

// assertOneLeaseEach checks from the API alone that the namespace's first n claims and the pool's leases are a bijection, with
// all MACs and addresses distinct.
func assertOneLeaseEach(t *testing.T, c client.Client, pool *v1alpha1.MacPool, namespace string, n int) {
	t.Helper()
	leases := leasesOf(t, c, pool)
	if len(leases) != n {
		t.Errorf("%d leases, want %d", len(leases), n)
	}
	macs, ips, owners := map[v1alpha1.MACAddress]string{}, map[v1alpha1.IPAddress]string{}, map[string]string{}
	for name, l := range leases {
		if other, ok := macs[l.Spec.MAC]; ok {
			t.Errorf("%s and %s have one MAC, %s", name, other, l.Spec.MAC)
		}
		macs[l.Spec.MAC] = name
		for _, ip := range l.Spec.IPs {
			if other, ok := ips[ip]; ok {
				t.Errorf("%s and %s have one address, %s", name, other, ip)
			}
			ips[ip] = name
		}
		if other, ok := owners[string(l.Spec.ClaimRef.UID)]; ok {
			t.Errorf("%s and %s are of one claim, %s", name, other, l.Spec.ClaimRef.Name)
		}
		owners[string(l.Spec.ClaimRef.UID)] = name
	}
	var claims v1alpha1.MacClaimList
	if err := c.List(t.Context(), &claims, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	bound := 0
	for _, claim := range claims.Items {
		if claim.Status.LeaseName == "" {
			continue
		}
		bound++
		if owners[string(claim.UID)] != claim.Status.LeaseName {
			t.Errorf("claim %s names %s, its lease is %q", claim.Name, claim.Status.LeaseName, owners[string(claim.UID)])
		}
	}
	if bound != n {
		t.Errorf("%d claims are bound, want %d", bound, n)
	}
}

// parallel runs do for 0..n-1 on so many callers.
func parallel(t *testing.T, callers, n int, do func(i int) error) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(callers)
	for i := range n {
		g.Go(func() error { return do(i) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}
