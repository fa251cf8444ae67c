// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/retention"
)

// hold is case 10: it takes the mark of a stranger from a lease that has had it for the pool's hold, as this process has seen it. Whether
// the stranger is still there, the VLAN is asked by the node of the next pod that is to get the address, before it gets it.
//
// Agents mark leases and never take a mark away; one that hears the stranger again writes seenAt, from when on the hold begins anew.
// What became of the lease's claim meanwhile is looked at when the mark is gone: cases 1 to 8.
func (r *LeaseReconciler) hold(ctx context.Context, seen *v1alpha1.MacLease) (ctrl.Result, error) {
	pool, err := poolOf(ctx, r.Client, seen.Spec.PoolName)
	if err != nil {
		return ctrl.Result{}, err
	}
	claim, err := claimOf(ctx, r.Client, seen)
	if err != nil {
		return ctrl.Result{}, err
	}
	if claim != nil && claim.Status.LeaseName == seen.Name {
		// It may be attached again when the stranger is silent: what is left of the claim if it goes is kept up.
		if err := r.mirrorHolder(ctx, seen, claim); err != nil {
			return ctrl.Result{}, err
		}
		if err := r.wake(ctx, claim); err != nil { // it says so in its condition, and does not when the mark is gone
			return ctrl.Result{}, err
		}
	}
	now := r.Clock.Now()
	what := observation{uid: seen.UID, kind: conflicted, stamp: seen.Spec.Conflict.SeenAt.Time}
	if left := retention.ConflictHold(pool) - now.Sub(r.observed.first(seen.Name, what, now)); left > 0 {
		return ctrl.Result{RequeueAfter: min(left, recheck)}, nil
	}
	lease, err := r.live(ctx, seen)
	if lease == nil || lease.Spec.Conflict == nil || !lease.Spec.Conflict.SeenAt.Equal(&seen.Spec.Conflict.SeenAt) {
		return ctrl.Result{}, err // the event of what has happened is on its way
	}
	mac := lease.Spec.Conflict.MAC
	lease.Spec.Conflict = nil
	if err := r.Client.Update(ctx, lease); err != nil {
		return ctrl.Result{}, fmt.Errorf("taking the mark of a stranger from lease %s: %w", lease.Name, err)
	}
	r.observed.forget(lease.Name)
	if claim != nil {
		if err := r.wake(ctx, claim); err != nil {
			return ctrl.Result{}, err
		}
	}
	ctrl.LoggerFrom(ctx).Info("The hold of an address that a stranger has used is over", "mac", mac)
	return ctrl.Result{}, nil
}

func (r *LeaseReconciler) wake(ctx context.Context, claim *v1alpha1.MacClaim) error {
	select {
	case r.Wake <- event.TypedGenericEvent[*v1alpha1.MacClaim]{Object: claim}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
