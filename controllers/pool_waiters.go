// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// wake brings to the claim reconciler the waiting claims of the pool that may succeed now. A pool that has become ready or
// was changed wakes all. Later ones are woken by what has become free: those that ask for an address when it is, and of those
// that take any, the oldest, as many as there are addresses, so that a full pool's waiters do not all come for each one. For the same
// reason one comes of those that wait because their namespace has as many as it may.
func (r *MacPoolReconciler) wake(ctx context.Context, pool *v1alpha1.MacPool) error {
	ready := apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolReady)
	if ready == nil || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration != pool.Generation {
		r.withdraw(pool.Name)
		return nil // it admits nothing; when it does, that is an event
	}
	if isAllocationPaused(pool) {
		r.withdraw(pool.Name)
		return nil // all are woken when it goes on
	}
	var waiting v1alpha1.MacClaimList
	if err := r.Client.List(ctx, &waiting, waitingByPool.is(pool.Name), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the claims that wait for pool %s: %w", pool.Name, err)
	}
	claims := waiting.Items
	if !r.announce(pool) {
		plan, err := binding.PlanOf(pool)
		if err != nil {
			return fmt.Errorf("planning pool %s: %w", pool.Name, err) // it cannot be ready
		}
		available := r.Feed.Index.Count(pool.Name).Available
		claims = worthWaking(claims, available, func(claim *v1alpha1.MacClaim) bool { return r.askedIsFree(claim, plan) })
	}
	for i := range claims {
		select {
		case r.Wake <- event.TypedGenericEvent[*v1alpha1.MacClaim]{Object: &claims[i]}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// worthWaking chooses among waiting claims. Those without a condition are being tried just now; what others wait for is not
// an address.
func worthWaking(claims []v1alpha1.MacClaim, available uint64, askedIsFree func(*v1alpha1.MacClaim) bool) []v1alpha1.MacClaim {
	var anyAddress, chosen []v1alpha1.MacClaim
	full := map[string]v1alpha1.MacClaim{} // namespace -> the first of its claims that waits for another to go
	for i := range claims {
		ready := apimeta.FindStatusCondition(claims[i].Status.Conditions, v1alpha1.ClaimReady)
		if ready == nil {
			continue
		}
		switch ready.Reason {
		case problem.PoolExhausted.Reason:
			anyAddress = append(anyAddress, claims[i])
		case problem.NamespaceFull.Reason:
			if first, ok := full[claims[i].Namespace]; !ok || compareWaiting(claims[i], first) < 0 {
				full[claims[i].Namespace] = claims[i]
			}
		case problem.AddressTaken.Reason, problem.AddressCooling.Reason, problem.AddressConflict.Reason:
			if askedIsFree(&claims[i]) {
				chosen = append(chosen, claims[i])
			}
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(full)) {
		chosen = append(chosen, full[namespace])
	}
	slices.SortFunc(anyAddress, compareWaiting)
	return append(chosen, anyAddress[:min(uint64(len(anyAddress)), available)]...)
}

func compareWaiting(a, b v1alpha1.MacClaim) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// askedIsFree tells whether the index knows nobody who has the address that the claim insists on.
func (r *MacPoolReconciler) askedIsFree(claim *v1alpha1.MacClaim, plan *allocator.Plan) bool {
	slot, asked := plan.ReservedFor(allocator.Identity{Namespace: claim.Namespace, Name: claim.Name})
	for _, text := range claim.Spec.IPs {
		if ip, err := netip.ParseAddr(string(text)); err == nil {
			slot, asked = plan.SlotOf(ip)
		}
	}
	if !asked {
		return true // it asks by MAC; there are few of them
	}
	lease, known := r.Feed.Index.Get(plan.Address(slot).Name)
	return !known || lease.State == allocator.Reusable
}
