// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// While a VM migrates two pods hold its claim: the holder, in which the VM runs, and the alternate (R-G6, docs/design/0013). There is an
// alternate only while there is a holder, and both are of one VirtualMachineInstance: a VM that is started again is another instance, and
// waits for its predecessor.

// MayJoin tells whether holder, of a pod that does not hold the claim yet, may be its alternate: the holder's instance migrates to another node.
func MayJoin(claim *v1alpha1.MacClaim, holder *v1alpha1.Holder) bool {
	current := claim.Status.Holder
	return current != nil && claim.Status.Alternate == nil && current.PodUID != holder.PodUID &&
		current.InstanceUID != "" && current.InstanceUID == holder.InstanceUID &&
		current.NodeName != holder.NodeName && current.Interface == holder.Interface
}

// HolderOf is the pod's hold of the claim, be it the holder or the alternate; nil if it has none.
func HolderOf(claim *v1alpha1.MacClaim, podUID types.UID) *v1alpha1.Holder {
	for _, holder := range Holders(claim) {
		if holder.PodUID == podUID {
			return holder
		}
	}
	return nil
}

// Holders are the holder and the alternate, as far as there are any.
func Holders(claim *v1alpha1.MacClaim) []*v1alpha1.Holder {
	var all []*v1alpha1.Holder
	for _, holder := range []*v1alpha1.Holder{claim.Status.Holder, claim.Status.Alternate} {
		if holder != nil {
			all = append(all, holder)
		}
	}
	return all
}

// IsAlternate tells whether the pod is the claim's alternate.
func IsAlternate(claim *v1alpha1.MacClaim, podUID types.UID) bool {
	return claim.Status.Alternate != nil && claim.Status.Alternate.PodUID == podUID
}

// Promote makes the alternate the holder, and the holder the alternate: the VM runs in the other pod now. Generations stay, since nobody
// has lost anything. It is one write of the version that claim is.
func (b *Binder) Promote(ctx context.Context, claim *v1alpha1.MacClaim) (*v1alpha1.MacClaim, error) {
	updated := claim.DeepCopy()
	updated.Status.Holder, updated.Status.Alternate = claim.Status.Alternate, claim.Status.Holder
	if err := b.Client.Status().Update(ctx, updated); err != nil {
		return nil, fmt.Errorf("making pod %s the holder of claim %s: %w", claim.Status.Alternate.PodName, client.ObjectKeyFromObject(claim), err)
	}
	return updated, nil
}
