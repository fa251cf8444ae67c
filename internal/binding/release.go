// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/audit"
)

// Release gives back a lease of a claim, on evidence that the caller has: nothing is attached with it, and nothing can be any
// more. It sets releasedAt, from when on the address cools, and puts entry, with claim and times filled in, before the history. A
// lease that is gone, released or another claim's is left alone.
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
		b.end(lease, entry)
		err := b.Client.Update(ctx, lease)
		if err == nil {
			b.released(ctx, lease, entry)
			return nil
		}
		if isRefusal(err) {
			return fmt.Errorf("releasing lease %s: %w", name, err)
		}
		// Overtaken, or the answer was lost: the next read says which.
	}
	return fmt.Errorf("releasing lease %s: %w", name, errOvertaken)
}

// end has the lease cool from now on.
func (b *Binder) end(lease *v1alpha1.MacLease, entry v1alpha1.LeaseHistory) {
	now := metav1.NewTime(b.Clock.Now())
	lease.Spec.History = historyAfter(&lease.Spec, entry, now)
	lease.Spec.ReleasedAt = &now
	lease.Spec.ReusableAt = nil
	lease.Spec.NodeName, lease.Spec.PodName = "", ""
}

// released notes that a lease was written as released.
func (b *Binder) released(ctx context.Context, lease *v1alpha1.MacLease, entry v1alpha1.LeaseHistory) {
	b.Index.SetLease(lease)
	record := audit.OfLease(audit.Released, lease)
	record.Reason, record.Evidence, record.Since = entry.Reason, entry.Evidence, lease.Spec.LeasedAt.Time
	b.Audit.Write(ctx, record)
}

// historyAfter is the history of a lease whose claim has it no more from now on. Who does not know the last pod and its node has
// them from the lease.
func historyAfter(spec *v1alpha1.MacLeaseSpec, entry v1alpha1.LeaseHistory, now metav1.Time) []v1alpha1.LeaseHistory {
	entry.Namespace, entry.Claim = spec.ClaimRef.Namespace, spec.ClaimRef.Name
	entry.From, entry.To = spec.LeasedAt, now
	if entry.PodName == "" {
		entry.PodName = spec.PodName
	}
	if entry.NodeName == "" {
		entry.NodeName = spec.NodeName
	}
	entry.Evidence = Evidence(entry.Evidence)
	all := append([]v1alpha1.LeaseHistory{entry}, spec.History...)
	return all[:min(len(all), v1alpha1.MaxLeaseHistory)]
}
