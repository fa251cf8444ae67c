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

	"github.com/macpool/macpool/api/v1alpha1"
)

// workloadEnds are the claims of whose workload's deletion an event told: claim -> which parts of it. They are lost with the process.
// The zero value is ready.
type workloadEnds struct {
	mu   sync.Mutex
	told map[types.NamespacedName]map[v1alpha1.WorkloadKind]bool
}

func (w *workloadEnds) note(claim types.NamespacedName, part v1alpha1.WorkloadKind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told == nil {
		w.told = map[types.NamespacedName]map[v1alpha1.WorkloadKind]bool{}
	}
	if w.told[claim] == nil {
		w.told[claim] = map[v1alpha1.WorkloadKind]bool{}
	}
	w.told[claim][part] = true
}

// seen tells whether the deletion of that which keeps a claim of this kind was seen.
func (w *workloadEnds) seen(claim types.NamespacedName, kind v1alpha1.WorkloadKind) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told[claim][kind]
}

func (w *workloadEnds) forget(claim types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.told, claim)
}

// noting reconciles the claims of a pod or a StatefulSet, and notes those whose workload is deleted.
type noting struct {
	handler.EventHandler

	claims handler.MapFunc
	ends   *workloadEnds
	part   v1alpha1.WorkloadKind
}

func (r *MacClaimReconciler) noting(claims handler.MapFunc, part v1alpha1.WorkloadKind) noting {
	return noting{EventHandler: handler.EnqueueRequestsFromMapFunc(claims), claims: claims, ends: &r.ends, part: part}
}

// Delete implements handler.EventHandler.
func (n noting) Delete(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	// A deletion that the watch did not tell of, but a list in which the object was missing, is no more than such a list.
	if !e.DeleteStateUnknown {
		for _, request := range n.claims(ctx, e.Object) {
			n.ends.note(request.NamespacedName, n.part)
		}
	}
	n.EventHandler.Delete(ctx, e, queue)
}
