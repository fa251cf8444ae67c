// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/binding"
)

// isGone tells whether a pod that has lost its claim is itself gone or about to go, and the cache late. Another replica may have deleted the claim
// for that reason: made again, it would be deleted again, and so on until the cache has caught up.
func (r *PodReconciler) isGone(ctx context.Context, pod *corev1.Pod) (bool, error) {
	key := client.ObjectKeyFromObject(pod)
	if !r.bereft.seen(key, struct{}{}) {
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
