// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/audit"
	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/problem"
)

// taker takes one lease for one claim.
type taker struct {
	*Binder

	claim *v1alpha1.MacClaim
	pool  *v1alpha1.MacPool
	plan  *allocator.Plan
	// nodeName and podName are those of the holder that the claim gets along with the lease, if it gets one.
	nodeName, podName string
	// isNew: nobody has made a lease for the claim, and the index knows the records of before. No create of this taker's may have been lost.
	isNew bool
}

// errTaken says that another claim has the address: the one answer after which another address is tried.
var errTaken = errors.New("taken by another claim")

func (t *taker) identity() allocator.Identity {
	return allocator.Identity{Namespace: t.claim.Namespace, Name: t.claim.Name}
}

// earlier finds the lease that an earlier attempt for this very claim made but did not record.
func (t *taker) earlier(ctx context.Context) (*acquired, error) {
	known, ok := t.Index.ByClaim(string(t.claim.UID))
	if !ok {
		return nil, nil
	}
	lease, err := t.read(ctx, known.Name)
	if err != nil || lease == nil || !t.isOurs(lease) {
		return nil, err
	}
	return t.pickUp(ctx, lease)
}

// insists is the slot that the claim asks for, or that the pool reserves for it.
func (t *taker) insists() (allocator.Slot, bool, error) {
	wish, err := wishOf(t.claim)
	if err != nil {
		return 0, false, err
	}
	slot, asked, err := slotOf(wish, t.plan, t.pool.Name)
	if err != nil {
		return 0, false, err
	}
	if !asked {
		slot, asked = t.plan.ReservedFor(t.identity())
		return slot, asked, nil
	}
	address := t.plan.Address(slot)
	switch verdict := t.plan.Classify(slot); verdict.Class {
	case allocator.Excluded:
		return 0, false, problem.AddressExcluded.New(address.Name.Leased(), t.pool.Name, verdict.Why)
	case allocator.Outside:
		return 0, false, problem.AddressOutside.New(address.Name.Leased(), t.pool.Name, t.plan.Ranges())
	case allocator.Reserved:
		if verdict.Claim != t.identity() {
			return 0, false, problem.AddressReserved.New(address.Name.Leased(), t.pool.Name, reservedFor(verdict.Claim))
		}
	case allocator.Dynamic, allocator.Explicit:
	}
	return slot, true, nil
}

func reservedFor(id allocator.Identity) string {
	if id == (allocator.Identity{}) {
		return "nobody"
	}
	return "claim " + id.Namespace + "/" + id.Name
}

// exactly takes the one slot that the claim insists on.
func (t *taker) exactly(ctx context.Context, slot allocator.Slot) (*acquired, error) {
	address := t.plan.Address(slot)
	// In flight or not: the create decides. The mark only keeps this process's own picks away meanwhile.
	marked := t.Index.Reserve(address.Name, t.Clock.Now())
	lease, err := t.create(ctx, address)
	if err == nil {
		return lease, nil
	}
	if marked {
		t.Index.Release(address.Name)
	}
	if !errors.Is(err, errTaken) {
		return nil, err
	}
	holder, err := t.read(ctx, address.Name)
	if err != nil {
		return nil, err
	}
	if holder == nil {
		return nil, fmt.Errorf("taking %s: %w", address.Name, errOvertaken)
	}
	ref := holder.Spec.ClaimRef
	switch StateOf(holder) {
	case allocator.Conflicted:
		return nil, problem.AddressConflict.New(address.Name.Leased(), holder.Spec.Conflict.MAC)
	case allocator.Cooling, allocator.Reusable:
		return nil, problem.AddressCooling.New(address.Name.Leased(), ref.Namespace, ref.Name)
	default:
		return nil, problem.AddressTaken.New(address.Name.Leased(), ref.Namespace, ref.Name, holder.Spec.PoolName)
	}
}

// own takes back what the identity had before, whether it was released or its claim is only just gone, if the pool still
// leases it.
func (t *taker) own(ctx context.Context) (*acquired, error) {
	for _, known := range t.Index.ByIdentity(t.plan.Segment(), t.identity()) {
		slot, ok := t.plan.SlotOfName(known.Name)
		if !ok {
			continue
		}
		if class := t.plan.Classify(slot).Class; class != allocator.Dynamic && class != allocator.Explicit {
			continue
		}
		lease, err := t.read(ctx, known.Name)
		if err != nil {
			return nil, err
		}
		if lease == nil {
			continue
		}
		taken, err := t.take(ctx, lease, t.plan.Address(slot))
		if !errors.Is(err, errTaken) {
			return taken, err
		}
	}
	return nil, nil
}

