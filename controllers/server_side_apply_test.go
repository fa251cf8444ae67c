// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestServerSideApply is a person, or GitOps, who applies a pool and a claim again and again, beside a manager that writes their status: nobody is in
// conflict, since nobody owns a field of the other's.
func TestServerSideApply(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "applied-" + ns}}
	claim := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "home-assistant"}}
	apply := func(end, retain string) {
		t.Helper()
		for _, manifest := range []string{
			`{apiVersion: macpool.dev/v1alpha1, kind: MacPool, metadata: {name: ` + pool.Name + `},
			  spec: {vlan: 3333, subnets: [{cidr: 192.168.33.0/24, ranges: [{start: 192.168.33.10, end: ` + end + `}]}]}}`,
			`{apiVersion: macpool.dev/v1alpha1, kind: MacClaim, metadata: {name: ` + claim.Name + `, namespace: ` + ns + `},
			  spec: {poolRef: {name: ` + pool.Name + `}, retain: ` + retain + `}}`,
		} {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(manifest), &object.Object); err != nil {
				t.Fatal(err)
			}
			// Without force: a field that somebody else owns would be a conflict.
			if err := w.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("kubectl")); err != nil {
				t.Errorf("applying %s: %v", object.GetKind(), err)
			}
		}
	}
	apply("192.168.33.20", "1h")
	w.poolReady(pool)
	bound := w.bound(ns, claim.Name)
	apply("192.168.33.20", "1h")
	apply("192.168.33.30", "2h")
	w.poolReady(pool)
	if now := w.bound(ns, claim.Name); now.Status.LeaseName != bound.Status.LeaseName {
		t.Errorf("the claim had %s and has %s", bound.Status.LeaseName, now.Status.LeaseName)
	}
	for _, object := range []client.Object{pool, claim} {
		if err := w.Get(t.Context(), keyOf(object), object); err != nil {
			t.Fatal(err)
		}
		writers := 0
		for _, entry := range object.GetManagedFields() {
			if entry.Manager == "kubectl" {
				continue
			}
			writers++
			var owned map[string]any
			if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &owned); err != nil {
				t.Fatal(err)
			}
			if _, spec := owned["f:spec"]; spec || entry.Subresource != "status" {
				t.Errorf("%T: %s owns %s of subresource %q", object, entry.Manager, entry.FieldsV1.GetRawString(), entry.Subresource)
			}
		}
		if writers == 0 {
			t.Errorf("%T: only kubectl has written it", object)
		}
	}
	if !slices.ContainsFunc(claim.ManagedFields, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == "kubectl" && strings.Contains(e.FieldsV1.GetRawString(), "f:retain")
	}) {
		t.Error("kubectl does not own what it applied")
	}
}
