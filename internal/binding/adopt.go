// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/audit"
)

// adoptEvidence is why what the API said before does not count any more.
const adoptEvidence = "the API server had gone back in time, and the agent of node %s has the address attached for pod %s"

// Adopt makes the API know what a node has attached: the claim, if it is gone, the lease and the holder, each as reported. It is for
// the time in which nothing is given out or taken back. It may be repeated after any error, and writes nothing that is so
// already. changed: something was written.
//
// The order keeps an address from being nobody's at any time: the lease first, to which the claim must exist.
func (b *Binder) Adopt(ctx context.Context, r Reported) (changed bool, err error) {
	claim, made, err := b.adoptClaim(ctx, r)
	if err != nil {
		return made, err
	}
	leased, err := b.adoptLease(ctx, r, claim.UID)
	if err != nil {
		return made || leased, err
	}
	held, err := b.adoptHolder(ctx, r, claim)
	return made || leased || held, err
}

// adoptClaim reads the claim, or makes it again. A claim that a person made comes back without what it asked for: it has what it got.
func (b *Binder) adoptClaim(ctx context.Context, r Reported) (*v1alpha1.MacClaim, bool, error) {
	for range maxRounds {
		claim := &v1alpha1.MacClaim{}
		err := b.Client.Get(ctx, r.claim(), claim)
		if err == nil {
			return claim, false, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, false, fmt.Errorf("reading claim %s: %w", r.claim(), err)
		}
		claim = &v1alpha1.MacClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: r.ClaimName},
			Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: r.PoolName}, Workload: r.Workload},
		}
		if r.Workload != nil && r.ClaimName == ClaimName(*r.Workload, r.PoolName) { // else it was a person's, which nobody else may end
			claim.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
		}
		err = b.Client.Create(ctx, claim)
		if err == nil {
			return claim, true, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, false, fmt.Errorf("making claim %s again: %w", r.claim(), err)
		}
	}
	return nil, false, fmt.Errorf("making claim %s again: %w", r.claim(), errOvertaken)
}

// adoptLease makes the lease the claim's, whoever had it: no other node has reported it.
func (b *Binder) adoptLease(ctx context.Context, r Reported, claim types.UID) (bool, error) {
	name, err := nameOf(r.LeaseName, r.IPs)
	if err != nil {
		return false, fmt.Errorf("reading the lease's name in the report of node %s: %w", r.NodeName, err)
	}
	for range maxRounds {
		lease := &v1alpha1.MacLease{}
		err := b.Client.Get(ctx, client.ObjectKey{Name: r.LeaseName}, lease)
		if apierrors.IsNotFound(err) {
			lease = b.leaseOf(r, name.Segment, claim)
			if err = b.Client.Create(ctx, lease); err == nil {
				b.leased(ctx, lease)
				return true, nil
			}
			if apierrors.IsAlreadyExists(err) {
				continue
			}
			return false, fmt.Errorf("making lease %s again: %w", r.LeaseName, err)
		}
		if err != nil {
			return false, fmt.Errorf("reading lease %s: %w", r.LeaseName, err)
		}
		its := lease.Spec.ClaimRef.UID == claim && lease.Spec.ReleasedAt == nil
		if its && (lease.Spec.NodeName == r.NodeName || r.InstanceUID != "") { // of a VM the other pod's node, perhaps
			b.Index.SetLease(lease)
			return false, nil
		}
		if err := b.disown(ctx, lease, r); err != nil {
			return false, err
		}
		history := lease.Spec.History
		if !its && lease.Spec.ReleasedAt == nil {
			history = historyAfter(&lease.Spec, v1alpha1.LeaseHistory{
				NodeName: lease.Spec.NodeName, Reason: v1alpha1.EndRecovered, Evidence: fmt.Sprintf(adoptEvidence, r.NodeName, r.PodName),
			}, metav1.NewTime(b.Clock.Now()))
		}
		next := b.leaseOf(r, name.Segment, claim)
		lease.Labels = mergeLabels(lease.Labels, next.Labels)
		next.Spec.History, next.Spec.Conflict = history, lease.Spec.Conflict
		if its {
			next.Spec.LeasedAt = lease.Spec.LeasedAt
		}
		lease.Spec = next.Spec
		if err := b.Client.Update(ctx, lease); apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return false, fmt.Errorf("taking lease %s back: %w", r.LeaseName, err)
		}
		b.leased(ctx, lease)
		return true, nil
	}
	return false, fmt.Errorf("taking lease %s back: %w", r.LeaseName, errOvertaken)
}

