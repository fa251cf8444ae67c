// SPDX-License-Identifier: Apache-2.0

package retention_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/retention"
)

func TestRetain(t *testing.T) {
	hours := func(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Hour} }
	pool := &v1alpha1.MacPool{Spec: v1alpha1.MacPoolSpec{Retain: hours(5)}}
	for name, tc := range map[string]struct {
		kind v1alpha1.WorkloadKind
		own  *metav1.Duration
		pool *v1alpha1.MacPool
		want time.Duration
	}{
		"a pod's":           {v1alpha1.WorkloadPod, nil, pool, 0},
		"a pod's, own":      {v1alpha1.WorkloadPod, hours(2), pool, 2 * time.Hour},
		"a set's":           {v1alpha1.WorkloadStatefulSet, nil, pool, 5 * time.Hour},
		"a set's, own":      {v1alpha1.WorkloadStatefulSet, hours(0), pool, 0},
		"a set's, no pool":  {v1alpha1.WorkloadStatefulSet, nil, nil, time.Hour},
		"a VM's":            {v1alpha1.WorkloadVM, nil, pool, 5 * time.Hour},
		"a VM's, at once":   {v1alpha1.WorkloadVM, hours(0), pool, 5 * time.Minute},
		"a set's, pool old": {v1alpha1.WorkloadStatefulSet, nil, &v1alpha1.MacPool{}, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			claim := &v1alpha1.MacClaim{Spec: v1alpha1.MacClaimSpec{Workload: &v1alpha1.Workload{Kind: tc.kind}, Retain: tc.own}}
			if got := retention.Retain(claim, tc.pool); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// R-G8: what was released without a node's word cools down for longer.
func TestCooldown(t *testing.T) {
	pool := &v1alpha1.MacPool{Spec: v1alpha1.MacPoolSpec{Cooldown: &metav1.Duration{Duration: 2 * time.Minute}}}
	now := metav1.Now()
	earlier := metav1.NewTime(now.Add(-time.Hour))
	for name, tc := range map[string]struct {
		pool   *v1alpha1.MacPool
		reason v1alpha1.EndReason
		to     metav1.Time
		want   time.Duration
	}{
		"by a node's word":         {pool, v1alpha1.EndAgentReport, now, 2 * time.Minute},
		"without one":              {pool, v1alpha1.EndForced, now, 20 * time.Minute},
		"without one, pool gone":   {nil, v1alpha1.EndForced, now, 10 * time.Minute},
		"an earlier hold's reason": {pool, v1alpha1.EndForced, earlier, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			lease := &v1alpha1.MacLease{Spec: v1alpha1.MacLeaseSpec{ReleasedAt: &now, History: []v1alpha1.LeaseHistory{{To: tc.to, Reason: tc.reason}}}}
			if got := retention.Cooldown(lease, tc.pool); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
