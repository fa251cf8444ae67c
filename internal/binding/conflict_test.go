// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// R-L2: a lease that is marked is given to nobody, its own claim included, until the mark is gone; the claim that was unbound gets another
// address. Of two marks for one stranger within a minute the second is not written, and another claim's lease is left alone.
func TestMarkConflict(t *testing.T) {
	c := newClient(t, nil)
	namespace := newNamespace(t, c)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "192.168.50.0/24"})
	b := newBinder(t, c, pool)
	read := func(name string) *v1alpha1.MacLease {
		t.Helper()
		lease := &v1alpha1.MacLease{}
		if err := c.Get(t.Context(), types.NamespacedName{Name: name}, lease); err != nil {
			t.Fatal(err)
		}
		return lease
	}
	seen := metav1.NewTime(time.Now().Truncate(time.Second))
	stranger := v1alpha1.Conflict{MAC: "02:00:00:00:00:66", NodeName: "node-1", SeenAt: seen}

	claim, err := b.Bind(t.Context(), newClaim(t, c, pool, namespace, "web"), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := claim.Status.LeaseName
	if err := b.MarkConflict(t.Context(), name, "another", stranger, "it answered", true); err != nil {
		t.Fatal(err)
	}
	if lease := read(name); lease.Spec.Conflict != nil {
		t.Errorf("another claim's lease was marked: %+v", lease.Spec)
	}
	for range 2 { // it may be repeated
		if err := b.MarkConflict(t.Context(), name, claim.UID, stranger, "it answered", true); err != nil {
			t.Fatal(err)
		}
	}
	lease := read(name)
	if binding.StateOf(lease) != allocator.Conflicted || lease.Spec.ReleasedAt == nil || len(lease.Spec.History) != 1 ||
		lease.Spec.History[0].Reason != v1alpha1.EndConflicted || lease.Spec.History[0].Evidence != "it answered" {
		t.Errorf("the lease is %+v", lease.Spec)
	}
	if err := b.Unbind(t.Context(), client.ObjectKeyFromObject(claim), claim.UID, name, binding.End{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(claim), claim); err != nil {
		t.Fatal(err)
	}
	if claim, err = b.Bind(t.Context(), claim, pool, nil); err != nil {
		t.Fatal(err)
	}
	if claim.Status.LeaseName == name {
		t.Error("the claim was bound to the marked lease again")
	}
	wanted := newClaim(t, c, pool, namespace, "wants-it", lease.Spec.IPs[0])
	if _, err := b.Bind(t.Context(), wanted, pool, nil); !problem.AddressConflict.Is(err) {
		t.Errorf("who asks for it got %v", err)
	}

	// The claim keeps it: no release, and news of the same stranger are no write.
	kept := read(claim.Status.LeaseName)
	for range 2 {
		if err := b.MarkConflict(t.Context(), kept.Name, claim.UID, stranger, "it answered", false); err != nil {
			t.Fatal(err)
		}
	}
	marked := read(kept.Name)
	kept.Spec.Conflict = &stranger
	if diff := cmp.Diff(kept.Spec, marked.Spec); diff != "" {
		t.Errorf("the lease (-want +got):\n%s", diff)
	}
	later := stranger
	later.SeenAt = metav1.NewTime(seen.Add(30 * time.Second))
	if err := b.MarkConflict(t.Context(), kept.Name, claim.UID, later, "it answered", false); err != nil {
		t.Fatal(err)
	}
	if got := read(kept.Name); got.ResourceVersion != marked.ResourceVersion {
		t.Error("it was written again within a minute")
	}
	later.SeenAt = metav1.NewTime(seen.Add(2 * time.Minute))
	if err := b.MarkConflict(t.Context(), kept.Name, claim.UID, later, "it answered", false); err != nil {
		t.Fatal(err)
	}
	if got := read(kept.Name); !got.Spec.Conflict.SeenAt.Equal(&later.SeenAt) {
		t.Errorf("the mark is %+v", got.Spec.Conflict)
	}
	if err := b.MarkConflict(t.Context(), "vlan-50.192.168.50.99", claim.UID, later, "it answered", true); err != nil {
		t.Errorf("a lease that is not there: %v", err)
	}
}
