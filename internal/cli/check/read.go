// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/invariants"
)

// source is where readings come from.
type source struct {
	*cli.Factory

	reader client.Reader
}

// read reads everything, the API first.
func (s *source) read(ctx context.Context) (*reading, error) {
	world, err := invariants.Read(ctx, s.reader, s.Clock.Now())
	if err != nil {
		return nil, err
	}
	r := &reading{World: world}
	r.Agents, r.unasked = s.askAgents(ctx, world)
	return r, nil
}
