// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestT22Uninstall takes macpool away under running pods, in every order that people do it, and puts it back (R-P5). Nothing hangs;
// the pods keep their addresses and can be deleted meanwhile; a pod that comes meanwhile waits, and gets its identity's
// address when macpool is back.
func TestT22Uninstall(t *testing.T) {
	const all = "../../config/default"
	for _, tt := range []struct {
		name  string
		long  bool // left out by -short
		steps [][]string
	}{
		{"everything at once", true, [][]string{{"delete", "-k", all}}},
		{"namespace first", true, [][]string{{"delete", "namespace", "macpool-system"}, {"delete", "--ignore-not-found", "-k", all}}},
		{"definitions first", true, [][]string{{"delete", "-k", "../../config/crd"}, {"delete", "--ignore-not-found", "-k", all}}},
		{"definitions kept", false, [][]string{
			{"delete", "-k", "../../config/flowcontrol"},
			{"delete", "-k", "../../config/policy"},
			{"delete", "-k", "../../config/agent"},
			{"delete", "-k", "../../config/rbac"},
			{"delete", "-k", "../../config/manager"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.long && testing.Short() {
				t.Skip("takes another minute")
			}
			ns := newNamespace(t, "uninstall-"+strings.ReplaceAll(tt.name, " ", "-"))
			// A segment of its own, without records of other tests: an identity's first choice is free in it, before and after.
			// Where the definitions go, so do the records by which it would find any other again.
			pool := strings.NewReplacer("name: iot", "name: "+ns, "vlan: 50", "vlan: 50\n  segment: "+ns).Replace(pool)
			apply(t, ns, pool)
			apply(t, ns, strings.Replace(network, `"pool": "iot"`, `"pool": "`+ns+`"`, 1))
			t.Cleanup(func() { install(t) }) // whatever happens, for the tests after this one; before the namespace goes
			apply(t, ns, statefulSet("set", 2, ""))
			pods := running(t, ns, "set", 2)
			before := attached(t, pods)

			for _, args := range tt.steps {
				kubectl(t, append(args, "--timeout=90s")...)
			}
			nothingOfMacpool(t, tt.name == "definitions kept")

			// The pods do not notice, and can go.
			for i := range pods {
				pings(t, &pods[i], "192.168.50.1")
			}
			kubectl(t, "delete", "pod", "set-1", "-n", ns, "--timeout=60s")
			plainPod(t, ns)
			waitsForMacpool(t, ns, "set-1")

			install(t)
			apply(t, ns, pool)
			if after := attached(t, running(t, ns, "set", 2)); !maps.Equal(after, before) {
				t.Errorf("after the reinstallation the pods have %v, had %v (I4)", after, before)
			}
		})
	}
}

// install is make cluster-up's installation, also where the test has ended.
func install(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for _, args := range [][]string{
		{"apply", "-k", "../../config/default"},
		{"wait", "--for=condition=Established", "crd/macpools.macpool.dev", "crd/macclaims.macpool.dev", "crd/macleases.macpool.dev"},
	} {
		if out, err := box.tryKubectl(ctx, args...); err != nil {
			t.Fatalf("installing macpool: kubectl %v: %v\n%s", args, err, out)
		}
	}
	rolledOut(t)
}

// rolledOut waits until all of macpool's pods are ready, also where the test has ended.
func rolledOut(t *testing.T) {
	t.Helper()
	for _, what := range []string{"deployment/macpool-manager", "daemonset/macpool-agent"} {
		args := []string{"-n", "macpool-system", "rollout", "status", what, "--timeout=100s"}
		if out, err := box.tryKubectl(context.WithoutCancel(t.Context()), args...); err != nil {
			t.Fatalf("waiting for %s: %v\n%s", what, err, out)
		}
	}
}

// nothingOfMacpool checks that all of it is gone, and nothing is about to be for ever.
func nothingOfMacpool(t *testing.T, definitionsKept bool) {
	t.Helper()
	eventually(t, "macpool's namespace to be gone", func() error {
		err := box.Get(t.Context(), client.ObjectKey{Name: "macpool-system"}, &corev1.Namespace{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", errNotYet)
	})
	left := kubectl(t, "get", "crds,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,"+
		"flowschemas,prioritylevelconfigurations", "-o", "name")
	for name := range strings.Lines(left) {
		name = strings.TrimSpace(name)
		if definitionsKept && strings.HasPrefix(name, "customresourcedefinition") {
			continue
		}
		if strings.Contains(name, "macpool") {
			t.Errorf("%s is left", name)
		}
	}
}

// plainPod is a pod that has nothing to do with macpool: the node must not be worse than without it.
func plainPod(t *testing.T, ns string) {
	t.Helper()
	apply(t, ns, strings.Replace(barePod("plain", ""), "  annotations: {k8s.v1.cni.cncf.io/networks: iot-vlan}\n", "", 1))
	running(t, ns, "plain", 1)
}

// waitsForMacpool checks that the pod does not run without its lease, and that its event says what it waits for.
func waitsForMacpool(t *testing.T, ns, name string) {
	t.Helper()
	eventually(t, "an event that tells why "+name+" waits", func() error {
		out := kubectl(t, "get", "events", "-n", ns, "--field-selector=reason=FailedCreatePodSandBox,involvedObject.name="+name, "-o", "jsonpath={.items[*].message}")
		if !strings.Contains(out, "macpool") || !strings.Contains(out, "MP5") {
			return fmt.Errorf("the events are %q", out)
		}
		return nil
	})
	if phase := kubectl(t, "get", "pod", name, "-n", ns, "-o", "jsonpath={.status.phase}"); phase != "Pending" {
		t.Errorf("pod %s is %s without macpool, want Pending", name, phase)
	}
}
