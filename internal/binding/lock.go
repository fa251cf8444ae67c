// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/problem"
)

// A MAC that a reservation gives is no function of the address, so the name of the address's lease does not lock it. It has a lease of its
// own, its lock, which says for which address and claim. The lock is made first, then the lease, then it is looked at once more; the manager
// removes one whose lease does not come, or is gone. These two are kept apart like this:
//
//	bind     1 lock   2 lease   3 read the lock: as it was, or released: taken back; or gone: made again
//	repair   1 write the lock as released   2 read the lease: there: taken back   3 delete the lock as written
//
// If the repair reads the lease before the bind has made it, the bind reads the lock after the repair has written it, and one of the two
// writes that follow fails. No index knows of locks: they are few.
//
// The lease of a MAC alone has the name that a lock of that MAC would have. Pools for which that could happen contradict each other; where it
// does happen, as after an edit, whoever comes second finds the MAC taken, and neither is ever made into the other.

// IsLock tells whether a lease object is a lock. It says for which address; the lease of a MAC alone has none.
func IsLock(l *v1alpha1.MacLease) bool {
	_, _, ok := mac.ParseLockName(l.Name)
	return ok && len(l.Spec.IPs) > 0
}

// IsForeign tells whether the lease has a MAC that pool does not make of its address.
func IsForeign(lease *v1alpha1.MacLease, pool *v1alpha1.MacPool) bool {
	name, err := mac.ParseName(lease.Name)
	return err == nil && string(lease.Spec.MAC) != PrefixOf(pool).For(name.Addr).String()
}

// NewLock is the lock of the MAC of a lease, not made yet.
func NewLock(lease *v1alpha1.MacLease) (*v1alpha1.MacLease, error) {
	name, err := mac.ParseName(lease.Name)
	if err != nil {
		return nil, err
	}
	m, err := mac.Parse(string(lease.Spec.MAC))
	if err != nil {
		return nil, err
	}
	return &v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{Name: mac.LockName(name.Segment, m), Labels: map[string]string{v1alpha1.LabelSegment: name.Segment}},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: lease.Spec.PoolName, MAC: lease.Spec.MAC, IPs: lease.Spec.IPs, ClaimRef: lease.Spec.ClaimRef, LeasedAt: lease.Spec.LeasedAt,
			NodeName: lease.Spec.NodeName, // by which an agent may write it (R-S2)
		},
	}, nil
}

// Locks tells whether a lock is there for the lease: while that has its MAC, for its claim, and until it has cooled down.
func Locks(lock, lease *v1alpha1.MacLease) bool {
	return lease != nil && lease.Spec.MAC == lock.Spec.MAC && lease.Spec.ClaimRef.UID == lock.Spec.ClaimRef.UID &&
		StateOf(lease) != allocator.Reusable
}

// LockedLease is the name of the lease that a lock is there for; "" if the lock was not made by macpool.
func LockedLease(lock *v1alpha1.MacLease) string {
	segment, _, ok := mac.ParseLockName(lock.Name)
	if !ok || len(lock.Spec.IPs) == 0 {
		return ""
	}
	ip, err := netip.ParseAddr(string(lock.Spec.IPs[0]))
	if err != nil {
		return ""
	}
	return mac.Name{Segment: segment, Addr: ip}.String()
}

// lock makes the MAC of an address the claim's, or sees that it is. made: this call has made the lock. What another claim has is MACTaken.
func (t *taker) lock(ctx context.Context, address allocator.Address) (made *v1alpha1.MacLease, err error) {
	lease := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: address.Name.String()}}
	t.fill(lease, address)
	want, err := NewLock(lease)
	if err != nil {
		return nil, err
	}
	for range maxRounds {
		live := &v1alpha1.MacLease{}
		err := t.Client.Get(ctx, client.ObjectKeyFromObject(want), live)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading lock %s: %w", want.Name, err)
		}
		if err := t.mayGive(ctx, t.pool.Name); err != nil {
			return nil, err
		}
		there := err == nil
		var writeErr error
		if !there {
			lock := want.DeepCopy()
			if writeErr = t.Client.Create(ctx, lock); writeErr == nil {
				return lock, nil
			}
		} else {
			if same := IsLock(live) && live.Spec.ClaimRef.UID == t.claim.UID && live.Spec.IPs[0] == want.Spec.IPs[0]; same && live.Spec.ReleasedAt == nil {
				return nil, nil
			}
			if err := errors.Join(t.mayLock(ctx, live, want), t.mayWrite(live)); err != nil {
				return nil, err
			}
			live.Spec = want.Spec
			if writeErr = t.Client.Update(ctx, live); writeErr == nil {
				return nil, nil
			}
		}
		if isRefusal(writeErr) {
			return nil, fmt.Errorf("writing lock %s: %w", want.Name, writeErr)
		}
		// Overtaken, or the answer was lost: the next read says which.
	}
	return nil, fmt.Errorf("writing lock %s: %w", want.Name, errOvertaken)
}

