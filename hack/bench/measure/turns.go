// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"fmt"
)

// Candidate is one of several ways to do the same.
type Candidate struct {
	Name string
	// Round does it, and adds what it measures to its series.
	Round func(ctx context.Context, round int) error
}

// InTurn has every candidate do each round, by turns and not one after the other, so that whatever else the machine does meets all. Each round
// begins with another one: none always follows what another leaves behind. say is told of the progress.
func InTurn(ctx context.Context, rounds int, candidates []Candidate, say func(format string, args ...any)) error {
	for round := range rounds {
		for i := range candidates {
			c := candidates[(i+round)%len(candidates)]
			say("round %d of %d: %s", round+1, rounds, c.Name)
			if err := c.Round(ctx, round); err != nil {
				return fmt.Errorf("%s, round %d: %w", c.Name, round+1, err)
			}
		}
	}
	return nil
}
