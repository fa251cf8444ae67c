// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// R-S2: which leases the agent of node-a writes by its own judgement, without being refused by the API server first. A manager writes all.
func TestMayWrite(t *testing.T) {
	released := new(metav1.Now())
	for name, tc := range map[string]struct {
		spec    v1alpha1.MacLeaseSpec
		another string
		refused bool
	}{
		"its node's":                {spec: v1alpha1.MacLeaseSpec{NodeName: "node-a"}},
		"another's":                 {spec: v1alpha1.MacLeaseSpec{NodeName: "node-b"}, another: "node-b", refused: true},
		"no node's":                 {refused: true},
		"given back":                {spec: v1alpha1.MacLeaseSpec{ReleasedAt: released}},
		"given back, last on other": {spec: v1alpha1.MacLeaseSpec{NodeName: "node-b", ReleasedAt: released}},
	} {
		lease := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: "vlan-50.192.168.50.8"}, Spec: tc.spec}
		err := (&Binder{Node: "node-a"}).WithIndex(nil).mayWrite(lease)
		var another *AnotherNodesError
		if got := errors.As(err, &another); got != tc.refused || got && (another.Lease != lease.Name || another.Node != tc.another) {
			t.Errorf("%s: %v", name, err)
		}
		if err := (&Binder{}).mayWrite(lease); err != nil {
			t.Errorf("%s, by the manager: %v", name, err)
		}
	}
}
