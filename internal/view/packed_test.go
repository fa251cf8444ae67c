// SPDX-License-Identifier: Apache-2.0

package view

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/macpool/macpool/api/v1alpha1"
)

// What is packed comes back as it was, whatever fields a kind has or will have.
func TestPackedObjectsComeBack(t *testing.T) {
	claim, lease := &v1alpha1.MacClaim{}, &v1alpha1.MacLease{}
	for _, object := range []runtime.Object{claim, lease} {
		filled := 0
		fill(reflect.ValueOf(object).Elem(), &filled)
		t.Logf("%T: %d values", object, filled)
		if filled < 20 {
			t.Errorf("%T: only %d values were filled", object, filled)
		}
	}
	claim.ManagedFields, lease.ManagedFields = nil, nil // the cache's transformation strips them
	slim, err := stripPod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "home", Name: "db-0", UID: "1", ResourceVersion: "2", CreationTimestamp: metav1.Now().Rfc3339Copy(),
			Annotations:     map[string]string{"k8s.v1.cni.cncf.io/networks": "iot"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: "db", Controller: new(true), BlockOwnerDeletion: new(false)}},
		},
		Spec:   corev1.PodSpec{NodeName: "node-1", HostNetwork: true},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, object := range map[string]any{
		"a claim":           claim,
		"a lease":           lease,
		"a pod":             slim,
		"an empty claim":    &v1alpha1.MacClaim{},
		"empty and not nil": &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{}, Finalizers: []string{}}},
		"pointers to zeros": &v1alpha1.MacClaim{
			Spec:   v1alpha1.MacClaimSpec{Workload: &v1alpha1.Workload{Ordinal: new(int32)}, Retain: &metav1.Duration{}},
			Status: v1alpha1.MacClaimStatus{VLAN: new(int32), Holder: &v1alpha1.Holder{}},
		},
		"negative numbers and times before 1970": &v1alpha1.MacClaim{
			ObjectMeta: metav1.ObjectMeta{Generation: -1 << 63, CreationTimestamp: metav1.NewTime(time.Unix(-5, 7))},
		},
	} {
		p, ok := pack(object, someMarks).(packed)
		if !ok {
			t.Errorf("%s was not packed", what)
			continue
		}
		if diff := cmp.Diff(object, unpack(p)); diff != "" {
			t.Errorf("%s came back otherwise: %s", what, diff)
		}
		accessor, ok := object.(metav1.ObjectMetaAccessor)
		if !ok {
			t.Fatalf("%s has no metadata", what)
		}
		if diff := cmp.Diff(namesOf(accessor), namesOf(p)); diff != "" {
			t.Errorf("the names of %s: %s", what, diff)
		}
		if p.marks() != someMarks {
			t.Errorf("the marks of %s are %q", what, p.marks())
		}
	}
}

// someMarks are longer than one octet can say.
var someMarks = marks(strings.Repeat("mark", 50))

// namesOf is what stores ask for.
func namesOf(object metav1.ObjectMetaAccessor) []string {
	meta := object.GetObjectMeta()
	return []string{meta.GetNamespace(), meta.GetName(), string(meta.GetUID()), meta.GetResourceVersion()}
}

// What cannot be packed stays as it is, and nothing is lost.
func TestWhatCannotBePacked(t *testing.T) {
	for what, object := range map[string]any{
		"another kind":  &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}},
		"managedFields": &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{{FieldsV1: &metav1.FieldsV1{Raw: []byte("{}")}}}}},
		"no object":     "text",
	} {
		if got := pack(object, someMarks); !reflect.DeepEqual(got, object) {
			t.Errorf("%s became %v", what, got)
		}
		if got := unpack(object); !reflect.DeepEqual(got, object) {
			t.Errorf("%s was unpacked to %v", what, got)
		}
	}
}

// fill sets every field, and each to another value; slices and maps get two elements.
func fill(v reflect.Value, n *int) {
	switch {
	case v.Type() == instant:
		*n++
		v.Set(reflect.ValueOf(metav1.NewTime(time.Unix(int64(*n), 0))))
	case v.Type() == typeMeta, v.Type() == reflect.TypeFor[metav1.FieldsV1]():
	case v.Kind() == reflect.String:
		*n++
		v.SetString("text-" + time.Duration(*n).String())
	case v.Kind() == reflect.Bool:
		*n++
		v.SetBool(true)
	case v64(v.Kind()):
		*n++
		v.SetInt(int64(*n))
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, element := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, n)
			fill(element, n)
			v.SetMapIndex(key, element)
		}
	case v.Kind() == reflect.Struct:
		for _, field := range v.Fields() {
			fill(field, n)
		}
	}
}
