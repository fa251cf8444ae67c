// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// wishing makes a claim that asks for a MAC.
func wishing(t *testing.T, c client.Client, pool *v1alpha1.MacPool, namespace, name string, mac v1alpha1.MACAddress) *v1alpha1.MacClaim {
	t.Helper()
	claim := &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: pool.Name}, MAC: mac},
	}
	if err := c.Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	return claim
}

// A pool without subnets leases MACs: by choice, by wish, and to its identity again (I4); a lease is named after its MAC.
func TestMACsAlone(t *testing.T) {
	c := newClient(t, nil)
	namespace := newNamespace(t, c)
	pool := newPool(t, c)
	b := newBinder(t, c, pool)

	any1, err := b.Bind(t.Context(), newClaim(t, c, pool, namespace, "a"), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	status := any1.Status
	if !strings.HasPrefix(status.MAC, "02:32:00:") || len(status.IPs) != 0 ||
		status.LeaseName != pool.Spec.Segment+"."+strings.ReplaceAll(status.MAC, ":", "-") {
		t.Fatalf("the claim has %+v", status)
	}
	lease := leasesOf(t, c, pool)[status.LeaseName]
	if len(lease.Spec.IPs) != 0 || string(lease.Spec.MAC) != status.MAC || lease.Spec.ClaimRef.UID != any1.UID {
		t.Errorf("the lease is %+v", lease.Spec)
	}
	// A writer that knows nothing proposes the same, finds it taken by the claim itself, and leaves it at one lease.
	if again, err := newBinder(t, c, pool).Bind(t.Context(), any1, pool, nil); err != nil || again.Status.LeaseName != status.LeaseName {
		t.Errorf("bound again: %v, %v", again, err)
	}

	const wanted = "02:32:00:00:00:07"
	if got, err := b.Bind(t.Context(), wishing(t, c, pool, namespace, "b", wanted), pool, nil); err != nil || got.Status.MAC != wanted {
		t.Errorf("asked for %s, got %v, %v", wanted, got, err)
	}
	_, err = b.Bind(t.Context(), wishing(t, c, pool, namespace, "c", wanted), pool, nil)
	if !problem.AddressTaken.Is(err) || !strings.Contains(err.Error(), wanted) {
		t.Errorf("the same MAC twice: %v", err)
	}
	if _, err := b.Bind(t.Context(), wishing(t, c, pool, namespace, "d", "00:1b:21:00:00:07"), pool, nil); !problem.ForeignMAC.Is(err) {
		t.Errorf("a MAC of another prefix: %v", err)
	}
	if _, err := b.Bind(t.Context(), newClaim(t, c, pool, namespace, "e", "192.168.50.8"), pool, nil); !problem.NoAddresses.Is(err) {
		t.Errorf("an address: %v", err)
	}
	if _, err := binding.ParseWish([]string{"192.168.50.8/24"}, "", pool); !problem.NoAddresses.Is(err) {
		t.Errorf("an address in an annotation: %v", err)
	}

	// Released, and asked for again by the same name: the same MAC.
	if err := c.Delete(t.Context(), any1); err != nil {
		t.Fatal(err)
	}
	if err := release(t.Context(), b, any1, "test"); err != nil {
		t.Fatal(err)
	}
	if again, err := b.Bind(t.Context(), newClaim(t, c, pool, namespace, "a"), pool, nil); err != nil || again.Status.MAC != status.MAC {
		t.Errorf("made again it has %v, %v, want %s", again, err, status.MAC)
	}
}

// I1 : of many writers, each of which knows nothing of the others, one gets a MAC, also from two pools of one prefix.
func TestMACsAloneAreUnique(t *testing.T) {
	c := newClient(t, nil)
	namespace := newNamespace(t, c)
	first := newPool(t, c)
	second := &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: first.Name + "-2"}, Spec: v1alpha1.MacPoolSpec{VLAN: first.Spec.VLAN, Segment: first.Spec.Segment},
	}
	createPool(t, c, second)
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		pool := []*v1alpha1.MacPool{first, second}[i%2]
		claim := wishing(t, c, pool, namespace, fmt.Sprintf("c-%d", i), "02:32:00:00:00:07")
		b := newBinder(t, c, first, second)
		all.Go(func() { _, errs[i] = b.Bind(t.Context(), claim, pool, nil) })
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !problem.AddressTaken.Is(err):
			t.Error(err)
		}
	}
	if leases := leasesOf(t, c, first); won != 1 || len(leases) != 1 {
		t.Errorf("%d claims have it, and there are %d leases: %v", won, len(leases), errors.Join(errs...))
	}
}

