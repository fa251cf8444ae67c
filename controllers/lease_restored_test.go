// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestRestoredLeaseIsGivenBack proves that the grace of a restored lease ends, and that a lease which is no restored one has none
// (R-B2, F29).
func TestRestoredLeaseIsGivenBack(t *testing.T) {
	const grace = 6 * time.Second
	for name, c := range map[string]struct {
		age   time.Duration // from its lease to its creation
		label bool
		kept  bool // at first
	}{
		"restored, as its label says":     {0, true, true},
		"restored, as its times say":      {time.Hour, false, true},
		"not restored, its claim is gone": {0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ns, pool := w.namespace(), w.pool("192.168.50.0/24")
			w.startManager(managerOptions{orphanAfter: orphanAfter, restoreGrace: grace})
			lease := &v1alpha1.MacLease{
				ObjectMeta: metav1.ObjectMeta{Name: pool.Spec.Segment + ".192.168.50.8", Labels: map[string]string{
					v1alpha1.LabelSegment: pool.Spec.Segment, v1alpha1.LabelIdentity: "0",
				}},
				Spec: v1alpha1.MacLeaseSpec{
					PoolName: pool.Name, MAC: "02:32:00:a8:32:08", IPs: []v1alpha1.IPAddress{"192.168.50.8"},
					ClaimRef: v1alpha1.ClaimRef{Namespace: ns, Name: "gone", UID: "gone"}, LeasedAt: metav1.NewTime(time.Now().Add(-c.age)),
				},
			}
			if c.label {
				lease.Labels["velero.io/restore-name"] = "night"
			}
			begin := time.Now()
			w.create(lease)
			w.released(lease.Name)
			if took := time.Since(begin); c.kept && took < grace {
				t.Errorf("it was released after %s, within its grace", took)
			}
		})
	}
}
