// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/audit"
	"github.com/macpool/macpool/internal/problem"
)

// SetHolder makes holder the holder of a bound claim; its generation and time are set here. A claim that the same pod holds
// already is returned as it is; one that another pod holds is ClaimHeld, or ClaimOfAnother if that pod is another workload's: only that
// pod's node, or evidence, clears a holder. One that the pod holds for another interface is ClaimTwice, and one whose last holder has
// made way for another pod ClaimPromised. A second pod of the holder's VirtualMachineInstance becomes the alternate (MayJoin). If the pod has
// held the claim and lost it since the copy was read, that is a conflict: whoever asked did not know of it.
func (b *Binder) SetHolder(
	ctx context.Context, claim *v1alpha1.MacClaim, holder v1alpha1.Holder,
) (*v1alpha1.MacClaim, error) {
	live, known := false, claim.Status.Generation
	for range maxRounds {
		if err := lostSince(claim, holder.PodUID, known); err != nil {
			return nil, err
		}
		own, current := HolderOf(claim, holder.PodUID), claim.Status.Holder
		switch joins := MayJoin(claim, &holder); {
		case own != nil && own.Interface == holder.Interface:
			return claim, nil
		case current != nil && !joins && !live:
			// The copy may be old, and the other pod's hold over.
			fresh, err := b.reread(ctx, claim, nil)
			if err != nil {
				return nil, err
			}
			claim, live = fresh, true
			continue
		case current != nil && !joins:
			return nil, Refusal(claim, &holder)
		case !claim.DeletionTimestamp.IsZero():
			return nil, problem.ClaimDeleting.New(claim.Namespace, claim.Name)
		case !isFor(claim.Status.Successor, &holder):
			return nil, problem.ClaimPromised.New(claim.Namespace, claim.Name, claim.Status.Successor.PodName, claim.Status.Successor.NodeName)
		}
		updated := claim.DeepCopy()
		b.hold(updated, holder)
		if err := b.mayGive(ctx, claim.Spec.PoolRef.Name); err != nil {
			return nil, err
		}
		writeErr := b.Client.Status().Update(ctx, updated)
		if writeErr == nil {
			b.Audit.Write(ctx, audit.OfHolder(audit.Held, updated, HolderOf(updated, holder.PodUID)))
			return updated, nil
		}
		fresh, err := b.reread(ctx, claim, writeErr)
		if err != nil {
			return nil, err
		}
		claim, live = fresh, true
	}
	return nil, fmt.Errorf("setting the holder of claim %s: %w", client.ObjectKeyFromObject(claim), errOvertaken)
}

// lostSince is a conflict if the pod has held the claim, and has lost it, since the claim was at this generation: an administrator may have said
// so, and the pod's node be about to remove its interface (R-G7).
func lostSince(claim *v1alpha1.MacClaim, pod types.UID, known int64) error {
	for _, past := range claim.Status.PreviousHolders {
		if past.PodUID == pod && past.Generation > known {
			return fmt.Errorf("claim %s was read before its hold %d by pod %s ended: %w", client.ObjectKeyFromObject(claim), past.Generation, past.PodName,
				apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("macclaims").GroupResource(), claim.Name, errOvertaken))
		}
	}
	return nil
}

// hold sets the holder in the status. A pod that holds the claim already keeps its generation: what its node has written down
// about it stays true.
func (b *Binder) hold(claim *v1alpha1.MacClaim, holder v1alpha1.Holder) {
	status := &claim.Status
	if claim.Spec.Workload != nil {
		holder.Owner = nil // it says all that there is to say
	}
	if HolderOf(claim, holder.PodUID) != nil {
		return
	}
	joins := MayJoin(claim, &holder)
	status.Generation++
	holder.Generation = status.Generation
	holder.Since = metav1.NewTime(b.Clock.Now())
	if joins {
		status.Alternate = &holder
		return
	}
	status.Holder, status.Alternate, status.Successor = &holder, nil, nil
}

// isFor tells whether the holder may be the next one, if a successor is waited for.
func isFor(s *v1alpha1.Successor, holder *v1alpha1.Holder) bool {
	return s == nil || s.PodUID == holder.PodUID
}

// SamePod tells whether two holders, neither of them nil, are one pod.
func SamePod(a, b *v1alpha1.Holder) bool { return a != nil && b != nil && a.PodUID == b.PodUID }

// End is why a hold ends.
type End struct {
	Reason   v1alpha1.EndReason
	Evidence string
}

// AgentReport is the end of a hold of which the agent of its node has seen the interface go, or knows that it was never attached.
func AgentReport(node string) End {
	return End{Reason: v1alpha1.EndAgentReport, Evidence: "the agent of node " + node + " attests that no interface of it is left"}
}

// ClearHolder takes the claim from the pod with this UID, up to this generation, and leaves it to the other pod of the instance if there is
// one. It does nothing if the claim is gone or has another holder, or a newer one of this pod: a late word about an old holder must not
// touch a new one (M01, M09).
//
// A holder of this pod with a lower generation is of a claim that was made again, or came back from a backup: within one claim
// generations only rise. The word is about that pod's interface all the same.
func (b *Binder) ClearHolder(ctx context.Context, key types.NamespacedName, podUID types.UID, generation int64, end End) error {
	claim := &v1alpha1.MacClaim{}
	if err := b.Client.Get(ctx, key, claim); err != nil {
		return client.IgnoreNotFound(err)
	}
	for range maxRounds {
		holder := HolderOf(claim, podUID)
		if holder == nil || holder.Generation > generation {
			return nil
		}
		updated := claim.DeepCopy()
		b.endHoldOf(&updated.Status, podUID, end)
		writeErr := b.Client.Status().Update(ctx, updated)
		if writeErr == nil {
			b.audit(ctx, claim, holder, end)
			return nil
		}
		if apierrors.IsNotFound(writeErr) {
			return nil
		}
		fresh, err := b.reread(ctx, claim, writeErr)
		if apierrors.IsNotFound(err) || problem.ClaimDeleting.Is(err) {
			return nil
		}
		if err != nil {
			return err
		}
		claim = fresh
	}
	return fmt.Errorf("clearing the holder of claim %s: %w", key, errOvertaken)
}

