// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
)

const (
	// defaultRestoreGrace is how long a restore may take to bring back what the leases are for, and people to see what is
	// missing.
	defaultRestoreGrace = time.Hour

	// labelRestored is what Velero sets on all that it restores.
	labelRestored = "velero.io/restore-name"

	// restoredAfter is how much later than it was leased a lease must have been created to be a restored one. Two clocks are
	// compared, of the API server and of who leased it.
	restoredAfter = 5 * time.Minute
)

// isRestored tells whether the lease was made again from a backup: its claim may be missing because it is yet to be restored, and
// what its claim was bound to is not known to anybody (R-B2).
func isRestored(lease *v1alpha1.MacLease) bool {
	return lease.Labels[labelRestored] != "" || lease.CreationTimestamp.Sub(lease.Spec.LeasedAt.Time) > restoredAfter
}

// reserved is how long a lease without a claim is kept at least because it was restored; age is for how long it has been seen without.
// It is nobody's but a claim's of the same name meanwhile.
func (r *LeaseReconciler) reserved(lease *v1alpha1.MacLease, age time.Duration) time.Duration {
	if !isRestored(lease) {
		return 0
	}
	grace := r.RestoreGrace
	if grace == 0 {
		grace = defaultRestoreGrace
	}
	return max(0, grace-age)
}
