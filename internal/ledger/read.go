// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Objects are what the ledger is kept in.
type Objects struct {
	Pools  []v1alpha1.MacPool
	Claims []v1alpha1.MacClaim
	Leases []v1alpha1.MacLease
	Nodes  []v1alpha1.MacNode
}

// Read reads all of them. Claims come after leases: a claim that was released meanwhile is said to have the address a moment longer, and
// not nobody.
func Read(ctx context.Context, c client.Reader) (Objects, error) {
	var pools v1alpha1.MacPoolList
	var leases v1alpha1.MacLeaseList
	var claims v1alpha1.MacClaimList
	var nodes v1alpha1.MacNodeList
	for _, kind := range []struct {
		name string
		list client.ObjectList
	}{{"pools", &pools}, {"leases", &leases}, {"claims", &claims}, {"nodes", &nodes}} {
		if err := c.List(ctx, kind.list); err != nil {
			return Objects{}, fmt.Errorf("listing %s: %w", kind.name, err)
		}
	}
	return Objects{Pools: pools.Items, Claims: claims.Items, Leases: leases.Items, Nodes: nodes.Items}, nil
}
