// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// fullAt is the share of a pool, in percent, from which on somebody should add a range.
const fullAt = 95

// pools looks at what the manager says of pools. What it says of their networks and links, other checks say themselves.
func pools(s *state) []Finding {
	var findings []Finding
	for i := range s.pools.Items {
		p := &s.pools.Items[i]
		for _, f := range poolTrouble(p) {
			findings = append(findings, f.about("macpool.macpool.dev", p))
		}
	}
	return append(findings, shares(s)...)
}

// abnormalConditions are those that only a pool in trouble has, with the entry of the catalogue that tells what to do.
var abnormalConditions = []struct {
	kind  string
	entry *problem.Kind
}{
	{v1alpha1.PoolExhausted, problem.PoolExhausted},
	{v1alpha1.PoolAllocationPaused, problem.AllocationPaused},
	{v1alpha1.PoolReleasesPaused, problem.ReleasesPaused},
	{v1alpha1.PoolAddressesInConflict, problem.AddressConflict},
}

func poolTrouble(p *v1alpha1.MacPool) []Finding {
	var findings []Finding
	add := func(f Finding) { findings = append(findings, f) }
	switch bad := condition(p.Status.Conditions, v1alpha1.PoolReady, metav1.ConditionFalse); {
	case bad != nil:
		add(of(Fault, problem.PoolNotReady.New(p.Name, bad.Message)))
	case condition(p.Status.Conditions, v1alpha1.PoolReady, metav1.ConditionTrue) == nil:
		add(found(Fault, "See that a manager runs.", "pool %s is not Ready: no manager has looked at it yet", p.Name))
	}
	for _, abnormal := range abnormalConditions {
		if c := condition(p.Status.Conditions, abnormal.kind, metav1.ConditionTrue); c != nil {
			f := said(c.Message, "")
			if f.Code == "" {
				f.Code, f.Fix, f.Page = abnormal.entry.Code, abnormal.entry.Fix, abnormal.entry.Page()
				f.What = fmt.Sprintf("pool %s has the condition %s: %s", p.Name, abnormal.kind, f.What)
			}
			add(f)
		}
	}
	if free, all := p.Status.Available, p.Status.Capacity; free != nil && all != nil && *all > 0 && *free > 0 && (*all-*free)*100 >= *all*fullAt {
		add(found(Hint, "Add a range to the pool, or delete claims that nothing needs: kubectl get macclaims -A.", "pool %s is nearly full: %d of its %d addresses are left", p.Name, *free, *all))
	}
	if n := p.Status.OutOfRange; n != nil && *n > 0 {
		add(found(Hint, "Nothing, if the pool was meant to shrink: they are kept until they are released.", "%d leases of pool %s are outside of what it leases now", *n, p.Name))
	}
	if p.Annotations[v1alpha1.AnnotationReleases] == v1alpha1.ReleasesResumed {
		add(found(Hint, "Remove the annotation when the releases that were waiting are made.", "the brake of pool %s is switched off by the annotation %s=%s", p.Name, v1alpha1.AnnotationReleases, v1alpha1.ReleasesResumed))
	}
	if !p.DeletionTimestamp.IsZero() {
		add(found(Hint, "See which finalizer keeps it: macpool sets none.", "pool %s is being deleted", p.Name))
	}
	return findings
}
