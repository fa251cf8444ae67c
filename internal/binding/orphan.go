// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// A bind makes a lease, and then records it in the claim. A lease that no claim names is therefore either a bind's that is under way or
// what is left of one, and looking at it does not tell which. Two rules keep the repair and a bind apart:
//
//  1. The repair writes the claim first. A bind that has read the claim before that cannot record anything any more.
//  2. A bind that reads the claim after that, and finds the lease, writes the lease before it records it (pickUp), and the
//     repair releases it as it had read it (ReleaseAsRead). Of these two writes one fails.
//
// The write has to change something, or it is none: a time has seconds.
//
// Without the second, the lease is released although its claim names it; and if the bind stops for longer than a
// cooldown before it records the lease, somebody else has it by then.

// pickUp takes a lease of the claim's that somebody else has made, or an earlier attempt. nil: it is not the claim's any more.
func (t *taker) pickUp(ctx context.Context, lease *v1alpha1.MacLease) (*acquired, error) {
	for range maxRounds {
		if err := t.mayWrite(lease); err != nil {
			return nil, err
		}
		picked := lease.DeepCopy()
		picked.Spec.LeasedAt = metav1.NewTime(t.Clock.Now())
		if picked.Spec.LeasedAt.Unix() == lease.Spec.LeasedAt.Unix() {
			picked.Spec.LeasedAt = metav1.NewTime(lease.Spec.LeasedAt.Add(time.Second))
		}
		updateErr := t.Client.Update(ctx, picked)
		if updateErr == nil {
			t.commit(picked)
			return &acquired{MacLease: picked, picked: true}, nil
		}
		if isRefusal(updateErr) {
			return nil, fmt.Errorf("picking up lease %s: %w", lease.Name, updateErr)
		}
		live := &v1alpha1.MacLease{}
		err := t.Client.Get(ctx, client.ObjectKeyFromObject(lease), live)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading lease %s after %w: %w", lease.Name, updateErr, err)
		}
		if err != nil || !t.isOurs(live) {
			return nil, nil //nolint:nilerr // it is not there, which is an answer
		}
		lease = live
	}
	return nil, fmt.Errorf("picking up lease %s: %w", lease.Name, errOvertaken)
}

// ReleaseAsRead is Release of a lease that nobody has written since it was read; a conflict if somebody has.
func (b *Binder) ReleaseAsRead(ctx context.Context, lease *v1alpha1.MacLease, entry v1alpha1.LeaseHistory) error {
	released := lease.DeepCopy()
	b.end(released, entry)
	if err := b.Client.Update(ctx, released); err != nil {
		return fmt.Errorf("releasing lease %s: %w", lease.Name, err)
	}
	b.released(ctx, released, entry)
	return nil
}
