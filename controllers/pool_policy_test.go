// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

func poolAt(name, segment, cidr string, age time.Duration, ready bool) v1alpha1.MacPool {
	pool := v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: ptr.To[int32](50), Segment: segment, Subnets: []v1alpha1.Subnet{{CIDR: v1alpha1.CIDR(cidr)}},
		},
	}
	if ready {
		pool.Status.Conditions = []metav1.Condition{{Type: v1alpha1.PoolReady, Status: metav1.ConditionTrue}}
	}
	return pool
}

func TestContradiction(t *testing.T) {
	const young, old = 0, time.Hour
	for name, tc := range map[string]struct {
		pool, other v1alpha1.MacPool
		want        bool
	}{
		"the younger yields":       {poolAt("a", "s", "10.1.0.0/16", young, false), poolAt("b", "s", "11.1.0.0/16", old, false), true},
		"the older stays":          {poolAt("a", "s", "10.1.0.0/16", old, false), poolAt("b", "s", "11.1.0.0/16", young, false), false},
		"by name if of one second": {poolAt("b", "s", "10.1.0.0/16", old, false), poolAt("a", "s", "11.1.0.0/16", old, false), true},
		"the first by name stays":  {poolAt("a", "s", "10.1.0.0/16", old, false), poolAt("b", "s", "11.1.0.0/16", old, false), false},
		"the ready one stays":      {poolAt("a", "s", "10.1.0.0/16", old, false), poolAt("b", "s", "11.1.0.0/16", young, true), true},
		"the ready one, itself":    {poolAt("a", "s", "10.1.0.0/16", young, true), poolAt("b", "s", "11.1.0.0/16", old, false), false},
		"another segment":          {poolAt("a", "s", "10.1.0.0/16", young, false), poolAt("b", "t", "11.1.0.0/16", old, true), false},
		"overlapping is none":      {poolAt("a", "s", "10.1.0.0/16", young, false), poolAt("b", "s", "10.1.0.0/16", old, true), false},
		"one that leases nothing":  {poolAt("a", "s", "10.1.0.0/16", young, false), poolAt("b", "s", "nonsense", old, false), false},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := binding.PlanOf(&tc.pool)
			if err != nil {
				t.Fatal(err)
			}
			got := contradiction(&tc.pool, plan, []v1alpha1.MacPool{tc.pool, tc.other})
			if (got.reason != "") != tc.want || tc.want && !strings.Contains(got.message, tc.other.Name) {
				t.Errorf("got %+v, want one: %t", got, tc.want)
			}
			// Never each other's.
			otherPlan, err := binding.PlanOf(&tc.other)
			if err == nil && got.reason != "" && contradiction(&tc.other, otherPlan, []v1alpha1.MacPool{tc.pool}).reason != "" {
				t.Error("neither of the two is ready")
			}
		})
	}
}

func TestExhaustedIsPresentOnlyWhileTrue(t *testing.T) {
	pool := poolAt("a", "s", "10.1.0.0/16", 0, false)
	conditions := func() []string {
		var types []string
		for _, c := range pool.Status.Conditions {
			types = append(types, c.Type+"="+string(c.Status))
		}
		return types
	}
	for _, step := range []struct {
		verdict   poolVerdict
		available uint64
		want      []string
	}{
		{poolVerdict{}, 1, []string{"Ready=True"}},
		{poolVerdict{}, 0, []string{"Ready=True", "Exhausted=True"}},
		{poolVerdict{}, 1, []string{"Ready=True"}},
		{poolVerdict{reason: v1alpha1.PoolReasonInvalid}, 0, []string{"Ready=False"}},
	} {
		setPoolConditions(&pool, step.verdict, allocator.Counts{Available: step.available})
		if diff := cmp.Diff(step.want, conditions()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestWorthWaking(t *testing.T) {
	waiting := func(name, reason string, age time.Duration) v1alpha1.MacClaim {
		c := v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))}}
		if reason != "" {
			c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ClaimReady, Status: metav1.ConditionFalse, Reason: reason}}
		}
		return c
	}
	claims := []v1alpha1.MacClaim{
		waiting("young", problem.PoolExhausted.Reason, time.Minute),
		waiting("old", problem.PoolExhausted.Reason, time.Hour),
		waiting("oldest", problem.PoolExhausted.Reason, 2*time.Hour),
		waiting("free", problem.AddressTaken.Reason, 0),
		waiting("taken", problem.AddressCooling.Reason, 0),
		waiting("forbidden", problem.PoolForbidden.Reason, 0),
		waiting("new", "", 0),
		waiting("second", problem.NamespaceFull.Reason, time.Minute), waiting("first", problem.NamespaceFull.Reason, time.Hour),
	}
	for available, want := range map[uint64][]string{
		0: {"free", "first"}, 1: {"free", "first", "oldest"}, 2: {"free", "first", "oldest", "old"}, 1 << 60: {"free", "first", "oldest", "old", "young"},
	} {
		var got []string
		for _, c := range worthWaking(claims, available, func(c *v1alpha1.MacClaim) bool { return c.Name == "free" }) {
			got = append(got, c.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d available: %s", available, diff)
		}
	}
}
