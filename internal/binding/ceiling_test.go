// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"fmt"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// limitedPool is a pool that gives a namespace so many addresses.
func limitedPool(t *testing.T, c client.Client, limit int32) *v1alpha1.MacPool {
	t.Helper()
	n := unique.Add(1)
	pool := &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pool-%d", n)},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: new(int32(50)), Segment: fmt.Sprintf("test-%d", n), Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}}, MaxPerNamespace: &limit,
		},
	}
	createPool(t, c, pool)
	return pool
}

// boundIn is how many claims of a namespace have a lease.
func boundIn(t *testing.T, c client.Client, namespace string) int {
	t.Helper()
	var claims v1alpha1.MacClaimList
	if err := c.List(t.Context(), &claims, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, claim := range claims.Items {
		if claim.Status.LeaseName != "" {
			n++
		}
	}
	return n
}

// TestT3MaxPerNamespaceUnderContention : a tenant makes a hundred claims at once (R-S4, I8). By whichever processes they are bound, a namespace never
// has more than it may, others get theirs, and what was refused for nothing is served when it is tried again.
func TestT3MaxPerNamespaceUnderContention(t *testing.T) {
	const limit, many, processes = 7, 100, 4
	c := newClient(t, nil)
	pool := limitedPool(t, c, limit)
	greedy, modest := newNamespace(t, c), newNamespace(t, c)
	binders := make([]*binding.Binder, processes)
	for i := range binders {
		binders[i] = newBinder(t, newClient(t, nil), pool)
	}
	var all []*v1alpha1.MacClaim
	for i := range many {
		all = append(all, newClaim(t, c, pool, greedy, fmt.Sprintf("claim-%d", i)))
	}
	for i := range limit {
		all = append(all, newClaim(t, c, pool, modest, fmt.Sprintf("claim-%d", i)))
	}
	var workers sync.WaitGroup
	for i, claim := range all {
		workers.Go(func() {
			for range 2 {
				_, err := binders[i%processes].Bind(t.Context(), claim, pool, nil)
				if err != nil && !problem.NamespaceFull.Is(err) {
					t.Errorf("claim %s: %v", claim.Name, err)
				}
				if n := boundIn(t, c, greedy); n > limit {
					t.Errorf("%d claims have an address, of %d", n, limit)
				}
				if err == nil {
					return
				}
			}
		})
	}
	workers.Wait()
	for _, claim := range all { // one after the other nobody is refused for nothing
		live := &v1alpha1.MacClaim{}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(claim), live); err != nil {
			t.Fatal(err)
		}
		if _, err := binders[0].Bind(t.Context(), live, pool, nil); err != nil && !problem.NamespaceFull.Is(err) {
			t.Error(err)
		}
	}
	if a, b := boundIn(t, c, greedy), boundIn(t, c, modest); a != limit || b != limit {
		t.Errorf("%d and %d claims have an address, want %d each", a, b, limit)
	}
	if leases := leasesOf(t, c, pool); len(leases) != 2*limit {
		t.Errorf("there are %d leases", len(leases))
	}
}

// TestT4MaxPerNamespaceCountsWhatCools : a tenant gives an address back to get another (R-S4). One that cools is not there for another claim
// of the namespace, but for its own. The lock of a MAC is no second address, and other pools have limits of their own.
func TestT4MaxPerNamespaceCountsWhatCools(t *testing.T) {
	c := newClient(t, nil)
	pool := limitedPool(t, c, 1)
	namespace := newNamespace(t, c)
	pool.Spec.Reservations = []v1alpha1.Reservation{
		{IP: "192.168.50.8", MAC: licensed, ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: namespace, Name: "first"}},
	}
	if err := c.Update(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	b := newBinder(t, c, pool)
	first, err := b.Bind(t.Context(), newClaim(t, c, pool, namespace, "first"), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	second := newClaim(t, c, pool, namespace, "second")
	refused := func(when string) {
		t.Helper()
		_, err := b.Bind(t.Context(), second, pool, nil)
		if !problem.NamespaceFull.Is(err) {
			t.Errorf("%s the second claim gets %v", when, err)
		}
	}
	refused("while the first has its address")
	if err := c.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := release(t.Context(), b, first, "gone"); err != nil {
		t.Fatal(err)
	}
	refused("while the first's address cools")
	first, err = b.Bind(t.Context(), newClaim(t, c, pool, namespace, "first"), pool, nil)
	if err != nil {
		t.Fatalf("the identity does not get its own back: %v", err)
	}
	if err := c.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := release(t.Context(), b, first, "gone"); err != nil {
		t.Fatal(err)
	}
	lease := &v1alpha1.MacLease{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: first.Status.LeaseName}, lease); err != nil {
		t.Fatal(err)
	}
	lease.Spec.ReusableAt = &metav1.Time{Time: lease.Spec.ReleasedAt.Time}
	if err := c.Update(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Bind(t.Context(), second, pool, nil); err != nil {
		t.Errorf("when it has cooled down the second claim gets %v", err)
	}
	other := limitedPool(t, c, 1)
	if _, err := newBinder(t, c, other).Bind(t.Context(), newClaim(t, c, other, namespace, "third"), other, nil); err != nil {
		t.Errorf("in another pool: %v", err)
	}
}
