// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

func podOf(namespace, name string, uid types.UID) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: uid,
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "StatefulSet", Name: "db", UID: "set", Controller: new(true),
		}},
	}}
}

func claimFor(pod *corev1.Pod, pool *v1alpha1.MacPool) *v1alpha1.MacClaim {
	return binding.NewClaim(pod, pool, "net1", binding.Wish{})
}

func keyOf(o client.Object) types.NamespacedName { return client.ObjectKeyFromObject(o) }

// TestWishes proves R-A8: what a claim asks for is granted exactly or refused with its code, and a refusal leaves no lease.
func TestWishes(t *testing.T) {
	c := newClient(t, nil)
	namespace := newNamespace(t, c)
	pool := &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: "wishes"},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: new(int32(50)), Segment: "wishes",
			Subnets: []v1alpha1.Subnet{
				{
					CIDR: "192.168.50.0/24", Gateway: "192.168.50.1",
					Ranges: []v1alpha1.PoolRange{
						{AddressRange: v1alpha1.AddressRange{Start: "192.168.50.2", End: "192.168.50.19"}, ExplicitOnly: true},
						{AddressRange: v1alpha1.AddressRange{Start: "192.168.50.100", End: "192.168.50.200"}},
					},
					Exclude: []v1alpha1.AddressRange{{Start: "192.168.50.150"}},
				},
				{CIDR: "fd00:50::/64"},
			},
			Reservations: []v1alpha1.Reservation{
				{IP: "192.168.50.30", ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: namespace, Name: "the-one"}},
				{IP: "192.168.50.31"},
			},
		},
	}
	createPool(t, c, pool)
	b := newBinder(t, c, pool)
	first := newClaim(t, c, pool, namespace, "first", "192.168.50.8")
	if _, err := b.Bind(t.Context(), first, pool, nil); err != nil {
		t.Fatal(err)
	}

	tests := map[string]struct {
		claim   string
		ips     []v1alpha1.IPAddress
		mac     v1alpha1.MACAddress
		want    []string // MAC, then IPs
		problem *problem.Kind
	}{
		"an address of an explicit range":          {ips: []v1alpha1.IPAddress{"192.168.50.9"}, want: []string{"02:32:00:a8:32:09", "192.168.50.9", "fd00:50::9"}},
		"an IPv6 address decides the IPv4 address": {ips: []v1alpha1.IPAddress{"fd00:50::a"}, want: []string{"02:32:00:a8:32:0a", "192.168.50.10", "fd00:50::a"}},
		"a MAC alone picks its slot":               {mac: "02:32:00:a8:32:0b", want: []string{"02:32:00:a8:32:0b", "192.168.50.11", "fd00:50::b"}},
		"MAC and IP that agree":                    {ips: []v1alpha1.IPAddress{"192.168.50.12"}, mac: "02:32:00:a8:32:0c", want: []string{"02:32:00:a8:32:0c", "192.168.50.12", "fd00:50::c"}},
		"a reservation picks its slot unasked":     {claim: "the-one", want: []string{"02:32:00:a8:32:1e", "192.168.50.30", "fd00:50::1e"}},
		"taken":                                    {ips: []v1alpha1.IPAddress{"192.168.50.8"}, problem: problem.AddressTaken},
		"taken, asked for by its MAC":              {mac: "02:32:00:a8:32:08", problem: problem.AddressTaken},
		"outside the ranges":                       {ips: []v1alpha1.IPAddress{"192.168.50.201"}, problem: problem.AddressOutside},
		"outside the subnet":                       {ips: []v1alpha1.IPAddress{"192.168.51.8"}, problem: problem.AddressOutside},
		"excluded":                                 {ips: []v1alpha1.IPAddress{"192.168.50.150"}, problem: problem.AddressExcluded},
		"the gateway":                              {ips: []v1alpha1.IPAddress{"192.168.50.1"}, problem: problem.AddressExcluded},
		"the broadcast address":                    {ips: []v1alpha1.IPAddress{"192.168.50.255"}, problem: problem.AddressExcluded},
		"reserved for another claim":               {ips: []v1alpha1.IPAddress{"192.168.50.30"}, problem: problem.AddressReserved},
		"reserved for nobody":                      {ips: []v1alpha1.IPAddress{"192.168.50.31"}, problem: problem.AddressReserved},
		"MAC and IP that disagree":                 {ips: []v1alpha1.IPAddress{"192.168.50.13"}, mac: "02:32:00:a8:32:0e", problem: problem.AddressMismatch},
		"two IPs that disagree":                    {ips: []v1alpha1.IPAddress{"192.168.50.13", "fd00:50::e"}, problem: problem.AddressMismatch},
		"a foreign MAC":                            {mac: "02:99:00:a8:32:08", problem: problem.ForeignMAC},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			claimName := tt.claim
			if claimName == "" {
				claimName = fmt.Sprintf("asks-%d", unique.Add(1))
			}
			claim := &v1alpha1.MacClaim{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: claimName},
				Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: pool.Name}, IPs: tt.ips, MAC: tt.mac},
			}
			if err := c.Create(t.Context(), claim); err != nil {
				t.Fatal(err)
			}
			before := len(leasesOf(t, c, pool))
			bound, err := b.Bind(t.Context(), claim, pool, nil)
			if tt.problem != nil {
				if !tt.problem.Is(err) {
					t.Fatalf("error = %v, want %s %s", err, tt.problem.Code, tt.problem.Reason)
				}
				if after := len(leasesOf(t, c, pool)); after != before {
					t.Errorf("%d leases after the refusal, %d before", after, before)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, append([]string{bound.Status.MAC}, bound.Status.IPs...)); diff != "" {
				t.Errorf("lease (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSameIdentityComesBack proves I4 and I6: a claim made again under its name gets its old lease while that cools, another
// claim that asks for the address does not.
func TestSameIdentityComesBack(t *testing.T) {
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "10.1.0.0/24"})
	namespace := newNamespace(t, c)
	b := newBinder(t, c, pool)
	bound, err := b.Bind(t.Context(), newClaim(t, c, pool, namespace, "db"), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := release(t.Context(), b, bound, "the test said so"); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), bound); err != nil {
		t.Fatal(err)
	}

	stranger := newClaim(t, c, pool, namespace, "stranger", v1alpha1.IPAddress(bound.Status.IPs[0]))
	if _, err := b.Bind(t.Context(), stranger, pool, nil); !problem.AddressCooling.Is(err) {
		t.Errorf("another identity got %v, want %s", err, problem.AddressCooling.Code)
	}

	again, err := b.Bind(t.Context(), newClaim(t, c, pool, namespace, "db"), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again.Status.LeaseName != bound.Status.LeaseName {
		t.Errorf("the identity came back to %s, had %s", again.Status.LeaseName, bound.Status.LeaseName)
	}
	lease := leasesOf(t, c, pool)[again.Status.LeaseName]
	if lease.Spec.ClaimRef.UID != again.UID {
		t.Errorf("the lease is of claim UID %s, want %s", lease.Spec.ClaimRef.UID, again.UID)
	}
	if len(lease.Spec.History) != 1 || lease.Spec.History[0].Evidence != "the test said so" {
		t.Errorf("history = %+v, want the first claim and why it was released", lease.Spec.History)
	}
}

// TestReusableRecordIsTakenOnce proves R-A1 for records: of many claims that want the one address left, whose record is free
// to take, one gets it.
func TestReusableRecordIsTakenOnce(t *testing.T) {
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "10.2.0.0/30", Gateway: "10.2.0.1"})
	namespace := newNamespace(t, c)
	b := newBinder(t, c, pool)
	bound, err := b.Bind(t.Context(), newClaim(t, c, pool, namespace, "old"), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := release(t.Context(), b, bound, "test"); err != nil {
		t.Fatal(err)
	}
	lease := &v1alpha1.MacLease{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: bound.Status.LeaseName}, lease); err != nil {
		t.Fatal(err)
	}
	lease.Spec.ReusableAt = new(metav1.Now())
	if err := c.Update(t.Context(), lease); err != nil {
		t.Fatal(err)
	}

	const claims = 8
	results := make([]error, claims)
	all := make([]*v1alpha1.MacClaim, claims)
	for i := range all {
		all[i] = newClaim(t, c, pool, namespace, "new-"+string(rune('a'+i)))
	}
	parallel(t, claims, claims, func(i int) error {
		w := newBinder(t, c, pool)
		w.Index.SetLease(lease)
		_, results[i] = w.Bind(t.Context(), all[i], pool, nil)
		return nil
	})
	winners := 0
	for _, err := range results {
		switch {
		case err == nil:
			winners++
		case !problem.PoolExhausted.Is(err):
			t.Errorf("a loser got %v, want %s", err, problem.PoolExhausted.Code)
		}
	}
	if winners != 1 {
		t.Errorf("%d claims got the one address", winners)
	}
}

