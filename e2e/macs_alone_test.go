// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/e2e/lab"
)

// TestMACsAlone : a pool without subnets gives a StatefulSet's pod its MAC and nothing else, on whichever node it is (I4), and no frame has another
// (R-C14). What gives the addresses is left out: the network has no ipam. A network that wants some of the pool is refused.
func TestMACsAlone(t *testing.T) {
	const name = "macs-alone"
	namespace(t, name)
	pool := newPool(name, vlanMACsAlone, 1)
	pool.Spec.Subnets = nil
	createPool(t, pool)
	link := fmt.Sprintf("eth0.%d", vlanMACsAlone)
	createNetwork(t, name, "net", strings.Replace(wrapperConfig("1.0.0", name), `"mode"`, `"master": "`+link+`", "mode"`, 1))
	createNetwork(t, name, "wants-addresses", macvlanConfig("1.0.0", vlanMACsAlone, name))
	wires := capture(t, vlanMACsAlone, cluster.Nodes[:2]...)
	set := func(name, network string) *appsv1.StatefulSet {
		labels := map[string]string{"app": name}
		s := &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: pool.Name, Name: name},
			Spec: appsv1.StatefulSetSpec{
				ServiceName: name,
				Selector:    &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{"k8s.v1.cni.cncf.io/networks": network}},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: name, Image: name}}},
				},
			},
		}
		if err := cluster.Client.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	db := set("db", "net")
	one := runReplica(t, db, 0, cluster.Nodes[0])
	assertFirstFrame(t, wires[0], one)
	before := linkOf(t, one)
	claim, err := heldBy(t.Context(), one.Pod)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("vlan-%d.%s", vlanMACsAlone, strings.ReplaceAll(before.MAC, ":", "-")); claim.Status.MAC != before.MAC ||
		claim.Status.LeaseName != want || len(claim.Status.IPs) != 0 || !before.Up {
		t.Errorf("the claim has %+v, want lease %s, and the interface is\n%s", claim.Status, want, before)
	}
	if got := statusMAC(t, one); got != before.MAC {
		t.Errorf("network-status has %s, want the leased %s", got, before.MAC)
	}
	if err := one.Attachments[0].Check(t.Context()); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	if err := cluster.StopPod(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	again := runReplica(t, db, 0, cluster.Nodes[1])
	if after := linkOf(t, again); after.MAC != before.MAC {
		t.Errorf("the replaced pod has\n%s\nit had\n%s", after, before)
	}
	if leases, err := leasesOf(t.Context(), name); err != nil || len(leases) != 1 || len(leases[0].Spec.IPs) != 0 {
		t.Errorf("the leases are %+v, %v", leases, err)
	}
	refused := lab.Replica(set("web", "wants-addresses"), 0)
	if err := cluster.CreatePod(t.Context(), refused, cluster.Nodes[0]); err != nil {
		t.Fatal(err)
	}
	_, err = cluster.RunPod(t.Context(), refused, cluster.Nodes[0])
	assertProblem(t, err, "MP425")
	assertOnly(t, wires, vlanMACsAlone, []string{before.MAC})
}
