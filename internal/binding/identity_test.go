// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

func TestWorkloadOf(t *testing.T) {
	owner := func(apiVersion, kind, name string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, Controller: new(true)}}
	}
	tests := map[string]struct {
		pod    string
		owners []metav1.OwnerReference
		want   v1alpha1.Workload
	}{
		"bare pod":                  {"db-0", nil, v1alpha1.Workload{Kind: "Pod", Name: "db-0", Interface: "net1"}},
		"StatefulSet":               {"db-12", owner("apps/v1", "StatefulSet", "db"), v1alpha1.Workload{Kind: "StatefulSet", Name: "db", Ordinal: new(int32(12)), Interface: "net1"}},
		"another StatefulSet":       {"db-0", owner("apps.example.com/v1", "StatefulSet", "db"), v1alpha1.Workload{Kind: "Pod", Name: "db-0", Interface: "net1"}},
		"no ordinal in the name":    {"db-x", owner("apps/v1", "StatefulSet", "db"), v1alpha1.Workload{Kind: "Pod", Name: "db-x", Interface: "net1"}},
		"ReplicaSet":                {"web-5f-x", owner("apps/v1", "ReplicaSet", "web-5f"), v1alpha1.Workload{Kind: "ReplicaSet", Name: "web-5f", Interface: "net1"}},
		"a Deployment's":            {"web-77-x", owner("apps/v1", "ReplicaSet", "web-77"), v1alpha1.Workload{Kind: "Deployment", Name: "web", Interface: "net1"}},
		"DaemonSet":                 {"probe-x", owner("apps/v1", "DaemonSet", "probe"), v1alpha1.Workload{Kind: "DaemonSet", Name: "probe", Node: "node-1", Interface: "net1"}},
		"Job":                       {"dump-x", owner("batch/v1", "Job", "dump"), v1alpha1.Workload{Kind: "Pod", Name: "dump-x", Interface: "net1"}},
		"a controller of one's own": {"vm-x", owner("agones.dev/v1", "GameServer", "vm"), v1alpha1.Workload{Kind: "GameServer", Name: "vm", Interface: "net1"}},
		"owner, but no controller":  {"db-0", []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db"}}, v1alpha1.Workload{Kind: "Pod", Name: "db-0", Interface: "net1"}},
		"VM":                        {"virt-launcher-vm-x2x8k", owner("kubevirt.io/v1", "VirtualMachineInstance", "vm"), v1alpha1.Workload{Kind: "VirtualMachine", Name: "vm", Interface: "net1"}},
		"no VM of KubeVirt's":       {"vm-x", owner("kubevirt.io.example.com/v1", "VirtualMachineInstance", "vm"), v1alpha1.Workload{Kind: "VirtualMachineInstance", Name: "vm", Interface: "net1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: tt.pod, OwnerReferences: tt.owners, Labels: map[string]string{binding.LabelTemplateHash: "77"}}}
			pod.Spec.NodeName = "node-1"
			if diff := cmp.Diff(tt.want, binding.WorkloadOf(pod, "net1")); diff != "" {
				t.Errorf("WorkloadOf (-want +got):\n%s", diff)
			}
		})
	}
}

// TestClaimName proves that every claim's name is a valid object name and that two identities never share one.
func TestClaimName(t *testing.T) {
	long := strings.Repeat("a", 250)
	workloads := []v1alpha1.Workload{
		{Name: "db", Ordinal: new(int32(0)), Interface: "net1"},
		{Name: "db", Ordinal: new(int32(1)), Interface: "net1"},
		{Name: "db", Ordinal: new(int32(0)), Interface: "net2"},
		{Name: "db.iot", Interface: "net1"},
		{Name: "db", Interface: "iot.net1"},
		{Name: "db", Interface: "Net_1"},
		{Name: "db", Interface: "net.1"},
		{Name: long, Interface: "net1"},
		{Name: long + "b", Interface: "net1"},
		{Name: "a.b-", Interface: "net1"},
	}
	seen := map[string]v1alpha1.Workload{}
	for _, pool := range []string{"iot", "net1", "x"} {
		for _, w := range workloads {
			name := binding.ClaimName(w, pool)
			if errs := validation.IsDNS1123Subdomain(name); len(errs) > 0 {
				t.Errorf("ClaimName(%v, %q) = %q: %v", w, pool, name, errs)
			}
			if other, ok := seen[name]; ok {
				t.Errorf("%q is the claim of %v and of %v", name, w, other)
			}
			seen[name] = w
		}
	}
	if got := binding.ClaimName(workloads[0], "iot"); got != "db-0.iot.net1" {
		t.Errorf("ClaimName = %q, want db-0.iot.net1: claims of earlier releases would not be recognised", got)
	}
}

// TestPodUID proves M16: the runtime knows a static pod by the hash in its mirror's annotations.
func TestPodUID(t *testing.T) {
	tests := map[string]struct {
		annotations map[string]string
		want        types.UID
	}{
		"ordinary pod": {nil, "api"},
		"mirror pod":   {map[string]string{"kubernetes.io/config.mirror": "h1", "kubernetes.io/config.hash": "h1"}, "h1"},
		"mirror alone": {map[string]string{"kubernetes.io/config.mirror": "h1"}, "h1"},
		"hash alone":   {map[string]string{"kubernetes.io/config.hash": "h1"}, "api"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "api", Annotations: tt.annotations}}
			if got := binding.PodUID(pod); got != tt.want {
				t.Errorf("PodUID = %q, want %q", got, tt.want)
			}
		})
	}
}
