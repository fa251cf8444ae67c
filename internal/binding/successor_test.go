// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// TestSuccessorTakesTheLeaseOver proves I4 and I2 for a claim that is gone without its lease having been released: the claim made
// again under its name gets it, another claim that asks for the address does not.
func TestSuccessorTakesTheLeaseOver(t *testing.T) {
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "10.3.0.0/24"})
	namespace := newNamespace(t, c)
	b := newBinder(t, c, pool)
	bound, err := b.Bind(t.Context(), newClaim(t, c, pool, namespace, "db"), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), bound); err != nil {
		t.Fatal(err)
	}
	stranger := newClaim(t, c, pool, namespace, "stranger", v1alpha1.IPAddress(bound.Status.IPs[0]))
	if _, err := b.Bind(t.Context(), stranger, pool, nil); !problem.AddressTaken.Is(err) {
		t.Errorf("another identity got %v, want %s", err, problem.AddressTaken.Code)
	}
	for name, ips := range map[string][]v1alpha1.IPAddress{"wanting any": nil, "wanting it": {v1alpha1.IPAddress(bound.Status.IPs[0])}} {
		claim := newClaim(t, c, pool, namespace, "db", ips...)
		again, err := b.Bind(t.Context(), claim, pool, nil)
		if err != nil {
			t.Fatal(err)
		}
		if again.Status.LeaseName != bound.Status.LeaseName {
			t.Errorf("%s: the identity came back to %s, had %s", name, again.Status.LeaseName, bound.Status.LeaseName)
		}
		lease := leasesOf(t, c, pool)[again.Status.LeaseName]
		if lease.Spec.ClaimRef.UID != again.UID || len(lease.Spec.History) == 0 || lease.Spec.History[0].Evidence != "its claim was made again" {
			t.Errorf("%s: lease %+v", name, lease.Spec)
		}
		if err := c.Delete(t.Context(), again); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLatePredecessorTakesNothing proves that a bind for a claim that is gone does not take the lease of the claim that was made
// after it.
func TestLatePredecessorTakesNothing(t *testing.T) {
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "10.4.0.0/24"})
	namespace := newNamespace(t, c)
	first := newClaim(t, c, pool, namespace, "db")
	if err := c.Delete(t.Context(), first.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	b := newBinder(t, c, pool)
	second, err := b.Bind(t.Context(), newClaim(t, c, pool, namespace, "db"), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := leasesOf(t, c, pool)
	first.Spec.IPs = []v1alpha1.IPAddress{v1alpha1.IPAddress(second.Status.IPs[0])}
	if bound, err := b.Bind(t.Context(), first, pool, nil); !problem.AddressTaken.Is(err) {
		t.Errorf("the claim that is gone got %v, %v", bound, err)
	}
	first.Spec.IPs = nil
	if bound, err := b.Bind(t.Context(), first, pool, nil); !problem.ClaimDeleting.Is(err) {
		t.Errorf("the claim that is gone got %v, %v", bound, err)
	}
	after := leasesOf(t, c, pool)
	if len(after) != len(before) || after[second.Status.LeaseName].ResourceVersion != before[second.Status.LeaseName].ResourceVersion {
		t.Errorf("leases were touched: %v", after)
	}
}

// TestSuccessorAgainstRelease proves that the address is not lost to its identity when the successor's bind and the release meet.
func TestSuccessorAgainstRelease(t *testing.T) {
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "10.5.0.0/20"})
	namespace := newNamespace(t, c)
	b := newBinder(t, c, pool)
	const claims = 60
	old, next := make([]*v1alpha1.MacClaim, claims), make([]*v1alpha1.MacClaim, claims)
	for i := range claims {
		name := fmt.Sprintf("db-%d", i)
		bound, err := b.Bind(t.Context(), newClaim(t, c, pool, namespace, name), pool, nil)
		if err != nil {
			t.Fatal(err)
		}
		old[i] = bound
		if err := c.Delete(t.Context(), bound.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		next[i] = newClaim(t, c, pool, namespace, name)
	}
	parallel(t, 16, 2*claims, func(i int) error {
		if i%2 == 0 {
			return release(t.Context(), b, old[i/2], "test")
		}
		bound, err := b.Bind(t.Context(), next[i/2], pool, nil)
		if err == nil && bound.Status.LeaseName != old[i/2].Status.LeaseName {
			err = fmt.Errorf("claim %s has %s, had %s", bound.Name, bound.Status.LeaseName, old[i/2].Status.LeaseName)
		}
		return err
	})
	for _, claim := range next {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(claim), claim); err != nil {
			t.Fatal(err)
		}
		lease := leasesOf(t, c, pool)[claim.Status.LeaseName]
		if lease.Spec.ClaimRef.UID != claim.UID || binding.StateOf(&lease) != 0 {
			t.Errorf("claim %s names lease %+v", claim.Name, lease.Spec)
		}
	}
}
