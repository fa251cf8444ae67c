// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"

	"github.com/macpool/macpool/internal/ledger"
)

// Snapshot reads what the cluster knows of addresses.
func (f *Factory) Snapshot(ctx context.Context) (*ledger.Snapshot, error) {
	c, err := f.Client()
	if err != nil {
		return nil, err
	}
	objects, err := ledger.Read(ctx, c)
	if err != nil {
		return nil, err
	}
	return ledger.New(objects, f.Clock.Now()), nil
}
