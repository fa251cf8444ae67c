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
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestKilledWhilePodsStart kills a part of macpool, or of the cluster, while pods are being started: all of them start in the
// end, each with an address of its own, and what ran before keeps its own (F3, F5, R-K2).
func TestKilledWhilePodsStart(t *testing.T) {
	for _, tt := range []struct {
		name string
		long bool // left out by -short
		kill func(*testing.T)
	}{
		{"agent", true, func(t *testing.T) {
			t.Helper()
			killProcess(t, "/agent")
		}},
		{"manager", true, func(t *testing.T) {
			t.Helper()
			killProcess(t, "/manager")
		}},
		{"manager away", true, func(t *testing.T) {
			t.Helper()
			withoutManager(t)
		}},
		{"API server", false, func(t *testing.T) {
			t.Helper()
			mustScript(t, "controlplane-down.sh", "apiserver")
			// As it is by default in some releases: for the tests after this one a cache has to list before it watches.
			t.Setenv("APISERVER", "--feature-gates=WatchList=false")
			mustScript(t, "controlplane-up.sh")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.long && testing.Short() {
				t.Skip("takes another half a minute; make chaos kills agents and managers too")
			}
			ns := newTestNamespace(t, "killed-"+strings.ToLower(strings.ReplaceAll(tt.name, " ", "-")))
			apply(t, ns, statefulSet("old", 2, ""))
			before := attached(t, running(t, ns, "old", 2))

			apply(t, ns, deployment("new", 6))
			eventually(t, "a pod of new to be on a node", func() error { return someScheduled(t.Context(), ns, "new") })
			tt.kill(t)
			kubectl(t, "delete", "pod", "old-0", "-n", ns, "--wait=false")

			pods := append(running(t, ns, "new", 6), running(t, ns, "old", 2)...)
			after := attached(t, pods)
			maps.DeleteFunc(after, func(name string, _ address) bool { return !strings.HasPrefix(name, "old-") })
			if !maps.Equal(after, before) {
				t.Errorf("the pods that ran before have %v, had %v (I4)", after, before)
			}
		})
	}
}

func someScheduled(ctx context.Context, ns, app string) error {
	var pods corev1.PodList
	if err := box.List(ctx, &pods, client.InNamespace(ns), client.MatchingLabels{"app": app}); err != nil {
		return err
	}
	if !slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return p.Spec.NodeName != "" }) {
		return errNotYet
	}
	return nil
}

// killProcess kills every process of the cluster with this command line's beginning, without a chance to say goodbye.
func killProcess(t *testing.T, command string) {
	t.Helper()
	killed := 0
	for _, node := range nodeNames(t) {
		out, _ := tryOnNode(t.Context(), node, "pkill", "-KILL", "-e", "-f", "^"+command+"( |$)")
		killed += strings.Count(out, "killed")
	}
	if killed == 0 {
		t.Fatalf("no process %s was there to kill", command)
	}
}

func nodeNames(t *testing.T) []string {
	t.Helper()
	return strings.Fields(kubectl(t, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"))
}

// TestNodeReboot: a node loses its power and boots again with the same disk. Its pods come back with their addresses, in new
// sandboxes whose ADDs come before or after the DELs of the old ones (F4, I4).
func TestNodeReboot(t *testing.T) {
	ns := newTestNamespace(t, "reboot")
	apply(t, ns, daemonSet("daemon")+"---\n"+statefulSet("set", 3, ""))
	before := attached(t, append(running(t, ns, "daemon", 2), running(t, ns, "set", 3)...))
	boots := bootIDs(t, "n2")

	mustScript(t, "node-down.sh", "2")
	mustScript(t, "node-up.sh", "2")
	eventually(t, "node n2 to be up again", func() error {
		var node corev1.Node
		if err := box.Get(t.Context(), client.ObjectKey{Name: "n2"}, &node); err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return newSandboxes(t, boots)
			}
		}
		return errNotYet
	})
	pods := append(running(t, ns, "daemon", 2), running(t, ns, "set", 3)...)
	if after := attached(t, pods); !maps.Equal(after, before) {
		t.Errorf("after the reboot the pods have %v, had %v (I4)", after, before)
	}
	for i := range pods {
		pings(t, &pods[i], "192.168.50.1")
	}
}

// bootIDs are the sandboxes that run on a node.
func bootIDs(t *testing.T, node string) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	for id := range strings.FieldsSeq(onNode(t, node, "ctr", "-n", "k8s.io", "tasks", "list", "-q")) {
		ids[id] = true
	}
	if len(ids) == 0 {
		t.Fatalf("nothing runs on node %s", node)
	}
	return ids
}

// newSandboxes tells whether something runs on node n2, and nothing of what ran before.
func newSandboxes(t *testing.T, old map[string]bool) error {
	t.Helper()
	out, err := tryOnNode(t.Context(), "n2", "ctr", "-n", "k8s.io", "tasks", "list")
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	started := 0
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[2] != "RUNNING" {
			continue
		}
		if old[fields[0]] {
			return fmt.Errorf("task %s has survived", fields[0])
		}
		started++
	}
	if started == 0 {
		return errNotYet
	}
	return nil
}
