// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/macpool/macpool/internal/view"
)

// since watches without what was there when the controller started: what that concerns was there as well, and is looked at by itself, when all
// that the controller watches is known. Otherwise each of a few networks has all pods of the cluster listed at the start, each claim of a
// Deployment all the others, and each pod its claims, which come anyway.
func since(mgr ctrl.Manager, object client.Object, to handler.EventHandler, predicates ...predicate.Predicate) source.Source {
	return source.Kind(view.Since{Cache: mgr.GetCache()}, object, to, predicates...)
}

// onUpdate lets through the updates that it returns true for, and all else.
func onUpdate(concerns func(event.UpdateEvent) bool) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: concerns}
}

// neverOnUpdate leaves all updates out.
func neverOnUpdate(event.UpdateEvent) bool { return false }
