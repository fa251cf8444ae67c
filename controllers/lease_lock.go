// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/mac"
)

// lock is cases 11 and 12: the lock of a reservation's MAC follows the lease that it is there for. How that and a bind are kept apart is
// said in internal/binding/lock.go.
func (r *LeaseReconciler) lock(ctx context.Context, name string) (ctrl.Result, error) {
	lock := &v1alpha1.MacLease{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, lock); err != nil {
		r.observed.forget(name)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if wait, err := r.Gate.closed(ctx, lock.Spec.PoolName); wait > 0 || err != nil {
		return ctrl.Result{RequeueAfter: wait}, err
	}
	lease, err := lockedLease(ctx, r.Client, lock)
	if err != nil {
		return ctrl.Result{}, err
	}
	if binding.Locks(lock, lease) {
		r.observed.forget(name)
		if lock.Spec.ReleasedAt == nil {
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, r.endLock(ctx, lock)
	}
	now := r.Clock.Now()
	first := r.observed.first(name, observation{uid: lock.UID, kind: unpaired, stamp: lock.Spec.LeasedAt.Time}, now)
	over := lease != nil && lease.Spec.ClaimRef.UID == lock.Spec.ClaimRef.UID && binding.StateOf(lease) == allocator.Reusable
	if left := r.OrphanAfter - now.Sub(first); left > 0 && !over {
		return ctrl.Result{RequeueAfter: left}, nil // a bind may be between the two
	}
	return ctrl.Result{}, r.endLock(ctx, lock)
}

// endLock releases the lock, and deletes it if its lease, read after that, does not need it; else it takes it back.
func (r *LeaseReconciler) endLock(ctx context.Context, seen *v1alpha1.MacLease) error {
	lock, err := r.live(ctx, seen)
	if lock == nil || lock.Spec.ClaimRef != seen.Spec.ClaimRef {
		return err
	}
	if lock.Spec.ReleasedAt == nil {
		now := metav1.NewTime(r.Clock.Now())
		lock.Spec.ReleasedAt = &now
		if err := r.Client.Update(ctx, lock); err != nil {
			return fmt.Errorf("releasing lock %s: %w", lock.Name, err)
		}
	}
	lease, err := lockedLease(ctx, r.APIReader, lock)
	if err != nil {
		return err
	}
	if binding.Locks(lock, lease) {
		lock.Spec.ReleasedAt = nil
		if err := r.Client.Update(ctx, lock); err != nil {
			return fmt.Errorf("taking lock %s back: %w", lock.Name, err)
		}
		return nil
	}
	err = r.Client.Delete(ctx, lock, client.Preconditions{UID: &lock.UID, ResourceVersion: &lock.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting lock %s: %w", lock.Name, err)
	}
	r.observed.forget(lock.Name)
	ctrl.LoggerFrom(ctx).Info("Gave back the MAC of a reservation", "mac", lock.Spec.MAC, "claimNamespace", lock.Spec.ClaimRef.Namespace,
		"claim", lock.Spec.ClaimRef.Name)
	return nil
}

// relock is case 13: after a recovery, or when somebody has deleted the lock by hand.
func (r *LeaseReconciler) relock(ctx context.Context, lease *v1alpha1.MacLease) error {
	pool := &v1alpha1.MacPool{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: lease.Spec.PoolName}, pool); err != nil {
		return client.IgnoreNotFound(err) // nobody knows what it would make
	}
	if !binding.IsForeign(lease, pool) {
		return nil
	}
	lock, err := binding.NewLock(lease)
	if err != nil {
		return reconcile.TerminalError(fmt.Errorf("reading lease %s: %w", lease.Name, err))
	}
	if err := r.Client.Get(ctx, client.ObjectKeyFromObject(lock), &v1alpha1.MacLease{}); !apierrors.IsNotFound(err) {
		return err
	}
	if err := r.Client.Create(ctx, lock); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making lock %s again: %w", lock.Name, err)
	}
	return nil
}

// lockedLease is the lease that the lock is there for, nil if there is none.
func lockedLease(ctx context.Context, reader client.Reader, lock *v1alpha1.MacLease) (*v1alpha1.MacLease, error) {
	lease := &v1alpha1.MacLease{}
	name := binding.LockedLease(lock)
	if name == "" {
		return nil, nil
	}
	err := reader.Get(ctx, client.ObjectKey{Name: name}, lease)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading lease %s: %w", name, err)
	}
	return lease, nil
}

// lockOf is the lock of a lease's MAC, if there is one; the lease itself of a lock.
func (r *LeaseReconciler) lockOf(ctx context.Context, object client.Object) []reconcile.Request {
	lease, ok := object.(*v1alpha1.MacLease)
	if !ok {
		return nil
	}
	if name := binding.LockedLease(lease); name != "" {
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: name}}}
	}
	name, err := mac.ParseName(lease.Name)
	m, macErr := mac.Parse(string(lease.Spec.MAC))
	if err != nil || macErr != nil {
		return nil
	}
	key := client.ObjectKey{Name: mac.LockName(name.Segment, m)}
	if r.Client.Get(ctx, key, &v1alpha1.MacLease{}) != nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: key}}
}
