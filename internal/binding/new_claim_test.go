// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
)

// countReads counts what is read.
type countReads struct {
	next  http.RoundTripper
	reads *atomic.Int64
}

func (c countReads) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/mac") { // and not what kinds there are
		c.reads.Add(1)
	}
	return c.next.RoundTrip(r)
}

// TestBindNewLooksAtNoOthersAddress fills a pool by binders of which none knows what the others take: each claim gets an address of its own, and not one
// that was taken is read.
func TestBindNewLooksAtNoOthersAddress(t *testing.T) {
	const claims = 12
	admin := newClient(t, nil)
	pool := newPool(t, admin, v1alpha1.Subnet{CIDR: "10.9.0.0/28"})
	namespace := newNamespace(t, admin)
	var reads atomic.Int64
	counting := newClient(t, func(next http.RoundTripper) http.RoundTripper { return countReads{next, &reads} })
	leases := map[string]bool{}
	for i := range claims {
		b := newBinder(t, counting, pool)
		name := string(rune('a' + i))
		claim, made, err := b.MakeClaim(t.Context(), claimFor(podOf(namespace, name, types.UID(name)), pool))
		if err != nil || !made {
			t.Fatalf("MakeClaim: %v %v", made, err)
		}
		bound, err := b.BindNew(t.Context(), claim, pool, nil)
		if err != nil {
			t.Fatalf("BindNew of claim %d: %v", i, err)
		}
		if leases[bound.Status.LeaseName] {
			t.Errorf("lease %s was given twice", bound.Status.LeaseName)
		}
		leases[bound.Status.LeaseName] = true
	}
	if n := reads.Load(); n != 0 {
		t.Errorf("%d reads were made", n)
	}
}

// TestBindNewAfterALostAnswer proves R-A4 for a new claim: whichever of its writes loses its answer, there is one lease for it.
func TestBindNewAfterALostAnswer(t *testing.T) {
	for drop := range int64(3) {
		admin := newClient(t, nil)
		pool := newPool(t, admin, v1alpha1.Subnet{CIDR: "10.9.0.0/28"})
		namespace := newNamespace(t, admin)
		var writes atomic.Int64
		b := newBinder(t, newClient(t, func(next http.RoundTripper) http.RoundTripper {
			return dropAfterCommit{next: next, drop: drop, writes: &writes}
		}), pool)
		claim, err := newBinder(t, admin, pool).EnsureClaim(t.Context(), claimFor(podOf(namespace, "db-0", "uid-1"), pool))
		if err != nil {
			t.Fatal(err)
		}
		bound, err := b.BindNew(t.Context(), claim, pool, nil)
		if err != nil {
			t.Fatalf("BindNew, write %d lost: %v", drop, err)
		}
		all := leasesOf(t, admin, pool)
		if _, has := all[bound.Status.LeaseName]; len(all) != 1 || !has {
			t.Errorf("write %d lost: the claim has %s, and there are %d leases", drop, bound.Status.LeaseName, len(all))
		}
	}
}
