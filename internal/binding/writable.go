// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"fmt"

	"github.com/macpool/macpool/api/v1alpha1"
)

// AnotherNodesError : the lease is of a pod of another node, or of no node yet. The agent of this node may not write it: an admission policy
// refuses that (R-S2, docs/design/0018). Whoever made it, or the manager, gets on with it; then the claim says what has become of it.
type AnotherNodesError struct {
	// Lease and Node are the names of the lease and of that node, empty for none.
	Lease, Node string
}

// Error names both.
func (e *AnotherNodesError) Error() string {
	if e.Node == "" {
		return fmt.Sprintf("lease %s is of no node yet", e.Lease)
	}
	return fmt.Sprintf("lease %s is of a pod of node %s", e.Lease, e.Node)
}

// mayWrite is nil if a lease is one that this Binder may write: of its node, or given back, so that it is nobody's.
func (b *Binder) mayWrite(lease *v1alpha1.MacLease) error {
	if b.Node == "" || lease.Spec.NodeName == b.Node || lease.Spec.ReleasedAt != nil {
		return nil
	}
	return &AnotherNodesError{Lease: lease.Name, Node: lease.Spec.NodeName}
}
