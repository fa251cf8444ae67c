// SPDX-License-Identifier: Apache-2.0

// Package chart is the command kubectl macpool map.
package chart

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/ledger"
)

// New is the command.
func New(f *cli.Factory) *cobra.Command {
	var output cli.Output
	var when cli.When
	c := &cobra.Command{
		Use:   "map POOL [PREFIX]",
		Short: "Draw the addresses of a pool, who has most of them, and how long it will last",
		Long: `Draw the addresses of a pool, who has most of them, and how long it will last.

Each sign is an address. In a large pool it is a prefix, and a digit says how many tenths of it are in use; PREFIX draws that part of
the pool alone. A pool of MACs alone takes one of MACs, as 02:32:00:a8:00:00/32.

Days to exhaustion are the available addresses divided by the daily growth of the last 7 days, or since the pool was made; there is no estimate if
it does not grow, or is younger than a day. With --at, what the pool leases is taken from its present spec.`,
		Example: `  # A pool
  kubectl macpool map iot

  # A part of it, and how it was an hour ago
  kubectl macpool map iot 192.168.50.96/27
  kubectl macpool map iot --at 1h`,
		Args:              arguments,
		ValidArgsFunction: f.CompletePool,
		RunE: func(c *cobra.Command, args []string) error {
			if err := output.Check(); err != nil {
				return err
			}
			at, err := when.Time(f)
			if err != nil {
				return err
			}
			s, err := f.Snapshot(c.Context())
			if err != nil {
				return err
			}
			if at.IsZero() {
				at = s.Time
			}
			pool := s.Pool(args[0])
			if pool == nil {
				return fmt.Errorf("there is no pool %s: %w", args[0], poolsOf(s))
			}
			drawn, ok := s.Chart(pool.Name, at)
			if !ok {
				return fmt.Errorf("pool %s contradicts itself, and has no addresses: %w: kubectl describe macpool %s", pool.Name, pool.Err, pool.Name)
			}
			area := wholeOf(drawn)
			if len(args) == 2 {
				if area, err = parseArea(args[1], pool); err != nil {
					return err
				}
			}
			return output.Write(f.Out, newAnswer(f, s, drawn, area, f.Width()))
		},
	}
	output.AddTo(c)
	when.AddTo(c)
	return c
}

func arguments(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return fmt.Errorf("say which pool: %s iot; kubectl get macpools lists them", c.CommandPath())
	case len(args) > 2:
		return fmt.Errorf("%s takes a pool and a prefix, and got %d arguments: %s", c.CommandPath(), len(args), strings.Join(args, " "))
	}
	return nil
}

func poolsOf(s *ledger.Snapshot) error {
	if len(s.Pools) == 0 {
		return errors.New("there are none yet")
	}
	var names []string
	for _, p := range s.Pools {
		names = append(names, p.Name)
	}
	return fmt.Errorf("the pools are %s", strings.Join(names, ", "))
}
