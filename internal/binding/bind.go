// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/audit"
	"github.com/macpool/macpool/internal/keylock"
	"github.com/macpool/macpool/internal/problem"
)

// Binder writes claims and leases. Safe for concurrent use, in any number of processes.
type Binder struct {
	// Client reads live and writes. It must not read from a cache: what a Binder reads back decides what it undoes.
	Client client.Client
	// Index proposes addresses. It must know the pool, and should know all leases of its segment.
	Index *Index
	// Clock dates what is written. Nothing is decided by it.
	Clock clock.PassiveClock
	// Gate is asked before an address is given out and before a holder is set, with the name of the pool; its error keeps
	// from both. It is asked after the address was chosen: what the choice was made from is older than the answer. nil is
	// a gate that is always open.
	Gate func(ctx context.Context, pool string) error
	// Audit gets a record of each write that succeeded; nil for none.
	Audit *audit.Log
	// Meter is told how binds go; nil for nobody.
	Meter Meter
	// Node, if set, is the one node whose leases this Binder may write: that of the agent whose it is (R-S2).
	Node string

	// turns are those of the binds that count what a namespace has. leader, if set, is the binder whose turns count.
	turns  keylock.Locks[string]
	leader *Binder
}

// Meter measures binds.
type Meter interface {
	// Bound is told how long it took to give a claim a lease.
	Bound(pool string, took time.Duration)
	// Retried is told of a write that did not succeed at once, and why.
	Retried(pool, cause string)
}

// retried tells the meter of a write that did not succeed at once.
func (b *Binder) retried(pool string, err error) {
	switch {
	case b.Meter == nil:
	case apierrors.IsAlreadyExists(err):
		b.Meter.Retried(pool, "exists")
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		b.Meter.Retried(pool, "overtaken")
	default:
		b.Meter.Retried(pool, "unknown")
	}
}

// WithIndex is b with another index. Their binds take turns with each other, as those of one binder do.
func (b *Binder) WithIndex(index *Index) *Binder {
	leader := b
	if b.leader != nil {
		leader = b.leader
	}
	return &Binder{Client: b.Client, Index: index, Clock: b.Clock, Gate: b.Gate, Audit: b.Audit, Meter: b.Meter, Node: b.Node, leader: leader}
}

// turn waits until no other bind of this process counts what namespace has in pool.
func (b *Binder) turn(ctx context.Context, pool, namespace string) (done func(), err error) {
	if b.leader != nil {
		return b.leader.turn(ctx, pool, namespace)
	}
	return b.turns.Lock(ctx, pool+"/"+namespace)
}

// mayGive asks the gate.
func (b *Binder) mayGive(ctx context.Context, pool string) error {
	if b.Gate == nil {
		return nil
	}
	return b.Gate(ctx, pool)
}

// maxRounds bounds the repetitions of a write that others keep overtaking. Each round means that somebody else got on.
const maxRounds = 10

var errOvertaken = errors.New("other writers were faster every time")

// Bind gives the claim a lease, if it has none, and makes holder its holder, if one is given. It may be repeated after any error, and
// finds what it made before. Of two callers that bind one claim at once, both end with the same lease. The claim that it
// returns is as it was written or read last.
//
// Errors: a problem of the catalogue where a person or the passing of time can help, such as PoolExhausted, AddressTaken
// or ClaimHeld; else what the API server answered.
func (b *Binder) Bind(
	ctx context.Context, claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool, holder *v1alpha1.Holder,
) (*v1alpha1.MacClaim, error) {
	return b.bindClaim(ctx, claim, pool, holder, false)
}

// BindNew is Bind for a claim that the caller has made just now (MakeClaim), by an index that knows all leases of before: nobody has made a lease for
// the claim, and an address that turns out to be taken is another's. It is not looked at, which in a pool that is nearly full is half of what
// a bind asks for.
func (b *Binder) BindNew(
	ctx context.Context, claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool, holder *v1alpha1.Holder,
) (*v1alpha1.MacClaim, error) {
	return b.bindClaim(ctx, claim, pool, holder, true)
}