// leaseOf is the lease of a report.
func (b *Binder) leaseOf(r Reported, segment string, claim types.UID) *v1alpha1.MacLease {
	return &v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{Name: r.LeaseName, Labels: map[string]string{
			v1alpha1.LabelSegment: segment, v1alpha1.LabelIdentity: IdentityLabel(r.Namespace, r.ClaimName),
		}},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: r.PoolName, MAC: r.MAC, IPs: r.IPs,
			ClaimRef: v1alpha1.ClaimRef{Namespace: r.Namespace, Name: r.ClaimName, UID: claim},
			NodeName: r.NodeName, PodName: r.PodName, LeasedAt: metav1.NewTime(b.Clock.Now()),
		},
	}
}

func (b *Binder) leased(ctx context.Context, lease *v1alpha1.MacLease) {
	b.Index.SetLease(lease)
	b.Audit.Write(ctx, audit.OfLease(audit.Leased, lease))
}

func mergeLabels(into, from map[string]string) map[string]string {
	if into == nil {
		return from
	}
	maps.Copy(into, from)
	return into
}

// disown takes from the claim that a lease names, if it names the lease too, what the lease gives it: another claim has it. A pod that
// holds it loses its interface by that, since no agent attests the end (R-G7), and the claim gets another address.
func (b *Binder) disown(ctx context.Context, lease *v1alpha1.MacLease, r Reported) error {
	ref := lease.Spec.ClaimRef
	if ref.Namespace == r.Namespace && ref.Name == r.ClaimName {
		return nil
	}
	return b.Unbind(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, "", lease.Name, End{
		Reason: v1alpha1.EndRecovered, Evidence: fmt.Sprintf(adoptEvidence, r.NodeName, r.PodName),
	})
}

// Unbind takes from a claim a lease that is not its own. If something holds the claim, that hold ends so; without an end the
// claim is left alone then. It also is if it is gone, names another lease, or is another one of the same name, if there is a UID.
func (b *Binder) Unbind(ctx context.Context, key types.NamespacedName, uid types.UID, lease string, end End) error {
	claim := &v1alpha1.MacClaim{}
	if err := b.Client.Get(ctx, key, claim); err != nil {
		return client.IgnoreNotFound(err)
	}
	for range maxRounds {
		if uid != "" && claim.UID != uid || claim.Status.LeaseName != lease || claim.Status.Holder != nil && end.Reason == "" {
			return nil
		}
		updated := claim.DeepCopy()
		for updated.Status.Holder != nil {
			b.endHold(&updated.Status, end)
		}
		status := &updated.Status
		status.LeaseName, status.MAC, status.IPs, status.VLAN = "", "", nil, nil
		apimeta.RemoveStatusCondition(&status.Conditions, v1alpha1.ClaimReady)
		writeErr := b.Client.Status().Update(ctx, updated)
		if writeErr == nil {
			for _, holder := range Holders(claim) {
				b.audit(ctx, claim, holder, end)
			}
			return nil
		}
		fresh, err := b.reread(ctx, claim, writeErr)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		claim = fresh
	}
	return fmt.Errorf("taking lease %s from claim %s: %w", lease, key, errOvertaken)
}