// R-A2 : a reservation's lock and the lease of the same MAC alone keep each other away, whichever is first and whoever asks. Pools for which
// it could come to that contradict each other; here nobody has looked.
func TestLockAndMACAlone(t *testing.T) {
	const contested = v1alpha1.MACAddress("02:d0:01:00:00:07")
	for _, lockFirst := range []bool{true, false} {
		c := newClient(t, nil)
		namespace := newNamespace(t, c)
		alone := &v1alpha1.MacPool{
			ObjectMeta: metav1.ObjectMeta{Name: namespace + "-alone"},
			Spec:       v1alpha1.MacPoolSpec{VLAN: new(int32(50)), Segment: namespace, MAC: &v1alpha1.MACPolicy{Prefix: "02:d0:01"}},
		}
		createPool(t, c, alone)
		reserving := reservingPool(t, c, namespace)
		reserving.Spec.Reservations[0].MAC = contested
		if err := c.Update(t.Context(), reserving); err != nil {
			t.Fatal(err)
		}
		// The same name: what is released or left behind by its identity would be the claim's.
		bindReserved := func() error {
			claim := newClaim(t, c, reserving, namespace, "printer")
			_, err := newBinder(t, c, reserving, alone).Bind(t.Context(), claim, reserving, nil)
			return errors.Join(err, c.Delete(t.Context(), claim))
		}
		bindAlone := func() error {
			claim := wishing(t, c, alone, namespace, "printer", contested)
			_, err := newBinder(t, c, reserving, alone).Bind(t.Context(), claim, alone, nil)
			return errors.Join(err, c.Delete(t.Context(), claim))
		}
		first, second := bindReserved, bindAlone
		if !lockFirst {
			first, second = bindAlone, bindReserved
		}
		if err := first(); err != nil {
			t.Fatal(err)
		}
		before := lease(t, c, namespace+".02-d0-01-00-00-07")
		if err := second(); err == nil || !strings.Contains(err.Error(), problem.AddressTaken.Code) {
			t.Errorf("lock first %t: the MAC is taken, and the error is %v", lockFirst, err)
		}
		after := lease(t, c, before.Name)
		if before.ResourceVersion != after.ResourceVersion || binding.IsLock(after) != lockFirst {
			t.Errorf("lock first %t: it was changed to %+v", lockFirst, after.Spec)
		}
	}
}

func lease(t *testing.T, c client.Client, name string) *v1alpha1.MacLease {
	t.Helper()
	l := &v1alpha1.MacLease{}
	if err := c.Get(t.Context(), types.NamespacedName{Name: name}, l); err != nil {
		t.Fatal(err)
	}
	return l
}

// What a node reports of a MAC alone comes back as it was, after the API has forgotten it.
func TestAdoptMACAlone(t *testing.T) {
	c := newClient(t, nil)
	namespace := newNamespace(t, c)
	pool := newPool(t, c)
	b := newBinder(t, c, pool)
	name := pool.Spec.Segment + ".02-32-00-00-00-07"
	r := binding.Reported{NodeName: "a", NodeAttachment: v1alpha1.NodeAttachment{
		LeaseName: name, PoolName: pool.Name, MAC: "02:32:00:00:00:07", Namespace: namespace, ClaimName: "db",
		PodName: "db-0", PodUID: "u", Interface: "net1", Generation: 3,
	}}
	if _, err := b.Adopt(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	claim := &v1alpha1.MacClaim{}
	if err := c.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "db"}, claim); err != nil {
		t.Fatal(err)
	}
	l := lease(t, c, name)
	if claim.Status.LeaseName != name || claim.Status.MAC != "02:32:00:00:00:07" || claim.Status.Holder == nil || l.Spec.ClaimRef.UID != claim.UID || len(l.Spec.IPs) != 0 {
		t.Errorf("the claim has %+v, the lease is %+v", claim.Status, l.Spec)
	}
	if known, ok := b.Index.ByClaim(string(claim.UID)); !ok || known.Name.String() != name {
		t.Errorf("the index has %+v, %t", known, ok)
	}
}
