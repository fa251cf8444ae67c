// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

func poolKey(name string) types.NamespacedName { return types.NamespacedName{Name: name} }

// findPool reads a pool from the cache, or live if it may have been made since.
func (a *Agent) findPool(ctx context.Context, name string) (*v1alpha1.MacPool, error) {
	pool := &v1alpha1.MacPool{}
	key := poolKey(name)
	if a.contact.cachesHold() && a.cluster.cache.Get(ctx, key, pool) == nil {
		return pool, nil
	}
	err := a.live(ctx, func(ctx context.Context) error { return a.cluster.Get(ctx, key, pool) })
	if apierrors.IsNotFound(err) {
		return nil, problem.PoolUnknown.New(name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading pool %s: %w", name, err)
	}
	return pool, nil
}

// findPod reads the pod that the runtime names, and refuses one that must not be attached here (R-C10, R-C18).
func (a *Agent) findPod(ctx context.Context, named agentapi.Pod) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	key := types.NamespacedName{Namespace: named.Namespace, Name: named.Name}
	isIt := func() bool { return string(binding.PodUID(pod)) == named.UID }
	if !a.contact.cachesHold() || a.cluster.cache.Get(ctx, key, pod) != nil || !isIt() {
		err := a.live(ctx, func(ctx context.Context) error {
			*pod = corev1.Pod{}
			return a.cluster.Get(ctx, key, pod)
		})
		if apierrors.IsNotFound(err) || err == nil && !isIt() {
			return nil, problem.PodUnknown.New(named.Namespace, named.Name, named.UID)
		}
		if err != nil {
			return nil, fmt.Errorf("reading pod %s: %w", key, err)
		}
	}
	switch {
	case pod.Spec.NodeName != a.nodeName:
		return nil, problem.PodElsewhere.New(named.Namespace, named.Name, pod.Spec.NodeName, a.nodeName)
	case pod.Spec.HostNetwork:
		return nil, problem.HostNetwork.New(named.Namespace, named.Name)
	case finished(pod):
		return nil, problem.PodFinished.New(named.Namespace, named.Name)
	}
	return pod, nil
}

// finished tells whether the pod will not run again: its phase says so, or it is being deleted and all its containers have
// ended.
func finished(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return true
	}
	if pod.DeletionTimestamp.IsZero() || len(pod.Status.ContainerStatuses) == 0 {
		return false
	}
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Terminated == nil {
			return false
		}
	}
	return true
}
