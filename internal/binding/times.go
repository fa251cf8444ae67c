// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Those of the MacPool's schema, for a pool that is gone.
const (
	defaultCooldown = time.Minute
	defaultHistory  = 7 * 24 * time.Hour
)

const (
	// unattestedFactor and unattestedCooldown lengthen the cooldown of an address of which no node has said that its interface is gone:
	// by the factor, and to at least this.
	unattestedFactor   = 10
	unattestedCooldown = 10 * time.Minute
)

// Cooldown is how long an address of the pool cools that was released for this reason. pool is nil if it is gone.
func Cooldown(pool *v1alpha1.MacPool, end v1alpha1.EndReason) time.Duration {
	cooldown := defaultCooldown
	if pool != nil && pool.Spec.Cooldown != nil {
		cooldown = pool.Spec.Cooldown.Duration
	}
	if !end.Attested() {
		cooldown = max(unattestedFactor*cooldown, unattestedCooldown)
	}
	return cooldown
}

// EndOf is the reason for which a released lease was. Of releases of which it is not written down there is none: they are of an earlier
// version, which knew of no end without a node's word.
func EndOf(lease *v1alpha1.MacLease) v1alpha1.EndReason {
	past := lease.Spec.History
	if len(past) == 0 || !past[0].To.Equal(lease.Spec.ReleasedAt) {
		return ""
	}
	return past[0].Reason
}

// History is how long the record of a released lease of the pool is kept. pool is nil if it is gone.
func History(pool *v1alpha1.MacPool) time.Duration {
	if pool == nil || pool.Spec.History == nil {
		return defaultHistory
	}
	return pool.Spec.History.Duration
}
