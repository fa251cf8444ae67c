// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// deletions are the objects that lost something of theirs, as an event told: object -> what. They are lost with the process. The zero value
// is ready.
type deletions[T comparable] struct {
	mu   sync.Mutex
	told map[types.NamespacedName]map[T]bool
}

func (d *deletions[T]) note(object types.NamespacedName, what T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.told == nil {
		d.told = map[types.NamespacedName]map[T]bool{}
	}
	if d.told[object] == nil {
		d.told[object] = map[T]bool{}
	}
	d.told[object][what] = true
}

// seen tells whether the deletion of that was seen.
func (d *deletions[T]) seen(object types.NamespacedName, what T) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.told[object][what]
}

func (d *deletions[T]) forget(object types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.told, object)
}

// noting reconciles the objects that an event concerns, and notes those that have lost what is deleted.
type noting[T comparable] struct {
	handler.EventHandler

	concerned handler.MapFunc
	deletions *deletions[T]
	what      T
}

func (d *deletions[T]) noting(concerned handler.MapFunc, what T) noting[T] {
	return noting[T]{EventHandler: handler.EnqueueRequestsFromMapFunc(concerned), concerned: concerned, deletions: d, what: what}
}

// Delete implements handler.EventHandler.
func (n noting[T]) Delete(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	// A deletion that the watch did not tell of, but a list in which the object was missing, is no more than such a list.
	if !e.DeleteStateUnknown {
		for _, request := range n.concerned(ctx, e.Object) {
			n.deletions.note(request.NamespacedName, n.what)
		}
	}
	n.EventHandler.Delete(ctx, e, queue)
}
