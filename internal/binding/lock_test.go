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

const licensed = v1alpha1.MACAddress("00:1b:21:a8:32:08")

// reservingPool makes a pool, on a segment named after the namespace, that reserves 192.168.50.8 with the licensed MAC for claim printer.
func reservingPool(t *testing.T, c client.Client, namespace string) *v1alpha1.MacPool {
	t.Helper()
	pool := &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: namespace + "-printer"},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: new(int32(50)), Segment: namespace, Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}},
			Reservations: []v1alpha1.Reservation{
				{IP: "192.168.50.8", MAC: licensed, ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: namespace, Name: "printer"}},
			},
		},
	}
	createPool(t, c, pool)
	return pool
}

func lockOf(t *testing.T, c client.Client, segment string) *v1alpha1.MacLease {
	t.Helper()
	lock := &v1alpha1.MacLease{}
	err := c.Get(t.Context(), client.ObjectKey{Name: segment + ".00-1b-21-a8-32-08"}, lock)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return lock
}

// TestReservedMAC is R-A2 for a MAC that is no function of the address: whoever is entitled gets it, by whichever of the two it asks, and
// it is locked under a name of its own.
func TestReservedMAC(t *testing.T) {
	for name, tc := range map[string]struct {
		ips     []v1alpha1.IPAddress
		mac     v1alpha1.MACAddress
		claim   string
		problem *problem.Kind
	}{
		"asks for nothing":        {},
		"asks for the address":    {ips: []v1alpha1.IPAddress{"192.168.50.8"}},
		"asks for the MAC":        {mac: licensed},
		"asks for both":           {ips: []v1alpha1.IPAddress{"192.168.50.8"}, mac: licensed},
		"both do not agree":       {ips: []v1alpha1.IPAddress{"192.168.50.9"}, mac: licensed, problem: problem.AddressMismatch},
		"the MAC made for it":     {mac: "02:32:00:a8:32:08", problem: problem.ForeignMAC},
		"another one's MAC":       {mac: licensed, claim: "thief", problem: problem.AddressReserved},
		"another one's address":   {ips: []v1alpha1.IPAddress{"192.168.50.8"}, claim: "thief", problem: problem.AddressReserved},
		"a MAC of nobody's":       {mac: "00:1b:21:a8:32:09", problem: problem.ForeignMAC},
		"a MAC that is multicast": {mac: "01:1b:21:a8:32:09", problem: problem.MulticastMAC},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, nil)
			namespace := newNamespace(t, c)
			pool := reservingPool(t, c, namespace)
			if tc.problem != nil { // also where it is written into a pod's annotation
				if _, err := binding.ParseWish(texts(tc.ips), string(tc.mac), pool); tc.claim == "" && !tc.problem.Is(err) {
					t.Errorf("the annotation is refused with %v, want %s", err, tc.problem.Reason)
				}
				if tc.problem == problem.MulticastMAC {
					return // no claim can have it
				}
			}
			claim := &v1alpha1.MacClaim{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "printer"},
				Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: pool.Name}, IPs: tc.ips, MAC: tc.mac},
			}
			if tc.claim != "" {
				claim.Name = tc.claim
			}
			if err := c.Create(t.Context(), claim); err != nil {
				t.Fatal(err)
			}
			bound, err := newBinder(t, c, pool).Bind(t.Context(), claim, pool, nil)
			lock := lockOf(t, c, namespace)
			if tc.problem != nil {
				if !tc.problem.Is(err) || lock != nil {
					t.Errorf("the error is %v, want %s; the lock is %v", err, tc.problem.Reason, lock)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if bound.Status.MAC != string(licensed) || bound.Status.IPs[0] != "192.168.50.8" {
				t.Errorf("it got %+v", bound.Status)
			}
			if lock == nil || lock.Spec.ClaimRef.UID != claim.UID || lock.Spec.MAC != licensed || binding.LockedLease(lock) != bound.Status.LeaseName {
				t.Errorf("the lock is %+v", lock)
			}
		})
	}
}

func texts(ips []v1alpha1.IPAddress) []string {
	var out []string
	for _, ip := range ips {
		out = append(out, string(ip))
	}
	return out
}

