// SPDX-License-Identifier: Apache-2.0

package retention

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

const (
	// labelRestored is what Velero sets on all that it restores.
	labelRestored = "velero.io/restore-name"

	// restoredAfter is how much later than it was leased a lease must have been created to be a restored one. Two clocks are
	// compared, of the API server and of who leased it.
	restoredAfter = 5 * time.Minute
)

// IsRestored tells whether the lease was made again from a backup: its claim may be missing because it is yet to be restored, and
// what its claim was bound to is not known to anybody (R-B2).
func IsRestored(lease *v1alpha1.MacLease) bool {
	return lease.Labels[labelRestored] != "" || lease.CreationTimestamp.Sub(lease.Spec.LeasedAt.Time) > restoredAfter
}

// FromBackup tells whether what an object says of a time was said before it was made: of the cluster that the backup is of, which may be another one
// and be alive (T23).
func FromBackup(object metav1.Object, at time.Time) bool {
	made := object.GetCreationTimestamp().Time
	return made.Sub(at) > restoredAfter || object.GetLabels()[labelRestored] != "" && at.Before(made)
}
