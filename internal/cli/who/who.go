// SPDX-License-Identifier: Apache-2.0

// Package who is the command kubectl macpool who.
package who

import (
	"github.com/spf13/cobra"

	"github.com/macpool/macpool/internal/cli"
)

// New is the command.
func New(f *cli.Factory) *cobra.Command {
	var output cli.Output
	var when cli.When
	c := &cobra.Command{
		Use:   "who (IP | MAC | POD | CLAIM)",
		Short: "Tell who has an address, or had it at a time",
		Long: `Tell who has an address, or had it at a time.

The address is an IP of either family, or a MAC, in any spelling; or that of a pod or claim, as NAME or NAMESPACE/NAME. If several segments
have the address, all of them are told.

Times are in whole seconds. Where the record in the cluster does not go back so far, that is said.`,
		Example: `  # Who has an IP
  kubectl macpool who 192.168.50.100

  # Whose MAC is it, as a switch writes it
  kubectl macpool who 0232.00a8.3264

  # Which addresses a pod has
  kubectl macpool who -n default db-0

  # Who had it an hour ago, and yesterday at ten
  kubectl macpool who 192.168.50.100 --at 1h
  kubectl macpool who 192.168.50.100 --at "$(date -d yesterday +%F) 10:00"`,
		Args:              cli.OneArgument("the IP, the MAC, or the name of the pod", "192.168.50.8"),
		ValidArgsFunction: f.CompleteHolder,
		RunE: func(c *cobra.Command, args []string) error {
			if err := output.Check(); err != nil {
				return err
			}
			at, err := when.Time(f)
			if err != nil {
				return err
			}
			q, s, err := f.Ask(c.Context(), args[0])
			if err != nil {
				return err
			}
			found := s.Find(q)
			if len(found) == 0 {
				return cli.NoAddress(q, s)
			}
			return output.Write(f.Out, newAnswer(f, s, q, found, at))
		},
	}
	output.AddTo(c)
	when.AddTo(c)
	return c
}
