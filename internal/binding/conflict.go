// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// conflictNews is how old a mark is that is written again for the same stranger.
const conflictNews = time.Minute

// MarkConflict notes in the lease of a claim that a stranger uses its address. From then on it is given to nobody, by whoever sees
// the lease. release: nothing has used it for the claim, which gets another one; then the lease is given back in the same write,
// so that it cools when the mark is taken away, whatever becomes of the claim. A lease that is another claim's by now is left
// alone.
func (b *Binder) MarkConflict(
	ctx context.Context, name string, claim types.UID, conflict v1alpha1.Conflict, evidence string, release bool,
) error {
	for range maxRounds {
		lease := &v1alpha1.MacLease{}
		if err := b.Client.Get(ctx, client.ObjectKey{Name: name}, lease); err != nil {
			return client.IgnoreNotFound(err)
		}
		if lease.Spec.ClaimRef.UID != claim {
			b.Index.SetLease(lease)
			return nil
		}
		release := release && lease.Spec.ReleasedAt == nil
		if c := lease.Spec.Conflict; c != nil && c.MAC == conflict.MAC && conflict.SeenAt.Sub(c.SeenAt.Time) < conflictNews && !release {
			return nil
		}
		if err := b.mayWrite(lease); err != nil {
			return err
		}
		lease.Spec.Conflict = &conflict
		entry := v1alpha1.LeaseHistory{Reason: v1alpha1.EndConflicted, Evidence: evidence}
		if release {
			b.end(lease, entry)
		}
		err := b.Client.Update(ctx, lease)
		switch {
		case err == nil && release:
			b.released(ctx, lease, entry)
			return nil
		case err == nil:
			b.Index.SetLease(lease)
			return nil
		case isRefusal(err):
			return fmt.Errorf("marking lease %s: %w", name, err)
		}
		// Overtaken, or the answer was lost: the next read says which.
	}
	return fmt.Errorf("marking lease %s: %w", name, errOvertaken)
}
