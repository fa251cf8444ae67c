// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/problem"
)

// NewClaim is the claim for an interface of a pod, not yet created. It has no ownerReference: it must outlive the pod, and a
// restored backup would let a dangling one delete it (R-B2). It has no finalizer either: nothing of ours must be there for it to
// go (docs/design/0006).
//
// Of a workload whose pods are alike it is the first; NewClaimOf makes that of a certain number.
func NewClaim(pod *corev1.Pod, pool *v1alpha1.MacPool, iface string, wish Wish) *v1alpha1.MacClaim {
	workload := WorkloadOf(pod, iface)
	if Alike(workload) {
		workload.Ordinal = new(int32(0))
	}
	return NewClaimOf(pod.Namespace, workload, pool, wish)
}

// NewClaimOf is the claim of a workload, not yet created.
func NewClaimOf(namespace string, workload v1alpha1.Workload, pool *v1alpha1.MacPool, wish Wish) *v1alpha1.MacClaim {
	claim := &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      ClaimName(workload, pool.Name),
			Labels:    map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
		},
		Spec: v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: pool.Name}, Workload: &workload},
	}
	for _, ip := range wish.IPs {
		claim.Spec.IPs = append(claim.Spec.IPs, v1alpha1.IPAddress(ip.String()))
	}
	if !wish.MAC.IsZero() {
		claim.Spec.MAC = v1alpha1.MACAddress(wish.MAC.String())
	}
	return claim
}

// IsManaged tells whether macpool made the claim, and so may delete it.
func IsManaged(claim *v1alpha1.MacClaim) bool {
	return claim.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy
}

// EnsureClaim creates the claim, or returns the one that is there if it serves the same workload and wish. A claim that a
// person made ahead of time under the same name serves any.
func (b *Binder) EnsureClaim(ctx context.Context, want *v1alpha1.MacClaim) (*v1alpha1.MacClaim, error) {
	claim, _, err := b.MakeClaim(ctx, want)
	return claim, err
}

// MakeClaim is EnsureClaim, and tells whether this very call has made the claim: then nobody has made a lease for it before.
func (b *Binder) MakeClaim(ctx context.Context, want *v1alpha1.MacClaim) (_ *v1alpha1.MacClaim, made bool, err error) {
	claim := want.DeepCopy()
	createErr := b.Client.Create(ctx, claim)
	if createErr == nil {
		return claim, true, nil
	}
	if isRefusal(createErr) {
		return nil, false, fmt.Errorf("creating claim %s: %w", client.ObjectKeyFromObject(want), createErr)
	}
	// It exists, or nobody knows whether it was created: what is there now decides.
	claim = &v1alpha1.MacClaim{}
	if err := b.Client.Get(ctx, client.ObjectKeyFromObject(want), claim); err != nil {
		if apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(createErr) {
			err = createErr
		}
		return nil, false, fmt.Errorf("creating claim %s: %w", client.ObjectKeyFromObject(want), err)
	}
	return claim, false, Serves(claim, want)
}

// Serves tells why claim is not what want, a claim of NewClaim, asks for; nil if it is.
func Serves(claim, want *v1alpha1.MacClaim) error {
	switch {
	case !claim.DeletionTimestamp.IsZero():
		return problem.ClaimDeleting.New(claim.Namespace, claim.Name)
	case claim.Spec.PoolRef != want.Spec.PoolRef:
		return problem.OtherPool.New(claim.Namespace, claim.Name, claim.Spec.PoolRef.Name, want.Spec.PoolRef.Name)
	case claim.Spec.Workload != nil && !equality.Semantic.DeepEqual(claim.Spec.Workload, want.Spec.Workload) &&
		(want.Spec.Workload == nil || !Alike(*want.Spec.Workload) || !isOf(claim.Spec.Workload, *want.Spec.Workload)):
		return problem.NotOurClaim.New(claim.Namespace, claim.Name, describe(claim.Spec.Workload), describe(want.Spec.Workload))
	}
	wish, err := wishOf(want)
	if err != nil {
		return err
	}
	if wish.IsZero() {
		return nil
	}
	if claim.Status.LeaseName != "" {
		if !wish.SatisfiedBy(&claim.Status) {
			return problem.ClaimDiffers.New(claim.Namespace, claim.Name, Leased(&claim.Status), wish)
		}
		return nil
	}
	if !equality.Semantic.DeepEqual(claim.Spec.IPs, want.Spec.IPs) || claim.Spec.MAC != want.Spec.MAC {
		has, err := wishOf(claim)
		if err != nil {
			return err
		}
		return problem.ClaimDiffers.New(claim.Namespace, claim.Name, has, wish)
	}
	return nil
}

// wishOf is what a claim asks for.
func wishOf(claim *v1alpha1.MacClaim) (Wish, error) {
	var w Wish
	for _, text := range claim.Spec.IPs {
		ip, err := netip.ParseAddr(string(text))
		if err != nil {
			return Wish{}, problem.BadAddress.New(text)
		}
		w.IPs = append(w.IPs, ip)
	}
	if claim.Spec.MAC != "" {
		m, err := mac.Parse(string(claim.Spec.MAC))
		if err != nil {
			return Wish{}, problem.ImpossibleMAC.New(claim.Spec.MAC)
		}
		w.MAC = m
	}
	return w, nil
}

func describe(w *v1alpha1.Workload) string {
	if w == nil {
		return "nobody in particular"
	}
	subject, _ := Subject(*w)
	return fmt.Sprintf("interface %s of %s %s", w.Interface, w.Kind, subject)
}

// isRefusal tells whether the API server has said no for good: the write was not made, and would not be made now either.
func isRefusal(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) ||
		apierrors.IsUnauthorized(err) || apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsMethodNotSupported(err)
}
