// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// report is what node says that a pod of a claim has attached.
func report(node, lease, claim, pod string, generation int64) binding.Reported {
	return binding.Reported{
		NodeName: node,
		NodeAttachment: v1alpha1.NodeAttachment{
			LeaseName: lease, PoolName: "iot", MAC: "02:32:00:00:00:08", IPs: []v1alpha1.IPAddress{"192.168.50.8"}, Namespace: "ns",
			ClaimName: claim, PodName: pod, PodUID: types.UID(pod), Interface: "net1", Generation: generation,
		},
	}
}

// TestContest proves that whatever the nodes report, each address goes to one interface and each claim has one address, by
// rules that do not depend on the order (R-B1).
func TestContest(t *testing.T) {
	for name, c := range map[string]struct {
		reports []binding.Reported
		leased  map[string]types.NamespacedName
		// granted are pods and their generations, lost pods and those who have it instead.
		granted map[string]int64
		lost    map[string]string
	}{
		"no contest": {
			reports: []binding.Reported{report("a", "v.8", "x", "x1", 1), report("b", "v.9", "y", "y1", 4)},
			granted: map[string]int64{"x1": 1, "y1": 4},
		},
		"two pods of one claim: the later holder": {
			reports: []binding.Reported{report("a", "v.8", "x", "x1", 3), report("b", "v.8", "x", "x2", 4)},
			granted: map[string]int64{"x2": 4}, lost: map[string]string{"x1": "x2"},
		},
		"two pods of one claim with one generation: it is raised, so that the other node fences": {
			reports: []binding.Reported{report("a", "v.8", "x", "x1", 3), report("b", "v.8", "x", "x2", 3)},
			granted: map[string]int64{"x1": 4}, lost: map[string]string{"x2": "x1"},
		},
		"two claims, one of them has the lease": {
			reports: []binding.Reported{report("a", "v.8", "x", "x1", 9), report("b", "v.8", "y", "y1", 1)},
			leased:  map[string]types.NamespacedName{"v.8": {Namespace: "ns", Name: "y"}},
			granted: map[string]int64{"y1": 1}, lost: map[string]string{"x1": "y1"},
		},
		"two claims, neither has the lease": {
			reports: []binding.Reported{report("b", "v.8", "y", "y1", 9), report("a", "v.8", "x", "x1", 1)},
			leased:  map[string]types.NamespacedName{"v.8": {Namespace: "ns", Name: "z"}},
			granted: map[string]int64{"x1": 1}, lost: map[string]string{"y1": "x1"},
		},
		"one claim with two addresses: that of the later holder": {
			reports: []binding.Reported{report("a", "v.8", "x", "x1", 3), report("b", "v.9", "x", "x2", 4)},
			granted: map[string]int64{"x2": 4}, lost: map[string]string{"x1": "x2"},
		},
		"one claim with two addresses, the earlier raised above the later": {
			reports: []binding.Reported{report("a", "v.8", "x", "x1", 4), report("b", "v.9", "x", "x2", 4)},
			granted: map[string]int64{"x1": 5}, lost: map[string]string{"x2": "x1"},
		},
		"a pod that is reported twice": {
			reports: []binding.Reported{report("a", "v.8", "x", "x1", 4), report("a", "v.8", "x", "x1", 4)},
			granted: map[string]int64{"x1": 4},
		},
		"three for one": {
			reports: []binding.Reported{
				report("a", "v.8", "x", "x1", 1), report("b", "v.8", "x", "x2", 2), report("c", "v.8", "y", "y1", 3), report("c", "v.9", "y", "y2", 2),
			},
			leased:  map[string]types.NamespacedName{"v.8": {Namespace: "ns", Name: "x"}},
			granted: map[string]int64{"x2": 2, "y2": 2}, lost: map[string]string{"x1": "x2", "y1": "x2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				rand.Shuffle(len(c.reports), func(i, j int) { c.reports[i], c.reports[j] = c.reports[j], c.reports[i] })
				granted, lost := binding.Contest(c.reports, c.leased)
				gotGranted := map[string]int64{}
				for _, r := range granted {
					gotGranted[r.PodName] = r.Generation
				}
				var gotLost map[string]string
				for _, l := range lost {
					if gotLost == nil {
						gotLost = map[string]string{}
					}
					gotLost[l.PodName] = l.To.PodName
				}
				if diff := cmp.Diff(c.granted, gotGranted); diff != "" {
					t.Fatalf("granted (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(c.lost, gotLost); diff != "" {
					t.Fatalf("lost (-want +got):\n%s", diff)
				}
			}
		})
	}
}
