// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Reported is an attachment that the agent of a node has reported, after the API went back in time.
type Reported struct {
	v1alpha1.NodeAttachment

	NodeName string
	NodeUID  types.UID
	// VLAN is the pool's, if there is the pool.
	VLAN *int32
}

func (r *Reported) claim() types.NamespacedName {
	return types.NamespacedName{Namespace: r.Namespace, Name: r.ClaimName}
}

// Loss is a report that cannot be granted: two interfaces have one address, or one claim has two.
type Loss struct {
	Reported

	// To is the report that has the address, or the claim, instead.
	To Reported
}

// sharesWith tells whether two reports are of the two pods of a VM that migrates.
func (r *Reported) sharesWith(o *Reported) bool {
	return r.claim() == o.claim() && r.InstanceUID != "" && r.InstanceUID == o.InstanceUID && r.NodeName != o.NodeName
}

// SameAddress tells whether it was the address that two interfaces have. Otherwise nobody else has it.
func (l *Loss) SameAddress() bool { return l.LeaseName == l.To.LeaseName }

// Contest settles who gets what was reported, each address once and each claim one address. leased is whose the API says a
// lease is, by the lease's name. The order of the reports does not matter.
//
// Of two interfaces with one address, the later holder wins if they are of one claim: it is the one that came after. Of two claims the
// one that the API knows to have the lease; if it knows neither, the first by name, so that every manager comes to the same. Two pods
// of one VM that migrates both have it.
func Contest(reports []Reported, leased map[string]types.NamespacedName) (granted []Reported, lost []Loss) {
	all := slices.Clone(reports)
	unknown := func(r *Reported) int {
		if leased[r.LeaseName] == r.claim() {
			return 0
		}
		return 1
	}
	// The winner of each address comes first.
	slices.SortStableFunc(all, func(a, b Reported) int {
		return cmp.Or(
			cmp.Compare(a.LeaseName, b.LeaseName), cmp.Compare(unknown(&a), unknown(&b)),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ClaimName, b.ClaimName), byHold(&a, &b),
		)
	})
	var first, second []Reported // of each address; of one that a VM has in two pods
	for _, r := range all {
		if last := len(first) - 1; last >= 0 && first[last].LeaseName == r.LeaseName {
			switch {
			case first[last].PodUID == r.PodUID:
			case first[last].sharesWith(&r) && (len(second) == 0 || second[len(second)-1].LeaseName != r.LeaseName):
				second = append(second, r)
			default:
				outlive(&first[last], &r)
				lost = append(lost, Loss{Reported: r, To: first[last]})
			}
			continue
		}
		first = append(first, r)
	}
	defer func() {
		for _, r := range second { // which is granted what the first is, and is lost with it
			if slices.ContainsFunc(granted, func(g Reported) bool { return g.LeaseName == r.LeaseName && g.claim() == r.claim() }) {
				granted = append(granted, r)
			} else if i := slices.IndexFunc(lost, func(l Loss) bool { return l.LeaseName == r.LeaseName && l.claim() == r.claim() }); i >= 0 {
				lost = append(lost, Loss{Reported: r, To: lost[i].To})
			}
		}
	}()
	// Of the addresses that one claim has won, it keeps that of its latest holder.
	slices.SortStableFunc(first, func(a, b Reported) int {
		return cmp.Or(
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ClaimName, b.ClaimName),
			byHold(&a, &b), cmp.Compare(a.LeaseName, b.LeaseName),
		)
	})
	for _, r := range first {
		if last := len(granted) - 1; last >= 0 && granted[last].claim() == r.claim() {
			outlive(&granted[last], &r)
			lost = append(lost, Loss{Reported: r, To: granted[last]})
			continue
		}
		granted = append(granted, r)
	}
	return granted, lost
}

// outlive makes the winner's hold later than that of a loser of the same claim: by that the loser's agent knows that the address
// has moved on.
func outlive(winner, loser *Reported) {
	if winner.claim() == loser.claim() && winner.Generation <= loser.Generation {
		winner.Generation = loser.Generation + 1
	}
}

// byHold puts the later holder first.
func byHold(a, b *Reported) int {
	return cmp.Or(cmp.Compare(b.Generation, a.Generation), cmp.Compare(a.NodeName, b.NodeName), cmp.Compare(a.PodUID, b.PodUID))
}
