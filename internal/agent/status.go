// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// status serves STATUS: would an ADD for the pool have a chance? It asks the API nothing, so it answers at once (R-C12).
func (a *Agent) status(ctx context.Context, req *agentapi.Request) error {
	if err := a.Ready(); err != nil {
		return problem.APIUnreachable.New(a.nodeName, err).WithCause(err)
	}
	if !a.contact.inside() {
		return problem.APIUnreachable.New(a.nodeName, fmt.Sprintf("no answer for more than %s", a.options.FencingWindow))
	}
	if req.Pool == "" { // the chained entry asks, which knows no pool
		return nil
	}
	pool := &v1alpha1.MacPool{}
	err := a.cluster.cache.Get(ctx, types.NamespacedName{Name: req.Pool}, pool)
	if apierrors.IsNotFound(err) {
		return problem.PoolUnknown.New(req.Pool)
	}
	if err != nil {
		return fmt.Errorf("reading the cache of pools: %w", err)
	}
	return serves(pool)
}

// serves tells whether the pool takes claims, of some namespace, and has an address left.
func serves(pool *v1alpha1.MacPool) error {
	open := pool.DeepCopy()
	open.Spec.NamespaceSelector = nil // STATUS is asked for no pod in particular
	if err := binding.Admit(open, &corev1.Namespace{}); err != nil {
		return err
	}
	s := pool.Status
	if apimeta.IsStatusConditionTrue(s.Conditions, v1alpha1.PoolExhausted) || s.Available != nil && *s.Available == 0 {
		capacity, leased, cooling, conflicted := ptr.Deref(s.Capacity, 0), ptr.Deref(s.Leased, 0), ptr.Deref(s.Cooling, 0), ptr.Deref(s.Conflicted, 0)
		// The status does not say how many are kept for claims that ask for them: the rest are.
		kept := max(0, capacity-leased-cooling-conflicted)
		return problem.PoolExhausted.New(pool.Name, capacity, leased, cooling, conflicted, kept)
	}
	return nil
}

// unavailable is err as STATUS says it: whatever is wrong, the CNI code is that of a plugin that cannot serve ADD now.
func unavailable(err error) *agentapi.Error {
	e := agentapi.NewError(err)
	e.CNI = problem.CNIUnavailable
	return e
}