// TakeOver makes holder the holder of a claim that another pod holds, in one write: whoever writes the claim after it was read
// for the evidence makes the write fail, as a conflict, and the evidence void. The generation grows, by which the old
// holder's node finds, when it is back, that the address has moved on (R-G7).
func (b *Binder) TakeOver(
	ctx context.Context, claim *v1alpha1.MacClaim, holder v1alpha1.Holder, end End,
) (*v1alpha1.MacClaim, error) {
	if err := b.mayGive(ctx, claim.Spec.PoolRef.Name); err != nil {
		return nil, err
	}
	updated := claim.DeepCopy()
	b.endHold(&updated.Status, end)
	if updated.Status.Holder != nil && !MayJoin(updated, &holder) {
		return nil, Refusal(updated, &holder) // the alternate has it now
	}
	b.hold(updated, holder)
	if err := b.Client.Status().Update(ctx, updated); err != nil {
		return nil, fmt.Errorf("taking claim %s over: %w", client.ObjectKeyFromObject(claim), err)
	}
	b.audit(ctx, claim, claim.Status.Holder, end)
	b.Audit.Write(ctx, audit.OfHolder(audit.Held, updated, HolderOf(updated, holder.PodUID)))
	return updated, nil
}

// ClearAsRead takes the claim from its holder, which there must be, on evidence that was read after the claim: in one write of the
// version that claim is. Whoever has written the claim since makes it fail, as a conflict, and the evidence void (R-G2).
func (b *Binder) ClearAsRead(ctx context.Context, claim *v1alpha1.MacClaim, end End) (*v1alpha1.MacClaim, error) {
	return b.ClearOneAsRead(ctx, claim, claim.Status.Holder, end)
}

// ClearOneAsRead is ClearAsRead of one of the claim's two holders.
func (b *Binder) ClearOneAsRead(ctx context.Context, claim *v1alpha1.MacClaim, holder *v1alpha1.Holder, end End) (*v1alpha1.MacClaim, error) {
	updated := claim.DeepCopy()
	b.endHoldOf(&updated.Status, holder.PodUID, end)
	if err := b.Client.Status().Update(ctx, updated); err != nil {
		return nil, fmt.Errorf("clearing the holder of claim %s: %w", client.ObjectKeyFromObject(claim), err)
	}
	b.audit(ctx, claim, holder, end)
	return updated, nil
}

// endHold moves the holder of status, which there must be, to the previous ones. What was doubted about it is settled.
func (b *Binder) endHold(status *v1alpha1.MacClaimStatus, end End) {
	b.endHoldOf(status, status.Holder.PodUID, end)
}

// endHoldOf is endHold of the pod, which must be the holder or the alternate. The alternate becomes the holder when that goes.
func (b *Binder) endHoldOf(status *v1alpha1.MacClaimStatus, podUID types.UID, end End) {
	holder := status.Holder
	if holder.PodUID == podUID {
		apimeta.RemoveStatusCondition(&status.Conditions, v1alpha1.ClaimSuspect)
		status.Holder, status.Alternate = status.Alternate, nil
	} else {
		holder, status.Alternate = status.Alternate, nil
	}
	past := v1alpha1.PreviousHolder{
		PodName: holder.PodName, PodUID: holder.PodUID, NodeName: holder.NodeName, Generation: holder.Generation,
		Since: holder.Since, Until: metav1.NewTime(b.Clock.Now()), Reason: end.Reason, Evidence: Evidence(end.Evidence),
	}
	all := append([]v1alpha1.PreviousHolder{past}, status.PreviousHolders...)
	status.PreviousHolders = all[:min(len(all), v1alpha1.MaxPreviousHolders)]
}

// audit records the end of a hold that claim still shows.
func (b *Binder) audit(ctx context.Context, claim *v1alpha1.MacClaim, holder *v1alpha1.Holder, end End) {
	record := audit.OfHolder(audit.Unheld, claim, holder)
	record.Reason, record.Evidence, record.Since = end.Reason, end.Evidence, holder.Since.Time
	b.Audit.Write(ctx, record)
}

// maxEvidence is how long the API server takes a text of evidence, in characters; as bytes it is never longer.
const maxEvidence = 256

// Evidence cuts a text to the length that the API server takes.
func Evidence(text string) string { return problem.Cut(text, maxEvidence) }

// reread reads the claim, after a write that failed or nil. Refusals are final; after a conflict, or an answer that was
// lost, the claim says what to do.
func (b *Binder) reread(ctx context.Context, claim *v1alpha1.MacClaim, writeErr error) (*v1alpha1.MacClaim, error) {
	key := client.ObjectKeyFromObject(claim)
	if isRefusal(writeErr) {
		return nil, fmt.Errorf("writing the status of claim %s: %w", key, writeErr)
	}
	live := &v1alpha1.MacClaim{}
	if err := b.Client.Get(ctx, key, live); err != nil {
		if writeErr != nil {
			err = fmt.Errorf("after %w: %w", writeErr, err)
		}
		return nil, fmt.Errorf("reading claim %s: %w", key, err)
	}
	if live.UID != claim.UID {
		return nil, problem.ClaimDeleting.New(claim.Namespace, claim.Name)
	}
	return live, nil
}
