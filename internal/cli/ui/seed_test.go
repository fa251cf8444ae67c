// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/ledger"
)

// fixture is a cluster in memory, in place of the mirror of a real one.
type fixture struct {
	client.Reader // nil: nothing but lists is asked for
	ledger.Objects

	pulse pulse
	kinds []progress
}

func (f *fixture) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch list := list.(type) {
	case *v1alpha1.MacPoolList:
		list.Items = f.Pools
	case *v1alpha1.MacClaimList:
		list.Items = f.Claims
	case *v1alpha1.MacLeaseList:
		list.Items = f.Leases
	case *v1alpha1.MacNodeList:
		list.Items = f.Nodes
	default:
		return fmt.Errorf("the fixture has no %T", list)
	}
	return nil
}

func (f *fixture) progress() []progress { return f.kinds }

func (f *fixture) changes() (uint64, <-chan struct{}) { return f.pulse.state() }

// seed makes the objects of clusters as macpool leaves them. It is the same in each run but for the times, which are before now.
type seed struct {
	t      *testing.T
	now    time.Time
	random *rand.Rand
	fixture
}

func newSeed(t *testing.T) *seed {
	t.Helper()
	s := &seed{t: t, now: time.Now().Truncate(time.Second), random: rand.New(rand.NewPCG(1, 2))}
	s.kinds = []progress{{Kind: "MacPools", Done: true}, {Kind: "MacClaims", Done: true}, {Kind: "MacLeases", Done: true}, {Kind: "MacNodes", Done: true}}
	return s
}

func (s *seed) before(d time.Duration) metav1.Time { return metav1.NewTime(s.now.Add(-d)) }

// pool makes a pool that is ready. edit may change it.
func (s *seed) pool(name string, vlan int32, cidr string, ranges []string, edit func(*v1alpha1.MacPool)) *v1alpha1.MacPool {
	s.t.Helper()
	pool := v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: s.before(30 * 24 * time.Hour)}}
	pool.Spec.VLAN = &vlan
	pool.Spec.History = &metav1.Duration{Duration: 7 * 24 * time.Hour}
	subnet := v1alpha1.Subnet{CIDR: v1alpha1.CIDR(cidr)}
	for i := 0; i+1 < len(ranges); i += 2 {
		subnet.Ranges = append(subnet.Ranges, v1alpha1.PoolRange{
			AddressRange: v1alpha1.AddressRange{Start: v1alpha1.IPAddress(ranges[i]), End: v1alpha1.IPAddress(ranges[i+1])},
		})
	}
	pool.Spec.Subnets = []v1alpha1.Subnet{subnet}
	pool.Status.Conditions = []metav1.Condition{{Type: v1alpha1.PoolReady, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonValid, LastTransitionTime: s.before(time.Hour)}}
	if edit != nil {
		edit(&pool)
	}
	s.Pools = append(s.Pools, pool)
	return &s.Pools[len(s.Pools)-1]
}

// lease makes the record of an address of a pool. edit may change it.
func (s *seed) lease(pool *v1alpha1.MacPool, slot allocator.Slot, namespace, claim string, since time.Duration, edit func(*v1alpha1.MacLease)) *v1alpha1.MacLease {
	s.t.Helper()
	plan, err := binding.PlanOf(pool)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.leaseOf(plan, pool.Name, slot, namespace, claim, since, edit)
}

func (s *seed) leaseOf(plan *allocator.Plan, pool string, slot allocator.Slot, namespace, claim string, since time.Duration, edit func(*v1alpha1.MacLease)) *v1alpha1.MacLease {
	a := plan.Address(slot)
	l := v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: a.Name.String(), UID: types.UID(a.Name.String())}}
	l.Spec = v1alpha1.MacLeaseSpec{
		PoolName: pool, MAC: v1alpha1.MACAddress(a.MAC.String()), LeasedAt: s.before(since),
		ClaimRef: v1alpha1.ClaimRef{Namespace: namespace, Name: claim, UID: types.UID(namespace + "/" + claim)},
		PodName:  claim, NodeName: fmt.Sprintf("node-%d", 1+uint64(slot)%5),
	}
	for _, ip := range a.IPs {
		l.Spec.IPs = append(l.Spec.IPs, v1alpha1.IPAddress(ip.String()))
	}
	if edit != nil {
		edit(&l)
	}
	s.Leases = append(s.Leases, l)
	return &s.Leases[len(s.Leases)-1]
}

