// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// TestMainPath is the story of the demo: a StatefulSet's pods on two nodes get what their claims say (I3), CHECK agrees
// (R-C11), they reach each other, and a pod that is replaced on the other node keeps MAC and IPs (I4). Meanwhile
// every frame on the wire comes from a leased MAC, the first one too (R-C14).
func TestMainPath(t *testing.T) {
	mainPath(t, "main-path", vlanMainPath, macvlanConfig("1.0.0", vlanMainPath, "main-path"), nil)
}

// TestWrapperPath is the same story in the wrapper form, with the node's link from the pool: its nodes say that they reach the VLAN, and have the
// label that says so.
func TestWrapperPath(t *testing.T) {
	mainPath(t, "wrapper-path", vlanWrapper, wrapperConfig("1.0.0", "wrapper-path"), func(pool *v1alpha1.MacPool) {
		pool.Spec.Parents = []v1alpha1.Parent{
			{NodeSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"nic": "none-has-it"}}, Link: "bond0.50"},
			{Link: fmt.Sprintf("eth0.%d", vlanWrapper)},
		}
	})
	eventually(t, "the nodes to be labelled", func(ctx context.Context) error {
		var nodes corev1.NodeList
		if err := cluster.Client.List(ctx, &nodes); err != nil {
			return err
		}
		for i := range nodes.Items {
			if got := nodes.Items[i].Labels["macpool.dev/wrapper-path"]; got != "ready" {
				return fmt.Errorf("node %s has %q", nodes.Items[i].Name, got)
			}
		}
		return nil
	})
}

func mainPath(t *testing.T, name string, vlan int, network string, change func(*v1alpha1.MacPool)) {
	t.Helper()
	namespace(t, name)
	pool := newPool(name, vlan, 200)
	pool.Spec.Subnets = append(pool.Spec.Subnets, v1alpha1.Subnet{CIDR: v1alpha1.CIDR(fmt.Sprintf("fd00:%d::/64", vlan))})
	if change != nil {
		change(pool)
	}
	createPool(t, pool)
	createNetwork(t, name, "net", network)
	wires := capture(t, vlan, cluster.Nodes[:2]...)

	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			ServiceName: "db",
			Selector:    &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "db"}, Annotations: map[string]string{"k8s.v1.cni.cncf.io/networks": "net"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "db", Image: "db"}}},
			},
		},
	}
	if err := cluster.Client.Create(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	one := runReplica(t, set, 0, cluster.Nodes[0])
	assertFirstFrame(t, wires[0], one)
	two := runReplica(t, set, 1, cluster.Nodes[1])
	assertFirstFrame(t, wires[1], two)
	leased := []string{linkOf(t, one).MAC, linkOf(t, two).MAC}
	for _, s := range []*lab.Sandbox{one, two} {
		assertTruthful(t, s)
		if got := statusMAC(t, s); got != linkOf(t, s).MAC {
			t.Errorf("network-status of %s has %s, want the leased %s", s.Pod.Name, got, linkOf(t, s).MAC)
		}
		if err := s.Attachments[0].Check(t.Context()); err != nil {
			t.Errorf("CHECK of %s: %v", s.Pod.Name, err)
		}
	}
	assertReach(t, one, two)

	before := linkOf(t, one)
	if err := cluster.StopPod(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	again := runReplica(t, set, 0, cluster.Nodes[1])
	after := linkOf(t, again)
	if after.MAC != before.MAC || !slices.Equal(after.IPs, before.IPs) {
		t.Errorf("the replaced pod has\n%s\nit had\n%s", after, before)
	}
	assertTruthful(t, again)
	assertReach(t, again, two)
	assertOnly(t, wires, vlan, leased)
}

func runReplica(t *testing.T, set *appsv1.StatefulSet, ordinal int, node *lab.Node) *lab.Sandbox {
	t.Helper()
	pod := lab.Replica(set, ordinal)
	if err := cluster.CreatePod(t.Context(), pod, node); err != nil {
		t.Fatal(err)
	}
	s, err := cluster.RunPodRetrying(t.Context(), pod, node)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test has stopped one of them itself.
		ctx := context.WithoutCancel(t.Context())
		if current, err := cluster.Pod(ctx, pod.Namespace, pod.Name); err == nil && current.UID == pod.UID {
			if err := cluster.StopPod(ctx, s); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// statusMAC is the MAC of net1 in the network-status that Multus makes of the chain's final result.
func statusMAC(t *testing.T, s *lab.Sandbox) string {
	t.Helper()
	text, err := s.NetworkStatus()
	if err != nil {
		t.Fatal(err)
	}
	var statuses []nadv1.NetworkStatus
	if err := json.Unmarshal([]byte(text), &statuses); err != nil {
		t.Fatal(err)
	}
	for _, n := range statuses {
		if n.Interface == "net1" {
			return n.Mac
		}
	}
	t.Fatalf("net1 is not in %s", text)
	return ""
}
