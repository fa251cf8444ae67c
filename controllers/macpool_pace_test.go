// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/macpool/macpool/api/v1alpha1"
)

// F9, F11: of two replicas one may see leases later than the other. Each finds the other's conditions wrong and corrects them, which is an
// event for the other; without a pace they wrote as fast as the API server answered, for as long as the view lagged.
func TestConditionsAreCorrectedAtAPace(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0))
	r := &MacPoolReconciler{Clock: clk, counted: map[string]time.Time{}, judged: map[string]time.Time{}, paced: map[string]time.Duration{}}
	free, full := &v1alpha1.MacPool{}, &v1alpha1.MacPool{}
	free.Name, full.Name = "iot", "iot"
	full.Status.Conditions = []metav1.Condition{{Type: v1alpha1.PoolExhausted, Status: metav1.ConditionTrue, Reason: "Full"}}

	if wait := r.notBefore(free, full); wait != 0 {
		t.Errorf("the first change of a condition waits %s", wait)
	}
	r.wrote(free, full, 0)
	if wait := r.notBefore(free, full); wait != countInterval {
		t.Errorf("to correct it at once, %s was waited, want %s", wait, countInterval)
	}
	clk.SetTime(clk.Now().Add(countInterval))
	if wait := r.notBefore(free, full); wait != 0 {
		t.Errorf("a later change of a condition waits %s", wait)
	}
	r.wrote(full, full, 0)
	if wait := r.notBefore(free, full); wait != 0 {
		t.Errorf("after counts were written, a change of a condition waits %s", wait)
	}
}

// All agents hear of each write of a pool. What they have to know of it does not wait for how many they are; its counts do.
func TestCountsWaitForTheNumberOfAgents(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0))
	pool := func(change func(*v1alpha1.MacPoolStatus)) *v1alpha1.MacPool {
		p := &v1alpha1.MacPool{}
		p.Name = "iot"
		p.Status.Leased, p.Status.OwnLeases, p.Status.Available = number(7), number(7), number(3)
		p.Status.Links = []string{"eth0.50"}
		change(&p.Status)
		return p
	}
	before := pool(func(*v1alpha1.MacPoolStatus) {})
	for name, tt := range map[string]struct {
		after  *v1alpha1.MacPool
		agents int
		want   time.Duration
	}{
		"counts, few agents": {pool(func(s *v1alpha1.MacPoolStatus) {
			s.Leased, s.OwnLeases, s.Available, s.Cooling = number(8), number(8), number(1), number(1)
		}), 100, time.Second},
		"counts, 5,000": {pool(func(s *v1alpha1.MacPoolStatus) {
			s.Leased, s.OwnLeases, s.Available, s.Cooling = number(8), number(8), number(1), number(1)
		}), 5000, 50 * time.Second},
		"links":              {pool(func(s *v1alpha1.MacPoolStatus) { s.Links = []string{"eth1.50"} }), 5000, time.Second},
		"the last own lease": {pool(func(s *v1alpha1.MacPoolStatus) { s.OwnLeases = number(0) }), 5000, time.Second},
		"conflicts":          {pool(func(s *v1alpha1.MacPoolStatus) { s.Conflicted = number(1) }), 5000, time.Second},
		"a condition": {pool(func(s *v1alpha1.MacPoolStatus) {
			s.Conditions = []metav1.Condition{{Type: v1alpha1.PoolExhausted, Status: metav1.ConditionTrue, Reason: "Full"}}
		}), 5000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := &MacPoolReconciler{Clock: clk, counted: map[string]time.Time{}, judged: map[string]time.Time{}, paced: map[string]time.Duration{}}
			r.wrote(before, before, tt.agents)
			if wait := r.notBefore(before, tt.after); wait != tt.want {
				t.Errorf("it waits %s, want %s", wait, tt.want)
			}
		})
	}
}
