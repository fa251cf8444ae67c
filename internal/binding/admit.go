// SPDX-License-Identifier: Apache-2.0

package binding

import (
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// Admit tells whether claims of the namespace may be bound in the pool. The pool alone decides: what networks, annotations
// and claims say can narrow it only (R-S3).
func Admit(pool *v1alpha1.MacPool, ns *corev1.Namespace) error {
	if !pool.DeletionTimestamp.IsZero() {
		return problem.PoolNotReady.New(pool.Name, "it is being deleted")
	}
	ready := apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolReady)
	switch {
	case ready == nil || ready.ObservedGeneration != pool.Generation:
		return problem.PoolNotReady.New(pool.Name, "the manager has not checked it yet").
			WithFix("See that the macpool-manager runs: it checks a pool before anything is leased from it.")
	case ready.Status != metav1.ConditionTrue:
		return problem.PoolNotReady.New(pool.Name, ready.Message)
	}
	if pool.Spec.NamespaceSelector == nil {
		return nil
	}
	selector, err := metav1.LabelSelectorAsSelector(pool.Spec.NamespaceSelector)
	if err != nil {
		return problem.PoolNotReady.New(pool.Name, "its namespaceSelector is invalid: "+err.Error())
	}
	if !selector.Matches(labels.Set(ns.Labels)) {
		return problem.PoolForbidden.New(pool.Name, ns.Name)
	}
	return nil
}
