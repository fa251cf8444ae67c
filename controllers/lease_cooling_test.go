// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Whose clock dated a release says nothing: a cooldown is what the manager has seen of it, neither shorter nor longer (R-G8, F13, M18).
// What was ended without a node's word cools ten times as long, and for ten minutes at least (R-G4).
func TestCooldownIsWhatWasSeen(t *testing.T) {
	for name, tc := range map[string]struct {
		// off is by how much the clock of who released was wrong.
		off      time.Duration
		reason   v1alpha1.EndReason
		cooldown time.Duration
		want     time.Duration
	}{
		"in time":                       {0, v1alpha1.EndAgentReport, 2 * time.Minute, 2 * time.Minute},
		"an hour behind":                {-time.Hour, v1alpha1.EndAgentReport, 2 * time.Minute, 2 * time.Minute},
		"an hour ahead":                 {time.Hour, v1alpha1.EndAgentReport, 2 * time.Minute, 2 * time.Minute},
		"never attached":                {0, v1alpha1.EndNeverAttached, 2 * time.Minute, 2 * time.Minute},
		"by an earlier version":         {0, "", 2 * time.Minute, 2 * time.Minute},
		"out of service":                {0, v1alpha1.EndOutOfService, 2 * time.Minute, 20 * time.Minute},
		"out of service, an hour ahead": {time.Hour, v1alpha1.EndOutOfService, 2 * time.Minute, 20 * time.Minute},
		"out of service, behind":        {-time.Hour, v1alpha1.EndOutOfService, 2 * time.Minute, 20 * time.Minute},
		"node deleted":                  {0, v1alpha1.EndNodeDeleted, 0, 10 * time.Minute},
		"forced":                        {0, v1alpha1.EndForced, time.Minute, 10 * time.Minute},
		"taken over":                    {0, v1alpha1.EndTakenOver, time.Minute, 10 * time.Minute},
		"pods gone":                     {0, v1alpha1.EndPodsGone, 4 * time.Hour, 40 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			now := testclock.NewFakePassiveClock(time.Now())
			ns, pool := w.namespace(), w.pool("192.168.50.0/24", cooling(tc.cooldown, 8760*time.Hour))
			lease := w.strayLease(pool, &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "never", UID: "0-0"}})
			released := metav1.NewTime(now.Now().Add(tc.off).Truncate(time.Second))
			change(w, lease, func(l *v1alpha1.MacLease) {
				l.Spec.ReleasedAt = &released
				l.Spec.History = []v1alpha1.LeaseHistory{{
					Namespace: ns, Claim: "never", From: l.Spec.LeasedAt, To: released, Reason: tc.reason, Evidence: "as the test says",
				}}
			})
			w.startManager(managerOptions{clock: now})
			w.claim(ns, "other", pool, "192.168.50.200")
			w.refused(ns, "other", "AddressCooling")
			looked := 0
			look := func() {
				looked++
				change(w, w.lease(lease.Name), func(l *v1alpha1.MacLease) { l.Annotations = map[string]string{"looked": strconv.Itoa(looked)} })
			}
			look()
			w.afterSecondLook()
			now.SetTime(now.Now().Add(tc.want - time.Second))
			look()
			w.never("it was reusable before its time (I6)", func() bool { return w.lease(lease.Name).Spec.ReusableAt != nil })
			now.SetTime(now.Now().Add(time.Second))
			look()
			w.eventually(func(g gomega.Gomega) { g.Expect(w.lease(lease.Name).Spec.ReusableAt).NotTo(gomega.BeNil()) })
		})
	}
}
