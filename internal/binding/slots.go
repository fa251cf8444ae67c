// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
)

// The pods of a Deployment are alike, and so are those of any controller that gives them no names of their own. Such a workload has
// numbered claims, as many as it has pods at a time, and which pod has which is decided anew for each pod: the lowest free one. A pod that is
// there beside the one that it replaces takes a further claim, rather than wait for it.

// Alike tells whether the workload's pods are told apart by nothing but the claims that they hold.
func Alike(w v1alpha1.Workload) bool {
	switch w.Kind {
	case "", v1alpha1.WorkloadPod, v1alpha1.WorkloadStatefulSet, v1alpha1.WorkloadDaemonSet, v1alpha1.WorkloadVM:
		return false
	default:
		return true
	}
}

// FamilyOf names the workload that a claim is one of many of, whatever its number, node or interface.
func FamilyOf(w v1alpha1.Workload) string { return string(w.Kind) + "/" + w.Name }

// isOf tells whether w is one of the claims of a workload whose pods are alike.
func isOf(w *v1alpha1.Workload, family v1alpha1.Workload) bool {
	return w != nil && w.Ordinal != nil && w.Kind == family.Kind && w.Name == family.Name && w.Interface == family.Interface
}

// Slot is a claim of a workload whose pods are alike, made or not.
type Slot struct {
	Workload v1alpha1.Workload
	// Claim is nil if it has to be made.
	Claim *v1alpha1.MacClaim
}

// Holds tells whether the pod with this UID holds one of the claims of the family in the pool.
func Holds(claims []v1alpha1.MacClaim, family v1alpha1.Workload, pool string, uid types.UID) bool {
	return slices.ContainsFunc(claims, func(c v1alpha1.MacClaim) bool {
		return c.Spec.PoolRef.Name == pool && isOf(c.Spec.Workload, family) && c.Status.Holder != nil && c.Status.Holder.PodUID == uid
	})
}

// Assign says which claim each pod of a family gets that waits for one: pod UID -> slot. claims are of the pods' namespace; waiting are in the
// order in which they choose. A pod that was the last to hold a claim gets that one again: its sandbox is being made anew. Any other
// gets the lowest that is free and not such a pod's. Of two claims of one number a person's counts, the oldest, as in Chosen.
func Assign(claims []v1alpha1.MacClaim, family v1alpha1.Workload, pool string, waiting []types.UID) map[types.UID]Slot {
	numbered := map[int32]*v1alpha1.MacClaim{}
	for i := range claims {
		c := &claims[i]
		if c.Spec.PoolRef.Name != pool || !isOf(c.Spec.Workload, family) {
			continue
		}
		if known := numbered[*c.Spec.Workload.Ordinal]; known == nil || precedes(c, known) {
			numbered[*c.Spec.Workload.Ordinal] = c
		}
	}
	assigned := map[types.UID]Slot{}
	taken := map[int32]bool{}
	for n, c := range numbered {
		if c.Status.Holder != nil || !c.DeletionTimestamp.IsZero() {
			taken[n] = true
			continue
		}
		if past := c.Status.PreviousHolders; len(past) > 0 && slices.Contains(waiting, past[0].PodUID) {
			// Of two that it was the last to hold, the lower.
			if other, ok := assigned[past[0].PodUID]; ok && *other.Workload.Ordinal < n {
				continue
			} else if ok {
				taken[*other.Workload.Ordinal] = false
			}
			taken[n] = true
			assigned[past[0].PodUID] = numberedSlot(family, n, c)
		}
	}
	next := int32(0)
	for _, uid := range waiting {
		if _, ok := assigned[uid]; ok {
			continue
		}
		for taken[next] {
			next++
		}
		assigned[uid] = numberedSlot(family, next, numbered[next])
		next++
	}
	return assigned
}

func numberedSlot(family v1alpha1.Workload, n int32, claim *v1alpha1.MacClaim) Slot {
	family.Ordinal = &n
	return Slot{Workload: family, Claim: claim}
}

func precedes(a, b *v1alpha1.MacClaim) bool {
	if IsManaged(a) != IsManaged(b) {
		return !IsManaged(a)
	}
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name)) < 0
}
