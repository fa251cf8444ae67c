// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/macpool/macpool/internal/ledger"
)

// OneArgument refuses any other number of arguments, and says what to write.
func OneArgument(what, example string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch len(args) {
		case 1:
			return nil
		case 0:
			return fmt.Errorf("say %s: %s %s", what, c.CommandPath(), example)
		}
		return fmt.Errorf("%s takes one argument, %s, and got %d: %s", c.CommandPath(), what, len(args), strings.Join(args, " "))
	}
}

// Ask reads a question, and then the cluster, so that nobody waits to hear of a typing error.
func (f *Factory) Ask(ctx context.Context, text string) (ledger.Query, *ledger.Snapshot, error) {
	namespace, err := f.Namespace()
	if err != nil {
		return ledger.Query{}, nil, err
	}
	q, err := ledger.ParseQuery(text, namespace)
	if err != nil {
		return ledger.Query{}, nil, err
	}
	s, err := f.Snapshot(ctx)
	return q, s, err
}

// NoAddress says that nothing is known of what was asked.
func NoAddress(q ledger.Query, s *ledger.Snapshot) error {
	if q.Object.Name != "" {
		return fmt.Errorf("no pod and no claim %s has an address or is known to have had one: kubectl macpool explain -n %s %s tells why a pod has none",
			q, q.Object.Namespace, q.Object.Name)
	}
	if len(s.Pools) == 0 {
		return errors.New("there are no pools: kubectl get macpools")
	}
	var pools []string
	for _, p := range s.Pools {
		what := "contradicts itself"
		if p.Plan != nil {
			what = p.Plan.Ranges()
		}
		pools = append(pools, fmt.Sprintf("%s (%s)", p.Name, what))
	}
	const shown = 8
	if more := len(pools) - shown; more > 0 {
		pools = append(pools[:shown], fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%s is in no pool, and no lease has it. The pools are %s", q, strings.Join(pools, ", "))
}
