// SPDX-License-Identifier: Apache-2.0

// Package check is kubectl macpool check: what the API has, what the agents have attached and what they hear on the VLANs, compared.
package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/macpool/macpool/internal/cli"
)

const long = `Compare what the API server, the agents of the nodes and the VLANs say.

The invariants I1 to I8 are looked at: an address has one owner, what is attached
has its lease, an interface has what it was given, and so on. Agents are asked by
running "agent attachments" in their pods, which changes nothing and takes the
right to create pods/exec there. Of the VLANs it counts what agents have heard.

Nothing stands still meanwhile. So a difference is looked at again, and counts if
it is unchanged after the time in which macpool would have mended it: 5 seconds,
or up to 80 for what the manager has to release. Without differences one look is
enough.

The exit status is 0 if no invariant is violated, 3 if one is, and 1 if the
comparison could not be made. What could not be compared is listed; with
--require-agents an agent that cannot be asked is an error.`

const examples = `  # Is all as it should be?
  kubectl macpool check

  # In CI: fail, too, if the agent of a node cannot be asked
  kubectl macpool check --require-agents -o json`

type options struct {
	*cli.Factory

	output        cli.Output
	requireAgents bool

	// pause waits between two readings.
	pause func(context.Context, time.Duration) error
}

// New is the command.
func New(f *cli.Factory) *cobra.Command {
	o := &options{Factory: f, pause: pause}
	c := &cobra.Command{
		Use: "check", Short: "Compare API, agents and VLANs, and fail if an invariant is violated", Long: long, Example: examples,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context()) },
	}
	o.addFlags(c)
	return c
}

func (o *options) addFlags(c *cobra.Command) {
	o.output.AddTo(c)
	c.Flags().BoolVar(&o.requireAgents, "require-agents", false, "If true, an agent that cannot be asked is an error (exit status 1).")
}

func (o *options) run(ctx context.Context) error {
	if err := o.output.Check(); err != nil {
		return err
	}
	reader, err := o.Client()
	if err != nil {
		return err
	}
	w := &watch{
		read:  (&source{Factory: o.Factory, reader: reader}).read,
		pause: o.pause,
		now:   o.Clock.Now,
		say: func(format string, args ...any) {
			if o.output.ForPeople() {
				_, _ = fmt.Fprintf(o.ErrOut, format+"\n", args...) // there is nobody else to tell
			}
		},
	}
	found, err := w.run(ctx)
	if err != nil {
		return err
	}
	if o.requireAgents && len(found.unasked) > 0 {
		return errors.Join(fmt.Errorf("%s could not be asked", count(len(found.unasked), "agent")), errors.Join(found.unasked...))
	}
	a := answerOf(found)
	a.palette = o.Palette()
	if err := o.output.Write(o.Out, a); err != nil {
		return err
	}
	if len(a.Violations) > 0 {
		return cli.ErrFound
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