// any takes the first address in the identity's order of choice that nobody has.
func (t *taker) any(ctx context.Context) (*acquired, error) {
	for ctx.Err() == nil {
		candidate, err := t.Index.Pick(t.pool.Name, t.identity(), t.Clock.Now())
		if errors.Is(err, allocator.ErrFull) {
			c := t.Index.Count(t.pool.Name)
			return nil, problem.PoolExhausted.New(t.pool.Name, c.Capacity, c.Leased, c.Cooling, c.Conflicted, c.Kept)
		}
		if err != nil {
			return nil, fmt.Errorf("choosing an address of pool %s: %w", t.pool.Name, err)
		}
		lease, err := t.choose(ctx, candidate.Address)
		switch {
		case err == nil:
			return lease, nil
		case errors.Is(err, errTaken):
			t.Index.Taken(candidate.Name, t.Clock.Now())
		default:
			// Nothing is known to be made. The same candidate comes first again, so that a repetition finds what was.
			t.Index.Release(candidate.Name)
			return nil, err
		}
	}
	return nil, ctx.Err()
}

// choose is create for an address that anybody may have. Of a new claim one that exists is another's.
func (t *taker) choose(ctx context.Context, address allocator.Address) (*acquired, error) {
	if !t.isNew {
		return t.create(ctx, address)
	}
	lease := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: address.Name.String()}}
	t.fill(lease, address)
	if err := t.mayGive(ctx, t.pool.Name); err != nil {
		return nil, err
	}
	err := t.Client.Create(ctx, lease)
	switch {
	case err == nil:
		t.commit(lease)
		t.Audit.Write(ctx, audit.OfLease(audit.Leased, lease))
		return &acquired{MacLease: lease, created: true}, nil
	case apierrors.IsAlreadyExists(err):
		t.retried(t.pool.Name, err)
		return nil, errTaken
	case isRefusal(err):
		return nil, fmt.Errorf("creating lease %s: %w", address.Name, err)
	}
	// Nobody knows whether it was made: what is there decides, now and for all that comes.
	t.isNew = false
	return t.create(ctx, address)
}

// create makes the lease of an address, or takes its record if that is free for this claim. errTaken: somebody else has it.
func (t *taker) create(ctx context.Context, address allocator.Address) (*acquired, error) {
	for range maxRounds {
		lease := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: address.Name.String()}}
		t.fill(lease, address)
		if err := t.mayGive(ctx, t.pool.Name); err != nil {
			return nil, err
		}
		createErr := t.Client.Create(ctx, lease)
		if createErr == nil {
			t.commit(lease)
			t.Audit.Write(ctx, audit.OfLease(audit.Leased, lease))
			return &acquired{MacLease: lease, created: true}, nil
		}
		if isRefusal(createErr) {
			return nil, fmt.Errorf("creating lease %s: %w", address.Name, createErr)
		}
		t.retried(t.pool.Name, createErr)
		// It exists, or the answer was lost and nobody knows: what is under the name now decides (R-A4).
		live, err := t.read(ctx, address.Name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("reading lease %s after %w: %w", address.Name, createErr, err)
		case live != nil && t.isOurs(live):
			if picked, err := t.pickUp(ctx, live); picked != nil || err != nil {
				return picked, err
			}
		case live != nil:
			return t.take(ctx, live, address)
		case !apierrors.IsAlreadyExists(createErr):
			return nil, fmt.Errorf("creating lease %s: %w", address.Name, createErr)
		}
		// It existed and was deleted in between: the name is free again.
	}
	return nil, fmt.Errorf("creating lease %s: %w", address.Name, errOvertaken)
}

// take takes a record that is free for this claim, by one update on its resourceVersion. If somebody else wrote it first, what it has
// become decides. errTaken: it is another's.
func (t *taker) take(ctx context.Context, record *v1alpha1.MacLease, address allocator.Address) (*acquired, error) {
	for range maxRounds {
		free, err := t.isFree(ctx, record)
		if err != nil {
			return nil, err
		}
		if !free {
			return nil, errTaken
		}
		if err := t.mayWrite(record); err != nil {
			return nil, err
		}
		lease := record.DeepCopy()
		t.fill(lease, address)
		if err := t.mayGive(ctx, t.pool.Name); err != nil {
			return nil, err
		}
		updateErr := t.Client.Update(ctx, lease)
		if updateErr == nil {
			t.commit(lease)
			t.Audit.Write(ctx, audit.OfLease(audit.Leased, lease))
			return &acquired{MacLease: lease, before: record}, nil
		}
		if isRefusal(updateErr) {
			return nil, fmt.Errorf("taking lease %s: %w", address.Name, updateErr)
		}
		t.retried(t.pool.Name, updateErr)
		live, err := t.read(ctx, address.Name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("reading lease %s after %w: %w", address.Name, updateErr, err)
		case live != nil && t.isOurs(live):
			if picked, err := t.pickUp(ctx, live); picked != nil || err != nil {
				return picked, err
			}
			return nil, errTaken
		case live == nil:
			return nil, errTaken
		case !apierrors.IsConflict(updateErr) && !apierrors.IsNotFound(updateErr):
			return nil, fmt.Errorf("taking lease %s: %w", address.Name, updateErr)
		}
		record = live // released in between, perhaps: then it cools, and is still ours to take
	}
	return nil, fmt.Errorf("taking lease %s: %w", address.Name, errOvertaken)
}

