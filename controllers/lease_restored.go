// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/retention"
)

// defaultRestoreGrace is how long a restore may take to bring back what the leases are for, and people to see what is
// missing.
const defaultRestoreGrace = time.Hour

// reserved is how long a lease without a claim is kept at least because it was restored; age is for how long it has been seen without.
// It is nobody's but a claim's of the same name meanwhile.
func (r *LeaseReconciler) reserved(lease *v1alpha1.MacLease, age time.Duration) time.Duration {
	if !retention.IsRestored(lease) {
		return 0
	}
	grace := r.RestoreGrace
	if grace == 0 {
		grace = defaultRestoreGrace
	}
	return max(0, grace-age)
}