// TestLoserGivesBack proves that of two writers that made different leases for one claim, the one whose claim update loses
// deletes its own, and only its own.
func TestLoserGivesBack(t *testing.T) {
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "10.3.0.0/24"})
	namespace := newNamespace(t, c)
	claim := newClaim(t, c, pool, namespace, "contended")
	winner, loser := newBinder(t, c, pool), newBinder(t, c, pool)
	// The loser believes that the first choice is taken, so it makes another lease.
	bound, err := winner.Bind(t.Context(), claim, pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	held := leasesOf(t, c, pool)[bound.Status.LeaseName]
	other := held.DeepCopy()
	other.Spec.ClaimRef.UID = "somebody-else"
	loser.Index.SetLease(other)
	got, err := loser.Bind(t.Context(), claim, pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status.LeaseName != bound.Status.LeaseName {
		t.Errorf("the loser reports %s, want %s", got.Status.LeaseName, bound.Status.LeaseName)
	}
	if leases := leasesOf(t, c, pool); len(leases) != 1 {
		t.Errorf("%d leases, want 1", len(leases))
	}
}

// withoutHolder is the claim as it was when it was bound.
func withoutHolder(claim *v1alpha1.MacClaim) *v1alpha1.MacClaim {
	before := claim.DeepCopy()
	before.Status.Holder, before.Status.Generation, before.ResourceVersion = nil, 0, "1"
	return before
}

// TestHolder proves that a claim has one holder at a time and that late words about an old one change nothing (M01, M09).
func TestHolder(t *testing.T) {
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "10.4.0.0/24"})
	namespace := newNamespace(t, c)
	b := newBinder(t, c, pool)
	claim, err := b.EnsureClaim(t.Context(), claimFor(podOf(namespace, "db-0", "one"), pool))
	if err != nil {
		t.Fatal(err)
	}
	holder := func(uid types.UID) *v1alpha1.Holder {
		return &v1alpha1.Holder{PodName: "db-0", PodUID: uid, NodeName: "n1", Interface: "net1"}
	}
	bound, err := b.Bind(t.Context(), claim, pool, holder("one"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Bind(t.Context(), bound, pool, holder("two")); !problem.ClaimHeld.Is(err) {
		t.Errorf("a second pod got %v, want %s", err, problem.ClaimHeld.Code)
	}
	for _, wrong := range []struct {
		uid        types.UID
		generation int64
	}{{"two", 1}, {"one", 0}} {
		if err := b.ClearHolder(t.Context(), keyOf(bound), wrong.uid, wrong.generation, binding.AgentReport("node-1")); err != nil {
			t.Errorf("ClearHolder(%v): %v", wrong, err)
		}
	}
	live := &v1alpha1.MacClaim{}
	if err := c.Get(t.Context(), keyOf(bound), live); err != nil {
		t.Fatal(err)
	}
	if live.Status.Holder == nil {
		t.Fatal("a word about another holder cleared this one")
	}
	if err := b.ClearHolder(t.Context(), keyOf(bound), "one", 1, binding.AgentReport("node-1")); err != nil {
		t.Fatal(err)
	}
	// Who reads late must not undo the end of a hold of which it does not know.
	for name, late := range map[string]*v1alpha1.MacClaim{"before it was bound": claim, "when it was bound": withoutHolder(bound)} {
		if _, err := b.Bind(t.Context(), late, pool, holder("one")); !apierrors.IsConflict(err) {
			t.Errorf("by a copy of %s, a pod that has lost the claim since got %v, want a conflict", name, err)
		}
	}
	next, err := b.Bind(t.Context(), bound, pool, holder("two")) // with a stale copy of the claim
	if err != nil {
		t.Fatal(err)
	}
	if h := next.Status.Holder; h.PodUID != "two" || h.Generation != 2 {
		t.Errorf("holder = %+v, want two with generation 2", h)
	}
	if p := next.Status.PreviousHolders; len(p) != 1 || p[0].PodUID != "one" {
		t.Errorf("previous holders = %+v, want one", p)
	}
	if next.Status.LeaseName != bound.Status.LeaseName {
		t.Errorf("the lease changed from %s to %s", bound.Status.LeaseName, next.Status.LeaseName)
	}
}