// TestReservedMACIsUnique is I1: a reservation that is moved while its MAC is leased does not make it a second time, to nobody, until the
// address that it was leased with is free.
func TestReservedMACIsUnique(t *testing.T) {
	c := newClient(t, nil)
	namespace := newNamespace(t, c)
	pool := reservingPool(t, c, namespace)
	b := newBinder(t, c, pool)
	printer, err := b.Bind(t.Context(), newClaim(t, c, pool, namespace, "printer"), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	move := func(ip v1alpha1.IPAddress, claim string) {
		t.Helper()
		pool.Spec.Reservations[0].IP, pool.Spec.Reservations[0].ClaimRef.Name = ip, claim
		if err := c.Update(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
		if err := b.Index.SetPool(pool); err != nil {
			t.Fatal(err)
		}
	}
	move("192.168.50.9", "scanner")
	scanner := newClaim(t, c, pool, namespace, "scanner")
	if _, err := b.Bind(t.Context(), scanner, pool, nil); !problem.MACTaken.Is(err) {
		t.Errorf("the MAC is given to another claim: %v", err)
	}
	move("192.168.50.9", "printer")
	if err := c.Delete(t.Context(), printer); err != nil {
		t.Fatal(err)
	}
	again := newClaim(t, c, pool, namespace, "printer")
	if _, err := b.Bind(t.Context(), again, pool, nil); !problem.MACTaken.Is(err) {
		t.Errorf("its own identity has it with two addresses: %v", err)
	}
	if err := release(t.Context(), b, printer, "gone"); err != nil {
		t.Fatal(err)
	}
	bound, err := b.Bind(t.Context(), again, pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lock := lockOf(t, c, namespace); bound.Status.IPs[0] != "192.168.50.9" || binding.LockedLease(lock) != bound.Status.LeaseName {
		t.Errorf("it got %+v, the lock is %+v", bound.Status, lock)
	}
}

// TestLockWithoutLease is what a crash between lock and lease leaves: the next attempt goes on with it, also when the repair has begun to take
// it away; and when the address turns out to be another's, it goes.
func TestLockWithoutLease(t *testing.T) {
	c := newClient(t, nil)
	namespace := newNamespace(t, c)
	pool := reservingPool(t, c, namespace)
	claim := newClaim(t, c, pool, namespace, "printer")
	lock, err := binding.NewLock(&v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{Name: namespace + ".192.168.50.8"},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: pool.Name, MAC: licensed, IPs: []v1alpha1.IPAddress{"192.168.50.8"}, LeasedAt: metav1.Now(),
			ClaimRef: v1alpha1.ClaimRef{Namespace: namespace, Name: "printer", UID: claim.UID}, ReleasedAt: &metav1.Time{Time: time.Now()},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	lock.Spec.ReleasedAt = &metav1.Time{Time: time.Now()}
	if err := c.Create(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	if _, err := newBinder(t, c, pool).Bind(t.Context(), claim, pool, nil); err != nil {
		t.Fatal(err)
	}
	if now := lockOf(t, c, namespace); now == nil || now.UID != lock.UID || now.Spec.ReleasedAt != nil {
		t.Errorf("the lock is %+v", now)
	}

	other := newNamespace(t, c)
	taken := reservingPool(t, c, other)
	plain := &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: other + "-plain"},
		Spec:       v1alpha1.MacPoolSpec{VLAN: new(int32(50)), Segment: other, Subnets: taken.Spec.Subnets},
	}
	createPool(t, c, plain)
	if _, err := newBinder(t, c, plain).Bind(t.Context(), newClaim(t, c, plain, other, "first", "192.168.50.8"), plain, nil); err != nil {
		t.Fatal(err)
	}
	_, err = newBinder(t, c, taken).Bind(t.Context(), newClaim(t, c, taken, other, "printer"), taken, nil)
	if !problem.AddressTaken.Is(err) || lockOf(t, c, other) != nil {
		t.Errorf("the error is %v, the lock %v", err, lockOf(t, c, other))
	}
}

// TestLockAgainstRepair is the interleaving that lock.go is about: the repair has released the lock, and seen no lease, just before the bind makes
// it. One of the two writes that follow fails: the repair's, since the bind looks once more.
func TestLockAgainstRepair(t *testing.T) {
	c := newClient(t, nil)
	namespace := newNamespace(t, c)
	pool := reservingPool(t, c, namespace)
	var marked *v1alpha1.MacLease
	repair := func() {
		marked = lockOf(t, c, namespace)
		if marked == nil {
			t.Error("the lease is made before its lock")
			return
		}
		marked.Spec.ReleasedAt = &metav1.Time{Time: time.Now()}
		if err := c.Update(t.Context(), marked); err != nil {
			t.Error(err)
		}
	}
	made := 0
	slow := newClient(t, func(next http.RoundTripper) http.RoundTripper {
		return before{next: next, do: &repair, about: func(r *http.Request) bool {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/macleases") {
				made++
			}
			return made == 2 // the lease, after its lock
		}}
	})
	bound, err := newBinder(t, slow, pool).Bind(t.Context(), newClaim(t, c, pool, namespace, "printer"), pool, nil)
	if err != nil || marked == nil {
		t.Fatalf("Bind = %v, the repair wrote %v", err, marked)
	}
	err = c.Delete(t.Context(), marked, client.Preconditions{UID: &marked.UID, ResourceVersion: &marked.ResourceVersion})
	if !apierrors.IsConflict(err) {
		t.Errorf("the repair takes the lock away from %s: %v", bound.Status.LeaseName, err)
	}
	if lock := lockOf(t, c, namespace); lock == nil || lock.Spec.ReleasedAt != nil {
		t.Errorf("the lock is %+v", lock)
	}
}
