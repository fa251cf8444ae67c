// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// TestAdoptedLeaseIsNoOrphan : F11, F12, I2. A lease that a bind has left behind is read as an orphan; before it is released, the
// next bind finds it and records it in the claim. The release must fail.
func TestAdoptedLeaseIsNoOrphan(t *testing.T) {
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "10.11.0.0/28"})
	claim := newClaim(t, c, pool, newNamespace(t, c), "db")
	orphan := &v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{
			Name: binding.SegmentOf(pool) + ".10.11.0.5",
			Labels: map[string]string{
				v1alpha1.LabelSegment: binding.SegmentOf(pool), v1alpha1.LabelIdentity: binding.IdentityLabel(claim.Namespace, claim.Name),
			},
		},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: pool.Name, MAC: "02:32:00:0b:00:05", IPs: []v1alpha1.IPAddress{"10.11.0.5"},
			ClaimRef: v1alpha1.ClaimRef{Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			LeasedAt: metav1.NewTime(time.Now().Add(-time.Hour)),
		},
	}
	if err := c.Create(t.Context(), orphan); err != nil {
		t.Fatal(err)
	}
	b := newBinder(t, c, pool)
	b.Index.SetLease(orphan)
	bound, err := b.Bind(t.Context(), claim, pool, nil)
	if err != nil || bound.Status.LeaseName != orphan.Name {
		t.Fatalf("bound to %q, %v, want %s", bound.Status.LeaseName, err, orphan.Name)
	}
	err = newBinder(t, c, pool).ReleaseAsRead(t.Context(), orphan, v1alpha1.LeaseHistory{Reason: v1alpha1.EndOrphaned})
	if !apierrors.IsConflict(err) {
		t.Errorf("the lease was released as it had been read before: %v", err)
	}
	if lease := leasesOf(t, c, pool)[orphan.Name]; lease.Name == "" {
		t.Error("the lease that the claim names is not leased any more")
	}
}

// before runs do once, in front of the first request that it is about.
type before struct {
	next  http.RoundTripper
	about func(*http.Request) bool
	do    *func()
}

func (b before) RoundTrip(r *http.Request) (*http.Response, error) {
	if do := *b.do; do != nil && b.about(r) {
		*b.do = nil
		do()
	}
	return b.next.RoundTrip(r)
}

// TestLateBindGivesNothingBack : I6. A bind makes a lease and is slow. Meanwhile another one records that lease, the pod comes and goes, and the
// claim is deleted. The slow one must leave the lease to its cooldown: the interface may be on its way out still.
func TestLateBindGivesNothingBack(t *testing.T) {
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "10.12.0.0/28"})
	claim := newClaim(t, c, pool, newNamespace(t, c), "db")
	var lease string
	do := func() {
		fast := newBinder(t, c, pool)
		bound, err := fast.Bind(t.Context(), claim.DeepCopy(), pool, nil)
		if err != nil {
			t.Errorf("the fast bind: %v", err)
			return
		}
		lease = bound.Status.LeaseName
		if err := c.Delete(t.Context(), bound); err != nil {
			t.Error(err)
		}
	}
	slow := newBinder(t, newClient(t, func(next http.RoundTripper) http.RoundTripper {
		return before{next: next, do: &do, about: func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/"+claim.Name+"/status")
		}}
	}), pool)
	if bound, err := slow.Bind(t.Context(), claim, pool, nil); !problem.ClaimDeleting.Is(err) {
		t.Errorf("the slow bind got %v, %v", bound, err)
	}
	if lease == "" {
		t.Fatal("the slow bind made no write of the claim")
	}
	left := &v1alpha1.MacLease{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: lease}, left); err != nil {
		t.Fatalf("the lease was given back at once: %v", err)
	}
	if left.Spec.ClaimRef.UID != claim.UID || left.Spec.ReleasedAt != nil {
		t.Errorf("the lease is %+v", left.Spec)
	}
}
