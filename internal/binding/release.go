// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// ReleaseLease gives back the lease of a claim that ends, on evidence that the caller has and that is written down. The
// address cools from then on. The claim must have no holder.
func (b *Binder) ReleaseLease(ctx context.Context, claim *v1alpha1.MacClaim, evidence string) error {
	names := map[string]bool{}
	if claim.Status.LeaseName != "" {
		names[claim.Status.LeaseName] = true
	}
	// One that was made for the claim but not recorded yet ends with it.
	if known, ok := b.Index.ByClaim(string(claim.UID)); ok {
		names[known.Name.String()] = true
	}
	entry := v1alpha1.LeaseHistory{Namespace: claim.Namespace, Claim: claim.Name, Evidence: evidence}
	if past := claim.Status.PreviousHolders; len(past) > 0 {
		entry.PodName, entry.NodeName = past[0].PodName, past[0].NodeName
	}
	for name := range names {
		if err := b.Release(ctx, name, claim.UID, entry); err != nil {
			return err
		}
	}
	return nil
}

// Release sets releasedAt on the lease if it is still that claim's, and puts entry, with its times filled in, before its
// history. A lease that is gone, released or another claim's is left alone.
func (b *Binder) Release(ctx context.Context, name string, claim types.UID, entry v1alpha1.LeaseHistory) error {
	for range maxRounds {
		lease := &v1alpha1.MacLease{}
		if err := b.Client.Get(ctx, client.ObjectKey{Name: name}, lease); err != nil {
			return client.IgnoreNotFound(err)
		}
		if lease.Spec.ClaimRef.UID != claim || lease.Spec.ReleasedAt != nil {
			b.Index.SetLease(lease)
			return nil
		}
		now := metav1.NewTime(b.Clock.Now())
		entry.From, entry.To = lease.Spec.LeasedAt, now
		all := append([]v1alpha1.LeaseHistory{entry}, lease.Spec.History...)
		lease.Spec.History = all[:min(len(all), v1alpha1.MaxLeaseHistory)]
		lease.Spec.ReleasedAt = &now
		lease.Spec.ReusableAt = nil
		lease.Spec.NodeName = ""
		err := b.Client.Update(ctx, lease)
		if err == nil {
			b.Index.SetLease(lease)
			return nil
		}
		if isRefusal(err) {
			return fmt.Errorf("releasing lease %s: %w", name, err)
		}
		// Overtaken, or the answer was lost: the next read says which.
	}
	return fmt.Errorf("releasing lease %s: %w", name, errOvertaken)
}
