// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/audit"
	"github.com/macpool/macpool/internal/retention"
)

// cool is cases 7 to 9: it takes a released lease one step on its way.
func (r *LeaseReconciler) cool(ctx context.Context, lease *v1alpha1.MacLease) (ctrl.Result, error) {
	pool, err := poolOf(ctx, r.Client, lease.Spec.PoolName)
	if err != nil {
		return ctrl.Result{}, err
	}
	now := r.Clock.Now()
	if lease.Spec.ReusableAt == nil {
		// The clock of who released it says nothing here, and neither does that of this process before it restarted: the
		// cooldown is what this process has seen of it (R-G8).
		first := r.observed.first(lease.Name, observation{uid: lease.UID, kind: cooling, stamp: lease.Spec.ReleasedAt.Time}, now)
		if left := retention.Cooldown(lease, pool) - now.Sub(first); left > 0 {
			return ctrl.Result{RequeueAfter: min(left, recheck)}, nil
		}
		return ctrl.Result{}, r.endCooldown(ctx, lease)
	}
	if left := retention.History(pool) - now.Sub(lease.Spec.ReleasedAt.Time); left > 0 {
		return ctrl.Result{RequeueAfter: min(left, recheck)}, nil
	}
	err = r.Client.Delete(ctx, lease, client.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("deleting lease %s: %w", lease.Name, err)
	}
	r.observed.forget(lease.Name)
	if err == nil {
		record := audit.OfLease(audit.Forgotten, lease)
		record.Since = lease.Spec.ReleasedAt.Time
		r.Binder.Audit.Write(ctx, record)
	}
	return ctrl.Result{}, nil
}

// endCooldown makes the address anybody's, unless a claim turns out to have it still.
func (r *LeaseReconciler) endCooldown(ctx context.Context, seen *v1alpha1.MacLease) error {
	lease, err := r.live(ctx, seen)
	if lease == nil || lease.Spec.ReusableAt != nil || lease.Spec.Conflict != nil || !lease.Spec.ReleasedAt.Equal(seen.Spec.ReleasedAt) {
		return err // the event of what has happened is on its way
	}
	claim, err := claimOf(ctx, r.APIReader, lease)
	if err != nil {
		return err
	}
	ended := claim == nil || claim.Status.LeaseName != lease.Name
	if ended {
		now := metav1.NewTime(r.Clock.Now())
		lease.Spec.ReusableAt = &now
	} else {
		if past := lease.Spec.History; len(past) > 0 && past[0].To.Equal(lease.Spec.ReleasedAt) {
			lease.Spec.History = past[1:]
		}
		lease.Spec.ReleasedAt = nil
	}
	if err := r.Client.Update(ctx, lease); err != nil {
		return fmt.Errorf("ending the cooldown of lease %s: %w", lease.Name, err)
	}
	r.observed.forget(lease.Name)
	record := audit.OfLease(audit.Reusable, lease)
	if ended {
		record.Since = lease.Spec.ReleasedAt.Time
	} else {
		record.Event, record.Evidence = audit.Leased, "its claim still names it"
	}
	r.Binder.Audit.Write(ctx, record)
	if !ended {
		ctrl.LoggerFrom(ctx).Info("Took back a released lease that its claim still names", "claimNamespace", claim.Namespace, "claim", claim.Name)
	}
	return nil
}

// poolOf is the pool of a name, nil if there is none.
func poolOf(ctx context.Context, reader client.Reader, name string) (*v1alpha1.MacPool, error) {
	pool := &v1alpha1.MacPool{}
	if err := reader.Get(ctx, client.ObjectKey{Name: name}, pool); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading pool %s: %w", name, err)
	}
	return pool, nil
}

// observations are since when this process has seen leases as they are: name -> what, and the time of its own clock. The zero
// value is ready. It is lost with the process, which makes every wait begin anew.
type observations struct {
	mu   sync.Mutex
	seen map[string]observed
}

type observed struct {
	what  observation
	since time.Time
}

// observation is what a lease was seen as. Another UID or stamp is another lease, or another time of it.
type observation struct {
	uid   types.UID
	kind  observationKind
	stamp time.Time
}

type observationKind int

const (
	absent observationKind = iota
	orphaned
	claimless
	cooling
	unpaired
	conflicted
)

// first is since when the lease has been seen so.
func (o *observations) first(name string, what observation, now time.Time) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, ok := o.seen[name]; ok && known.what.uid == what.uid && known.what.kind == what.kind && known.what.stamp.Equal(what.stamp) {
		return known.since
	}
	if o.seen == nil {
		o.seen = map[string]observed{}
	}
	o.seen[name] = observed{what, now}
	return now
}

// all is a copy of what has been seen.
func (o *observations) all() map[string]observed {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.seen)
}

func (o *observations) forget(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.seen, name)
}
