// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// alonePool has three addresses that no other pool has, and says how many a namespace may have.
const alonePool = `
apiVersion: macpool.dev/v1alpha1
kind: MacPool
metadata: {name: alone}
spec:
  vlan: 50
  cooldown: 1s
  maxPerNamespace: 4
  subnets:
  - cidr: 192.168.50.0/24
    gateway: 192.168.50.1
    ranges: [{start: 192.168.50.245, end: 192.168.50.247}]
`

// TestAgentsAlone: without a manager the agents give pods their addresses by themselves, a new one and one that the identity had before, count what
// a namespace has, and leave nothing behind where they have to refuse (R-K2).
func TestAgentsAlone(t *testing.T) {
	ns := newNamespace(t, "alone")
	applyPool(t, ns, "alone", alonePool)
	pod := func(name string) string {
		return strings.Replace(barePod(name, ""), "networks: iot-vlan", "networks: alone", 1)
	}
	apply(t, ns, pod("back")+"---\n"+pod("stays"))
	before := attached(t, append(running(t, ns, "back", 1), running(t, ns, "stays", 1)...))
	// An address that a pod has is promised to another claim, with a MAC that has to be locked for it.
	const mac = "00:1b:21:a8:32:fd"
	kubectl(t, "patch", "macpool", "alone", "--type=merge", "-p", fmt.Sprintf(
		`{"spec": {"reservations": [{"ip": %q, "mac": %q, "claimRef": {"namespace": %q, "name": "promised"}}]}}`, before["stays"].IP, mac, ns))
	kubectl(t, "delete", "pod", "back", "-n", ns, "--wait=true")
	eventually(t, "the manager to have seen both", func() error {
		pool, lease := &v1alpha1.MacPool{}, &v1alpha1.MacLease{}
		err := errors.Join(box.Get(t.Context(), client.ObjectKey{Name: "alone"}, pool),
			box.Get(t.Context(), client.ObjectKey{Name: "vlan-50." + before["back"].IP}, lease))
		ready := apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolReady)
		if err == nil && (lease.Spec.ReleasedAt == nil || ready == nil || ready.ObservedGeneration != pool.Generation) {
			err = errNotYet
		}
		return err
	})

	withoutManager(t)
	apply(t, ns, `{apiVersion: macpool.dev/v1alpha1, kind: MacClaim, metadata: {name: promised}, spec: {poolRef: {name: alone}}}`)
	apply(t, ns, strings.Replace(pod("refused"), "networks: alone", `networks: '[{"name": "alone", "ipam-claim-reference": "promised"}]'`, 1))
	apply(t, ns, pod("back")+"---\n"+pod("new"))
	after := attached(t, append(running(t, ns, "back", 1), running(t, ns, "new", 1)...))
	if after["back"] != before["back"] {
		t.Errorf("the pod has %v, it had %v (I4)", after["back"], before["back"])
	}
	eventually(t, "the pod whose address another has to be told", func() error {
		out := kubectl(t, "get", "events", "-n", ns, "--field-selector=involvedObject.name=refused", "-o", "jsonpath={.items[*].message}")
		if !strings.Contains(out, "MP203") {
			return fmt.Errorf("the events are %q", out)
		}
		return nil
	})
	// Its next try may have made the lock anew, for a moment.
	goes(t, &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: "vlan-50." + strings.ReplaceAll(mac, ":", "-")}})
}

// withoutManager stops the manager until the test ends.
func withoutManager(t *testing.T) {
	t.Helper()
	const manager = "deployment/macpool-manager"
	kubectl(t, "-n", "macpool-system", "scale", manager, "--replicas=0")
	t.Cleanup(func() {
		_, _ = box.tryKubectl(context.Background(), "-n", "macpool-system", "scale", manager, "--replicas=2")
		rolledOut(t)
	})
	kubectl(t, "-n", "macpool-system", "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=manager", "--timeout=100s")
}
