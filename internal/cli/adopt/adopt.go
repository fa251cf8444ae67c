// SPDX-License-Identifier: Apache-2.0

// Package adopt is kubectl macpool adopt: the addresses that workloads have from whereabouts, or by typed annotations, become claims, and none changes.
package adopt

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/internal/cli"
)

// New is the command adopt.
func New(f *cli.Factory) *cobra.Command {
	var (
		output        cli.Output
		pool          string
		apply, dryRun bool
	)
	c := &cobra.Command{
		Use:   "adopt [[NAMESPACE/]NETWORK...]",
		Short: "Make claims of the addresses that whereabouts or annotations have given",
		Long: `Make claims of the addresses that whereabouts or annotations have given, without changing any.

Read are whereabouts' IPPools and reservations, and the ips and mac in the networks annotations of pods, Deployments and StatefulSets, on
networks whose ipam is whereabouts or static. Of each address that a workload has a MacClaim is made that keeps it for the workload, and
for networks without a MacPool one is proposed. A MAC that was typed is reserved in the proposal.

Nothing is written without --apply, and networks and workloads never are: how a network's configuration has to be changed is printed.
What cannot be adopted is listed with what to do; then the exit status is 3. Run it again at any time: what is done is left alone.
The steps of a migration are in docs/migrate.md.`,
		Example: `  # What there is to adopt, and what stands in the way
  kubectl macpool adopt

  # The pools and claims, for Git
  kubectl macpool adopt -o yaml > adopted.yaml

  # Would the API server take them?
  kubectl macpool adopt --dry-run

  # Make those of one network, in a pool that is there
  kubectl macpool adopt network/iot-vlan --pool iot --apply`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if err := output.Check(); err != nil {
				return err
			}
			return run(c.Context(), f, &output, pool, args, apply, dryRun)
		},
	}
	output.AddTo(c)
	c.Flags().StringVar(&pool, "pool", "", "The MacPool that the networks' addresses go to. Left out, one with their subnet, or one that is proposed.")
	c.Flags().BoolVar(&apply, "apply", false, "Create the pools and claims that are not there.")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "As --apply, but the API server only says whether it would take them.")
	return c
}

func run(ctx context.Context, f *cli.Factory, output *cli.Output, pool string, args []string, apply, dryRun bool) error {
	o := options{pool: pool}
	namespace, err := f.Namespace()
	if err != nil {
		return err
	}
	for _, arg := range args {
		key := types.NamespacedName{Namespace: namespace, Name: arg}
		if ns, name, ok := strings.Cut(arg, "/"); ok {
			key = types.NamespacedName{Namespace: ns, Name: name}
		}
		o.networks = append(o.networks, key)
	}
	c, err := f.Client()
	if err != nil {
		return err
	}
	inv, err := inventoryOf(ctx, c)
	if err != nil {
		return err
	}
	p, err := newPlan(inv, o)
	if err != nil {
		return err
	}
	a := &answer{plan: p, verb: "to be created"}
	if apply || dryRun {
		err = a.apply(ctx, c, dryRun)
	}
	if writeErr := output.Write(f.Out, a); writeErr != nil {
		return errors.Join(err, writeErr)
	}
	if !output.ForPeople() {
		if restErr := a.rest(f.ErrOut); restErr != nil {
			return errors.Join(err, restErr)
		}
	}
	if err == nil && p.conflicts() {
		return cli.ErrFound
	}
	return err
}
