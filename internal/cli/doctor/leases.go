// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// astray is a lease or a claim that does not go with the other.
type astray struct {
	lease *v1alpha1.MacLease
	claim *v1alpha1.MacClaim
	what  string
}

// version tells this reading from another one.
func (a *astray) version() string {
	if a.lease != nil {
		return a.lease.Name + " " + a.lease.ResourceVersion + a.what
	}
	return a.claim.Namespace + "/" + a.claim.Name + " " + a.claim.ResourceVersion + a.what
}

// straying are the leases that belong to no claim, and the claims that name a lease which is not theirs. Two lists are of two moments, so one
// reading alone may find what has never been.
func straying(leases []v1alpha1.MacLease, claims []v1alpha1.MacClaim) []astray {
	claimsByName := map[types.NamespacedName]*v1alpha1.MacClaim{}
	for i := range claims {
		claimsByName[client.ObjectKeyFromObject(&claims[i])] = &claims[i]
	}
	leasesByName := map[string]*v1alpha1.MacLease{}
	var all []astray
	for i := range leases {
		l := &leases[i]
		leasesByName[l.Name] = l
		if l.Spec.ReleasedAt != nil || l.Spec.Conflict != nil {
			continue
		}
		switch claim := claimsByName[types.NamespacedName{Namespace: l.Spec.ClaimRef.Namespace, Name: l.Spec.ClaimRef.Name}]; {
		case claim == nil:
			all = append(all, astray{lease: l, what: "does not exist"})
		case claim.UID != l.Spec.ClaimRef.UID:
			all = append(all, astray{lease: l, what: "was deleted and made again since"})
		}
	}
	for i := range claims {
		c := &claims[i]
		if c.Status.LeaseName == "" {
			continue
		}
		switch lease := leasesByName[c.Status.LeaseName]; {
		case lease == nil:
			all = append(all, astray{claim: c, what: "does not exist"})
		case lease.Spec.ReleasedAt != nil:
			all = append(all, astray{claim: c, what: "was released"})
		case lease.Spec.ClaimRef.UID != c.UID:
			all = append(all, astray{claim: c, what: "belongs to claim " + lease.Spec.ClaimRef.Namespace + "/" + lease.Spec.ClaimRef.Name})
		}
	}
	return all
}

// both are those that two readings found, unchanged between them.
func both(first, second []astray) []astray {
	seen := map[string]bool{}
	for i := range first {
		seen[first[i].version()] = true
	}
	var all []astray
	for i := range second {
		if seen[second[i].version()] {
			all = append(all, second[i])
		}
	}
	return all
}

// leases looks for leases that are nobody's, and for addresses that strangers use.
func leases(s *state) []Finding {
	var findings []Finding
	for _, a := range s.astray {
		if l := a.lease; l != nil {
			findings = append(findings, found(Fault,
				"A manager that runs releases it when no pod is left that may use it; see its log if it does not.",
				"lease %s is stale: its claim %s/%s %s", l.Name, l.Spec.ClaimRef.Namespace, l.Spec.ClaimRef.Name, a.what).about("maclease.macpool.dev", l))
			continue
		}
		findings = append(findings, found(Fault, "See the log of the manager, which repairs this; if it does not, delete the pod and the claim, so that it gets another address.",
			"claim %s/%s names lease %s, which %s", a.claim.Namespace, a.claim.Name, a.claim.Status.LeaseName, a.what).about("macclaim.macpool.dev", a.claim))
	}
	for i := range s.leases.Items {
		l := &s.leases.Items[i]
		if l.Spec.Conflict == nil {
			continue
		}
		address := l.Name
		if len(l.Spec.IPs) > 0 {
			address = string(l.Spec.IPs[0])
		}
		findings = append(findings, of(Fault, problem.AddressConflict.New(address, l.Spec.Conflict.MAC)).on(l.Spec.Conflict.NodeName).about("maclease.macpool.dev", l))
	}
	return findings
}
