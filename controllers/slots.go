// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// kin are the claims of people and of macpool that a workload's pod may have, as the cache has them.
func kin(ctx context.Context, cache client.Reader, namespace string, w v1alpha1.Workload) ([]v1alpha1.MacClaim, error) {
	by := claimsByFamily.is(binding.FamilyOf(w))
	if name := binding.PodName(w); name != "" {
		by = claimsByPod.is(name)
	}
	var claims v1alpha1.MacClaimList
	if err := cache.List(ctx, &claims, client.InNamespace(namespace), by, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the claims of %s %s/%s: %w", w.Kind, namespace, w.Name, err)
	}
	return claims.Items, nil
}

// podsIn are the pods of a namespace that select networks.
func podsIn(ctx context.Context, reader client.Reader, namespace string) ([]*corev1.Pod, error) {
	var list corev1.PodList
	if err := reader.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the pods of namespace %s: %w", namespace, err)
	}
	var pods []*corev1.Pod
	for i := range list.Items {
		if selectsNetworks(&list.Items[i]) {
			pods = append(pods, &list.Items[i])
		}
	}
	return pods, nil
}

// waitingOf are the pods of a family that want a claim of it and hold none, the oldest first: in this order they choose.
func waitingOf(pods []*corev1.Pod, claims []v1alpha1.MacClaim, family v1alpha1.Workload, pool string) []types.UID {
	var waiting []*corev1.Pod
	for _, pod := range pods {
		if !mayClaim(pod) || binding.WorkloadOf(pod, family.Interface) != family || binding.Holds(claims, family, pool, binding.PodUID(pod)) {
			continue
		}
		if named, err := binding.NamedClaim(pod, family.Interface, ""); err != nil || named != "" {
			continue
		}
		waiting = append(waiting, pod)
	}
	slices.SortFunc(waiting, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	uids := make([]types.UID, len(waiting))
	for i, pod := range waiting {
		uids[i] = binding.PodUID(pod)
	}
	return uids
}

// familyOf is a claim's workload without the number.
func familyOf(w v1alpha1.Workload) v1alpha1.Workload {
	w.Ordinal = nil
	return w
}

// slotsOf says which pod of a family waits for which claim. pods says who the pods are, cache what there is of claims.
func slotsOf(
	ctx context.Context, workloads, cache client.Reader, namespace string, family v1alpha1.Workload, pool string,
) (map[types.UID]binding.Slot, error) {
	claims, err := kin(ctx, cache, namespace, family)
	if err != nil {
		return nil, err
	}
	pods, err := podsIn(ctx, workloads, namespace)
	if err != nil {
		return nil, err
	}
	return binding.Assign(claims, family, pool, waitingOf(pods, claims, family, pool)), nil
}

// isNeeded tells whether a pod is there that is to have the claim of a workload whose pods have no certain names: one of its DaemonSet on the node, or
// one of a family that waits for this very claim.
func isNeeded(ctx context.Context, workloads, cache client.Reader, claim *v1alpha1.MacClaim) (bool, error) {
	w := *claim.Spec.Workload
	if w.Kind == v1alpha1.WorkloadDaemonSet {
		pods, err := podsIn(ctx, workloads, claim.Namespace)
		return slices.ContainsFunc(pods, func(pod *corev1.Pod) bool {
			return stateOf(pod) == podAlive && binding.WorkloadOf(pod, w.Interface) == w
		}), err
	}
	slots, err := slotsOf(ctx, workloads, cache, claim.Namespace, familyOf(w), claim.Spec.PoolRef.Name)
	for _, slot := range slots {
		if slot.Claim != nil && slot.Claim.Name == claim.Name {
			return true, nil
		}
	}
	return false, err
}

// ofKin are the pods that a claim of a workload whose pods have no certain names concerns: its holder, and who is to have it.
func (r *PodReconciler) ofKin(ctx context.Context, claim *v1alpha1.MacClaim) (requests []reconcile.Request) {
	add := func(name string) {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: claim.Namespace, Name: name}})
	}
	if claim.Status.Holder != nil {
		add(claim.Status.Holder.PodName)
		return requests
	}
	w := *claim.Spec.Workload
	pods, err := podsIn(ctx, r.Client, claim.Namespace)
	if err != nil {
		return nil
	}
	if w.Kind == v1alpha1.WorkloadDaemonSet {
		for _, pod := range pods {
			if binding.WorkloadOf(pod, w.Interface) == w {
				add(pod.Name)
			}
		}
		return requests
	}
	claims, err := kin(ctx, r.Client, claim.Namespace, w)
	if err != nil {
		return nil
	}
	family, pool := familyOf(w), claim.Spec.PoolRef.Name
	for uid, slot := range binding.Assign(claims, family, pool, waitingOf(pods, claims, family, pool)) {
		if *slot.Workload.Ordinal != *w.Ordinal {
			continue
		}
		for _, pod := range pods {
			if binding.PodUID(pod) == uid {
				add(pod.Name)
			}
		}
	}
	return requests
}
