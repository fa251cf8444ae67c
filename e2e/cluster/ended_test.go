// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"fmt"
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestEndedWorkloads: a virt-launcher pod holds the claim of its VM, one that refers to an IPAMClaim the claim of that, which is told the address.
// When VM, IPAMClaim and a StatefulSet are gone, and their pods, the claims end (R-G6). Of KubeVirt there are the kinds alone.
func TestEndedWorkloads(t *testing.T) {
	ns := newTestNamespace(t, "ended")
	apply(t, ns, `
{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, metadata: {name: vm}}
---
{apiVersion: k8s.cni.cncf.io/v1alpha1, kind: IPAMClaim, metadata: {name: asked}, spec: {network: iot-vlan, interface: net1}}
`)
	uid := kubectl(t, "get", "virtualmachineinstance", "vm", "-n", ns, "-o", "jsonpath={.metadata.uid}")
	launcher := strings.Replace(barePod("launcher", ""), "  annotations:", `  ownerReferences:
  - {apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: vm, uid: `+uid+`, controller: true}
  annotations:`, 1)
	launcher = strings.Replace(launcher, "labels: {app: launcher}", "labels: {app: launcher, vm.kubevirt.io/name: vm}", 1)
	asking := strings.Replace(barePod("asking", ""), "networks: iot-vlan",
		`networks: '[{"name": "iot-vlan", "ipam-claim-reference": "asked"}]'`, 1)
	apply(t, ns, launcher+"---\n"+asking+"---\n"+statefulSet("set", 1, ""))
	pods := append(running(t, ns, "launcher", 1), running(t, ns, "asking", 1)...)
	has := attached(t, append(pods, running(t, ns, "set", 1)...))

	eventually(t, "the IPAMClaim to have the address", func() error {
		got := kubectl(t, "get", "ipamclaim", "asked", "-n", ns, "-o", "jsonpath={.status.ips[0]}")
		if want := has["asking"].IP + "/24"; got != want {
			return fmt.Errorf("it has %q, want %s", got, want)
		}
		return nil
	})

	// They go, then their pods.
	kubectl(t, "delete", "virtualmachineinstance/vm", "ipamclaim/asked", "statefulset/set", "-n", ns)
	kubectl(t, "delete", "pod", "--all", "-n", ns, "--wait=true")
	for _, name := range []string{"vm.virtualmachine.iot.net1", "asked", "set-0.iot.net1"} {
		eventually(t, "claim "+name+" to end", func() error {
			claim := &v1alpha1.MacClaim{}
			if err := box.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, claim); err != nil {
				return err
			}
			if !apimeta.IsStatusConditionTrue(claim.Status.Conditions, v1alpha1.ClaimEnded) {
				return fmt.Errorf("its status is %+v", claim.Status)
			}
			return nil
		})
	}
}
