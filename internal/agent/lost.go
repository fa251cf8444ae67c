// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// verdict is what the API, read live, says of an interface that is attached here.
type verdict int

const (
	// keeps: its pod has the address, or the API does not say that somebody else has. What the API has forgotten, or knows
	// only as it was before, is for the recovery to mend and not for the fence to cut.
	keeps verdict = iota
	// loses: the address is another's, or was taken from the pod without this node's word (R-G7).
	loses
	// asksLease: the claim is not the one that the interface was attached for, or has another lease: the lease says whose
	// the address is.
	asksLease
)

// judgeClaim judges an attached entry of the node by the claim of its name, nil if there is none. What it calls lost is lost for good: within one claim
// generations only rise, and what ended at one cannot begin again at it. to is whose the address is now.
func judgeClaim(entry *attempt, claim *v1alpha1.MacClaim, node string) (v verdict, to string) {
	if claim == nil {
		return asksLease, ""
	}
	otherLease := claim.Status.LeaseName != entry.Lease.Name
	holder := claim.Status.Holder
	switch {
	case binding.HolderOf(claim, types.UID(entry.Pod.UID)) != nil:
		if otherLease {
			return asksLease, ""
		}
		return keeps, ""
	case entry.ClaimUID != "" && claim.UID != entry.ClaimUID:
		return asksLease, ""
	case holder != nil && holder.Generation > entry.Generation:
		return loses, podOf(claim)
	}
	// Also beside a holder of before this one's: the other pod of its VM, whose alternate it was.
	if past := endedUnattested(claim, entry.Pod.UID, node, entry.Generation); past != nil {
		return loses, nobodyOf(past)
	}
	if holder != nil {
		return keeps, "" // the API went back
	}
	if otherLease {
		return asksLease, ""
	}
	return keeps, ""
}

// judgeLease judges an attached entry by the lease that it was given, nil if there is none, and by the claim of its name as
// it was read after the lease. A claim that is gone, with a lease that was released, or whose record has been deleted since, has lost
// the address for its pod: it cools, or is anybody's already. While there is a claim of the name, it may be about to take it back.
func judgeLease(entry *attempt, lease *v1alpha1.MacLease, claim *v1alpha1.MacClaim, node string) (v verdict, to string) {
	if lease == nil || lease.Spec.ReleasedAt != nil {
		if claim == nil {
			return loses, "nobody (its claim is gone, and its lease was released)"
		}
		return keeps, ""
	}
	ref := lease.Spec.ClaimRef
	switch {
	case ref.Namespace != entry.Claim.Namespace || ref.Name != entry.Claim.Name:
		return loses, fmt.Sprintf("claim %s/%s", ref.Namespace, ref.Name)
	case entry.ClaimUID == "" || ref.UID == entry.ClaimUID:
		return keeps, "" // its own claim's, whatever that one says
	case claim == nil || claim.UID != ref.UID:
		return keeps, "" // the claim was made again since: the next look finds them in step
	}
	// The claim was made again, and has taken the address over for its identity. Its generations began anew.
	holder := claim.Status.Holder
	if holder != nil && binding.HolderOf(claim, types.UID(entry.Pod.UID)) == nil {
		return loses, podOf(claim)
	}
	if holder == nil {
		if past := endedUnattested(claim, entry.Pod.UID, node, 0); past != nil {
			return loses, nobodyOf(past)
		}
	}
	return keeps, ""
}

// endedUnattested is the end of the pod's hold on this node, of this generation or a later one, that no agent has attested; nil if there
// is none. What another node said of the pod was not true of it, and has ended for that (T13).
func endedUnattested(claim *v1alpha1.MacClaim, podUID, node string, generation int64) *v1alpha1.PreviousHolder {
	for i := range claim.Status.PreviousHolders {
		past := &claim.Status.PreviousHolders[i]
		if past.PodUID == types.UID(podUID) && past.NodeName == node && past.Generation >= generation && !past.Reason.Attested() {
			return past
		}
	}
	return nil
}

func podOf(claim *v1alpha1.MacClaim) string {
	holder := claim.Status.Holder
	return fmt.Sprintf("pod %s/%s on node %s", claim.Namespace, holder.PodName, holder.NodeName)
}

func nobodyOf(past *v1alpha1.PreviousHolder) string {
	return fmt.Sprintf("nobody (%s: %s)", past.Reason, past.Evidence)
}
