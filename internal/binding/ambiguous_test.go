// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// dropAfterCommit lets the n-th write through and loses its answer (F6): the caller sees a reset connection and cannot know
// whether the write was made.
type dropAfterCommit struct {
	next   http.RoundTripper
	drop   int64
	writes *atomic.Int64
}

func (d dropAfterCommit) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := d.next.RoundTrip(r)
	if err != nil || r.Method == http.MethodGet || d.writes.Add(1) != d.drop {
		return answer, err
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return nil, errors.New("connection reset by peer after commit")
}

// TestResponseDroppedAfterCommit proves R-A4: whichever write of an attachment loses its answer, there is one claim with one lease
// and one holder in the end.
func TestResponseDroppedAfterCommit(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, drop int64) (writes int64)
	}{
		{"bind from nothing", attachUnderFault(false)},
		{"take back the own lease while it cools", attachUnderFault(true)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The first run counts the writes; then each of them loses its answer once.
			writes := tt.run(t, 0)
			if writes < 3 {
				t.Fatalf("an attachment made %d writes, want at least 3 (claim, lease, claim status)", writes)
			}
			for n := int64(1); n <= writes; n++ {
				t.Run(fmt.Sprintf("write %d of %d", n, writes), func(t *testing.T) { tt.run(t, n) })
			}
		})
	}
}

// attachUnderFault attaches, releases and, if again is set, attaches once more the interface of one pod with write number drop losing its
// answer. It returns how many writes that took.
func attachUnderFault(again bool) func(t *testing.T, drop int64) int64 {
	return func(t *testing.T, drop int64) int64 {
		t.Helper()
		admin := newClient(t, nil)
		pool := newPool(t, admin, v1alpha1.Subnet{CIDR: "10.9.0.0/28"})
		namespace := newNamespace(t, admin)
		var writes atomic.Int64
		faulty := newClient(t, func(next http.RoundTripper) http.RoundTripper {
			return dropAfterCommit{next: next, drop: drop, writes: &writes}
		})
		b := newBinder(t, faulty, pool)
		pod := podOf(namespace, "db-0", "uid-1")
		want := claimFor(pod, pool)
		var first string
		if again {
			claim, err := newBinder(t, admin, pool).EnsureClaim(t.Context(), want)
			if err != nil {
				t.Fatal(err)
			}
			bound, err := bind(t.Context(), b, claim, pool, nil)
			if err != nil {
				t.Fatal(err)
			}
			first = bound.Status.LeaseName
			if err := retry(t, func() error { return release(t.Context(), b, bound, "test") }); err != nil {
				t.Fatal(err)
			}
			if err := admin.Delete(t.Context(), bound); err != nil {
				t.Fatal(err)
			}
		}
		claim, err := b.EnsureClaim(t.Context(), want)
		if err != nil {
			t.Fatalf("EnsureClaim: %v", err)
		}
		holder := &v1alpha1.Holder{PodName: pod.Name, PodUID: types.UID("uid-1"), NodeName: "n1", Interface: "net1"}
		bound, err := bind(t.Context(), b, claim, pool, holder)
		if err != nil {
			t.Fatalf("Bind: %v", err)
		}
		if first != "" && bound.Status.LeaseName != first {
			t.Errorf("the identity's lease is %s, was %s before", bound.Status.LeaseName, first)
		}
		leases := leasesOf(t, admin, pool)
		if len(leases) != 1 {
			t.Fatalf("%d leases, want 1: %v", len(leases), leases)
		}
		if lease := leases[bound.Status.LeaseName]; lease.Spec.ClaimRef.UID != bound.UID {
			t.Errorf("lease %s is of claim UID %q, want %q", bound.Status.LeaseName, lease.Spec.ClaimRef.UID, bound.UID)
		}
		if h := bound.Status.Holder; h == nil || h.PodUID != "uid-1" || h.Generation != 1 {
			t.Errorf("holder = %+v, want uid-1 with generation 1", h)
		}
		if err := retry(t, func() error {
			return b.ClearHolder(t.Context(), keyOf(bound), "uid-1", 1, binding.AgentReport("node-1"))
		}); err != nil {
			t.Fatalf("ClearHolder: %v", err)
		}
		return writes.Load()
	}
}

func retry(t *testing.T, do func() error) error {
	t.Helper()
	var err error
	for range 3 {
		if err = do(); err == nil {
			return nil
		}
	}
	return err
}
