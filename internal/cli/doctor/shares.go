// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// largeShare is the part of a pool, in percent, that one of several namespaces may have without a ceiling before somebody is told.
const largeShare = 50

// shares looks for a namespace that is taking a pool from the others: none is kept from it where the pool sets no maxPerNamespace. That a pool
// without a ceiling serves several namespaces is no finding by itself, since they may all be one person's.
func shares(s *state) []Finding {
	taken := map[string]map[string]int64{} // pool -> namespace -> how many addresses nobody else may have, cooling ones among them
	for i := range s.leases.Items {
		l := &s.leases.Items[i]
		if _, err := binding.NameOf(l); err != nil || l.Spec.ReusableAt != nil {
			continue // the lock of a MAC is no second address
		}
		if taken[l.Spec.PoolName] == nil {
			taken[l.Spec.PoolName] = map[string]int64{}
		}
		taken[l.Spec.PoolName][l.Spec.ClaimRef.Namespace]++
	}
	var findings []Finding
	for i := range s.pools.Items {
		p := &s.pools.Items[i]
		if p.Spec.MaxPerNamespace == nil && p.Status.Capacity != nil && len(taken[p.Name]) > 1 {
			findings = append(findings, largeShares(p, taken[p.Name])...)
		}
	}
	return findings
}

func largeShares(p *v1alpha1.MacPool, taken map[string]int64) []Finding {
	var findings []Finding
	for _, namespace := range sorted(taken) {
		if n := taken[namespace]; n*100 >= *p.Status.Capacity*largeShare {
			findings = append(findings, found(Hint, "Set maxPerNamespace in the pool, unless the namespaces are all one's own.",
				"namespace %s has %d of the %d addresses of pool %s, which %d namespaces use, and nothing keeps it from taking the rest",
				namespace, n, *p.Status.Capacity, p.Name, len(taken)).about("macpool.macpool.dev", p))
		}
	}
	return findings
}
