// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// TestMayPreempt is who may have a holder make way: only a newer pod, which never had to itself, so that two that both go on do not take
// the address from each other for ever.
func TestMayPreempt(t *testing.T) {
	at := func(name string, seconds int) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, 0, 0, seconds, 0, time.UTC)),
		}}
	}
	ending, finished := at("new", 2), at("new", 2)
	ending.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	finished.Status.Phase = corev1.PodFailed
	past := func(pod string, reason v1alpha1.EndReason) func(*v1alpha1.MacClaim) {
		return func(c *v1alpha1.MacClaim) {
			c.Status.PreviousHolders = []v1alpha1.PreviousHolder{{PodName: "x", PodUID: "x"}, {PodName: pod, PodUID: types.UID(pod), Reason: reason}}
		}
	}
	for name, tc := range map[string]struct {
		pod, has *corev1.Pod
		change   func(*v1alpha1.MacClaim)
		want     bool
	}{
		"a newer pod":                   {pod: at("new", 2), has: at("old", 1), want: true},
		"of the same second":            {pod: at("new", 1), has: at("old", 1), want: true},
		"an older pod":                  {pod: at("new", 1), has: at("old", 2)},
		"the holder's pod is gone":      {pod: at("new", 1), want: true},
		"a pod that is ending":          {pod: ending, has: at("old", 1)},
		"a pod that has finished":       {pod: finished, has: at("old", 1)},
		"one that had to make way":      {pod: at("new", 2), has: at("old", 1), change: past("new", v1alpha1.EndPreempted)},
		"one that held it before":       {pod: at("new", 2), has: at("old", 1), change: past("new", v1alpha1.EndAgentReport), want: true},
		"others had to make way":        {pod: at("new", 2), has: at("old", 1), change: past("other", v1alpha1.EndPreempted), want: true},
		"the claim's handover is Wait":  {pod: at("new", 2), has: at("old", 1), change: func(c *v1alpha1.MacClaim) { c.Spec.Handover = v1alpha1.HandoverWait }},
		"the claim's handover is empty": {pod: at("new", 2), has: at("old", 1), change: func(c *v1alpha1.MacClaim) { c.Spec.Handover = "" }},
		"nobody holds it":               {pod: at("new", 2), change: func(c *v1alpha1.MacClaim) { c.Status.Holder = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			claim := &v1alpha1.MacClaim{
				Spec:   v1alpha1.MacClaimSpec{Handover: v1alpha1.HandoverPreempt},
				Status: v1alpha1.MacClaimStatus{Holder: &v1alpha1.Holder{PodName: "old", PodUID: "old"}},
			}
			if tc.change != nil {
				tc.change(claim)
			}
			if got := binding.MayPreempt(claim, tc.pod, tc.has); got != tc.want {
				t.Errorf("it may: %v, want %v", got, tc.want)
			}
		})
	}
}