func (b *Binder) bindClaim(
	ctx context.Context, claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool, holder *v1alpha1.Holder, isNew bool,
) (*v1alpha1.MacClaim, error) {
	if claim.Spec.PoolRef.Name != pool.Name {
		return nil, problem.OtherPool.New(claim.Namespace, claim.Name, claim.Spec.PoolRef.Name, pool.Name)
	}
	plan, err := PlanOf(pool)
	if err != nil {
		return nil, problem.PoolNotReady.New(pool.Name, err)
	}
	known, began := claim.Status.Generation, b.Clock.Now()
	for range maxRounds {
		if !claim.DeletionTimestamp.IsZero() {
			return nil, problem.ClaimDeleting.New(claim.Namespace, claim.Name)
		}
		if holder != nil {
			if err := lostSince(claim, holder.PodUID, known); err != nil {
				return nil, err
			}
		}
		if claim.Status.LeaseName != "" {
			if holder == nil {
				return claim, nil
			}
			return b.SetHolder(ctx, claim, *holder)
		}
		lease, err := b.acquire(ctx, claim, pool, plan, holder, isNew)
		if err != nil {
			return nil, err
		}
		isNew = false // from here on there is one
		if claim, err = b.record(ctx, claim, pool, lease, holder, began); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("binding claim %s: %w", client.ObjectKeyFromObject(claim), errOvertaken)
}

// record writes the lease into the claim, and returns the claim as it is afterwards: with this lease, with another one that
// was recorded first, or still with none, if only something else in it had changed. A lease that lost is given back.
func (b *Binder) record(
	ctx context.Context, claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool, lease *acquired, holder *v1alpha1.Holder, began time.Time,
) (*v1alpha1.MacClaim, error) {
	updated := claim.DeepCopy()
	status := &updated.Status
	status.VLAN = pool.Spec.VLAN
	status.LeaseName = lease.Name
	status.MAC = string(lease.Spec.MAC)
	status.IPs = nil
	for _, ip := range lease.Spec.IPs {
		status.IPs = append(status.IPs, string(ip))
	}
	apimeta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ClaimReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ClaimReasonBound,
		Message: "The claim has a lease", ObservedGeneration: claim.Generation,
	})
	if holder != nil {
		b.hold(updated, *holder)
	}
	if holder != nil {
		if err := b.mayGive(ctx, pool.Name); err != nil {
			return nil, err // the lease stays the claim's; a later call records it
		}
	}
	writeErr := b.Client.Status().Update(ctx, updated)
	if writeErr == nil {
		b.bound(pool.Name, began)
		if holder != nil && HolderOf(claim, holder.PodUID) == nil {
			b.Audit.Write(ctx, audit.OfHolder(audit.Held, updated, HolderOf(updated, holder.PodUID)))
		}
		return updated, nil
	}

	// Somebody wrote the claim since it was read, or nobody knows whether this write was made. The claim itself says.
	b.retried(pool.Name, writeErr)
	live := &v1alpha1.MacClaim{}
	err := b.Client.Get(ctx, client.ObjectKeyFromObject(claim), live)
	switch {
	case apierrors.IsNotFound(err), err == nil && live.UID != claim.UID:
		if !lease.picked {
			b.undo(ctx, lease)
		} // else another bind may have recorded it before the claim went, and its pod have come and gone: it has to cool
		return nil, problem.ClaimDeleting.New(claim.Namespace, claim.Name)
	case err != nil:
		// The lease stays: a later call finds it by the claim's UID, and if none comes the manager's repair does.
		return nil, fmt.Errorf("reading claim %s after %w: %w", client.ObjectKeyFromObject(claim), writeErr, err)
	case live.Status.LeaseName == lease.Name:
		return live, nil
	case live.Status.LeaseName != "" || !live.DeletionTimestamp.IsZero():
		b.undo(ctx, lease)
		return live, nil
	case apierrors.IsConflict(writeErr):
		return live, nil // next round finds the lease again, by the claim's UID
	default:
		return nil, fmt.Errorf("recording lease %s in claim %s: %w", lease.Name, client.ObjectKeyFromObject(claim), writeErr)
	}
}

// bound tells the meter that a bind has ended with a lease.
func (b *Binder) bound(pool string, began time.Time) {
	if b.Meter != nil {
		b.Meter.Bound(pool, b.Clock.Since(began))
	}
}

// acquired is a lease of the claim that is being bound, and what it takes to give it back.
type acquired struct {
	*v1alpha1.MacLease

	// created: this call created the object. It may delete it while nobody else has written it: a lease that was written
	// may be on its way into the claim by another hand.
	created bool
	// before is the released record that this call took, as it was.
	before *v1alpha1.MacLease
	// picked: this call has found it, and written it. It may delete it when the claim has another one.
	picked bool
}

// undo gives back what this call took, if it is unchanged. What cannot be given back now is an orphan, which the manager's
// repair releases.
func (b *Binder) undo(ctx context.Context, lease *acquired) {
	switch {
	case lease.created, lease.picked:
		err := b.Client.Delete(ctx, lease.MacLease, client.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion})
		if err == nil || apierrors.IsNotFound(err) {
			b.Index.DeleteLease(lease.MacLease)
		}
	case lease.before != nil:
		restored := lease.DeepCopy()
		restored.Spec = lease.before.Spec
		restored.Labels = lease.before.Labels
		if err := b.Client.Update(ctx, restored); err == nil {
			b.Index.SetLease(restored)
		}
	}
}

// acquire makes or finds a lease for the claim, if its namespace may have one more.
func (b *Binder) acquire(
	ctx context.Context, claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool, plan *allocator.Plan, holder *v1alpha1.Holder, isNew bool,
) (*acquired, error) {
	t := &taker{Binder: b, claim: claim, pool: pool, plan: plan, isNew: isNew}
	if holder != nil {
		t.nodeName, t.podName = holder.NodeName, holder.PodName
	}
	if pool.Spec.MaxPerNamespace == nil {
		return t.obtain(ctx)
	}
	return t.within(ctx, int(*pool.Spec.MaxPerNamespace))
}

// obtain makes or finds a lease for the claim. The order is the protocol's: what an earlier attempt made, what the claim
// insists on, what its identity had before, then the identity's order of choice.
func (t *taker) obtain(ctx context.Context) (*acquired, error) {
	if lease, err := t.earlier(ctx); err != nil {
		return nil, err
	} else if lease != nil {
		return lease, t.relock(ctx, lease)
	}
	slot, asked, err := t.insists()
	if err != nil {
		return nil, err
	}
	if asked {
		return t.locked(ctx, slot)
	}
	if lease, err := t.own(ctx); lease != nil || err != nil {
		return lease, err
	}
	return t.any(ctx)
}
