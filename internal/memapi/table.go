// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// table is objects by key, in the order in which etcd has them. Make one with newTable.
type table struct {
	objects map[types.NamespacedName]client.Object
	keys    []types.NamespacedName
}

func newTable() *table { return &table{objects: map[types.NamespacedName]client.Object{}} }

func (t *table) get(key types.NamespacedName) client.Object { return t.objects[key] }

// set enters an object under a key, or removes it if object is nil.
func (t *table) set(key types.NamespacedName, object client.Object) {
	_, known := t.objects[key]
	at, _ := slices.BinarySearchFunc(t.keys, key, compareKeys)
	switch {
	case object == nil && known:
		delete(t.objects, key)
		t.keys = slices.Delete(t.keys, at, at+1)
	case object != nil && !known:
		t.keys = slices.Insert(t.keys, at, key)
		fallthrough
	case object != nil:
		t.objects[key] = object
	}
}

func (t *table) clone() *table { return &table{maps.Clone(t.objects), slices.Clone(t.keys)} }

// compareKeys compares namespace/name.
func compareKeys(a, b types.NamespacedName) int {
	if a.Namespace == b.Namespace {
		return cmp.Compare(a.Name, b.Name)
	}
	return cmp.Compare(a.Namespace+"/", b.Namespace+"/")
}