// isFree tells whether the claim may take a record: one that anybody may have, or that its own identity left behind. That
// is a lease which cools, or one whose claim is gone and which has not been released yet; what is attached with it, if
// anything, belongs to this identity (I2).
//
// That the lease's claim is gone is certain if the live claim, read after the lease, is this one: two UIDs have never had one
// name at a time, and none comes back. Without that read, a late binder of the claim before could take it from the one that lives.
func (t *taker) isFree(ctx context.Context, record *v1alpha1.MacLease) (bool, error) {
	if IsLock(record) { // of a MAC that has an address
		return false, nil
	}
	ref := record.Spec.ClaimRef
	sameIdentity := ref.Namespace == t.claim.Namespace && ref.Name == t.claim.Name
	switch StateOf(record) {
	case allocator.Reusable:
		return true, nil
	case allocator.Cooling:
		return sameIdentity, nil
	case allocator.Leased:
		if !sameIdentity || ref.UID == t.claim.UID {
			return false, nil
		}
		live := &v1alpha1.MacClaim{}
		if err := t.Client.Get(ctx, client.ObjectKeyFromObject(t.claim), live); err != nil {
			if apierrors.IsNotFound(err) {
				return false, nil
			}
			return false, fmt.Errorf("reading claim %s: %w", client.ObjectKeyFromObject(t.claim), err)
		}
		return live.UID == t.claim.UID, nil
	default:
		return false, nil
	}
}

// fill makes lease this claim's. What was released is in the history already; of a claim whose lease goes over to its successor
// that is written now.
func (t *taker) fill(lease *v1alpha1.MacLease, address allocator.Address) {
	if lease.Labels == nil {
		lease.Labels = map[string]string{}
	}
	lease.Labels[v1alpha1.LabelSegment] = address.Name.Segment
	lease.Labels[v1alpha1.LabelIdentity] = IdentityLabel(t.claim.Namespace, t.claim.Name)
	ips := make([]v1alpha1.IPAddress, 0, len(address.IPs))
	for _, ip := range address.IPs {
		ips = append(ips, v1alpha1.IPAddress(ip.String()))
	}
	now := metav1.NewTime(t.Clock.Now())
	history := lease.Spec.History
	if lease.Spec.ClaimRef.UID != "" && lease.Spec.ReleasedAt == nil {
		history = historyAfter(&lease.Spec, v1alpha1.LeaseHistory{
			Reason: v1alpha1.EndSucceeded, Evidence: "its claim was made again",
		}, now)
	}
	lease.Spec = v1alpha1.MacLeaseSpec{
		PoolName: t.pool.Name,
		MAC:      v1alpha1.MACAddress(address.MAC.String()),
		IPs:      ips,
		ClaimRef: v1alpha1.ClaimRef{Namespace: t.claim.Namespace, Name: t.claim.Name, UID: t.claim.UID},
		NodeName: t.nodeName,
		PodName:  t.podName,
		LeasedAt: now,
		History:  history,
	}
}

// isOurs tells whether the lease is this claim's. Claims are compared by UID: one of the same name is another claim.
func (t *taker) isOurs(lease *v1alpha1.MacLease) bool {
	return lease.Spec.ClaimRef.UID == t.claim.UID && StateOf(lease) == allocator.Leased && !IsLock(lease)
}

// read reads a lease live; nil if there is none.
func (t *taker) read(ctx context.Context, name mac.Name) (*v1alpha1.MacLease, error) {
	lease := &v1alpha1.MacLease{}
	err := t.Client.Get(ctx, client.ObjectKey{Name: name.String()}, lease)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return lease, nil
}

func (t *taker) commit(lease *v1alpha1.MacLease) {
	if known, err := leaseOf(lease); err == nil {
		t.Index.Commit(known)
	}
}
