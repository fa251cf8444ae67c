// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/internal/binding"
)

// isGone tells whether a pod that has lost its claim is itself gone or about to go, and the cache late. Another replica may have deleted the claim
// for that reason: made again, it would be deleted again, and so on until the cache has caught up.
func (r *PodReconciler) isGone(ctx context.Context, pod *corev1.Pod) (bool, error) {
	key := client.ObjectKeyFromObject(pod)
	if !r.bereft.has(key) {
		return false, nil
	}
	now := &corev1.Pod{}
	err := r.APIReader.Get(ctx, key, now)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("reading pod %s: %w", key, err)
	case binding.PodUID(now) != binding.PodUID(pod), !wantsAddresses(now):
		return true, nil
	}
	r.bereft.forget(key)
	return false, nil
}

// bereft are the pods of which a claim was deleted. They are lost with the process. The zero value is ready.
type bereft struct {
	mu   sync.Mutex
	pods map[types.NamespacedName]bool
}

func (b *bereft) note(pod types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pods == nil {
		b.pods = map[types.NamespacedName]bool{}
	}
	b.pods[pod] = true
}

func (b *bereft) has(pod types.NamespacedName) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pods[pod]
}

func (b *bereft) forget(pod types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.pods, pod)
}

// claimDeletions reconciles the pods of a claim, and notes those whose claim was deleted. What is reconciled for that forgets it.
type claimDeletions struct {
	handler.EventHandler

	pods   handler.MapFunc
	bereft *bereft
}

// Delete implements handler.EventHandler.
func (c claimDeletions) Delete(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	for _, request := range c.pods(ctx, e.Object) {
		c.bereft.note(request.NamespacedName)
	}
	c.EventHandler.Delete(ctx, e, queue)
}
