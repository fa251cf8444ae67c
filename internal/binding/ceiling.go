// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// The fields by which the API server finds the leases of a namespace in a pool.
const (
	fieldPool      = "spec.poolName"
	fieldNamespace = "spec.claimRef.namespace"
)

// within is obtain in a pool that gives a namespace no more than limit addresses (I8, R-S4). No object counts them: that would be one that all
// claims of a namespace write. They are counted live, before the lease is made, and again when it is. Of any two writers the one that
// counts last sees the lease of the other; so a claim never gets more than there may be, and of several that come at once all may find too many, give
// theirs back and be tried again.
func (t *taker) within(ctx context.Context, limit int) (*acquired, error) {
	// In one process they come one after the other, and none is refused for nothing.
	done, err := t.turn(ctx, t.pool.Name, t.claim.Namespace)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := t.mayHaveOneMore(ctx, limit); err != nil {
		return nil, err
	}
	lease, err := t.obtain(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.mayHaveOneMore(ctx, limit); err != nil {
		if !lease.picked { // else another bind, which was in time, may be about to record it; without one it is an orphan
			t.undo(ctx, lease)
		}
		return nil, err
	}
	return lease, nil
}

// mayHaveOneMore counts what the namespace has without this claim.
func (t *taker) mayHaveOneMore(ctx context.Context, limit int) error {
	var leases v1alpha1.MacLeaseList
	err := t.Client.List(ctx, &leases, client.MatchingFields{fieldPool: t.pool.Name, fieldNamespace: t.claim.Namespace})
	if err != nil {
		return fmt.Errorf("counting the leases of namespace %s in pool %s: %w", t.claim.Namespace, t.pool.Name, err)
	}
	n := 0
	for i := range leases.Items {
		l := &leases.Items[i]
		if _, err := NameOf(l); err != nil || l.Spec.ReusableAt != nil || l.Spec.ClaimRef.Name == t.claim.Name {
			continue // the lock of a MAC is no second address, and what the identity has it may have again
		}
		n++
	}
	if n >= limit {
		return problem.NamespaceFull.New(t.claim.Namespace, n, t.pool.Name, limit)
	}
	return nil
}
