// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// ghostPool has three addresses that no other pool has, and forgets at once what was released.
const ghostPool = `
apiVersion: macpool.dev/v1alpha1
kind: MacPool
metadata: {name: ghost}
spec:
  vlan: 50
  cooldown: 0s
  history: 0s
  subnets:
  - cidr: 192.168.50.0/24
    ranges: [{start: 192.168.50.248, end: 192.168.50.250}]
`

// TestNodeTakenOut: a node is taken out of the cluster with a pod on it, which macpool does not take for the end of the pod. An administrator
// who knows better says so (R-G1). Of a claim that was never attached not even the record is left.
func TestNodeTakenOut(t *testing.T) {
	ns := newNamespace(t, "taken-out")
	applyPool(t, ns, "ghost", ghostPool)
	claims := map[string]*v1alpha1.MacClaim{}
	claim := func(name string) {
		t.Helper()
		claims[name] = &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
		claims[name].Spec.PoolRef.Name = "ghost"
		if err := box.Create(t.Context(), claims[name]); err != nil {
			t.Fatal(err)
		}
	}
	until := func(name, what string, is func(*v1alpha1.MacClaimStatus) bool) {
		t.Helper()
		eventually(t, "claim "+name+" to be "+what, func() error {
			if err := box.Get(t.Context(), client.ObjectKeyFromObject(claims[name]), claims[name]); err != nil {
				return err
			}
			if !is(&claims[name].Status) {
				return fmt.Errorf("its status is %+v", claims[name].Status)
			}
			return nil
		})
	}
	claim("brief")
	until("brief", "bound", func(s *v1alpha1.MacClaimStatus) bool { return s.LeaseName != "" })
	kubectl(t, "delete", "macclaim", "brief", "-n", ns)
	goes(t, &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: claims["brief"].Status.LeaseName}})

	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "ghost"}}
	if err := box.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Delete(context.WithoutCancel(t.Context()), node) })
	apply(t, ns, strings.Replace(barePod("left", "nodeName: ghost\n"), "networks: iot-vlan", `networks: '[
    {"name": "ghost", "ipam-claim-reference": "first"},
    {"name": "ghost", "ipam-claim-reference": "second"},
    {"name": "ghost", "ipam-claim-reference": "third"}]'`, 1))
	for _, name := range []string{"first", "second", "third"} {
		claim(name)
		until(name, "held", func(s *v1alpha1.MacClaimStatus) bool { return s.Holder != nil })
	}
	free := func(s *v1alpha1.MacClaimStatus) bool { return s.Holder == nil }
	for _, name := range []string{"first", "second"} { // of the second the pod is told by a repetition of the first one's event
		kubectl(t, "annotate", "macclaim", name, "-n", ns, v1alpha1.AnnotationForceRelease+"=it is not used")
		until(name, "free", free)
	}

	if err := box.Delete(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "delete", "pod", "left", "-n", ns, "--force", "--grace-period=0")
	until("third", "suspect", func(s *v1alpha1.MacClaimStatus) bool {
		return apimeta.IsStatusConditionTrue(s.Conditions, v1alpha1.ClaimSuspect) && s.Holder != nil
	})
	kubectl(t, "annotate", "macclaim", "third", "-n", ns, v1alpha1.AnnotationForceRelease+"=the machine is scrap")
	until("third", "free", free)
}

// leftReport is the last report of a node that was taken out of the cluster. The function that it returns waits until the manager has removed
// it, a minute after it has seen it first.
func leftReport(t *testing.T) (removed func()) {
	t.Helper()
	report := &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "left"}}
	if err := box.Create(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		goes(t, report)
	}
}

// goes waits until an object is gone.
func goes(t *testing.T, object client.Object) {
	t.Helper()
	eventually(t, fmt.Sprintf("%T %s to be gone", object, object.GetName()), func() error {
		err := box.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		if err == nil {
			return errNotYet
		}
		return client.IgnoreNotFound(err)
	})
}
