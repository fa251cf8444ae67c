// SPDX-License-Identifier: Apache-2.0

// Package doctor is kubectl macpool doctor: it reads all that macpool needs of a cluster, once, and says what is wrong with it and what to do.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/macpool/macpool/internal/cli"
)

const long = `Look for what is wrong with macpool in a cluster, and say what to do about it.

Everything is read once, with your own rights: kinds and policies, the manager, the agent of each node and what it reports, what is installed on
the nodes (by an exec into the installer of each agent's pod), Multus, links to the VLANs, networks, pools, claims, leases, and the MACs and
addresses that people have typed into workloads. What you may not read is listed as "not checked". Nothing is changed; one pod is
created as a dry run, to see that the policies refuse it.

The exit status is 0 if there is no fault, also if there are hints; 3 if there is one; 1 if doctor itself failed.`

const examples = `  # All of the cluster
  kubectl macpool doctor

  # One node
  kubectl macpool doctor --node worker-1

  # In CI: fails on faults, and keeps what was found
  kubectl macpool doctor -o json > doctor.json

  # The objects that something is wrong with
  kubectl macpool doctor -o name`

// options are the flags.
type options struct {
	output cli.Output
	node   string
	times  watching
}

// New is the command.
func New(f *cli.Factory) *cobra.Command { return command(f, patiently) }

func command(f *cli.Factory, times watching) *cobra.Command {
	o := &options{times: times}
	c := &cobra.Command{
		Use:     "doctor [--node NODE]",
		Short:   "Say what is wrong with macpool in the cluster, and what to do",
		Long:    long,
		Example: examples,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return o.run(c.Context(), f, c.Root().Version) },
	}
	o.output.AddTo(c)
	c.Flags().StringVar(&o.node, "node", "", "Look at this node alone, and not at what is the cluster's.")
	return c
}

func (o *options) run(ctx context.Context, f *cli.Factory, version string) error {
	if err := o.output.Check(); err != nil {
		return err
	}
	config, err := f.RESTConfig()
	if err != nil {
		return err
	}
	namespace, err := f.Namespace()
	if err != nil {
		return err
	}
	s, err := o.gather(ctx, f, config, namespace)
	if err != nil {
		return err
	}
	s.version = version
	r := &Report{Node: o.node, Subjects: examine(s), palette: f.Palette()}
	if err := o.output.Write(f.Out, r); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if r.count(Fault) > 0 {
		return cli.ErrFound
	}
	return nil
}

// gather reads the cluster and asks its nodes.
func (o *options) gather(ctx context.Context, f *cli.Factory, config *rest.Config, namespace string) (*state, error) {
	var date lastDate
	c, err := newClient(config, &date)
	if err != nil {
		return nil, err
	}
	s := &state{node: o.node}
	if err := s.read(ctx, c, namespace); err != nil {
		return nil, err
	}
	if s.now = date.get(); s.now.IsZero() { // no answer came, whatever was asked
		return nil, fmt.Errorf("reaching the API server: %w", s.unread["nodes"])
	}
	if o.node != "" && s.unread["nodes"] == nil && !slices.ContainsFunc(s.nodes.Items, func(n corev1.Node) bool { return n.Name == o.node }) {
		return nil, fmt.Errorf("there is no node %q: kubectl get nodes lists those that exist", o.node)
	}
	if err := s.watch(ctx, c, &date, o.times, func(text string) { o.tell(f, text) }); err != nil {
		return nil, err
	}
	if s.unread["nodes"] == nil && s.unread["pods"] == nil {
		s.inspect(ctx, f.Exec, o.progress(f))
	}
	return s, nil
}

// patience is after how long a person is told that it goes on.
const patience = 2 * time.Second

// progress tells a person how many nodes have answered, when that lasts.
func (o *options) progress(f *cli.Factory) func(asked, all int) {
	last := f.Clock.Now()
	return func(asked, all int) {
		if now := f.Clock.Now(); now.Sub(last) >= patience && asked < all {
			last = now
			o.tell(f, fmt.Sprintf("asked %d of %d nodes", asked, all))
		}
	}
}

// tell tells a person why it takes a while.
func (o *options) tell(f *cli.Factory, text string) {
	if o.output.ForPeople() {
		_, _ = fmt.Fprintln(f.ErrOut, text) // there is nobody else to tell
	}
}
