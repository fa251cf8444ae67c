// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/audit"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// absent is case 5: a lease that does not exist. Most often no claim names it either.
func (r *LeaseReconciler) absent(ctx context.Context, name string) (ctrl.Result, error) {
	claims, err := r.naming(ctx, name)
	if err != nil || len(claims) == 0 {
		r.observed.forget(name)
		return ctrl.Result{}, err
	}
	now := r.Clock.Now()
	if left := absentAfter - now.Sub(r.observed.first(name, observation{kind: absent}, now)); left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	r.observed.forget(name)
	return ctrl.Result{}, r.restore(ctx, name, client.ObjectKeyFromObject(&claims[0]))
}

// restore makes the lease again from the claim that names it. The create decides: if another claim has taken the address
// meanwhile, this is case 6.
func (r *LeaseReconciler) restore(ctx context.Context, name string, key client.ObjectKey) error {
	err := r.APIReader.Get(ctx, client.ObjectKey{Name: name}, &v1alpha1.MacLease{})
	if !apierrors.IsNotFound(err) {
		return err // nil: the cache lags
	}
	claim := &v1alpha1.MacClaim{}
	if err := r.APIReader.Get(ctx, key, claim); err != nil {
		return client.IgnoreNotFound(err)
	}
	if claim.Status.LeaseName != name {
		return nil
	}
	if r.Gate != nil {
		if err := r.Gate(ctx, claim.Spec.PoolRef.Name); err != nil {
			return err
		}
	}
	ips := make([]v1alpha1.IPAddress, 0, len(claim.Status.IPs))
	for _, ip := range claim.Status.IPs {
		ips = append(ips, v1alpha1.IPAddress(ip))
	}
	lease := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.MacLeaseSpec{IPs: ips}}
	address, err := binding.NameOf(lease)
	if err != nil {
		return reconcile.TerminalError(fmt.Errorf("reading the lease's name in claim %s: %w", key, err))
	}
	lease.Labels = map[string]string{
		v1alpha1.LabelSegment: address.Segment, v1alpha1.LabelIdentity: binding.IdentityLabel(claim.Namespace, claim.Name),
	}
	lease.Spec = v1alpha1.MacLeaseSpec{
		PoolName: claim.Spec.PoolRef.Name,
		MAC:      v1alpha1.MACAddress(claim.Status.MAC),
		IPs:      ips,
		ClaimRef: v1alpha1.ClaimRef{Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
		LeasedAt: metav1.NewTime(r.Clock.Now()),
	}
	if claim.Status.Holder != nil {
		lease.Spec.NodeName, lease.Spec.PodName = claim.Status.Holder.NodeName, claim.Status.Holder.PodName
	}
	if err := r.Client.Create(ctx, lease); err != nil {
		return fmt.Errorf("making lease %s again: %w", name, err)
	}
	record := audit.OfLease(audit.Leased, lease)
	record.Evidence = "made again: its claim names it, and it was gone"
	r.Binder.Audit.Write(ctx, record)
	ctrl.LoggerFrom(ctx).Info("Made a lease again that its claim names and that was gone", "claimNamespace", claim.Namespace, "claim", claim.Name)
	return nil
}

// reportDuplicate is case 6: the claims that name the lease, but are not its claim, are looked at, and say so. It tells whether
// there are any.
func (r *LeaseReconciler) reportDuplicate(ctx context.Context, lease *v1alpha1.MacLease) (disputed bool, err error) {
	claims, err := r.naming(ctx, lease.Name)
	if err != nil {
		return false, err
	}
	for i := range claims {
		if claims[i].UID == lease.Spec.ClaimRef.UID {
			continue
		}
		disputed = true
		ready := apimeta.FindStatusCondition(claims[i].Status.Conditions, v1alpha1.ClaimReady)
		if ready != nil && ready.Reason == problem.LeaseLost.Reason {
			continue
		}
		if err := r.wake(ctx, &claims[i]); err != nil {
			return disputed, err
		}
	}
	return disputed, nil
}

// naming are the claims that name a lease.
func (r *LeaseReconciler) naming(ctx context.Context, lease string) ([]v1alpha1.MacClaim, error) {
	var claims v1alpha1.MacClaimList
	if err := r.Client.List(ctx, &claims, claimsByLease.is(lease), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the claims of lease %s: %w", lease, err)
	}
	return claims.Items, nil
}
