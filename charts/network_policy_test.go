// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestNetworkPolicy wants the policy to select the manager's pods, and to open the ports that the manager's arguments have it listen on: no other, and
// none less, or the kubelet would find it dead. The agents' pods have the network of their nodes, which is why no policy is theirs.
func TestNetworkPolicy(t *testing.T) {
	for source, manifests := range map[string]string{"config": kustomize(t, "default"), "chart": template(t, everything...)} {
		t.Run(source, func(t *testing.T) {
			all := objects(t, manifests)
			deployment := all["Deployment macpool-manager of "+namespace]
			var policy networkingv1.NetworkPolicy
			object := all["NetworkPolicy macpool-manager of "+namespace]
			if object == nil || deployment == nil {
				t.Fatal("there is no policy, or no manager")
			}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &policy); err != nil {
				t.Fatal(err)
			}
			labels, _, err := unstructured.NestedStringMap(deployment.Object, "spec", "template", "metadata", "labels")
			if err != nil {
				t.Fatal(err)
			}
			for key, value := range policy.Spec.PodSelector.MatchLabels {
				if labels[key] != value {
					t.Errorf("the policy selects %s=%s, the manager has %q", key, value, labels[key])
				}
			}
			if types := policy.Spec.PolicyTypes; !slices.Equal(types, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) {
				t.Errorf("the policy is of the types %v: the API server, which the manager asks, cannot be selected", types)
			}
			open := map[string]int{} // port -> how many may come
			for _, rule := range policy.Spec.Ingress {
				for _, port := range rule.Ports {
					open[fmt.Sprintf("%s:%s", *port.Protocol, port.Port)] = len(rule.From)
				}
			}
			manager := podSpec(t, deployment)
			listens := 0
			for _, arg := range manager.Containers[0].Args {
				flag, address, found := strings.Cut(arg, "=:")
				if !found {
					continue
				}
				listens++
				from, ok := open["TCP:"+address]
				if probes := flag == "--health-probe-bind-address"; !ok || probes && from != 0 {
					t.Errorf("the manager listens by %s, which %d peers may reach: of the kubelet nobody knows the address", arg, from)
				}
			}
			if listens != 2 || len(open) != listens || manager.HostNetwork {
				t.Errorf("the manager listens on %d ports, %v are open, it has the node's network: %t", listens, open, manager.HostNetwork)
			}
			agent := podSpec(t, all["DaemonSet macpool-agent of "+namespace])
			if !agent.HostNetwork {
				t.Error("the agent has a network of its own, and no policy")
			}
		})
	}
}