// mayLock tells why the claim may not have a lock that is there. It may have that of its own identity, unless something may still use the
// MAC with another address: a lease of it that is not released.
func (t *taker) mayLock(ctx context.Context, lock, want *v1alpha1.MacLease) error {
	ref := lock.Spec.ClaimRef
	if !IsLock(lock) {
		return problem.AddressTaken.New(lock.Spec.MAC, ref.Namespace, ref.Name, lock.Spec.PoolName)
	}
	taken := problem.MACTaken.New(lock.Spec.MAC, ref.Namespace, ref.Name, lock.Spec.IPs[0])
	if ref.Namespace != t.claim.Namespace || ref.Name != t.claim.Name {
		return taken
	}
	if lock.Spec.IPs[0] != want.Spec.IPs[0] {
		lease := &v1alpha1.MacLease{}
		err := t.Client.Get(ctx, client.ObjectKey{Name: LockedLease(lock)}, lease)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading the lease of lock %s: %w", lock.Name, err)
		}
		if err == nil && lease.Spec.MAC == lock.Spec.MAC && lease.Spec.ReleasedAt == nil {
			return taken
		}
	}
	if ref.UID == t.claim.UID {
		return nil
	}
	// Of two claims of one name the one that lives may have it, as with a lease (isFree).
	live := &v1alpha1.MacClaim{}
	if err := t.Client.Get(ctx, client.ObjectKeyFromObject(t.claim), live); err != nil {
		return fmt.Errorf("reading claim %s: %w", client.ObjectKeyFromObject(t.claim), err)
	}
	if live.UID != t.claim.UID {
		return problem.ClaimDeleting.New(t.claim.Namespace, t.claim.Name)
	}
	return nil
}

// locked takes the slot that the claim insists on together with its MAC, if that needs a lock.
func (t *taker) locked(ctx context.Context, slot allocator.Slot) (*acquired, error) {
	address := t.plan.Address(slot)
	if !address.Foreign {
		return t.exactly(ctx, slot)
	}
	lock, err := t.lock(ctx, address)
	if err != nil {
		return nil, err
	}
	lease, err := t.exactly(ctx, slot)
	if err != nil {
		// Somebody else has the address. After any other error the lease may be there all the same.
		if lock != nil && (problem.AddressTaken.Is(err) || problem.AddressCooling.Is(err) || problem.AddressConflict.Is(err)) {
			deleteErr := t.Client.Delete(ctx, lock, client.Preconditions{UID: &lock.UID, ResourceVersion: &lock.ResourceVersion})
			if client.IgnoreNotFound(deleteErr) != nil && !apierrors.IsConflict(deleteErr) {
				return nil, errors.Join(err, deleteErr)
			}
		}
		return nil, err
	}
	if _, err := t.lock(ctx, address); err != nil {
		t.undo(ctx, lease)
		return nil, err
	}
	return lease, nil
}

// relock sees that the lease of an earlier attempt has the lock of its MAC, if it needs one.
func (t *taker) relock(ctx context.Context, lease *acquired) error {
	name, err := NameOf(lease.MacLease)
	if err != nil || name.IsMAC() { // of which the name is the lock
		return err
	}
	m, err := mac.Parse(string(lease.Spec.MAC))
	if err != nil || m == t.plan.Prefix().For(name.Addr) {
		return err
	}
	address := allocator.Address{Name: name, MAC: m, Foreign: true}
	for _, text := range lease.Spec.IPs {
		ip, err := netip.ParseAddr(string(text))
		if err != nil {
			return err
		}
		address.IPs = append(address.IPs, ip)
	}
	_, err = t.lock(ctx, address)
	return err
}
