// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/api/v1alpha1"
)

// nodeReport is one list in what MacNodes report, each of whose items is about a pool.
type nodeReport[T any] struct {
	items func(*v1alpha1.MacNode) []T
	pool  func(T) string
}

var (
	parentsReported = nodeReport[v1alpha1.NodeParent]{
		items: func(n *v1alpha1.MacNode) []v1alpha1.NodeParent { return n.Status.Parents },
		pool:  func(p v1alpha1.NodeParent) string { return p.PoolName },
	}
	strangersReported = nodeReport[v1alpha1.Stranger]{
		items: func(n *v1alpha1.MacNode) []v1alpha1.Stranger { return n.Status.Strangers },
		pool:  func(s v1alpha1.Stranger) string { return s.PoolName },
	}
)

func (r nodeReport[T]) of(object client.Object) []T {
	node, ok := object.(*v1alpha1.MacNode)
	if !ok {
		return nil
	}
	return r.items(node)
}

// changed lets through the nodes whose report says something new.
func (r nodeReport[T]) changed() predicate.Predicate {
	says := func(object client.Object) bool { return len(r.of(object)) > 0 }
	return predicate.Funcs{
		CreateFunc:  func(e event.CreateEvent) bool { return says(e.Object) },
		DeleteFunc:  func(e event.DeleteEvent) bool { return says(e.Object) },
		GenericFunc: func(e event.GenericEvent) bool { return says(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return !equality.Semantic.DeepEqual(r.of(e.ObjectOld), r.of(e.ObjectNew))
		},
	}
}

// poolNames are the pools that the node's report is about.
func (r nodeReport[T]) poolNames(node *v1alpha1.MacNode) []string {
	var names []string
	for _, item := range r.items(node) {
		names = append(names, r.pool(item))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// requests are for the pools that the node's report is about. Of a change, the report before and the one after are asked.
func (r nodeReport[T]) requests(_ context.Context, object client.Object) []reconcile.Request {
	node, ok := object.(*v1alpha1.MacNode)
	if !ok {
		return nil
	}
	var requests []reconcile.Request
	for _, name := range r.poolNames(node) {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
	}
	return requests
}
