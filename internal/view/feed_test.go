// SPDX-License-Identifier: Apache-2.0

package view

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/macpool/macpool/api/v1alpha1"
)

func pool(name, segment string) *v1alpha1.MacPool {
	return &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: ptr.To[int32](50), Segment: segment, Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}},
		},
	}
}

// lease is a lease of pool a.
func lease(name string) *v1alpha1.MacLease {
	return &v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: "1", ResourceVersion: "7"},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: "a", ClaimRef: v1alpha1.ClaimRef{Namespace: "home", Name: "a", UID: "2"},
		},
	}
}

// told is what a listener was told, in order, with what the index knew by then.
type told struct {
	Pool   string
	Cause  Cause
	Leased uint64
}

func TestListenersAreToldWhatTheIndexKnows(t *testing.T) {
	f := NewFeed()
	var heard []told
	ctx, cancel := context.WithCancel(t.Context())
	f.poolSeen(pool("a", "s"))
	f.Listen(ctx, func(name string, cause Cause) {
		heard = append(heard, told{name, cause, f.Index.Count(name).Leased})
	})
	expect := func(what string, want ...told) {
		t.Helper()
		slices.SortFunc(heard, func(x, y told) int { return len(x.Pool) - len(y.Pool) })
		if diff := cmp.Diff(want, heard); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		heard = nil
	}
	expect("what was there before", told{"a", PoolChanged, 0})
	f.poolSeen(pool("bb", "s"))
	expect("a second pool of the segment concerns the first", told{"a", PoolChanged, 0}, told{"bb", PoolChanged, 0})
	f.poolSeen(pool("ccc", "other"))
	expect("another segment", told{"ccc", PoolChanged, 0})
	f.leaseSeen(lease("s.192.168.50.8"))
	expect("a lease counts in all pools of its segment", told{"a", LeaseChanged, 1}, told{"bb", LeaseChanged, 1})
	f.leaseSeen(lease("no-address"))
	f.leaseSeen("no lease")
	expect("what is no lease is ignored")
	f.leaseGone(toolscache.DeletedFinalStateUnknown{Obj: lease("s.192.168.50.8")})
	expect("a deletion that the watch missed", told{"a", LeaseChanged, 0}, told{"bb", LeaseChanged, 0})
	f.poolGone(toolscache.DeletedFinalStateUnknown{Obj: pool("bb", "s")})
	expect("a pool is gone", told{"a", PoolChanged, 0}, told{"bb", PoolChanged, 0})
	if diff := cmp.Diff([]string{"a", "ccc"}, f.Pools()); diff != "" {
		t.Error(diff)
	}

	cancel()
	for f.listening() {
	}
	f.poolSeen(pool("dddd", "s"))
	expect("after the end")
}

func (f *Feed) listening() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.listeners) > 0
}

// A lease concerns the pools of its segment; how long it takes to tell them does not grow with those of others. Times of the same work in one
// run are compared, for a walk over pools need not allocate.
func TestOtherSegmentsCostNothing(t *testing.T) {
	cost := func(others int) time.Duration {
		f := NewFeed()
		f.poolSeen(pool("a", "s"))
		for i := range others {
			f.poolSeen(pool(fmt.Sprintf("other-%d", i), fmt.Sprintf("s-%d", i)))
		}
		f.Listen(t.Context(), func(string, Cause) {})
		one := lease("s.192.168.50.8")
		least := time.Duration(math.MaxInt64)
		for range 50 { // the least of many: whoever interrupts us is not counted
			begun := time.Now()
			for range 20 {
				f.leaseSeen(one)
			}
			least = min(least, time.Since(begun))
		}
		return least
	}
	if alone, among := cost(0), cost(5000); among > 5*alone {
		t.Errorf("20 events of a lease take %v among 5000 pools, and %v in one", among, alone)
	}
}
