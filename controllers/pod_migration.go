// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/view"
)

// promote makes the pod, if it is the alternate of a VM that migrates, the holder when KubeVirt says that the VM runs in it now, by an
// annotation on the pod with the time. The source may have one too, of the migration by which it became what it is; the later one counts.
//
// Whoever may edit the pods of a VM can write it. Which of its two pods is called the holder decides what is shown, and nothing about who
// may have the address.
func (r *PodReconciler) promote(ctx context.Context, pod *corev1.Pod, claim *v1alpha1.MacClaim) error {
	ready := readyAt(pod)
	if !binding.IsAlternate(claim, binding.PodUID(pod)) || ready.IsZero() {
		return nil
	}
	source, err := podOfHolder(ctx, r.Client, claim)
	if err != nil || source != nil && !ready.After(readyAt(source)) {
		return err
	}
	if _, err := r.Binder.Promote(ctx, claim); err != nil {
		return err
	}
	ctrl.LoggerFrom(ctx).Info("A VM has migrated", "claim", claim.Name, "from", claim.Status.Holder.NodeName, "to", pod.Spec.NodeName)
	return nil
}

// readyAt is when the VM was seen to run in the pod, the target of a migration; zero if it was not.
func readyAt(pod *corev1.Pod) time.Time {
	at, err := time.Parse(time.RFC3339Nano, pod.Annotations[view.AnnotationTargetReady])
	if err != nil {
		return time.Time{}
	}
	return at
}
