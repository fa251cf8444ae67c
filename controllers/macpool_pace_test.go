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
	r := &MacPoolReconciler{Clock: clk, counted: map[string]time.Time{}, judged: map[string]time.Time{}}
	free, full := &v1alpha1.MacPool{}, &v1alpha1.MacPool{}
	free.Name, full.Name = "iot", "iot"
	full.Status.Conditions = []metav1.Condition{{Type: v1alpha1.PoolExhausted, Status: metav1.ConditionTrue, Reason: "Full"}}

	if wait := r.notBefore(free, full); wait != 0 {
		t.Errorf("the first change of a condition waits %s", wait)
	}
	r.wrote(free, full)
	if wait := r.notBefore(free, full); wait != countInterval {
		t.Errorf("to correct it at once, %s was waited, want %s", wait, countInterval)
	}
	clk.SetTime(clk.Now().Add(countInterval))
	if wait := r.notBefore(free, full); wait != 0 {
		t.Errorf("a later change of a condition waits %s", wait)
	}
	r.wrote(full, full)
	if wait := r.notBefore(free, full); wait != 0 {
		t.Errorf("after counts were written, a change of a condition waits %s", wait)
	}
}
