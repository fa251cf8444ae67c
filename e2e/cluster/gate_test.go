// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// lastPool has one address, which no range of the other pool has.
const lastPool = `
apiVersion: macpool.dev/v1alpha1
kind: MacPool
metadata: {name: last}
spec:
  vlan: 50
  cooldown: 1s
  subnets:
  - cidr: 192.168.50.0/24
    gateway: 192.168.50.1
    ranges: [{start: 192.168.50.251, end: 192.168.50.251}]
`

// TestGate: of two gated pods that want the last address one runs. The other is not scheduled, is told why and has no failed sandbox; it
// runs when the first has gone.
func TestGate(t *testing.T) {
	ns := newTestNamespace(t, "gate")
	applyPool(t, ns, "last", lastPool)
	gated := func(name string) string {
		pod := barePod(name, "schedulingGates: [{name: macpool.dev/lease}]\n")
		return strings.Replace(pod, "networks: iot-vlan", "networks: last", 1)
	}
	apply(t, ns, gated("first"))
	first := attached(t, running(t, ns, "first", 1))["first"]
	apply(t, ns, gated("second"))
	pod := &corev1.Pod{}
	key := client.ObjectKey{Namespace: ns, Name: "second"}
	eventually(t, "the gated pod to be told", func() error {
		if err := box.Get(t.Context(), key, pod); err != nil {
			return err
		}
		return told(t.Context(), pod, "PoolExhausted")
	})
	if pod.Spec.NodeName != "" || len(pod.Spec.SchedulingGates) != 1 {
		t.Errorf("it is on node %q, with gates %v", pod.Spec.NodeName, pod.Spec.SchedulingGates)
	}
	logTable(t, "get", "pods,macclaims", "-n", ns)

	kubectl(t, "delete", "pod", "first", "-n", ns, "--wait=true")
	pods := running(t, ns, "second", 1)
	if second := attached(t, pods)["second"]; second != first {
		t.Errorf("it has %v, want the address that became free, %v", second, first)
	}
	if err := told(t.Context(), &pods[0], "FailedCreatePodSandBox"); err == nil {
		t.Error("a sandbox of it has failed")
	}
}

// told is nil if there is an event about the pod for the reason.
func told(ctx context.Context, pod *corev1.Pod, reason string) error {
	var list eventsv1.EventList
	if err := box.List(ctx, &list, client.InNamespace(pod.Namespace)); err != nil {
		return err
	}
	for _, e := range list.Items {
		if e.Regarding.UID == pod.UID && e.Reason == reason {
			return nil
		}
	}
	return fmt.Errorf("pod %s has no event %s", pod.Name, reason)
}
