// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestWorkloads: pods of every kind of owner, started by kubelet, containerd and Multus, get net1 with their lease, on both nodes,
// and reach one another and the router.
func TestWorkloads(t *testing.T) {
	ns := newTestNamespace(t, "workloads")
	counts := map[string]int{"deploy": 2, "set": 2, "daemon": 2, "job": 1, "bare": 1}
	apply(t, ns, strings.Join([]string{
		deployment("deploy", 2), statefulSet("set", 2, ""), daemonSet("daemon"), job("job"), barePod("bare", ""),
	}, "---\n"))

	var pods []corev1.Pod
	for _, app := range slices.Sorted(maps.Keys(counts)) {
		pods = append(pods, running(t, ns, app, counts[app])...)
	}
	addresses := attached(t, pods)
	logTable(t, "get", "pods,macclaims", "-n", ns, "-o", "wide")
	nodes := map[string]bool{}
	for _, p := range pods {
		nodes[p.Spec.NodeName] = true
	}
	if len(nodes) != 2 {
		t.Errorf("the pods run on nodes %v, want both", slices.Sorted(maps.Keys(nodes)))
	}
	t.Logf("inside pod %s on node %s:\n%s", pods[0].Name, pods[0].Spec.NodeName, linkDetails(t, &pods[0], addresses[pods[0].Name].MAC))

	for i := range pods {
		pings(t, &pods[i], "192.168.50.1")
	}
	for i := range pods[1:] {
		pings(t, &pods[i], addresses[pods[i+1].Name].IP)
	}
}

// linkDetails is ip -d link of the pod's net1, by the node's own ip in the pod's network namespace.
func linkDetails(t *testing.T, pod *corev1.Pod, mac string) string {
	t.Helper()
	return onNode(t, pod.Spec.NodeName, "bash", "-c", fmt.Sprintf(
		`for ns in /run/netns/*; do nsenter --net="$ns" ip -d link show net1 2>/dev/null | grep -q %s && exec nsenter --net="$ns" ip -d link show net1; done; exit 1`, mac))
}

// TestReplaced20Times: the address is the identity's, through 20 pods of one name.
func TestReplaced20Times(t *testing.T) {
	ns := newTestNamespace(t, "replaced")
	apply(t, ns, statefulSet("again", 1, ""))
	before := attached(t, running(t, ns, "again", 1))
	uids := map[string]bool{}
	times := 20
	if testing.Short() {
		times = 5
	}
	for i := range times {
		kubectl(t, "delete", "pod", "again-0", "-n", ns, "--wait=true")
		pods := running(t, ns, "again", 1)
		if uids[string(pods[0].UID)] {
			t.Fatalf("pod %d is an old one", i)
		}
		uids[string(pods[0].UID)] = true
		if after := attached(t, pods); after["again-0"] != before["again-0"] {
			t.Fatalf("pod %d has %v, the first one had %v (I4)", i+1, after["again-0"], before["again-0"])
		}
	}
	t.Logf("%d pods had %v, each in its turn", times+1, before["again-0"])
}

// TestDrain: an identity moves with its pod to another node and back.
func TestDrain(t *testing.T) {
	ns := newTestNamespace(t, "drain")
	apply(t, ns, statefulSet("moving", 1, "nodeSelector: {kubernetes.io/os: linux}\n"))
	pods := running(t, ns, "moving", 1)
	before, from := attached(t, pods), pods[0].Spec.NodeName
	t.Cleanup(func() { _, _ = box.tryKubectl(context.Background(), "uncordon", from) })
	kubectl(t, "drain", from, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=100s", "--pod-selector=app=moving")

	pods = running(t, ns, "moving", 1)
	if to := pods[0].Spec.NodeName; to == from {
		t.Fatalf("the pod is back on the drained node %s", to)
	}
	if after := attached(t, pods); after["moving-0"] != before["moving-0"] {
		t.Errorf("it has %v after the move, had %v (I4)", after["moving-0"], before["moving-0"])
	}
	pings(t, &pods[0], "192.168.50.1")
}