// adoptHolder makes the pod the holder of the claim, and the claim's lease the one that the pod has.
func (b *Binder) adoptHolder(ctx context.Context, r Reported, claim *v1alpha1.MacClaim) (bool, error) {
	for range maxRounds {
		updated := claim.DeepCopy()
		status := &updated.Status
		status.Generation = max(status.Generation, r.Generation)
		status.LeaseName, status.MAC, status.IPs = r.LeaseName, string(r.MAC), nil
		for _, ip := range r.IPs {
			status.IPs = append(status.IPs, string(ip))
		}
		if r.VLAN != nil {
			status.VLAN = r.VLAN
		}
		ended := r.adoptInto(b, updated)
		apimeta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: v1alpha1.ClaimReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ClaimReasonBound,
			Message: "The claim has a lease", ObservedGeneration: claim.Generation,
		})
		if sameHold(&claim.Status, status) {
			return false, nil
		}
		writeErr := b.Client.Status().Update(ctx, updated)
		if writeErr == nil {
			for _, old := range ended {
				if old.PodUID != r.PodUID {
					b.audit(ctx, claim, old, r.recovered())
				}
			}
			b.Audit.Write(ctx, audit.OfHolder(audit.Held, updated, HolderOf(updated, r.PodUID)))
			return true, nil
		}
		fresh, err := b.reread(ctx, claim, writeErr)
		if err != nil {
			return false, err
		}
		claim = fresh
	}
	return false, fmt.Errorf("making pod %s the holder of claim %s: %w", r.PodName, r.claim(), errOvertaken)
}

func (r *Reported) recovered() End {
	return End{Reason: v1alpha1.EndRecovered, Evidence: fmt.Sprintf(adoptEvidence, r.NodeName, r.PodName)}
}

// adoptInto makes the pod the holder, or the alternate beside the other pod of its VM, and returns the holders that it has ended.
func (r *Reported) adoptInto(b *Binder, claim *v1alpha1.MacClaim) (ended []*v1alpha1.Holder) {
	status := &claim.Status
	own := HolderOf(claim, r.PodUID)
	if own != nil && own.NodeName == r.NodeName {
		if own == status.Holder && status.Alternate == nil {
			own.Generation = status.Generation
		} else {
			own.Generation = max(own.Generation, r.Generation)
		}
		return nil
	}
	next := &v1alpha1.Holder{
		PodName: r.PodName, PodUID: r.PodUID, NodeName: r.NodeName, NodeUID: r.NodeUID, Interface: r.Interface,
		InstanceUID: r.InstanceUID, Since: metav1.NewTime(b.Clock.Now()), Generation: status.Generation,
	}
	if MayJoin(claim, next) {
		next.Generation = r.Generation // its agent's; the holder's may be the higher one
		status.Alternate = next
		return nil
	}
	ended = Holders(claim)
	for status.Holder != nil {
		b.endHold(status, r.recovered())
	}
	status.Holder = next
	return ended
}

// sameHold tells whether nothing would change for anybody.
func sameHold(a, b *v1alpha1.MacClaimStatus) bool {
	return a.LeaseName == b.LeaseName && a.MAC == b.MAC && a.Generation == b.Generation && SamePod(a.Holder, b.Holder) &&
		a.Holder.Generation == b.Holder.Generation && a.Holder.NodeName == b.Holder.NodeName &&
		equality.Semantic.DeepEqual(a.Alternate, b.Alternate)
}

// Keep makes sure that the address of a report that was not granted is nobody's for a while: its interface is there until its
// agent has removed it.
func (b *Binder) Keep(ctx context.Context, r Reported) error {
	name, err := nameOf(r.LeaseName, r.IPs)
	if err != nil {
		return fmt.Errorf("reading the lease's name in the report of node %s: %w", r.NodeName, err)
	}
	owner := r.PodUID // of a claim that is not there
	claim := &v1alpha1.MacClaim{}
	if err := b.Client.Get(ctx, r.claim(), claim); err == nil {
		owner = claim.UID
	} else if !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading claim %s: %w", r.claim(), err)
	}
	lease := b.leaseOf(r, name.Segment, owner)
	now := metav1.NewTime(b.Clock.Now())
	lease.Spec.History = historyAfter(&lease.Spec, v1alpha1.LeaseHistory{
		PodName: r.PodName, NodeName: r.NodeName, Reason: v1alpha1.EndRecovered,
		Evidence: "the API server had gone back in time, and its claim has another address",
	}, now)
	lease.Spec.ReleasedAt, lease.Spec.NodeName, lease.Spec.PodName = &now, "", ""
	err = b.Client.Create(ctx, lease)
	if apierrors.IsAlreadyExists(err) {
		return nil // whoever has it
	}
	if err != nil {
		return fmt.Errorf("keeping lease %s: %w", r.LeaseName, err)
	}
	b.Index.SetLease(lease)
	return nil
}
