// SPDX-License-Identifier: Apache-2.0

// Package retention says how long what has ended is kept: claims, addresses that cool down, records and the addresses of strangers. The manager
// keeps them so by its own clock; others say from the times that are written down when that will probably be over.
package retention

import (
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// The times of the MacPool's schema, for a pool that is gone.
const (
	defaultRetain   = time.Hour
	defaultCooldown = time.Minute
	defaultHistory  = 7 * 24 * time.Hour
	defaultHold     = 10 * time.Minute
)

// minVMRetain is the least time for which the claim of a VM outlives it, whatever the pool says: what restores a VM, or moves it to another
// cluster, deletes it first (R-G6).
const minVMRetain = 5 * time.Minute

const (
	// unattestedFactor and unattestedCooldown lengthen the cooldown of an address of which no node has said that its interface is gone:
	// by the factor, and to at least this.
	unattestedFactor   = 10
	unattestedCooldown = 10 * time.Minute
)

// EndedAt is when the claim's workload was first seen gone, zero if it was not.
func EndedAt(claim *v1alpha1.MacClaim) time.Time {
	if ended := apimeta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ClaimEnded); ended != nil && ended.Status == metav1.ConditionTrue {
		return ended.LastTransitionTime.Time
	}
	return time.Time{}
}

// Retain is how long a claim outlives its workload. Bare pods end with their address: nothing comes back under their name, unless the
// claim itself says so. pool is nil if there is none.
func Retain(claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool) time.Duration {
	if _, ok := claim.Labels[v1alpha1.LabelIPAMClaim]; ok || claim.Spec.Workload != nil && claim.Spec.Workload.Kind == v1alpha1.WorkloadVM {
		return max(minVMRetain, ofSet(claim, pool))
	}
	if claim.Spec.Workload == nil || claim.Spec.Workload.Kind == v1alpha1.WorkloadPod {
		if claim.Spec.Retain != nil {
			return claim.Spec.Retain.Duration
		}
		return 0
	}
	return ofSet(claim, pool)
}

// ofSet is Retain of what may come back under its name.
func ofSet(claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool) time.Duration {
	if claim.Spec.Retain != nil {
		return claim.Spec.Retain.Duration
	}
	if pool == nil {
		return defaultRetain
	}
	return or(pool.Spec.Retain, defaultRetain)
}

// Cooldown is for how long the address of a released lease cools down.
func Cooldown(lease *v1alpha1.MacLease, pool *v1alpha1.MacPool) time.Duration {
	past := lease.Spec.History
	// Releases of which the reason is not written down are of an earlier version, which knew no others than a node's word.
	if len(past) == 0 || !past[0].To.Equal(lease.Spec.ReleasedAt) {
		return CooldownAfter("", pool)
	}
	return CooldownAfter(past[0].Reason, pool)
}

// CooldownAfter is Cooldown of a lease that was released for a reason.
func CooldownAfter(reason v1alpha1.EndReason, pool *v1alpha1.MacPool) time.Duration {
	cooldown := defaultCooldown
	if pool != nil {
		cooldown = or(pool.Spec.Cooldown, defaultCooldown)
	}
	if !reason.Attested() {
		cooldown = max(unattestedFactor*cooldown, unattestedCooldown)
	}
	return cooldown
}

// History is how long the record of a released lease is kept.
func History(pool *v1alpha1.MacPool) time.Duration {
	if pool == nil {
		return defaultHistory
	}
	return or(pool.Spec.History, defaultHistory)
}

// ConflictHold is how long a stranger's address is given to nobody.
func ConflictHold(pool *v1alpha1.MacPool) time.Duration {
	if pool == nil || pool.Spec.ConflictDetection == nil {
		return defaultHold
	}
	return or(pool.Spec.ConflictDetection.Hold, defaultHold)
}

func or(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}