// claim makes the claim of a lease, held by a pod since it was leased, and by two others before.
func (s *seed) claim(l *v1alpha1.MacLease) *v1alpha1.MacClaim {
	ref := l.Spec.ClaimRef
	c := v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name, UID: ref.UID, CreationTimestamp: l.Spec.LeasedAt}}
	c.Spec.PoolRef.Name = l.Spec.PoolName
	c.Status.MAC, c.Status.LeaseName = string(l.Spec.MAC), l.Name
	for _, ip := range l.Spec.IPs {
		c.Status.IPs = append(c.Status.IPs, string(ip))
	}
	held := s.now.Sub(l.Spec.LeasedAt.Time) / 3
	c.Status.Generation = 3
	c.Status.Holder = &v1alpha1.Holder{
		PodName: l.Spec.PodName, PodUID: types.UID(l.Spec.PodName), NodeName: l.Spec.NodeName, Interface: "net1", Generation: 3, Since: s.before(held),
	}
	for i := range 2 {
		c.Status.PreviousHolders = append(c.Status.PreviousHolders, v1alpha1.PreviousHolder{
			PodName: l.Spec.PodName, PodUID: types.UID(fmt.Sprint(l.Spec.PodName, i)), NodeName: fmt.Sprintf("node-%d", i+1), Generation: int64(2 - i),
			Since: s.before(held * time.Duration(i+2)), Until: s.before(held*time.Duration(i+1) + 20*time.Second),
			Reason: v1alpha1.EndAgentReport, Evidence: fmt.Sprintf("the interface is gone, says the agent of node-%d", i+1),
		})
	}
	c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ClaimReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ClaimReasonBound, LastTransitionTime: l.Spec.LeasedAt}}
	s.Claims = append(s.Claims, c)
	return &s.Claims[len(s.Claims)-1]
}

// released gives a lease back.
func (s *seed) released(l *v1alpha1.MacLease, ago time.Duration, reusable bool) {
	at := s.before(ago)
	l.Spec.ReleasedAt = &at
	if reusable {
		end := metav1.NewTime(at.Add(time.Minute))
		l.Spec.ReusableAt = &end
	}
	l.Spec.History = []v1alpha1.LeaseHistory{{
		Namespace: l.Spec.ClaimRef.Namespace, Claim: l.Spec.ClaimRef.Name, PodName: l.Spec.PodName, NodeName: l.Spec.NodeName,
		From: l.Spec.LeasedAt, To: at, Reason: v1alpha1.EndAgentReport, Evidence: "the interface is gone, says the agent of " + l.Spec.NodeName,
	}}
}

// counting is a number as statuses have it.
func counting(n uint64) *int64 {
	return new(int64(n)) //nolint:gosec // G115: a count of addresses
}

// counted sets the numbers of a pool's status, as the manager would.
func (s *seed) counted() {
	snapshot := ledger.New(s.Objects, s.now)
	for i := range s.Pools {
		chart, ok := snapshot.Chart(s.Pools[i].Name, s.now)
		if !ok {
			continue
		}
		counts, all := chart.Total(), uint64(0)
		for state, n := range counts {
			if state != ledger.Excluded && state != ledger.Outside && state != ledger.OutOfRange {
				all += n
			}
		}
		status := &s.Pools[i].Status
		status.Capacity, status.Leased = counting(all), counting(counts[ledger.Leased])
		status.Conflicted, status.Available = counting(counts[ledger.Conflicted]), counting(counts[ledger.Free]+counts[ledger.Reusable])
	}
}
